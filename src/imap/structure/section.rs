//! Extracts the bytes of a section. RFC 9051 §6.4.5.1.

use bytes::Bytes;

use super::field::header_len;
use super::{Part, PartContent, Span, Structure, fields};
use crate::imap::fetch::{Section, SectionText};
use crate::mail::Message;

/// The part at a path, or the message itself.
enum Found<'a> {
    Root(&'a Structure),
    Part { part: &'a Part, is_root: bool },
}

/// Returns the bytes of a section of the message as a whole, trace lines included in all but TEXT, in pieces; `None`
/// for MIME, which only parts have. It needs no structure: the end of the header is found in the bytes.
pub fn message_section(text: &SectionText, message: &Message) -> Option<Vec<Bytes>> {
    let content = message.content.bytes();
    match text {
        SectionText::All => Some(message.pieces().to_vec()),
        SectionText::Text => Some(vec![content.slice(header_len(content)..)]),
        text => header_section(text, [message.trace.clone(), content.slice(..header_len(content))]),
    }
}

/// Returns the bytes of HEADER, HEADER.FIELDS or HEADER.FIELDS.NOT, from a header that is given as its trace fields and
/// the rest; `None` for other sections, MIME included.
pub fn header_section(text: &SectionText, header: [Bytes; 2]) -> Option<Vec<Bytes>> {
    match text {
        SectionText::Header => Some(header.to_vec()),
        SectionText::HeaderFields { not, names } => Some(vec![pick_fields(&header, names, *not)]),
        SectionText::All | SectionText::Text | SectionText::Mime => None,
    }
}

impl Structure {
    /// Returns the bytes of a section, in pieces; `None` if its part does not exist, or does not have it: HEADER,
    /// HEADER.FIELDS and TEXT are sections of a message, so a part has them only if it contains one.
    pub fn section(&self, section: &Section, message: &Message) -> Option<Vec<Bytes>> {
        let slice = |span: Span| message.content.bytes().slice(span.range());
        let inner = match (self.find(&section.part)?, &section.text) {
            (Found::Root(_), text) => return message_section(text, message),
            (Found::Part { part, .. }, SectionText::All) => return Some(vec![slice(part.body)]),
            (Found::Part { part, is_root }, SectionText::Mime) => {
                let trace = is_root.then(|| message.trace.clone());
                return Some(trace.into_iter().chain([slice(part.header)]).collect());
            }
            (Found::Part { part, .. }, _) => match &part.content {
                PartContent::Message(inner) => inner,
                _ => return None,
            },
        };
        match &section.text {
            SectionText::Header => Some(vec![slice(inner.part.header)]),
            SectionText::Text => Some(vec![slice(inner.part.body)]),
            SectionText::HeaderFields { not, names } => {
                Some(vec![pick_fields(&[slice(inner.part.header)], names, *not)])
            }
            SectionText::All | SectionText::Mime => None,
        }
    }

    /// Returns the part at a path of numbers from 1, the message itself as a part for an empty path; `None` if it does
    /// not exist. A message that is not multipart has one part, itself, so the path `[1]` leads to the same part as the
    /// empty one. RFC 9051 §6.4.5.1.
    pub fn part(&self, path: &[u32]) -> Option<&Part> {
        match self.find(path)? {
            Found::Root(message) => Some(&message.part),
            Found::Part { part, .. } => Some(part),
        }
    }

    /// Finds the part at a path of numbers from 1, or the message for an empty path; `None` if it does not exist. RFC
    /// 9051 §6.4.5.1: every message has at least one part, itself if it is not multipart.
    fn find(&self, path: &[u32]) -> Option<Found<'_>> {
        let mut found: Option<&Part> = None;
        for number in path {
            let around = match found {
                None => &self.part,
                Some(part) => match &part.content {
                    PartContent::Message(message) => &message.part,
                    PartContent::Multipart(_) => part,
                    PartContent::Leaf => return None,
                },
            };
            found = match &around.content {
                PartContent::Multipart(parts) => Some(parts.get((*number as usize).checked_sub(1)?)?),
                _ if *number == 1 => Some(around),
                _ => return None,
            };
        }
        Some(match found {
            None => Found::Root(self),
            Some(part) => Found::Part { part, is_root: std::ptr::eq(part, &self.part) },
        })
    }
}

/// Returns the fields with one of the names (any case), or with `not` all others, as they are and in their order, and
/// an empty line, also if there are none. The header is given in pieces, each of whole fields. RFC 9051 §6.4.5.1.
pub fn pick_fields(header: &[impl AsRef<[u8]>], names: &[String], not: bool) -> Bytes {
    let mut picked = Vec::new();
    for field in header.iter().flat_map(|piece| fields(piece.as_ref())) {
        if names.iter().any(|name| field.is(name)) != not {
            picked.extend_from_slice(field.whole);
            if !field.whole.ends_with(b"\n") {
                picked.extend_from_slice(b"\r\n");
            }
        }
    }
    picked.extend_from_slice(b"\r\n");
    picked.into()
}

/// Returns the range of the bytes that `<first.count>` asks for, `first` counted from 0, as slices of the pieces; empty
/// beyond their end. RFC 9051 §6.4.5.
pub fn partial(pieces: &[Bytes], (first, count): (u32, u32)) -> Vec<Bytes> {
    let (mut skip, mut left) = (first as usize, count as usize);
    let mut kept = Vec::new();
    for piece in pieces {
        let start = skip.min(piece.len());
        let end = piece.len().min(start.saturating_add(left));
        skip -= start;
        left -= end - start;
        if start < end {
            kept.push(piece.slice(start..end));
        }
    }
    kept
}
