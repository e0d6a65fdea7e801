//! Reads what other hosts report about a message: delivery status notifications. RFC 3464, with RFC 6533.
//!
//! ```text
//! multipart/report
//!   text/plain                   for people
//!   message/delivery-status      fields about the message, an empty line, fields about a recipient, an empty line, ...
//!   message/rfc822 or headers    what came back of the message
//! ```

use std::borrow::Cow;

use mail_parser::{MessageParser, MimeHeaders};

use super::{Address, JourneyId, Letter, decode_base64, decode_quoted_printable};

/// A report is read no further.
const RECIPIENTS_MAX: usize = 10_000;
/// One has three parts.
const PARTS_MAX: usize = 16;

/// What a delivery status notification says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryReport {
    /// `Original-Envelope-Id`: the sender's own name for the message. RFC 3464 §2.2.1.
    pub envid: Option<String>,
    /// `Reporting-MTA`, without its type. §2.2.2.
    pub reporting_mta: Option<String>,
    /// The journey of the message it is about: named by a host of ours, or by a trace field that came back with it.
    pub journey: Option<JourneyId>,
    /// `Message-ID` of the message, if its header came back.
    pub message_id: Option<String>,
    /// One for each recipient that it tells of. §2.3.
    pub recipients: Vec<RecipientReport>,
}

/// What became of one recipient. RFC 3464 §2.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientReport {
    /// `Original-Recipient`, as the sender wrote it, without its type. §2.3.1.
    pub original: Option<String>,
    /// `Final-Recipient`, if it is a mail address. §2.3.2.
    pub address: Option<Address>,
    /// `Action`. §2.3.3.
    pub action: Action,
    /// `Status`. §2.3.4, RFC 3463.
    pub status: (u8, u16, u16),
    /// `Remote-MTA`, without its type. §2.3.5.
    pub remote_mta: Option<String>,
    /// `Diagnostic-Code`, without its type. §2.3.6.
    pub diagnostic: Option<String>,
}

/// What a host did about a recipient. RFC 3464 §2.3.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// It gave up.
    Failed,
    /// It is still trying.
    Delayed,
    /// It is in the mailbox.
    Delivered,
    /// It went on to a host that may not report.
    Relayed,
    /// It went on to more than one.
    Expanded,
}

impl DeliveryReport {
    /// Reads a message; `None` if it is no report that tells of at least one recipient.
    pub fn read(message: &[u8]) -> Option<Self> {
        let parts = parts(message)?;
        let status =
            parts.iter().find(|part| part.is(&["message/delivery-status", "message/global-delivery-status"]))?;
        let mut report = Self::status(&String::from_utf8_lossy(&status.decoded()))?;
        let returned = ["message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers"];
        if let Some(returned) = parts.iter().find(|part| part.is(&returned)) {
            report.note_returned(&returned.decoded());
        }
        Some(report)
    }

    /// Reads the part for machines. RFC 3464 §2.1.
    fn status(text: &str) -> Option<Self> {
        let mut groups = groups(text).into_iter();
        let about = groups.next()?;
        let mut report = Self {
            envid: value(&about, "Original-Envelope-Id").map(str::to_owned),
            reporting_mta: value(&about, "Reporting-MTA").map(untyped),
            journey: value(&about, "X-Postroad-Journey").and_then(|id| id.parse().ok()),
            ..Self::default()
        };
        report.recipients.extend(groups.filter_map(|group| RecipientReport::of(&group)).take(RECIPIENTS_MAX));
        (!report.recipients.is_empty()).then_some(report)
    }

    fn note_returned(&mut self, header: &[u8]) {
        let parsed = MessageParser::new().parse_headers(header);
        self.message_id = parsed.and_then(|parsed| parsed.message_id().map(str::to_owned));
        let returned = Letter::new(header.to_vec().into());
        self.journey = self.journey.or_else(|| returned.journey());
    }
}

impl RecipientReport {
    /// Who, what and why are the least that a report says.
    fn of(group: &[Field]) -> Option<Self> {
        Some(Self {
            original: value(group, "Original-Recipient").map(untyped),
            address: untyped(value(group, "Final-Recipient")?).parse().ok(),
            action: action(value(group, "Action")?)?,
            status: status(value(group, "Status")?)?,
            remote_mta: value(group, "Remote-MTA").map(untyped),
            diagnostic: value(group, "Diagnostic-Code").map(untyped),
        })
    }
}

type Field = (String, String);

/// The groups of fields that empty lines separate, folded lines joined.
fn groups(text: &str) -> Vec<Vec<Field>> {
    let mut groups: Vec<Vec<Field>> = vec![Vec::new()];
    for line in text.lines() {
        let group = groups.last_mut().expect("there is always one");
        match line.split_once(':') {
            _ if line.trim().is_empty() && group.is_empty() => {}
            _ if line.trim().is_empty() => groups.push(Vec::new()),
            _ if line.starts_with([' ', '\t']) => {
                if let Some((_, value)) = group.last_mut() {
                    value.push(' ');
                    value.push_str(line.trim());
                }
            }
            Some((name, value)) => group.push((name.trim().to_owned(), value.trim().to_owned())),
            None => {}
        }
    }
    groups
}

fn value<'a>(group: &'a [Field], name: &str) -> Option<&'a str> {
    group.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// `type; value` without its type. RFC 3464 §2.1.2.
fn untyped(value: &str) -> String {
    value.split_once(';').map_or(value, |(_, rest)| rest).trim().to_owned()
}

fn action(word: &str) -> Option<Action> {
    match word.split([' ', '(']).next()?.to_ascii_lowercase().as_str() {
        "failed" => Some(Action::Failed),
        "delayed" => Some(Action::Delayed),
        "delivered" => Some(Action::Delivered),
        "relayed" => Some(Action::Relayed),
        "expanded" => Some(Action::Expanded),
        _ => None,
    }
}

/// Three numbers; a comment may follow. RFC 3463 §2.
fn status(text: &str) -> Option<(u8, u16, u16)> {
    let mut numbers = text.split([' ', '(']).next()?.split('.');
    let class = numbers.next()?.parse().ok().filter(|class| matches!(class, 2 | 4 | 5))?;
    let (subject, detail) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
    (numbers.next().is_none() && subject < 1000 && detail < 1000).then_some((class, subject, detail))
}

/// One part of a report.
struct Part<'a> {
    /// As it is encoded.
    body: &'a [u8],
    /// Such as `message/rfc822`, in lower case.
    kind: String,
    /// RFC 2045 §6.1, in lower case.
    encoding: String,
}

impl<'a> Part<'a> {
    fn of(whole: &'a [u8]) -> Option<Self> {
        let parsed = MessageParser::new().parse_headers(whole)?;
        let kind = parsed.content_type()?;
        let kind = format!("{}/{}", kind.ctype(), kind.subtype()?).to_ascii_lowercase();
        let encoding = parsed.content_transfer_encoding().unwrap_or_default().to_ascii_lowercase();
        Some(Self { body: body(whole), kind, encoding })
    }

    fn is(&self, kinds: &[&str]) -> bool {
        kinds.contains(&self.kind.as_str())
    }

    /// RFC 6532 §3.7 lets messages be encoded, too.
    fn decoded(&self) -> Cow<'a, [u8]> {
        match self.encoding.as_str() {
            "base64" => decode_base64(self.body).into(),
            "quoted-printable" => decode_quoted_printable(self.body).into(),
            _ => self.body.into(),
        }
    }
}

/// What is behind the first empty line.
fn body(message: &[u8]) -> &[u8] {
    let mut rest = message;
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let line = &rest[..end];
        rest = &rest[end + 1..];
        if matches!(line, b"" | b"\r") {
            break;
        }
    }
    rest
}

/// The parts of a multipart message. What they hold is not looked into: it is whatever somebody sent, and parsers have
/// stumbled over messages in messages. RFC 2046 §5.1.1.
fn parts(message: &[u8]) -> Option<Vec<Part<'_>>> {
    let parsed = MessageParser::new().parse_headers(message)?;
    let delimiter = format!("--{}", parsed.content_type()?.attribute("boundary")?);
    let body = body(message);
    let mut ends = Vec::new();
    for at in memchr::memmem::find_iter(body, &delimiter).filter(|at| *at == 0 || body[*at - 1] == b'\n') {
        let rest = &body[at + delimiter.len()..];
        let rest = rest[..memchr::memchr(b'\n', rest).unwrap_or(rest.len())].trim_ascii_end();
        if matches!(rest, b"" | b"--") {
            ends.push(at);
        }
        if rest == b"--" || PARTS_MAX < ends.len() {
            break;
        }
    }
    // One that is cut off has no last delimiter.
    ends.push(body.len());
    let inside = |start: usize, end: usize| {
        let part = &body[start + delimiter.len()..end];
        // Behind the rest of the delimiter's line, and not behind the last one.
        let line = memchr::memchr(b'\n', part)?;
        if part.starts_with(b"--") { None } else { Part::of(&part[line + 1..]) }
    };
    Some(ends.windows(2).filter_map(|ends| inside(ends[0], ends[1])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(status: &str) -> String {
        format!(
            "From: MAILER-DAEMON@a.test\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
             --b\r\n\r\nIt failed.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n{status}\r\n\
             --b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <1@a.test>\r\nSubject: s\r\n\r\n--b--\r\n"
        )
    }

    /// The example of RFC 3464, appendix E.2, in substance: one failed, one waits.
    #[test]
    fn a_report_tells_of_each_recipient() {
        let status = "Reporting-MTA: dns; a.test\r\nOriginal-Envelope-Id: 0815\r\nArrival-Date: today\r\n\r\n\
            Original-Recipient: rfc822;Bob@b.test\r\nFinal-Recipient: RFC822; bob@b.test\r\naction: Failed\r\n\
            Status: 5.1.1 (no such user)\r\nRemote-MTA: dns; mx.b.test\r\n\
            Diagnostic-Code: smtp; 550 5.1.1\r\n\tno such user\r\n\r\n\r\n\
            Final-Recipient: x-local; somebody here\r\nAction: delayed\r\nStatus: 4.4.1\r\n\r\n\
            Final-Recipient: rfc822; nothing@else.test\r\n";
        let read = DeliveryReport::read(report(status).as_bytes()).unwrap();
        assert_eq!((read.envid.as_deref(), read.reporting_mta.as_deref()), (Some("0815"), Some("a.test")));
        assert_eq!((read.message_id.as_deref(), read.journey), (Some("1@a.test"), None));
        let bob = RecipientReport {
            original: Some("Bob@b.test".to_owned()),
            address: Some("bob@b.test".parse().unwrap()),
            action: Action::Failed,
            status: (5, 1, 1),
            remote_mta: Some("mx.b.test".to_owned()),
            diagnostic: Some("550 5.1.1 no such user".to_owned()),
        };
        let (action, status) = (Action::Delayed, (4, 4, 1));
        let local =
            RecipientReport { original: None, address: None, action, status, remote_mta: None, diagnostic: None };
        assert_eq!(read.recipients, [bob, local]);
    }

    /// RFC 6533 §3: parts may be encoded; a report may be inside a message that came back.
    #[test]
    fn parts_are_decoded_and_only_those_of_the_report_itself_count() {
        let inner = report(
            "Reporting-MTA: dns; inner.test\r\n\r\nFinal-Recipient: rfc822; x@y.test\r\nAction: failed\r\n\
             Status: 5.0.0\r\n",
        );
        let whole = format!(
            "Content-Type: Multipart/Report; boundary=\"o ut\"\r\n\r\n\
             --o ut\r\nContent-Type: message/global-delivery-status\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n\
             UmVwb3J0aW5nLU1UQTogZG5zOyBhLnRlc3QKCkZpbmFsLVJlY2lwaWVudDogcmZjODIyOyBiQGIudGVzdApBY3Rpb246IGRlbGF5\r\n\
             ZWQKU3RhdHVzOiA0LjQuMQo=\r\n\
             --o ut \r\ncontent-type: Message/RFC822\r\n\r\nMessage-ID: <2@a.test>\r\n{inner}\r\n--o ut--\r\n"
        );
        let read = DeliveryReport::read(whole.as_bytes()).unwrap();
        assert_eq!((read.reporting_mta.as_deref(), read.message_id.as_deref()), (Some("a.test"), Some("2@a.test")));
        assert_eq!((read.recipients.len(), read.recipients[0].status), (1, (4, 4, 1)));
    }

    #[test]
    fn what_came_back_may_be_encoded_and_what_is_behind_the_end_does_not_count() {
        let part = "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; a.test\r\n\r\n\
            Final-Recipient: rfc822; b@b.test\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n";
        let header = "Content-Type: multipart/report; boundary=b\r\n\r\n";
        let back = "--b\r\nContent-Type: message/global\r\nContent-Transfer-Encoding: base64\r\n\r\n\
            TWVzc2FnZS1JRDogPDNAYS50ZXN0Pg0KDQo=\r\n";
        let read = DeliveryReport::read(format!("{header}{part}{back}--b--\r\n").as_bytes()).unwrap();
        assert_eq!(read.message_id.as_deref(), Some("3@a.test"));
        assert!(DeliveryReport::read(format!("{header}{part}").as_bytes()).is_some(), "cut off");
        assert_eq!(DeliveryReport::read(format!("{header}{back}--b--\r\n{part}").as_bytes()), None);
        let other = part.replace("--b\r\n", "--bc\r\n");
        assert_eq!(DeliveryReport::read(format!("{header}{other}--b--\r\n").as_bytes()), None, "another delimiter");
    }

    #[test]
    fn messages_in_messages_do_not_make_it_stumble() {
        let message = "Content-Type:message/rfc822\n\n";
        for start in ["--b", "--b\n"] {
            let nested = format!("Content-Type:multipart/report;boundary=b\n\n{start}{message}{message}\n--b--");
            assert_eq!(DeliveryReport::read(nested.as_bytes()), None);
        }
    }

    #[test]
    fn what_tells_of_nobody_is_no_report() {
        for status in [
            "",
            "Reporting-MTA: dns; a.test\r\n",
            "Reporting-MTA: dns; a.test\r\n\r\nFinal-Recipient: rfc822; b@b.test\r\nAction: eaten\r\nStatus: 5.0.0\r\n",
            "Reporting-MTA: dns; a.test\r\n\r\nFinal-Recipient: rfc822; b@b.test\r\nAction: failed\r\nStatus: 3.0.0\r\n",
            "Reporting-MTA: dns; a.test\r\n\r\nFinal-Recipient: rfc822; b@b.test\r\nAction: failed\r\nStatus: 5.0\r\n",
        ] {
            assert_eq!(DeliveryReport::read(report(status).as_bytes()), None, "{status}");
        }
        assert_eq!(DeliveryReport::read(b"Subject: s\r\n\r\nAction: failed\r\n"), None);
        assert_eq!(DeliveryReport::read(b""), None);
    }
}
