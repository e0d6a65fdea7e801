//! Encodes binary parts in base64, so that they can be sent in literals that must not contain NUL. RFC 3516 §4.2, RFC
//! 2045 §6.8.

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::{Part, PartContent, Structure, fields};

/// Bytes per line of base64. RFC 2045 §6.8: 76 characters.
const LINE_BYTES: usize = 57;

/// Returns whether a message has a part of Content-Transfer-Encoding `binary`, or NUL anywhere, which is binary
/// whatever its part says.
pub fn has_binary(structure: &Structure, message: &[u8]) -> bool {
    fn names_binary(part: &Part) -> bool {
        part.encoding.as_deref() == Some("BINARY")
            || match &part.content {
                PartContent::Leaf => false,
                PartContent::Multipart(parts) => parts.iter().any(names_binary),
                PartContent::Message(inner) => names_binary(&inner.part),
            }
    }
    names_binary(&structure.part) || message.contains(&0)
}

/// Returns the message with every leaf part of Content-Transfer-Encoding `binary`, or unencoded with NUL in it, in
/// base64, and its field set or added; composite parts of encoding `binary` become `8bit`. A message without such parts
/// is returned as it is; NUL outside of them stays.
pub fn without_binary(message: Bytes) -> Bytes {
    let mut edits = Vec::new();
    collect(&Structure::of(&message).part, &message, &mut edits);
    if edits.is_empty() {
        return message;
    }
    let mut encoded = Vec::with_capacity(message.len() * 3 / 2);
    let mut done = 0;
    for (range, text) in edits {
        encoded.extend_from_slice(&message[done..range.start]);
        encoded.extend_from_slice(&text);
        done = range.end;
    }
    encoded.extend_from_slice(&message[done..]);
    encoded.into()
}

/// Appends the ranges of the message to be replaced for a part and its children, in order, with their replacements.
fn collect(part: &Part, message: &[u8], edits: &mut Vec<(Range<usize>, Vec<u8>)>) {
    let is_leaf = part.content == PartContent::Leaf;
    let names_binary = part.encoding.as_deref() == Some("BINARY");
    let is_plain = || matches!(part.encoding.as_deref(), None | Some("7BIT" | "8BIT"));
    let has_nul = || is_leaf && is_plain() && message[part.body.range()].contains(&0);
    if names_binary || has_nul() {
        let value = if is_leaf { "base64" } else { "8bit" };
        let end = header_end(part, message);
        edits.push(match encoding_value(part, message) {
            Some(range) => (range, format!(" {value}").into_bytes()),
            None => (end..end, format!("Content-Transfer-Encoding: {value}\r\n").into_bytes()),
        });
        if is_leaf {
            // Its empty line, if the body began without one.
            if end == part.header.range().end {
                edits.push((end..end, b"\r\n".to_vec()));
            }
            edits.push((part.body.range(), in_base64(&message[part.body.range()])));
        }
    }
    match &part.content {
        PartContent::Leaf => {}
        PartContent::Multipart(parts) => parts.iter().for_each(|part| collect(part, message, edits)),
        PartContent::Message(inner) => collect(&inner.part, message, edits),
    }
}

/// Returns the range in the message of the value of Content-Transfer-Encoding, from the colon to before its line end;
/// `None` if the part has no such field.
fn encoding_value(part: &Part, message: &[u8]) -> Option<Range<usize>> {
    let header = &message[part.header.range()];
    let field = fields(header).find(|field| field.is("Content-Transfer-Encoding"))?;
    let start = field.value.as_ptr() as usize - message.as_ptr() as usize;
    Some(start..start + field.value.trim_ascii_end().len())
}

/// Returns where in the message another field would be added to the header of a part: before its empty line.
fn header_end(part: &Part, message: &[u8]) -> usize {
    let header = &message[part.header.range()];
    let empty_lines: [&[u8]; 2] = [b"\r\n", b"\n"];
    let is_last =
        |line: &&&[u8]| header.strip_suffix(**line).is_some_and(|before| before.is_empty() || before.ends_with(b"\n"));
    part.header.range().end - empty_lines.iter().find(is_last).map_or(0, |line| line.len())
}

/// Returns the bytes in base64, in lines of at most 76 characters that each end in CR LF.
fn in_base64(bytes: &[u8]) -> Vec<u8> {
    let lines = bytes.chunks(LINE_BYTES).map(|line| STANDARD.encode(line) + "\r\n");
    lines.collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::decode_body;

    #[test]
    fn without_binary_encodes_parts_with_nul_whatever_they_say() {
        for (message, wanted) in [
            ("Subject: x\r\n\r\na\0b\r\n", "Subject: x\r\nContent-Transfer-Encoding: base64\r\n\r\nYQBiDQo=\r\n"),
            ("content-transfer-encoding: 8BIT\r\n\r\n\0", "content-transfer-encoding: base64\r\n\r\nAA==\r\n"),
            ("X: b\r\nno\0\r\n", "X: b\r\nContent-Transfer-Encoding: base64\r\n\r\nbm8ADQo=\r\n"),
            ("\0", "Content-Transfer-Encoding: base64\r\n\r\nAA==\r\n"),
        ] {
            assert!(has_binary(&Structure::of(message.as_bytes()), message.as_bytes()));
            assert_eq!(without_binary(Bytes::from(message)), wanted);
        }
    }

    #[test]
    fn without_binary_encodes_only_binary_parts() {
        let message = b"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: binary\r\n\r\n\
            --b\r\nContent-Transfer-Encoding: 7bit\r\n\r\nhello\r\n\
            --b\r\nContent-Type: image/png\r\ncontent-transfer-encoding:\tBINARY\r\nX-More: 1\r\n\r\n\0\xff\n\x01\r\n--b--\r\n";
        let encoded = without_binary(Bytes::from_static(message));
        let wanted = "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
            --b\r\nContent-Transfer-Encoding: 7bit\r\n\r\nhello\r\n\
            --b\r\nContent-Type: image/png\r\ncontent-transfer-encoding: base64\r\nX-More: 1\r\n\r\nAP8KAQ==\r\n\r\n--b--\r\n";
        assert_eq!(String::from_utf8_lossy(&encoded), wanted);
        let structure = Structure::of(&encoded);
        assert_eq!(decode_body(structure.part(&[2]).unwrap(), &encoded).as_deref(), Some(&b"\0\xff\n\x01"[..]));
        assert!(has_binary(&Structure::of(message), message) && !has_binary(&structure, &encoded));
        for plain in ["Subject: x\r\n\r\nhello\r\n", "Content-Transfer-Encoding: 8bit\r\n\r\n\u{e9}\r\n"] {
            assert_eq!(without_binary(Bytes::from(plain)), plain);
        }
    }
}
