//! The part of an address behind the `@`: a host name or an address literal. RFC 5321 §4.1.2, §4.1.3.
//!
//! A name beyond ASCII has two forms (RFC 5890 §2.3.2.1): U-labels for people, A-labels for the DNS. All comparing is done
//! in A-labels and lower case, so that each domain has one form only.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use idna::AsciiDenyList;

/// The longest domain, in octets. RFC 5321 §4.5.3.1.2.
const DOMAIN_OCTETS_MAX: usize = 255;
/// The longest label, in octets. RFC 1035 §2.3.4.
const LABEL_OCTETS_MAX: usize = 63;

/// The one form in which a domain is compared: A-labels, or a literal, in lower case. `None` for what is no domain.
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
        true if text.bytes().any(|octet| octet.is_ascii_uppercase()) => Cow::Owned(text.to_ascii_lowercase()),
        true => Cow::Borrowed(text),
        false if DOMAIN_OCTETS_MAX < text.len() => return None,
        false => idna::domain_to_ascii_cow(text.as_bytes(), AsciiDenyList::URL).ok()?,
    };
    is_name(&name).then_some(name)
}

/// The U-labels of a domain that was not written in ASCII; `None` where they are the same as its key, or where it has
/// none that would be read as the same domain again.
pub(super) fn spelling(text: &str, key: &str) -> Option<String> {
    if text.is_ascii() {
        return None;
    }
    let (spelled, _) = idna::domain_to_unicode(key);
    (spelled != key && domain_key(&spelled).as_deref() == Some(key)).then_some(spelled)
}

fn literal_key(literal: &str) -> Option<String> {
    match literal.split_at_checked(5) {
        Some((tag, address)) if tag.eq_ignore_ascii_case("IPv6:") => {
            address.parse::<Ipv6Addr>().ok().map(|address| format!("[ipv6:{address}]"))
        }
        _ => literal.parse::<Ipv4Addr>().ok().map(|address| format!("[{address}]")),
    }
}

/// Letters, digits and hyphens. RFC 5321 §4.1.2 (Domain, sub-domain).
fn is_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=LABEL_OCTETS_MAX).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
    };
    text.len() <= DOMAIN_OCTETS_MAX && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5321 §4.1.2, §4.1.3, §4.5.3.1.2; RFC 6531 §3.3.
    #[test]
    fn each_domain_has_one_key_however_it_is_written() {
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
