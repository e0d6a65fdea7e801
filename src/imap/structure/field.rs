//! Parses the fields of a header. RFC 5322 §2.2; more is accepted than RFC 5322 allows.

/// One header field as it is in the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name, before the colon.
    pub name: &'a [u8],
    /// The value after the colon, with folding and the last line end.
    pub value: &'a [u8],
    /// The whole field with its last line end.
    pub whole: &'a [u8],
}

impl Field<'_> {
    /// Returns whether the field has this name, in any case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// Iterates over the fields at the beginning of these bytes, up to an empty line or a line that is not a field; a line
/// `From ...` of a mailbox file before them is skipped.
pub fn fields(header: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut rest = skip_mbox_line(header);
    std::iter::from_fn(move || {
        let len = field_len(rest)?;
        let (whole, after) = rest.split_at(len);
        rest = after;
        let colon = whole.iter().position(|byte| *byte == b':')?;
        Some(Field { name: whole[..colon].trim_ascii_end(), value: &whole[colon + 1..], whole })
    })
}

/// Returns the length of the header at the beginning of these bytes, with its empty line and a line `From ...` of a
/// mailbox file. A line that is not a field begins the body.
pub(super) fn header_len(message: &[u8]) -> usize {
    let mut at = message.len() - skip_mbox_line(message).len();
    while let Some(len) = field_len(&message[at..]) {
        at += len;
    }
    match &message[at..] {
        [b'\r', b'\n', ..] => at + 2,
        [b'\n', ..] => at + 1,
        _ => at,
    }
}

/// Returns the bytes without a first line `From ann@a.test Mon ...` or `>From ...`, which mailbox files put above a
/// message; some senders do not remove it.
fn skip_mbox_line(message: &[u8]) -> &[u8] {
    if message.starts_with(b"From ") || message.starts_with(b">From ") {
        return &message[line_len(message)..];
    }
    message
}

/// Returns the length of the first line, with its end.
pub(super) fn line_len(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |found| found + 1)
}

/// Returns the length of the first field, with its folded lines; `None` if the first line is not a field.
fn field_len(bytes: &[u8]) -> Option<usize> {
    let first = line_len(bytes);
    if !is_field_line(&bytes[..first]) {
        return None;
    }
    let mut len = first;
    while matches!(bytes.get(len), Some(b' ' | b'\t')) {
        len += line_len(&bytes[len..]);
    }
    Some(len)
}

/// Returns whether the line begins with a name without spaces and control characters, and a colon, which spaces may
/// precede. RFC 5322 §3.6.8, §4.5.
fn is_field_line(line: &[u8]) -> bool {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else { return false };
    let name = line[..colon].trim_ascii_end();
    !name.is_empty() && name.iter().all(|byte| !byte.is_ascii_control() && *byte != b' ')
}

/// Returns the value of a field as text on one line, trimmed, without line ends and NUL; other whitespace stays. RFC
/// 5322 §2.2.3. Bytes that are not UTF-8 violate RFC 6532 and are read as Latin-1.
pub fn unfold(value: &[u8]) -> String {
    let kept: Vec<u8> = value.trim_ascii().iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n' | 0)).collect();
    String::from_utf8(kept).unwrap_or_else(|error| error.as_bytes().iter().map(|byte| char::from(*byte)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfold_returns_one_line_of_text() {
        for (value, wanted) in
            [(&b" a\r\n\tb \r\n"[..], "a\tb"), (b"\xc3\xa9", "\u{e9}"), (b"\xe9\0", "\u{e9}"), (b"", "")]
        {
            assert_eq!(unfold(value), wanted);
        }
    }

    #[test]
    fn fields_end_at_the_end_of_the_header() {
        let header = b"A: 1\r\nB : 2\r\n  3\r\n:4\r\nC: 5\r\n";
        let found: Vec<_> = fields(header).map(|field| (field.name, field.value)).collect();
        assert_eq!(found, [(&b"A"[..], &b" 1\r\n"[..]), (b"B", b" 2\r\n  3\r\n")]);
        assert_eq!(header_len(header), 18);
        assert_eq!(header_len(b"A: 1\n\nB: 2"), 6);
    }
}
