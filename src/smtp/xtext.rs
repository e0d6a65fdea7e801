//! `xtext`, the encoding of arbitrary text in a parameter. RFC 3461 §4.

use std::fmt::Write;

/// Encodes text as printable ASCII: `+`, `=`, spaces, controls and the bytes of UTF-8 become `+` and two hex digits.
pub(super) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'+' | b'=' => push_hex(&mut out, byte),
            b'!'..=b'~' => out.push(byte as char),
            _ => push_hex(&mut out, byte),
        }
    }
    out
}

/// Appends `+` and the two hex digits of the byte, in upper case.
fn push_hex(out: &mut String, byte: u8) {
    // Writing to a String cannot fail.
    let _ = write!(out, "+{byte:02X}");
}

/// Decodes xtext; `None` if the text is empty, is not xtext or decodes to control characters. Plain UTF-8 is accepted
/// (RFC 6533 §3).
pub(super) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('+');
    bytes.extend_from_slice(parts.next()?.as_bytes());
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        let is_hex = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'));
        bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| is_hex)?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    let decoded = String::from_utf8(bytes).ok()?;
    let is_clean = !text.contains('=') && !decoded.chars().any(char::is_control);
    (is_clean && !decoded.is_empty()).then_some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_when_encoded_decodes_to_the_same() {
        for (text, wire) in [("abc", "abc"), ("a+b=c d", "a+2Bb+3Dc+20d"), ("\u{e9}", "+C3+A9")] {
            assert_eq!(encode(text), wire);
            assert_eq!(decode(wire).as_deref(), Some(text));
        }
    }

    #[test]
    fn decode_of_invalid_xtext_fails() {
        for wire in ["", "+", "+4", "+4G", "+4a", "a=b", "+0D+0A", "+00", "+FF", "+\u{e9}"] {
            assert_eq!(decode(wire), None, "{wire:?}");
        }
    }
}
