//! Reads what other hosts report about a message: delivery status notifications. RFC 3464, with RFC 6533.
//!
//! ```text
//! multipart/report
//!   text/plain                   for people
//!   message/delivery-status      fields about the message, an empty line, fields about a recipient, an empty line, ...
//!   message/rfc822 or headers    what came back of the message
//! ```

use mail_parser::{MessageParser, MessagePart, MimeHeaders};

use super::{Address, JourneyId, Letter};

/// A report is read no further.
const RECIPIENTS_MAX: usize = 10_000;

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
        let parsed = MessageParser::new().parse(message)?;
        let status =
            parsed.parts.iter().find(|part| is_message(part, &["delivery-status", "global-delivery-status"]))?;
        let mut report = Self::status(&String::from_utf8_lossy(status.contents()))?;
        let is_returned = |part: &&MessagePart<'_>| {
            is_message(part, &["rfc822", "global", "global-headers"])
                || part.content_type().is_some_and(|kind| kind.subtype() == Some("rfc822-headers"))
        };
        if let Some(returned) = parsed.parts.iter().find(is_returned) {
            report.note_returned(returned.contents());
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
        let returned = Letter::new(header.to_vec().into());
        self.journey = self.journey.or_else(|| returned.journey());
        let parsed = MessageParser::new().parse_headers(header);
        self.message_id = parsed.and_then(|parsed| parsed.message_id().map(str::to_owned));
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

fn is_message(part: &MessagePart<'_>, subtypes: &[&str]) -> bool {
    let Some(kind) = part.content_type().filter(|kind| kind.ctype().eq_ignore_ascii_case("message")) else {
        return false;
    };
    kind.subtype().is_some_and(|subtype| subtypes.iter().any(|known| subtype.eq_ignore_ascii_case(known)))
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
