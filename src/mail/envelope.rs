//! The envelope: who sent a message, who shall get it, and what was asked about the way. RFC 5321 §2.3.1.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Address, has_bare_line_end};

/// Where reports about a message go; `None` is the null reverse-path `<>` of reports themselves.
/// RFC 5321 §4.5.5.
pub type ReversePath = Option<Address>;

/// What SMTP says about a message beside its bytes. RFC 5321 §2.3.1, with RFC 3461, 6152 and 6531.
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
    /// `ENVID=`: the sender's own name for this message, decoded from xtext. RFC 3461 §4.4.
    pub envid: Option<String>,
    /// `REQUIRETLS`: only over TLS, to hosts that have proven their names and do the same. RFC 8689 §2.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub require_tls: bool,
}

/// One `RCPT TO`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipient {
    /// The forward-path's mailbox; source routes are dropped (RFC 5321 §4.1.1.3).
    pub address: Address,
    /// `NOTIFY=`; `None` when the sender did not say. RFC 3461 §4.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
    /// `ORCPT=`: the recipient as the sender first wrote it, `type;address`, decoded. RFC 3461 §4.2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orcpt: Option<String>,
}

impl From<Address> for Recipient {
    fn from(address: Address) -> Self {
        Self { address, notify: None, orcpt: None }
    }
}

/// What the sender wants to be told about a recipient; all `false` is `NOTIFY=NEVER`. RFC 3461 §4.1.
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
    /// Reads the value of `NOTIFY=`: `NEVER` alone, or a list of the others. `None` for anything else.
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
        let words = [(self.success, "SUCCESS"), (self.failure, "FAILURE"), (self.delay, "DELAY")];
        let words: Vec<_> = words.iter().filter(|(asked, _)| *asked).map(|(_, word)| *word).collect();
        f.write_str(&if words.is_empty() { "NEVER".to_owned() } else { words.join(",") })
    }
}

/// `BODY=`: which bytes the message may hold. RFC 6152 §2, RFC 3030 §3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// `7BIT`: ASCII only, or the sender did not say.
    #[default]
    #[serde(rename = "7BIT")]
    SevenBit,
    /// `8BITMIME`: any octet, in lines.
    #[serde(rename = "8BITMIME")]
    EightBit,
    /// `BINARYMIME`: any octet, not even in lines. RFC 3030 §3.
    #[serde(rename = "BINARYMIME")]
    Binary,
}

impl Body {
    /// The least that a message with these bytes asks for.
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
    /// Its header only.
    #[serde(rename = "HDRS")]
    Headers,
}
