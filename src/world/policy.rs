//! What an MTA takes, from whom, and what it says to the others: the policy of one host.

use std::time::Duration;

use serde::Deserialize;

use super::Clients;
use crate::mail::{Address, BareLineEnds};

/// The policy of an MTA, beside its local domains and who may relay.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Recipients of one message.
    pub recipients_max: usize,
    /// Messages on one connection.
    pub transactions_max: Option<usize>,
    /// Domains of recipients on one connection.
    pub recipient_domains_max: Option<usize>,
    /// What becomes of messages with a lone CR or LF.
    pub bare_line_ends: BareLineEnds,
    /// What it says to recipients of its domains that nobody knows.
    pub unknown_recipients: UnknownRecipients,
    /// Lets strangers wait.
    pub greylisting: Option<Greylisting>,
    /// How much one client may send.
    pub rate_limit: Option<RateLimit>,
    /// Replies of its own choice, the first that applies.
    pub rules: Vec<Rule>,
}

/// What is said to a recipient of a local domain who has no mailbox and no alias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownRecipients {
    /// 550, at once.
    #[default]
    Refuse,
    /// 250, as a backup MX does that has no list of mailboxes; the sender gets a report later.
    Accept,
}

/// Greylisting: an unknown client, sender and recipient wait once. RFC 6647 §2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greylisting {
    /// How long the three must wait.
    pub delay: Duration,
    /// Who has not come back by then is unknown again.
    pub retry_within: Duration,
    /// How long they stay known after each message.
    pub lifetime: Duration,
    /// Who never waits.
    pub exempt: Clients,
}

/// How much one client may send in a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// The period, from the first message on.
    pub per: Duration,
    /// Messages in it.
    pub messages: Option<u32>,
    /// Recipients in it.
    pub recipients: Option<u32>,
    /// Whom it does not bind.
    pub exempt: Clients,
}

/// A reply of the host's own choice.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// When it is said.
    pub stage: Stage,
    /// To whom; `None` for all.
    pub client: Option<Clients>,
    /// To whom by the name that the client gives.
    pub helo: Option<Pattern>,
    /// For which reverse-path; that of reports is `<>`.
    pub from: Option<Pattern>,
    /// For which recipient; behind DATA for a message that has one such.
    pub to: Option<Pattern>,
    /// What is said.
    pub reply: Answer,
    /// How often, of 1.
    pub probability: f64,
    /// How many times at most since the host began.
    pub times: Option<u32>,
}

/// A moment in a conversation. RFC 5321 §3.
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

/// Three digits, an enhanced status code if there is one, and a text. RFC 5321 §4.2, RFC 3463 §2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// `4yz` or `5yz`.
    pub code: u16,
    /// Its class is that of the code.
    pub enhanced: Option<(u8, u16, u16)>,
    /// One line.
    pub text: String,
}

/// A text in which each `*` stands for any characters, in upper or lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Answer {
    /// The longest text: the whole line stays below 512 octets. RFC 5321 §4.5.3.1.5.
    const TEXT_OCTETS_MAX: usize = 480;

    /// Reads `451 4.7.1 try again later`. `None` if it is no refusal, or would not stand on one line.
    pub fn parse(text: &str) -> Option<Self> {
        let (digits, rest) = text.split_at_checked(3)?;
        let code: u16 = digits.parse().ok().filter(|code| (400..600).contains(code))?;
        let rest = if rest.is_empty() { rest } else { rest.strip_prefix(' ')? };
        let is_line = rest.len() <= Self::TEXT_OCTETS_MAX && !rest.chars().any(char::is_control);
        let (first, words) = rest.split_once(' ').unwrap_or((rest, ""));
        let (enhanced, text) = match enhanced(first) {
            Some(status) if u16::from(status.0) != code / 100 => return None,
            Some(status) => (Some(status), words),
            None => (None, rest),
        };
        is_line.then(|| Self { code, enhanced, text: text.to_owned() })
    }
}

/// `4.7.1`. RFC 3463 §2.
fn enhanced(word: &str) -> Option<(u8, u16, u16)> {
    let mut parts = word.split('.').map(|part| match part.bytes().all(|byte| byte.is_ascii_digit()) {
        true if part.len() <= 3 => part.parse::<u16>().ok(),
        _ => None,
    });
    let status = (u8::try_from(parts.next()??).ok()?, parts.next()??, parts.next()??);
    parts.next().is_none().then_some(status)
}

impl Pattern {
    /// Reads a pattern.
    pub fn new(text: &str) -> Self {
        Self(text.to_lowercase())
    }

    /// Whether the whole text is of this form.
    pub fn fits(&self, text: &str) -> bool {
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

    /// Whether the address, or the null reverse-path `<>`, is of this form.
    pub fn fits_path(&self, path: Option<&Address>) -> bool {
        path.map_or_else(|| self.fits("<>"), |address| self.fits(&address.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5321 §4.2, RFC 3463 §2.
    #[test]
    fn a_reply_is_read_as_it_goes_out() {
        let of = |code, enhanced, text: &str| Some(Answer { code, enhanced, text: text.to_owned() });
        for (text, wanted) in [
            ("451 4.7.1 try again later", of(451, Some((4, 7, 1)), "try again later")),
            ("421 4.3.2", of(421, Some((4, 3, 2)), "")),
            ("550 no", of(550, None, "no")),
            ("550", of(550, None, "")),
            ("554 5.7.1.2 odd", of(554, None, "5.7.1.2 odd")),
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
            assert_eq!(Answer::parse(text), wanted, "{text:?}");
        }
    }

    #[test]
    fn a_star_stands_for_any_characters() {
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
            assert_eq!(Pattern::new(pattern).fits(text), wanted, "{pattern} {text}");
        }
        assert!(Pattern::new("<>").fits_path(None) && !Pattern::new("*@*").fits_path(None));
    }
}
