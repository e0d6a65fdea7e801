//! A mailbox address, `local@domain`. RFC 5321 §4.1.2, with the UTF-8 of RFC 6531 §3.3.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::domain::{domain_key, spelling};

/// Maximum length of the local part. RFC 5321 §4.5.3.1.1.
const MAX_LOCAL_BYTES: usize = 64;

/// A mailbox address. The local part is stored without quoting, the domain in lower case.
///
/// Two spellings of one address compare equal: `"ann"@A.test` is `ann@a.test`, and a domain in U-labels equals the same
/// domain in A-labels. The local part keeps its case (RFC 5321 §2.4); use [`Address::key`] to look up a mailbox.
///
/// ```
/// use postroad::mail::Address;
/// let address: Address = r#""Ann Lee"@A.Test"#.parse().unwrap();
/// assert_eq!(address.local(), "Ann Lee");
/// assert_eq!(address.domain(), "a.test");
/// assert_eq!(address.to_string(), r#""Ann Lee"@a.test"#);
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    local: Box<str>,
    /// In lower case and A-labels, for comparison and lookup.
    domain: Box<str>,
    /// In U-labels, if it was written with characters beyond ASCII.
    spelled: Option<Box<str>>,
}

/// Error: the text is not a mailbox address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an address: {reason}")]
pub struct InvalidAddress {
    text: String,
    reason: &'static str,
}

impl Address {
    /// Makes an address from an unquoted local part and a domain or address literal. The error says what is wrong: the
    /// local part has not 1 to 64 bytes or contains a control character, or the domain is none.
    pub fn new(local: &str, domain: &str) -> Result<Self, InvalidAddress> {
        let invalid = |reason| Err(InvalidAddress { text: format!("{local}@{domain}"), reason });
        if local.is_empty() || MAX_LOCAL_BYTES < local.len() {
            return invalid("the part before the @ must have 1 to 64 bytes");
        }
        if local.chars().any(char::is_control) {
            return invalid("the part before the @ contains a control character");
        }
        let Some(key) = domain_key(domain) else {
            return invalid("the part after the @ is not a domain");
        };
        let spelled = spelling(domain, &key).map(String::into_boxed_str);
        Ok(Self { local: local.into(), domain: key.into(), spelled })
    }

    /// `postmaster` without a domain, which every server must accept. RFC 5321 §4.5.1.
    pub fn postmaster() -> Self {
        Self { local: "postmaster".into(), domain: "".into(), spelled: None }
    }

    /// The part before the `@`, without quoting.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// Whether the local part is `postmaster`, in any domain. RFC 5321 §4.5.1.
    pub fn is_postmaster(&self) -> bool {
        self.local.eq_ignore_ascii_case("postmaster")
    }

    /// The part after the last `@`, in lower case and A-labels; empty only for [`Address::postmaster`].
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The key by which the mailbox of this address is looked up: the address in lower case and A-labels, without
    /// `+detail`. A `+` at its beginning stays.
    pub fn key(&self) -> String {
        let base = match self.local.split_once('+') {
            Some((base, _)) if !base.is_empty() => base,
            _ => &self.local,
        };
        format!("{}@{}", base.to_lowercase(), self.domain)
    }

    /// The part of the local part after its first `+`, such as `lists` in `ann+lists@a.test`. RFC 5233.
    /// `None` also if nothing is before the `+`.
    pub fn detail(&self) -> Option<&str> {
        self.local.split_once('+').filter(|(base, _)| !base.is_empty()).map(|(_, detail)| detail)
    }

    /// Whether the address as written can be sent to a server without SMTPUTF8: neither the local part nor the domain
    /// was written beyond ASCII. RFC 6531 §3.
    pub fn is_ascii(&self) -> bool {
        self.local.is_ascii() && self.spelled.is_none()
    }

    /// The same address with its domain written in A-labels, so that only its local part may go beyond ASCII.
    /// RFC 5890 §2.3.2.1.
    #[must_use]
    pub fn in_a_labels(self) -> Self {
        Self { spelled: None, ..self }
    }

    /// What comparison and hashing use: the local part, in its own case, and the domain in lower case and A-labels.
    fn identity(&self) -> (&str, &str) {
        (&self.local, &self.domain)
    }
}

impl PartialEq for Address {
    /// Whether both are the same address: the local parts are equal in the same case, and so are the domains, however
    /// they are spelled.
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Address {}

impl PartialOrd for Address {
    /// As [`Ord::cmp`].
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Address {
    /// Orders by the local part, upper and lower case being different, then by the domain in A-labels.
    fn cmp(&self, other: &Self) -> Ordering {
        self.identity().cmp(&other.identity())
    }
}

impl Hash for Address {
    /// Hashes what is compared, so that equal addresses have one hash.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    /// Parses `ann@a.test` or `"Ann Lee"@a.test`, without angle brackets, source routes and spaces around it.
    /// `postmaster` alone is an error.
    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let invalid = |reason| InvalidAddress { text: text.chars().take(80).collect(), reason };
        let (local, domain) = match text.strip_prefix('"') {
            Some(rest) => unquote(rest).ok_or_else(|| invalid("the closing quote before the @ is missing"))?,
            None => {
                let (local, domain) = text.rsplit_once('@').ok_or_else(|| invalid("it has no @"))?;
                if !is_dot_string(local) {
                    return Err(invalid("the part before the @ needs quotes"));
                }
                (local.to_owned(), domain)
            }
        };
        Self::new(&local, domain).map_err(|error| invalid(error.reason))
    }
}

/// Splits what follows an opening quote into the local part, without escapes, and the domain. `None` unless an `@`
/// directly follows the closing quote. RFC 5321 §4.1.2 (Quoted-string).
fn unquote(rest: &str) -> Option<(String, &str)> {
    let mut local = String::new();
    let mut chars = rest.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return rest[at + 1..].strip_prefix('@').map(|domain| (local, domain)),
            '\\' => local.push(chars.next()?.1),
            char => local.push(char),
        }
    }
    None
}

/// Whether the text is atoms joined by single dots; characters beyond ASCII may be in them. RFC 5321 §4.1.2
/// (Dot-string).
fn is_dot_string(text: &str) -> bool {
    let atext = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte) || !byte.is_ascii();
    text.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(atext))
}

impl fmt::Display for Address {
    /// `local@domain`, without angle brackets: the local part in quotes if it needs them, the domain in U-labels if it
    /// was written so.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_dot_string(&self.local) {
            f.write_str(&self.local)?;
        } else {
            f.write_str("\"")?;
            for char in self.local.chars() {
                if matches!(char, '"' | '\\') {
                    f.write_str("\\")?;
                }
                write!(f, "{char}")?;
            }
            f.write_str("\"")?;
        }
        let domain = self.spelled.as_deref().unwrap_or(&self.domain);
        if domain.is_empty() { Ok(()) } else { write!(f, "@{domain}") }
    }
}

impl TryFrom<String> for Address {
    type Error = InvalidAddress;

    /// As [`Address::from_str`], but accepts `postmaster` without a domain. For deserialization.
    fn try_from(text: String) -> Result<Self, InvalidAddress> {
        if text.eq_ignore_ascii_case("postmaster") { Ok(Self::postmaster()) } else { text.parse() }
    }
}

impl From<Address> for String {
    /// The address as it is displayed. For serialization.
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_when_written_parses_to_the_same_address() {
        for text in [
            "me@163.test",
            "a.b+c@x-y.test",
            r#""a b"@x.test"#,
            r#""a\"\\@b"@x.test"#,
            "me@[127.0.0.1]",
            "me@[ipv6:2001:db8::1]",
            "\u{7528}\u{6237}@\u{4f8b}\u{5b50}.test",
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(address.to_string().parse::<Address>().unwrap(), address);
        }
    }

    /// RFC 5321 §4.1.2, §4.5.3.1.1; RFC 5322 §3.2.3, §3.2.4; RFC 6531 §3.3.
    #[test]
    fn parse_of_invalid_address_fails() {
        let long = format!("{}@x.test", "a".repeat(65));
        for text in [
            "",
            "@",
            "me",
            "me@",
            "@x.test",
            "a..b@x.test",
            ".a@x.test",
            "a.@x.test",
            "a b@x.test",
            "a,b@x.test",
            "a@b@x.test",
            "<a@x.test>",
            "a@x.test ",
            " a@x.test",
            "a(comment)@x.test",
            "\"a@x.test",
            "\"a\"",
            "\"\"@x.test",
            "\"a\"b@x.test",
            "a\"b\"@x.test",
            "\"a\"b\"@x.test",
            "\"a\\\"@x.test",
            "\"a\r\nb\"@x.test",
            "\"a\0\"@x.test",
            "a\u{7f}@x.test",
            "a@-x",
            "a@x..y",
            "a@[1.2.3]",
            &long,
        ] {
            assert!(text.parse::<Address>().is_err(), "{text:?}");
        }
        assert!(Address::new("a\r\nRCPT", "x.test").is_err());
    }

    /// RFC 5321 §2.4, §4.1.2; RFC 6531 §3.2.
    #[test]
    fn address_equality_ignores_spelling_but_not_local_part_case() {
        for (one, other, wanted) in [
            ("ann@a.test", "ann@A.TEST", true),
            ("ann@a.test", "\"ann\"@a.test", true),
            ("ann@a.test", "\"a\\n\\n\"@a.test", true),
            ("a.b@a.test", "\"a.b\"@a.test", true),
            ("ann@\u{4f8b}\u{5b50}.test", "ann@XN--fsqu00a.test", true),
            ("ann@\u{c4}.test", "ann@\u{e4}.test", true),
            ("me@[IPv6:0:0::1]", "me@[ipv6:::1]", true),
            ("ann@a.test", "Ann@a.test", false),
            ("ann@a.test", "ann+x@a.test", false),
            ("a.b@a.test", "ab@a.test", false),
            ("\"a b\"@a.test", "\"a  b\"@a.test", false),
            ("\u{c4}@a.test", "\u{e4}@a.test", false),
        ] {
            let (one, other): (Address, Address) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!(one == other, wanted, "{one} {other}");
            assert_eq!(one.cmp(&other).is_eq(), wanted, "{one} {other}");
        }
    }

    /// Case, quoting and detail do not change the key; an address beyond ASCII needs SMTPUTF8.
    #[test]
    fn key_of_address_is_lower_case_and_without_detail() {
        for (text, key, detail, is_ascii) in [
            ("Ann+Lists@A.test", "ann@a.test", Some("Lists"), true),
            ("\"Ann+a b\"@a.test", "ann@a.test", Some("a b"), true),
            ("ann+@a.test", "ann@a.test", Some(""), true),
            ("ann+a+b@a.test", "ann@a.test", Some("a+b"), true),
            ("+ann@a.test", "+ann@a.test", None, true),
            ("POSTMASTER@a.test", "postmaster@a.test", None, true),
            ("\u{c4}nn@a.test", "\u{e4}nn@a.test", None, false),
            ("ann@\u{4f8b}\u{5b50}.test", "ann@xn--fsqu00a.test", None, false),
            ("ann@xn--fsqu00a.test", "ann@xn--fsqu00a.test", None, true),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(
                (address.key().as_str(), address.detail(), address.is_ascii()),
                (key, detail, is_ascii),
                "{text}"
            );
        }
    }
}
