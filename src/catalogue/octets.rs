//! Header fields with raw octets that are not UTF-8, which RFC 5322 §2.2 forbids and old programs send: they are read as
//! Windows-1252, as browsers read Latin-1 (WHATWG Encoding Standard §4.2).

use std::borrow::Cow;

/// Windows-1252 from 0x80 to 0x9F.
const WINDOWS_1252: &str = "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}Ž\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}žŸ";

/// Returns the message with a header that is UTF-8, for the parser: each line up to the first empty line that is not
/// UTF-8 is read as Windows-1252. Borrowed if the header is UTF-8 already; the body is never changed.
pub(super) fn with_readable_header(bytes: &[u8]) -> Cow<'_, [u8]> {
    let blank = memchr::memmem::find(bytes, b"\n\r\n").or_else(|| memchr::memmem::find(bytes, b"\n\n"));
    let (header, rest) = bytes.split_at(blank.unwrap_or(bytes.len()));
    if std::str::from_utf8(header).is_ok() {
        return Cow::Borrowed(bytes);
    }
    let mut readable = Vec::with_capacity(bytes.len() + 64);
    for line in header.split_inclusive(|byte| *byte == b'\n') {
        match std::str::from_utf8(line) {
            Ok(_) => readable.extend_from_slice(line),
            Err(_) => readable.extend(line.iter().map(|byte| letter(*byte)).collect::<String>().into_bytes()),
        }
    }
    readable.extend_from_slice(rest);
    Cow::Owned(readable)
}

/// Returns the character that a byte stands for in Windows-1252.
fn letter(byte: u8) -> char {
    match byte {
        0x80..=0x9f => WINDOWS_1252.chars().nth(usize::from(byte - 0x80)).unwrap_or(char::REPLACEMENT_CHARACTER),
        byte => char::from(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_with_raw_octets_is_read_line_by_line() {
        let read = |bytes: &[u8]| String::from_utf8(with_readable_header(bytes).into_owned()).unwrap();
        assert_eq!(read(b"Subject: Gr\xfc\xdfe \x80\x92\nFrom: \xc3\xa4\n\nx"), "Subject: Grüße €’\nFrom: ä\n\nx");
        assert_eq!(with_readable_header(b"A: b\r\n\r\n\xff"), Cow::Borrowed(b"A: b\r\n\r\n\xff"));
        assert_eq!(WINDOWS_1252.chars().count(), 32);
    }
}
