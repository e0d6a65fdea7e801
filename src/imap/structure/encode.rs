//! Encodes binary parts in base64, so that they can be sent in literals that must not contain NUL. RFC 3516 §4.2, RFC
//! 2045 §6.8.

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::{Part, PartContent, Structure, fields};

/// Bytes per line of base64. RFC 2045 §6.8: 76 characters.
const LINE_BYTES: usize = 57;

/// The message with every part of Content-Transfer-Encoding `binary` in base64; composite parts become `8bit`.
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

/// Collects ranges with their replacements, in order.
fn collect(part: &Part, message: &[u8], edits: &mut Vec<(Range<usize>, Vec<u8>)>) {
    let is_binary = part.encoding.as_deref() == Some("BINARY");
    let is_leaf = part.content == PartContent::Leaf;
    if is_binary && let Some(value) = encoding_value(part, message) {
        edits.push((value, if is_leaf { b" base64".to_vec() } else { b" 8bit".to_vec() }));
        if is_leaf {
            edits.push((part.body.range(), in_base64(&message[part.body.range()])));
        }
    }
    match &part.content {
        PartContent::Leaf => {}
        PartContent::Multipart(parts) => parts.iter().for_each(|part| collect(part, message, edits)),
        PartContent::Message(inner) => collect(&inner.part, message, edits),
    }
}

/// The range of the value of Content-Transfer-Encoding.
fn encoding_value(part: &Part, message: &[u8]) -> Option<Range<usize>> {
    let header = &message[part.header.range()];
    let field = fields(header).find(|field| field.is("Content-Transfer-Encoding"))?;
    let start = field.value.as_ptr() as usize - message.as_ptr() as usize;
    Some(start..start + field.value.trim_ascii_end().len())
}

fn in_base64(bytes: &[u8]) -> Vec<u8> {
    let lines = bytes.chunks(LINE_BYTES).map(|line| STANDARD.encode(line) + "\r\n");
    lines.collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::decode_body;

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
        for plain in ["Subject: x\r\n\r\nhello\r\n", "Content-Transfer-Encoding: 8bit\r\n\r\n\u{e9}\r\n"] {
            assert_eq!(without_binary(Bytes::from(plain)), plain);
        }
    }
}
