//! The part of an address after the `@`: a host name or an address literal. RFC 5321 §4.1.2, §4.1.3.
//!
//! A name beyond ASCII has two forms (RFC 5890 §2.3.2.1): U-labels for display, A-labels for the DNS. Domains are
//! compared in A-labels and lower case, so that each domain has exactly one key.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use idna::AsciiDenyList;

/// Maximum length of a domain. RFC 5321 §4.5.3.1.2.
const MAX_DOMAIN_BYTES: usize = 255;
/// Maximum length of a label. RFC 1035 §2.3.4.
const MAX_LABEL_BYTES: usize = 63;

/// The form in which domains are compared: A-labels, or a literal, in lower case. `None` if the text is not a domain.
///
/// ```
/// use postroad::mail::domain_key;
/// assert_eq!(domain_key("A.Test").unwrap(), "a.test");
/// assert_eq!(domain_key("b\u{fc}cher.test"), domain_key("XN--bcher-kva.test"));
/// assert_eq!(domain_key("a..test"), None);
/// ```
pub fn domain_key(text: &str) -> Option<Cow<'_, str>> {
    if let Some(literal) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return literal_key(literal).map(Cow::Owned);
    }
    let name = match text.is_ascii() {
        true if text.bytes().any(|byte| byte.is_ascii_uppercase()) => Cow::Owned(text.to_ascii_lowercase()),
        true => Cow::Borrowed(text),
        false if MAX_DOMAIN_BYTES < text.len() => return None,
        false => idna::domain_to_ascii_cow(text.as_bytes(), AsciiDenyList::URL).ok()?,
    };
    is_name(&name).then_some(name)
}

/// The U-labels of the domain `text`, of which `key` is the [`domain_key`]. `None` if the text is ASCII, the U-labels
/// equal the key, or they would not parse to the same key again.
pub(super) fn spelling(text: &str, key: &str) -> Option<String> {
    if text.is_ascii() {
        return None;
    }
    let (spelled, _) = idna::domain_to_unicode(key);
    (spelled != key && domain_key(&spelled).as_deref() == Some(key)).then_some(spelled)
}

/// The key of an address literal, which is given without its brackets: `[192.0.2.1]` or `[ipv6:2001:db8::1]`. `None` if
/// the text is no such address.
fn literal_key(literal: &str) -> Option<String> {
    match literal.split_at_checked(5) {
        Some((tag, address)) if tag.eq_ignore_ascii_case("IPv6:") => {
            address.parse::<Ipv6Addr>().ok().map(|address| format!("[ipv6:{address}]"))
        }
        _ => literal.parse::<Ipv4Addr>().ok().map(|address| format!("[{address}]")),
    }
}

/// Whether the text is labels of letters, digits and hyphens, joined by dots, none of them empty, longer than 63 bytes
/// or with a hyphen at an end; 255 bytes in all at most. RFC 5321 §4.1.2 (Domain, sub-domain).
fn is_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=MAX_LABEL_BYTES).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.len() <= MAX_DOMAIN_BYTES && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5321 §4.1.2, §4.1.3, §4.5.3.1.2; RFC 6531 §3.3.
    #[test]
    fn domain_key_of_any_spelling_is_the_same_or_none() {
        let label = "a".repeat(63);
        let long = [label.as_str(); 4].join(".");
        for (text, wanted) in [
            ("a.test", Some("a.test")),
            ("A.TEST", Some("a.test")),
            ("x-y.1.test", Some("x-y.1.test")),
            ("localhost", Some("localhost")),
            ("\u{4f8b}\u{5b50}.test", Some("xn--fsqu00a.test")),
            ("xn--fsqu00a.test", Some("xn--fsqu00a.test")),
            ("XN--FSQU00A.Test", Some("xn--fsqu00a.test")),
            ("B\u{dc}CHER.test", Some("xn--bcher-kva.test")),
            ("bu\u{308}cher.test", Some("xn--bcher-kva.test")),
            ("b\u{fc}cher\u{3002}test", Some("xn--bcher-kva.test")),
            ("\u{ff41}.test", Some("a.test")),
            ("[127.0.0.1]", Some("[127.0.0.1]")),
            ("[IPv6:2001:DB8:0::1]", Some("[ipv6:2001:db8::1]")),
            ("[ipv6:::1]", Some("[ipv6:::1]")),
            (&long, Some(&long)),
            (&format!("{long}.a"), None),
            (&format!("{label}a.test"), None),
            ("", None),
            (".", None),
            ("a..test", None),
            ("a.test.", None),
            (".a.test", None),
            ("-a.test", None),
            ("a-.test", None),
            ("a_b.test", None),
            ("a b.test", None),
            ("a@b.test", None),
            ("\u{fc} .test", None),
            ("\u{fc}/.test", None),
            ("\u{200b}", None),
            ("xn--\u{fc}.test", None),
            ("[]", None),
            ("[1.2.3]", None),
            ("[01.2.3.4]", None),
            ("[2001:db8::1]", None),
            ("[IPv6:1.2.3.4]", None),
            ("[IPv6:2001:db8::1%eth0]", None),
            ("[tag:content]", None),
            ("[127.0.0.1", None),
            ("127.0.0.1]", None),
        ] {
            assert_eq!(domain_key(text).as_deref(), wanted, "{text}");
        }
    }
}
