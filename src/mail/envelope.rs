//! The envelope: sender, recipients and the SMTP parameters of a message. RFC 5321 §2.3.1.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Address, has_bare_line_end};

/// The address for reports about a message; `None` is the null reverse-path `<>`, which reports themselves have.
/// RFC 5321 §4.5.5.
pub type ReversePath = Option<Address>;

/// What SMTP transfers about a message besides its bytes. RFC 5321 §2.3.1, with RFC 3461, 6152 and 6531.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Envelope {
    /// `MAIL FROM`.
    pub reverse_path: ReversePath,
    /// `RCPT TO`, in the order given.
    pub recipients: Vec<Recipient>,
    /// `BODY=`. RFC 6152.
    pub body: Body,
    /// `SMTPUTF8`. RFC 6531 §3.4.
    pub smtputf8: bool,
    /// `RET=`: how much of the message a failure report returns. RFC 3461 §4.3.
    pub ret: Option<Return>,
    /// `ENVID=`: the sender's identifier of the message, decoded from xtext. RFC 3461 §4.4.
    pub envid: Option<String>,
    /// `REQUIRETLS`: send only over TLS, to hosts with a valid certificate that support it as well. RFC 8689 §2.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub require_tls: bool,
}

/// One `RCPT TO`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipient {
    /// The mailbox of the forward-path, without source routes (RFC 5321 §4.1.1.3).
    pub address: Address,
    /// `NOTIFY=`; `None` if absent. RFC 3461 §4.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
    /// `ORCPT=`: the original recipient, `type;address`, decoded. RFC 3461 §4.2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orcpt: Option<String>,
}

impl From<Address> for Recipient {
    /// A recipient with this address, and without DSN parameters.
    fn from(address: Address) -> Self {
        Self { address, notify: None, orcpt: None }
    }
}

/// The outcomes that the sender wants reported for a recipient; all `false` is `NOTIFY=NEVER`. RFC 3461 §4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notify {
    /// `SUCCESS`.
    pub success: bool,
    /// `FAILURE`.
    pub failure: bool,
    /// `DELAY`.
    pub delay: bool,
}

impl Notify {
    /// Parses the value of `NOTIFY=`, in any case: `NEVER`, or the other keywords, separated by commas; `None` for any
    /// other text. RFC 3461 §4.1.
    pub fn from_words(list: &str) -> Option<Self> {
        let mut notify = Self { success: false, failure: false, delay: false };
        if list.eq_ignore_ascii_case("NEVER") {
            return Some(notify);
        }
        for word in list.split(',') {
            match word.to_ascii_uppercase().as_str() {
                "SUCCESS" => notify.success = true,
                "FAILURE" => notify.failure = true,
                "DELAY" => notify.delay = true,
                _ => return None,
            }
        }
        Some(notify)
    }
}

impl fmt::Display for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keywords = [(self.success, "SUCCESS"), (self.failure, "FAILURE"), (self.delay, "DELAY")];
        let keywords: Vec<_> = keywords.iter().filter(|(is_set, _)| *is_set).map(|(_, keyword)| *keyword).collect();
        f.write_str(&if keywords.is_empty() { "NEVER".to_owned() } else { keywords.join(",") })
    }
}

/// `BODY=`: which bytes the message may contain. RFC 6152 §2, RFC 3030 §3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// `7BIT`: ASCII only; the default.
    #[default]
    #[serde(rename = "7BIT")]
    SevenBit,
    /// `8BITMIME`: any bytes, in lines.
    #[serde(rename = "8BITMIME")]
    EightBit,
    /// `BINARYMIME`: any bytes, not necessarily in lines. RFC 3030 §3.
    #[serde(rename = "BINARYMIME")]
    Binary,
}

impl Body {
    /// The most restrictive type that fits the bytes of a message: binary with NUL or a lone CR or LF, else 7BIT if all
    /// are ASCII, else 8BITMIME.
    pub fn of(message: &[u8]) -> Self {
        match memchr::memchr(0, message).is_some() || has_bare_line_end(message) {
            true => Self::Binary,
            false if message.is_ascii() => Self::SevenBit,
            false => Self::EightBit,
        }
    }
}

/// `RET=`. RFC 3461 §4.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Return {
    /// The whole message.
    #[serde(rename = "FULL")]
    Full,
    /// The header only.
    #[serde(rename = "HDRS")]
    Headers,
}
