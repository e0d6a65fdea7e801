//! MAIL and RCPT with the parameters that extensions define. RFC 5321 §4.1.1.11.

use std::fmt;

use super::{Reply, xtext};
use crate::mail::{Body, Notify, Recipient, Return, ReversePath};

/// RFC 3461 §4.4.
const MAX_ENVID_BYTES: usize = 100;
/// RFC 3461 §4.2.
const MAX_ORCPT_BYTES: usize = 500;

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
    /// Whether there is `AUTH=`, the original submitter, who is not trusted, which RFC 4954 §5 allows.
    pub(super) auth: bool,
}

impl Mail {
    /// Parses the parameters after the path; the error is the reply to send: 501 for an invalid or repeated one, 555
    /// for an unknown one. The value of `AUTH=` is checked and dropped.
    pub(super) fn parse(reverse_path: ReversePath, parameters: &str) -> Result<Self, Reply> {
        let mut mail = Self { reverse_path, ..Self::default() };
        for_each_parameter(parameters, |keyword, value| {
            match (keyword, value) {
                ("SIZE", Some(size)) => mail.size = Some(number(size)?),
                ("BODY", Some(word)) => mail.body = Some(body(word)?),
                ("SMTPUTF8", None) => mail.smtputf8 = true,
                ("REQUIRETLS", None) => mail.require_tls = true,
                ("RET", Some(ret)) if ret.eq_ignore_ascii_case("FULL") => mail.ret = Some(Return::Full),
                ("RET", Some(ret)) if ret.eq_ignore_ascii_case("HDRS") => mail.ret = Some(Return::Headers),
                ("ENVID", Some(envid)) => mail.envid = Some(within(envid, MAX_ENVID_BYTES)?),
                ("AUTH", Some(user)) => mail.auth = xtext::decode(user).map(|_| true)?,
                _ => return None,
            }
            Some(())
        })?;
        Ok(mail)
    }

    /// Whether the command has parameters, which only a client that sent EHLO may use.
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

/// The body type of a `BODY=` value, in any case; `None` if it is unknown.
fn body(word: &str) -> Option<Body> {
    match word.to_ascii_uppercase().as_str() {
        "7BIT" => Some(Body::SevenBit),
        "8BITMIME" => Some(Body::EightBit),
        "BINARYMIME" => Some(Body::Binary),
        _ => None,
    }
}

/// Parses the parameters of RCPT into `recipient`; the error is the reply to send: 501 for an invalid or repeated one,
/// 555 for an unknown one.
pub(super) fn parse_rcpt(mut recipient: Recipient, parameters: &str) -> Result<Recipient, Reply> {
    for_each_parameter(parameters, |keyword, value| {
        match (keyword, value) {
            ("NOTIFY", Some(list)) => recipient.notify = Some(Notify::from_words(list)?),
            ("ORCPT", Some(orcpt)) => {
                let (kind, address) = orcpt.split_once(';').filter(|(kind, _)| is_address_type(kind))?;
                let address = within(address, MAX_ORCPT_BYTES.checked_sub(kind.len() + 1)?)?;
                recipient.orcpt = Some(format!("{kind};{address}"));
            }
            _ => return None,
        }
        Some(())
    })?;
    Ok(recipient)
}

/// Writes `RCPT TO` with its parameters, without line end. An ORCPT without a valid address type is left out.
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

/// Decodes the xtext of a parameter; `None` if it is invalid, or longer than `max_bytes` as received or as encoded
/// again: plain UTF-8 gets longer.
fn within(text: &str, max_bytes: usize) -> Option<String> {
    let decoded = xtext::decode(text).filter(|_| text.len() <= max_bytes)?;
    (xtext::encode(&decoded).len() <= max_bytes).then_some(decoded)
}

/// Whether the text can be an address type such as `rfc822`. RFC 3461 §4.2 (addr-type).
fn is_address_type(kind: &str) -> bool {
    !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Parses 1 to 20 digits, as RFC 1870 §4 has them; `None` for other text. Larger values than `u64` become the maximum.
pub(super) fn number(digits: &str) -> Option<u64> {
    let is_number = (1..=20).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// Calls `take` for each parameter in order, with its keyword in upper case and its value if it has `=`; `take` returns
/// `None` for an invalid one. The first invalid or repeated parameter ends this with an error, the reply to send.
fn for_each_parameter(parameters: &str, mut take: impl FnMut(&str, Option<&str>) -> Option<()>) -> Result<(), Reply> {
    let mut seen: Vec<String> = Vec::new();
    for parameter in parameters.split(' ').filter(|parameter| !parameter.is_empty()) {
        let (keyword, value) = match parameter.split_once('=') {
            Some((keyword, value)) => (keyword.to_ascii_uppercase(), Some(value)),
            None => (parameter.to_ascii_uppercase(), None),
        };
        if seen.contains(&keyword) {
            return Err(Reply::new(501, (5, 5, 4), &format!("Duplicate parameter {keyword}")));
        }
        if take(&keyword, value).is_none() {
            return Err(refusal(&keyword));
        }
        seen.push(keyword);
    }
    Ok(())
}

/// The refusal of an invalid parameter: 501 for a known keyword with a wrong value, 555 for an unknown keyword. RFC
/// 5321 §4.1.1.11.
fn refusal(keyword: &str) -> Reply {
    match keyword {
        "SIZE" | "BODY" | "SMTPUTF8" | "RET" | "ENVID" | "AUTH" | "NOTIFY" | "ORCPT" | "REQUIRETLS" => {
            Reply::new(501, (5, 5, 4), &format!("Invalid value of {keyword}"))
        }
        _ => Reply::new(555, (5, 5, 4), &format!("Unknown parameter {keyword}")),
    }
}
