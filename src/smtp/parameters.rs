//! The parameters of MAIL and RCPT that extensions define, and the two commands as values. RFC 5321 §4.1.1.11.

use std::fmt;

use super::{Reply, xtext};
use crate::mail::{Body, Notify, Recipient, Return, ReversePath};

/// RFC 3461 §4.4.
const ENVID_OCTETS_MAX: usize = 100;
/// RFC 3461 §4.2.
const ORCPT_OCTETS_MAX: usize = 500;

/// `MAIL FROM` with its parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mail {
    pub(super) reverse_path: ReversePath,
    /// `SIZE=`. RFC 1870 §6.
    pub(super) size: Option<u64>,
    /// `BODY=`. RFC 6152 §2, RFC 3030 §3.
    pub(super) body: Option<Body>,
    /// `SMTPUTF8`. RFC 6531 §3.4.
    pub(super) smtputf8: bool,
    /// `RET=`. RFC 3461 §4.3.
    pub(super) ret: Option<Return>,
    /// `ENVID=`, decoded. RFC 3461 §4.4.
    pub(super) envid: Option<String>,
    /// `REQUIRETLS`. RFC 8689 §2.
    pub(super) require_tls: bool,
}

impl Mail {
    /// Reads the parameters that follow the path.
    pub(super) fn parse(reverse_path: ReversePath, parameters: &str) -> Result<Self, Reply> {
        let mut mail = Self { reverse_path, ..Self::default() };
        each(parameters, |keyword, value| {
            match (keyword, value) {
                ("SIZE", Some(size)) => mail.size = Some(number(size)?),
                ("BODY", Some(word)) => mail.body = Some(body(word)?),
                ("SMTPUTF8", None) => mail.smtputf8 = true,
                ("REQUIRETLS", None) => mail.require_tls = true,
                ("RET", Some(ret)) if ret.eq_ignore_ascii_case("FULL") => mail.ret = Some(Return::Full),
                ("RET", Some(ret)) if ret.eq_ignore_ascii_case("HDRS") => mail.ret = Some(Return::Headers),
                ("ENVID", Some(envid)) => mail.envid = Some(within(envid, ENVID_OCTETS_MAX)?),
                // RFC 4954 §5: whom the peer says it speaks for. Nobody here trusts it, which the RFC allows.
                ("AUTH", Some(user)) => drop(xtext::decode(user)?),
                _ => return None,
            }
            Some(())
        })?;
        Ok(mail)
    }

    /// Whether it says more than RFC 5321 alone allows, as only a client that said EHLO may.
    pub(super) fn is_extended(&self) -> bool {
        *self != Self { reverse_path: self.reverse_path.clone(), ..Self::default() }
    }
}

impl fmt::Display for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reverse_path {
            Some(address) => write!(f, "MAIL FROM:<{address}>")?,
            None => f.write_str("MAIL FROM:<>")?,
        }
        if let Some(size) = self.size {
            write!(f, " SIZE={size}")?;
        }
        match self.body {
            Some(Body::SevenBit) => f.write_str(" BODY=7BIT")?,
            Some(Body::EightBit) => f.write_str(" BODY=8BITMIME")?,
            Some(Body::Binary) => f.write_str(" BODY=BINARYMIME")?,
            None => {}
        }
        if self.smtputf8 {
            f.write_str(" SMTPUTF8")?;
        }
        if self.require_tls {
            f.write_str(" REQUIRETLS")?;
        }
        match self.ret {
            Some(Return::Full) => f.write_str(" RET=FULL")?,
            Some(Return::Headers) => f.write_str(" RET=HDRS")?,
            None => {}
        }
        self.envid.as_ref().map_or(Ok(()), |envid| write!(f, " ENVID={}", xtext::encode(envid)))
    }
}

fn body(word: &str) -> Option<Body> {
    match word.to_ascii_uppercase().as_str() {
        "7BIT" => Some(Body::SevenBit),
        "8BITMIME" => Some(Body::EightBit),
        "BINARYMIME" => Some(Body::Binary),
        _ => None,
    }
}

/// Reads the parameters of RCPT into `recipient`.
pub(super) fn parse_rcpt(mut recipient: Recipient, parameters: &str) -> Result<Recipient, Reply> {
    each(parameters, |keyword, value| {
        match (keyword, value) {
            ("NOTIFY", Some(list)) => recipient.notify = Some(Notify::from_words(list)?),
            ("ORCPT", Some(orcpt)) => {
                let (kind, address) = orcpt.split_once(';').filter(|(kind, _)| is_address_type(kind))?;
                let address = within(address, ORCPT_OCTETS_MAX.checked_sub(kind.len() + 1)?)?;
                recipient.orcpt = Some(format!("{kind};{address}"));
            }
            _ => return None,
        }
        Some(())
    })?;
    Ok(recipient)
}

/// `RCPT TO` with its parameters.
pub(super) fn write_rcpt(f: &mut fmt::Formatter<'_>, recipient: &Recipient) -> fmt::Result {
    write!(f, "RCPT TO:<{}>", recipient.address)?;
    if let Some(notify) = recipient.notify {
        write!(f, " NOTIFY={notify}")?;
    }
    match recipient.orcpt.as_ref().and_then(|orcpt| orcpt.split_once(';')) {
        Some((kind, address)) if is_address_type(kind) => write!(f, " ORCPT={kind};{}", xtext::encode(address)),
        _ => Ok(()),
    }
}

/// Decoded xtext that is short enough as it came, and as we shall write it: plain UTF-8 grows on its way.
fn within(text: &str, octets_max: usize) -> Option<String> {
    let decoded = xtext::decode(text).filter(|_| text.len() <= octets_max)?;
    (xtext::encode(&decoded).len() <= octets_max).then_some(decoded)
}

/// Such as `rfc822`. RFC 3461 §4.2 (addr-type).
fn is_address_type(kind: &str) -> bool {
    !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// At most the 20 digits of RFC 1870 §4; what no counter holds is as good as the largest number.
pub(super) fn number(digits: &str) -> Option<u64> {
    let is_number = (1..=20).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// Hands out the parameters, keywords in upper case, none twice; `take` says `None` to what it cannot use.
fn each(parameters: &str, mut take: impl FnMut(&str, Option<&str>) -> Option<()>) -> Result<(), Reply> {
    let mut seen: Vec<String> = Vec::new();
    for parameter in parameters.split(' ').filter(|parameter| !parameter.is_empty()) {
        let (keyword, value) = match parameter.split_once('=') {
            Some((keyword, value)) => (keyword.to_ascii_uppercase(), Some(value)),
            None => (parameter.to_ascii_uppercase(), None),
        };
        if seen.contains(&keyword) {
            return Err(Reply::new(501, (5, 5, 4), &format!("{keyword} is given twice")));
        }
        if take(&keyword, value).is_none() {
            return Err(refusal(&keyword));
        }
        seen.push(keyword);
    }
    Ok(())
}

/// A known keyword has a wrong value (501); any other is not implemented (555). RFC 5321 §4.1.1.11.
fn refusal(keyword: &str) -> Reply {
    match keyword {
        "SIZE" | "BODY" | "SMTPUTF8" | "RET" | "ENVID" | "AUTH" | "NOTIFY" | "ORCPT" => {
            Reply::new(501, (5, 5, 4), &format!("the value of {keyword} cannot be used here"))
        }
        _ => Reply::new(555, (5, 5, 4), &format!("no such parameter here: {keyword}")),
    }
}
