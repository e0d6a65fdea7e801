//! Parses the MIME structure of a message. RFC 2046 §5.1, §5.2.1.

use std::ops::Range;

use super::field::{header_len, line_len};
use super::header::Header;
use super::{MAX_DEPTH, Part, PartContent, Span, Structure};

/// The parts that any message may have. Each [`BYTES_PER_PART`] of its size allow one more, so that the structure is
/// not larger than the message. The last part that is allowed extends to the end of the enclosing part.
const MIN_PARTS: usize = 10_000;
const BYTES_PER_PART: usize = 256;

/// Parses the structure of a message without trace lines; bytes beyond 4 GiB are ignored.
pub(super) fn structure(content: &[u8]) -> Structure {
    // Offsets have 32 bits; accepted messages are far smaller.
    let content = &content[..content.len().min(u32::MAX as usize)];
    let parts_left = max_parts(content);
    let mut reader = Reader { content, parts_left };
    reader.message(0..content.len(), MAX_DEPTH)
}

/// Returns the most parts that a message with this content may have: `MIN_PARTS`, and one more for each
/// `BYTES_PER_PART` of its size.
pub(super) fn max_parts(content: &[u8]) -> usize {
    MIN_PARTS + content.len() / BYTES_PER_PART
}

struct Reader<'a> {
    content: &'a [u8],
    parts_left: usize,
}

impl<'a> Reader<'a> {
    /// Parses the message in the range; `depth` is how many levels of parts may still nest in it.
    fn message(&mut self, range: Range<usize>, depth: usize) -> Structure {
        let (header, header_end) = self.header(range.clone());
        let part = self.part(header.part(("text", "plain")), range, header_end, depth);
        Structure { envelope: header.envelope(), part }
    }

    /// Parses the header at the beginning of the range, and returns it with its end, as a position in the content.
    fn header(&self, range: Range<usize>) -> (Header<'a>, usize) {
        let end = range.start + header_len(&self.content[range.clone()]);
        (Header::of(&self.content[range.start..end]), end)
    }

    /// Fills in the position, lines and content of the part at this range, of which the header is parsed; `header_end`
    /// is where its body begins. A multipart without parts becomes `text/plain`, an attached message that is not parsed
    /// `application/octet-stream`.
    fn part(&mut self, mut part: Part, range: Range<usize>, header_end: usize, depth: usize) -> Part {
        let body = header_end..range.end;
        part.content = self.inside(&part, body.clone(), depth);
        part.header = span(range.start..header_end);
        part.lines = lines(&self.content[body.clone()]);
        part.body = span(body);
        // A composite type without parts cannot be reported as such, so it becomes a simple type.
        let plainer = match (part.kind.as_str(), part.subtype.as_str(), &part.content) {
            ("multipart", _, PartContent::Leaf) => Some(("text", "plain")),
            ("message", "rfc822" | "global", PartContent::Leaf) => Some(("application", "octet-stream")),
            _ => None,
        };
        if let Some((kind, subtype)) = plainer {
            part.kind = kind.to_owned();
            part.subtype = subtype.to_owned();
        }
        part
    }

    /// Parses what the body of a part contains: the parts of a multipart, or a message. A leaf for other types, if
    /// there are no parts, or if none are allowed: `depth`, the levels that may still nest, is 0, or the message has
    /// too many parts.
    fn inside(&mut self, part: &Part, body: Range<usize>, depth: usize) -> PartContent {
        if depth == 0 {
            return PartContent::Leaf;
        }
        match (part.kind.as_str(), part.subtype.as_str()) {
            ("multipart", subtype) => {
                let default = if subtype == "digest" { ("message", "rfc822") } else { ("text", "plain") };
                let boundary = part.parameter("boundary").unwrap_or_default();
                let parts = self.parts(boundary, body, default, depth - 1);
                if parts.is_empty() { PartContent::Leaf } else { PartContent::Multipart(parts) }
            }
            // RFC 6532 §3.7: the same with UTF-8 in its header.
            ("message", "rfc822" | "global") if 0 < self.parts_left => {
                self.parts_left -= 1;
                PartContent::Message(Box::new(self.message(body, depth - 1)))
            }
            _ => PartContent::Leaf,
        }
    }

    /// Parses the parts of a multipart, of type `default` if they have no other; empty without a boundary or parts, or
    /// if no more parts are allowed.
    fn parts(&mut self, boundary: &str, body: Range<usize>, default: (&str, &str), depth: usize) -> Vec<Part> {
        let boundary = boundary.as_bytes();
        if boundary.is_empty() || self.parts_left == 0 {
            return Vec::new();
        }
        let ranges = split(self.content, body, boundary, self.parts_left);
        // Counted before any of them is parsed: the parts inside the first must not displace a later one.
        self.parts_left -= ranges.len();
        let mut parts = Vec::with_capacity(ranges.len());
        for range in ranges {
            let (header, header_end) = self.header(range.clone());
            parts.push(self.part(header.part(default), range, header_end, depth));
        }
        parts
    }
}

/// Returns the ranges of the parts between boundaries in the body, at most `max_parts`: the last one then holds the
/// rest, up to the closing boundary. An unclosed part extends to the end. The line end before a boundary belongs to the
/// boundary. RFC 2046 §5.1.1.
fn split(content: &[u8], body: Range<usize>, boundary: &[u8], max_parts: usize) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut open = None;
    let mut at = body.start;
    while at < body.end {
        let line = &content[at..at + line_len(&content[at..body.end])];
        let next = at + line.len();
        let may_open = parts.len() + 1 < max_parts || open.is_none();
        if let Some(closing) = delimiter(line, boundary).filter(|closing| *closing || may_open) {
            if let Some(start) = open.replace(next) {
                parts.push(start..line_end_before(content, start, at));
            }
            if closing {
                return parts;
            }
        }
        at = next;
    }
    // An unclosed part extends to the end.
    parts.extend(open.map(|start| start..body.end));
    parts
}

/// Returns whether a line is the closing boundary, which ends in `--`: `Some(false)` if it is a boundary that begins a
/// part, `None` if it is none. Whitespace behind it is allowed.
fn delimiter(line: &[u8], boundary: &[u8]) -> Option<bool> {
    let rest = line.strip_prefix(b"--")?.strip_prefix(boundary)?.trim_ascii_end();
    match rest {
        b"" => Some(false),
        b"--" => Some(true),
        _ => None,
    }
}

/// Returns the end of a part that begins at `start`: the position before the line end that precedes the boundary at
/// `at`.
fn line_end_before(content: &[u8], start: usize, at: usize) -> usize {
    let part = &content[start..at];
    let part = part.strip_suffix(b"\n").unwrap_or(part);
    start + part.strip_suffix(b"\r").unwrap_or(part).len()
}

/// Returns the number of lines; a last line without line end counts.
fn lines(body: &[u8]) -> u32 {
    let ends = body.iter().filter(|byte| **byte == b'\n').count();
    let open = body.last().is_some_and(|byte| *byte != b'\n');
    u32::try_from(ends + usize::from(open)).unwrap_or(u32::MAX)
}

/// Returns a range of the content as [`Span`]; an end before the start becomes the start.
fn span(range: Range<usize>) -> Span {
    // The content was limited to 32 bits at the start.
    Span { start: range.start as u32, end: range.end.max(range.start) as u32 }
}
