//! Mailbox names: UTF-8 internally, modified UTF-7 in IMAP4rev1. RFC 3501 §5.1.3, RFC 9051 Appendix A.

use base64::Engine;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// "," instead of "/", and no padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &IMAP_MUTF7,
    GeneralPurposeConfig::new().with_encode_padding(false).with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// Decodes a name in modified UTF-7; `None` if it is invalid.
///
/// ```
/// use postroad::imap::{utf7_decode, utf7_encode};
/// assert_eq!(utf7_decode("&U,BTFw-/A&-B").as_deref(), Some("\u{53f0}\u{5317}/A&B"));
/// assert_eq!(utf7_encode("\u{53f0}\u{5317}/A&B"), "&U,BTFw-/A&-B");
/// ```
pub fn utf7_decode(wire: &str) -> Option<String> {
    let mut name = String::with_capacity(wire.len());
    let mut rest = wire;
    while let Some((plain, shifted)) = rest.split_once('&') {
        name.push_str(plain);
        let (code, after) = shifted.split_once('-')?;
        match code {
            "" => name.push('&'),
            code => name.push_str(&utf16_decode(&BASE64.decode(code).ok()?)?),
        }
        rest = after;
    }
    name.push_str(rest);
    Some(name)
}

/// Decodes big-endian UTF-16; `None` if it is invalid.
fn utf16_decode(bytes: &[u8]) -> Option<String> {
    let (pairs, []) = bytes.as_chunks::<2>() else { return None };
    let units: Vec<u16> = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
    String::from_utf16(&units).ok()
}

/// Encodes a name in modified UTF-7: visible ASCII and space stay, `&` becomes `&-`, and runs of other characters
/// become UTF-16 in base64.
pub fn utf7_encode(name: &str) -> String {
    let mut wire = String::with_capacity(name.len());
    let mut shifted: Vec<u8> = Vec::new();
    for char in name.chars() {
        if !(' '..='~').contains(&char) {
            let mut units = [0; 2];
            shifted.extend(char.encode_utf16(&mut units).iter().flat_map(|unit| unit.to_be_bytes()));
            continue;
        }
        shift_back(&mut wire, &mut shifted);
        wire.push(char);
        if char == '&' {
            wire.push('-');
        }
    }
    shift_back(&mut wire, &mut shifted);
    wire
}

/// Appends the UTF-16 collected in `shifted`, if there is any, to `wire` as `&...-`, and clears it.
fn shift_back(wire: &mut String, shifted: &mut Vec<u8>) {
    if !shifted.is_empty() {
        wire.push('&');
        BASE64.encode_string(&mut *shifted, wire);
        wire.push('-');
        shifted.clear();
    }
}

/// Returns whether a whole name matches a `LIST` pattern, in the same case: `*` matches anything, `%` anything without
/// the delimiter. RFC 9051 §6.3.9. Takes time proportional to the product of the lengths, for any pattern.
pub fn pattern_matches(pattern: &str, name: &str, delimiter: char) -> bool {
    let name: Vec<char> = name.chars().collect();
    // `reached[n]`: the pattern so far matches the first n characters.
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for wanted in pattern.chars() {
        match wanted {
            '*' | '%' => {
                for at in 0..name.len() {
                    reached[at + 1] |= reached[at] && (wanted == '*' || name[at] != delimiter);
                }
            }
            _ => {
                for at in (0..name.len()).rev() {
                    reached[at + 1] = reached[at] && name[at] == wanted;
                }
                reached[0] = false;
            }
        }
    }
    reached[name.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf7_names_survive_encoding() {
        for name in ["INBOX", "a&b", "&", "\u{7d0}ab\u{1f600}", "R\u{e9}pertoire", "\u{65e5}\u{672c}\u{8a9e}", "~/a.b"]
        {
            let wire = utf7_encode(name);
            assert!(wire.is_ascii());
            assert_eq!(utf7_decode(&wire).as_deref(), Some(name));
        }
        // The example of RFC 3501 §5.1.3.
        assert_eq!(
            utf7_decode("~peter/mail/&U,BTFw-/&ZeVnLIqe-").unwrap(),
            "~peter/mail/\u{53f0}\u{5317}/\u{65e5}\u{672c}\u{8a9e}"
        );
    }

    #[test]
    fn utf7_decode_when_invalid_is_none() {
        for wire in ["a&b", "&a", "&====-", "&2D0-", "&Jjo", "&AA-"] {
            assert_eq!(utf7_decode(wire), None, "{wire}");
        }
    }

    #[test]
    fn patterns_match_within_and_across_levels() {
        for (pattern, name, wanted) in [
            ("*", "a/b/c", true),
            ("%", "a", true),
            ("%", "a/b", false),
            ("a/%", "a/b", true),
            ("a/%", "a/b/c", false),
            ("a*c", "a/b/c", true),
            ("a%c", "abc", true),
            ("*b*", "abc", true),
            ("", "", true),
            ("", "a", false),
            ("%/%", "a/b", true),
            ("*%*%*%*%*x", &"a".repeat(300), false),
        ] {
            assert_eq!(pattern_matches(pattern, name, '/'), wanted, "{pattern} {name}");
        }
    }
}
