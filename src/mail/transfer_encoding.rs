//! Decodes the encodings of Content-Transfer-Encoding. RFC 2045 §6.7, §6.8. Invalid text is decoded as far as possible,
//! because mailing lists append lines to encoded text and gateways truncate it.

/// Decodes base64. Characters outside the alphabet are ignored, and the first `=` that can end the data ends it
/// (RFC 2045 §6.8).
///
/// ```
/// use postroad::mail::decode_base64;
/// assert_eq!(decode_base64(b"aGVs\r\nbG8=\r\n"), b"hello");
/// assert_eq!(decode_base64(b"aG*Vs-bG8=\r\n-- \r\na list\r\n"), b"hello");
/// ```
pub fn decode_base64(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let (mut bits, mut count) = (0_u32, 0_u8);
    for byte in text {
        match SEXTETS[usize::from(*byte)] {
            PADDING if 1 < count => break,
            FOREIGN | PADDING => {}
            sextet => {
                bits = bits << 6 | u32::from(sextet);
                count += 1;
                if count == 4 {
                    decoded.extend_from_slice(&bits.to_be_bytes()[1..]);
                    (bits, count) = (0, 0);
                }
            }
        }
    }
    // The last incomplete quantum: two characters hold one byte, three hold two, one holds none.
    match count {
        2 => decoded.push((bits >> 4) as u8),
        3 => decoded.extend_from_slice(&((bits >> 2) as u16).to_be_bytes()),
        _ => {}
    }
    decoded
}

/// Not in the alphabet.
const FOREIGN: u8 = 0xff;
/// `=`.
const PADDING: u8 = 0xfe;

/// The value of each character. RFC 2045 §6.8 (table 1).
const SEXTETS: [u8; 256] = {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut table = [FOREIGN; 256];
    let mut at = 0;
    while at < alphabet.len() {
        table[alphabet[at] as usize] = at as u8;
        at += 1;
    }
    table[b'=' as usize] = PADDING;
    table
};

/// Decodes quoted-printable. A `=` that does not begin an escape is kept (RFC 2045 §6.7, the note on robust decoders);
/// spaces at the end of a line are removed (rule 3).
///
/// ```
/// use postroad::mail::decode_quoted_printable;
/// assert_eq!(decode_quoted_printable(b"a=3Db=\r\nc  \r\n"), b"a=bc\r\n");
/// assert_eq!(decode_quoted_printable(b"1+1=2, =C3=A9"), b"1+1=2, \xc3\xa9");
/// ```
pub fn decode_quoted_printable(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let end = match line {
            [.., b'\r', b'\n'] => line.len() - 2,
            [.., b'\n'] => line.len() - 1,
            _ => line.len(),
        };
        let (words, line_end) = line.split_at(end);
        let words = words.trim_ascii_end();
        // Rule 5: a last `=` joins the line to the next.
        match words.strip_suffix(b"=") {
            Some(words) => decode_line(words, &mut decoded),
            None => {
                decode_line(words, &mut decoded);
                decoded.extend_from_slice(line_end);
            }
        }
    }
    decoded
}

/// Decodes the escapes of a line without its end, and appends the bytes to `decoded`; a `=` without two hexadecimal
/// digits stays.
fn decode_line(mut words: &[u8], decoded: &mut Vec<u8>) {
    while let Some(at) = memchr::memchr(b'=', words) {
        decoded.extend_from_slice(&words[..at]);
        let escape = words.get(at + 1..at + 3).and_then(|digits| Some(hex(digits[0])? << 4 | hex(digits[1])?));
        decoded.push(escape.unwrap_or(b'='));
        words = &words[at + if escape.is_some() { 3 } else { 1 }..];
    }
    decoded.extend_from_slice(words);
}

/// The value of a hexadecimal digit; lower case is accepted, too. RFC 2045 §6.7.
fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_when_broken_is_decoded_as_far_as_it_goes() {
        for (text, wanted) in [
            ("", &b""[..]),
            ("aGVsbG8=", b"hello"),
            ("aGVs\r\nbG8=\r\n", b"hello"),
            ("aGVsbG8", b"hello"),
            ("aGVsbA==", b"hell"),
            ("aGVsb", b"hel"),
            ("aGVsbA", b"hell"),
            ("!aG-V_s\u{e9}bG8=", b"hello"),
            ("aGVsbG8=\r\n____\r\nlist@a.test\r\n", b"hello"),
            ("aGVsbG8==\r\nmore", b"hello"),
            ("=aGVs=bG8=", b"hello"),
            ("====", b""),
        ] {
            assert_eq!(decode_base64(text.as_bytes()), wanted, "{text:?}");
        }
        let bytes: Vec<u8> = (0..=255).collect();
        for len in 0..=bytes.len() {
            use base64::Engine;
            let text = base64::engine::general_purpose::STANDARD.encode(&bytes[..len]);
            assert_eq!(decode_base64(text.as_bytes()), &bytes[..len]);
        }
    }

    #[test]
    fn quoted_printable_when_invalid_is_decoded_as_far_as_possible() {
        for (text, wanted) in [
            ("", ""),
            ("a=3Db=\r\nc", "a=bc"),
            ("=c3=A9=\nx\n", "\u{e9}x\n"),
            ("a=3Db=XXc=3D=", "a=b=XXc="),
            ("http://a.test/?q=1&r==20", "http://a.test/?q=1&r= "),
            ("=\r\n=\r\n", ""),
            ("soft= \t\r\nline \r\nend  ", "softline\r\nend"),
            ("=3", "=3"),
            ("=\u{e9}9", "=\u{e9}9"),
        ] {
            assert_eq!(String::from_utf8_lossy(&decode_quoted_printable(text.as_bytes())), wanted, "{text:?}");
        }
    }
}
