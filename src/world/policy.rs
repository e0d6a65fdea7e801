//! The policy of an MTA: which mail it accepts from which clients, and its replies to others.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::Clients;
use crate::mail::{Address, BareLineEnds};

/// The policy of an MTA, in addition to its local domains and the clients that may relay.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Recipients per message.
    pub recipients_max: usize,
    /// Messages per connection.
    pub transactions_max: Option<usize>,
    /// Recipient domains per connection.
    pub recipient_domains_max: Option<usize>,
    /// How messages with a lone CR or LF are handled.
    pub bare_line_ends: BareLineEnds,
    /// Who may log in.
    pub logins: Logins,
    /// The reply to unknown recipients in its domains.
    pub unknown_recipients: UnknownRecipients,
    /// Defers unknown clients.
    pub greylisting: Option<Greylisting>,
    /// Limits what one client may send.
    pub rate_limit: Option<RateLimit>,
    /// Rules with replies; the first match applies.
    pub rules: Vec<Rule>,
}

/// Who may log in at an MTA, with AUTH.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Logins {
    /// The users of the world.
    #[default]
    Users,
    /// Also these names, each with its password.
    Named(BTreeMap<String, String>),
    /// Any name with any password.
    Any,
}

/// The reply to a recipient of a local domain without a mailbox or alias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownRecipients {
    /// 550, at once.
    #[default]
    Refuse,
    /// 250, as a backup MX without a list of mailboxes replies; the sender gets a report later.
    Accept,
}

/// Greylisting: a new combination of client, sender and recipient is deferred once. RFC 6647 §2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greylisting {
    /// How long it is deferred.
    pub delay: Duration,
    /// Without a retry within this time, it is forgotten.
    pub retry_within: Duration,
    /// How long it stays known after each message.
    pub lifetime: Duration,
    /// Clients that are not deferred.
    pub exempt: Clients,
}

/// A limit of what one client may send in a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// The period, from the first message on.
    pub per: Duration,
    /// Messages per period.
    pub messages: Option<u32>,
    /// Recipients per period.
    pub recipients: Option<u32>,
    /// Clients without this limit.
    pub exempt: Clients,
}

/// A rule that replies to matching commands.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The stage at which it applies.
    pub stage: Stage,
    /// The clients; `None` for all.
    pub client: Option<Clients>,
    /// The client's name in EHLO.
    pub helo: Option<Pattern>,
    /// The reverse-path; that of reports is `<>`.
    pub from: Option<Pattern>,
    /// The recipient; from DATA on, any recipient of the message.
    pub to: Option<Pattern>,
    /// The reply.
    pub reply: PolicyReply,
    /// The probability, from 0 to 1.
    pub probability: f64,
    /// The maximum number of times since the host was started.
    pub times: Option<u32>,
}

/// A stage of an SMTP session. RFC 5321 §3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Instead of the greeting.
    Connect,
    /// At EHLO or HELO.
    Ehlo,
    /// At MAIL.
    Mail,
    /// At each RCPT.
    Rcpt,
    /// At DATA, or at the first BDAT.
    Data,
    /// At the end of the message.
    End,
}

/// A reply: three digits, an optional enhanced status code, and a text. RFC 5321 §4.2, RFC 3463 §2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyReply {
    /// `4yz` or `5yz`.
    pub code: u16,
    /// Its class is that of the code.
    pub enhanced: Option<(u8, u16, u16)>,
    /// One line.
    pub text: String,
}

/// A case-insensitive pattern, in which `*` matches any characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl PolicyReply {
    /// The longest text, so that the reply line has less than 512 octets. RFC 5321 §4.5.3.1.5.
    const MAX_TEXT_BYTES: usize = 480;

    /// Parses `451 4.7.1 try again later`; the enhanced status code and the text may be missing. `None` if the code is
    /// not 400 to 599, the class of the enhanced status code is another, or the rest is not one line of at most 480
    /// bytes.
    pub fn parse(text: &str) -> Option<Self> {
        let (digits, rest) = text.split_at_checked(3)?;
        let code: u16 = digits.parse().ok().filter(|code| (400..600).contains(code))?;
        let rest = if rest.is_empty() { rest } else { rest.strip_prefix(' ')? };
        let is_line = rest.len() <= Self::MAX_TEXT_BYTES && !rest.chars().any(char::is_control);
        let (first, text) = rest.split_once(' ').unwrap_or((rest, ""));
        let (enhanced, text) = match enhanced(first) {
            Some(status) if u16::from(status.0) != code / 100 => return None,
            Some(status) => (Some(status), text),
            None => (None, rest),
        };
        is_line.then(|| Self { code, enhanced, text: text.to_owned() })
    }
}

/// Parses an enhanced status code such as `4.7.1`, of three numbers with at most three digits each; the class may be
/// any number up to 255. `None` for other text. RFC 3463 §2.
fn enhanced(word: &str) -> Option<(u8, u16, u16)> {
    let mut parts = word.split('.').map(|part| match part.bytes().all(|byte| byte.is_ascii_digit()) {
        true if part.len() <= 3 => part.parse::<u16>().ok(),
        _ => None,
    });
    let status = (u8::try_from(parts.next()??).ok()?, parts.next()??, parts.next()??);
    parts.next().is_none().then_some(status)
}

impl std::fmt::Display for Pattern {
    /// The pattern, in lower case.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Pattern {
    /// Creates a pattern, in lower case; any text is valid.
    pub fn new(text: &str) -> Self {
        Self(text.to_lowercase())
    }

    /// Whether the whole text matches, in any case of letters; each `*` stands for any characters, or none.
    pub fn matches(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        let Some((head, rest)) = self.0.split_once('*') else { return self.0 == text };
        let Some(mut text) = text.strip_prefix(head) else { return false };
        let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
        for part in middle.split('*').filter(|part| !part.is_empty()) {
            let Some(at) = text.find(part) else { return false };
            text = &text[at + part.len()..];
        }
        text.ends_with(tail)
    }

    /// Whether an address matches as `local@domain`; `None` is the null reverse-path and matches as `<>`.
    pub fn matches_path(&self, path: Option<&Address>) -> bool {
        path.map_or_else(|| self.matches("<>"), |address| self.matches(&address.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5321 §4.2, RFC 3463 §2.
    #[test]
    fn policy_reply_parse_accepts_one_line_refusals_only() {
        let of = |code, enhanced, text: &str| Some(PolicyReply { code, enhanced, text: text.to_owned() });
        for (text, wanted) in [
            ("451 4.7.1 try again later", of(451, Some((4, 7, 1)), "try again later")),
            ("421 4.3.2", of(421, Some((4, 3, 2)), "")),
            ("550 no", of(550, None, "no")),
            ("550", of(550, None, "")),
            ("554 5.7.1.2 no", of(554, None, "5.7.1.2 no")),
            ("250 2.0.0 yes", None),
            ("354 go on", None),
            ("600 what", None),
            ("451 5.7.1 two classes", None),
            ("4510 x", None),
            ("451-x", None),
            ("451 a\r\n250 b", None),
            ("", None),
            ("abc", None),
        ] {
            assert_eq!(PolicyReply::parse(text), wanted, "{text:?}");
        }
    }

    #[test]
    fn pattern_star_matches_any_characters() {
        for (pattern, text, wanted) in [
            ("ann@a.test", "Ann@A.test", true),
            ("ann@a.test", "joann@a.test", false),
            ("*", "", true),
            ("*@a.test", "ann@a.test", true),
            ("*@a.test", "ann@b.a.test", false),
            ("*@*.test", "ann@b.test", true),
            ("a*n*@*", "ann@x", true),
            ("a*n@*n@x", "an@x", false),
            ("news-*@a.test", "news@a.test", false),
            ("<>", "<>", true),
            ("*a*a*", "a", false),
            ("aa*aa", "aaa", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(text), wanted, "{pattern} {text}");
        }
        assert!(Pattern::new("<>").matches_path(None) && !Pattern::new("*@*").matches_path(None));
    }
}
