//! Parses delivery status notifications. RFC 3464, with RFC 6533.
//!
//! ```text
//! multipart/report
//!   text/plain                   readable text
//!   message/delivery-status      fields about the message, an empty line, fields about a recipient, an empty line, ...
//!   message/rfc822 or headers    the returned message, or its header
//! ```

use std::borrow::Cow;

use mail_parser::{MessageParser, MimeHeaders};

use super::{Address, JourneyId, Message, decode_base64, decode_quoted_printable};

/// Maximum number of recipients read from a report.
const MAX_RECIPIENTS: usize = 10_000;
/// Maximum number of MIME parts read; a report has three.
const MAX_PARTS: usize = 16;

/// The contents of a delivery status notification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryReport {
    /// `Original-Envelope-Id`: the sender's identifier of the message. RFC 3464 §2.2.1.
    pub envid: Option<String>,
    /// `Reporting-MTA`, without its type. §2.2.2.
    pub reporting_mta: Option<String>,
    /// The journey of the reported message: from `X-Postroad-Journey`, or from the trace fields of the returned
    /// message.
    pub journey: Option<JourneyId>,
    /// `Message-ID` of the reported message, if its header was returned.
    pub message_id: Option<String>,
    /// The per-recipient fields. §2.3.
    pub recipients: Vec<RecipientReport>,
}

/// The status of one recipient. RFC 3464 §2.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientReport {
    /// `Original-Recipient`, without its type. §2.3.1.
    pub original: Option<String>,
    /// `Final-Recipient`, if it is a mailbox address. §2.3.2.
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

/// The action of the reporting host for a recipient. RFC 3464 §2.3.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Delivery failed permanently.
    Failed,
    /// Delivery is delayed and will be tried again.
    Delayed,
    /// The message was delivered to the mailbox.
    Delivered,
    /// The message was relayed to a host that may not send reports.
    Relayed,
    /// The message was forwarded to several addresses.
    Expanded,
}

impl DeliveryReport {
    /// Parses a whole message, with its header; `None` unless it has a delivery-status part about at least one
    /// recipient.
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

    /// Parses the text of the delivery-status part, except for what only the returned message says; `None` without a
    /// valid recipient. Invalid recipients are skipped. RFC 3464 §2.1.
    fn status(text: &str) -> Option<Self> {
        let mut groups = groups(text).into_iter();
        let per_message = groups.next()?;
        let mut report = Self {
            envid: field_value(&per_message, "Original-Envelope-Id").map(str::to_owned),
            reporting_mta: field_value(&per_message, "Reporting-MTA").map(untyped),
            journey: field_value(&per_message, "X-Postroad-Journey").and_then(|id| id.parse().ok()),
            ..Self::default()
        };
        report.recipients.extend(groups.filter_map(|group| RecipientReport::of(&group)).take(MAX_RECIPIENTS));
        (!report.recipients.is_empty()).then_some(report)
    }

    /// Completes the report from the header of the returned message: sets `message_id` to its `Message-ID` and, unless
    /// the journey is known already, `journey` to that in its trace fields.
    fn note_returned(&mut self, header: &[u8]) {
        let parsed = MessageParser::new().parse_headers(header);
        self.message_id = parsed.and_then(|parsed| parsed.message_id().map(str::to_owned));
        let returned = Message::new(header.to_vec().into());
        self.journey = self.journey.or_else(|| returned.journey());
    }
}

impl RecipientReport {
    /// Parses the group of fields about one recipient; `None` if `Final-Recipient`, `Action` or `Status` is missing, or
    /// the action or status is invalid.
    fn of(group: &[Field]) -> Option<Self> {
        Some(Self {
            original: field_value(group, "Original-Recipient").map(untyped),
            address: untyped(field_value(group, "Final-Recipient")?).parse().ok(),
            action: action(field_value(group, "Action")?)?,
            status: status(field_value(group, "Status")?)?,
            remote_mta: field_value(group, "Remote-MTA").map(untyped),
            diagnostic: field_value(group, "Diagnostic-Code").map(untyped),
        })
    }
}

type Field = (String, String);

/// Splits the text of a delivery-status part into its groups of fields, which are separated by empty lines; folded
/// lines are joined by a space. The last group may be empty; lines without a colon are dropped.
fn groups(text: &str) -> Vec<Vec<Field>> {
    let mut groups: Vec<Vec<Field>> = vec![Vec::new()];
    for line in text.lines() {
        let group = groups.last_mut().expect("`groups` starts with one group and never shrinks");
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

/// The value of the first field with this name, in any case; `None` without one. Its type, as in `rfc822; ann@a.test`,
/// is not removed.
fn field_value<'a>(group: &'a [Field], name: &str) -> Option<&'a str> {
    group.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// The value `type; value` without its type, and trimmed; without a type, the whole. RFC 3464 §2.1.2.
fn untyped(value: &str) -> String {
    value.split_once(';').map_or(value, |(_, rest)| rest).trim().to_owned()
}

/// Parses the value of `Action`, in any case; a comment may follow. `None` for another word. RFC 3464 §2.3.3.
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

/// Parses an enhanced status code such as `5.1.1` into class, subject and detail; a comment may follow. `None` unless
/// the class is 2, 4 or 5 and the other numbers are below 1000. RFC 3463 §2.
fn status(text: &str) -> Option<(u8, u16, u16)> {
    let mut numbers = text.split([' ', '(']).next()?.split('.');
    let class = numbers.next()?.parse().ok().filter(|class| matches!(class, 2 | 4 | 5))?;
    let (subject, detail) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
    (numbers.next().is_none() && subject < 1000 && detail < 1000).then_some((class, subject, detail))
}

/// One MIME part of a report.
struct Part<'a> {
    /// The body, still encoded.
    body: &'a [u8],
    /// The media type in lower case, such as `message/rfc822`.
    media_type: String,
    /// The transfer encoding in lower case. RFC 2045 §6.1.
    encoding: String,
}

impl<'a> Part<'a> {
    /// Parses a MIME part, given with its header; `None` without a valid `Content-Type`.
    fn of(whole: &'a [u8]) -> Option<Self> {
        let parsed = MessageParser::new().parse_headers(whole)?;
        let content_type = parsed.content_type()?;
        let media_type = format!("{}/{}", content_type.ctype(), content_type.subtype()?).to_ascii_lowercase();
        let encoding = parsed.content_transfer_encoding().unwrap_or_default().to_ascii_lowercase();
        Some(Self { body: body(whole), media_type, encoding })
    }

    /// Whether its media type is one of these, which must be in lower case.
    fn is(&self, media_types: &[&str]) -> bool {
        media_types.contains(&self.media_type.as_str())
    }

    /// The body, decoded from base64 or quoted-printable; with another encoding, unchanged. RFC 6532 §3.7 allows an
    /// encoding even for messages.
    fn decoded(&self) -> Cow<'a, [u8]> {
        match self.encoding.as_str() {
            "base64" => decode_base64(self.body).into(),
            "quoted-printable" => decode_quoted_printable(self.body).into(),
            _ => self.body.into(),
        }
    }
}

/// The part of a message after its header, that is after the first empty line; without one, what follows the last LF.
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

/// The parts of a multipart message, at most [`MAX_PARTS`], without those that lack a valid `Content-Type`; `None` if
/// the message has no `boundary`. A last part without closing delimiter counts. Nested parts are not parsed: they are
/// arbitrary input, and deeply nested messages have caused failures in MIME parsers. RFC 2046 §5.1.1.
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
        if rest == b"--" || MAX_PARTS < ends.len() {
            break;
        }
    }
    // A truncated message has no closing delimiter.
    if ends.len() <= MAX_PARTS {
        ends.push(body.len());
    }
    let part = |start: usize, end: usize| {
        let part = &body[start + delimiter.len()..end];
        // A part starts after the line of its delimiter; there is none after the closing delimiter.
        let line = memchr::memchr(b'\n', part)?;
        if part.starts_with(b"--") { None } else { Part::of(&part[line + 1..]) }
    };
    Some(ends.windows(2).filter_map(|ends| part(ends[0], ends[1])).collect())
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

    /// Similar to the example of RFC 3464, appendix E.2: one recipient failed, one is delayed.
    #[test]
    fn report_with_several_recipients_is_read_for_each() {
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

    /// RFC 6533 §3: parts may be encoded; the returned message may contain a report itself.
    #[test]
    fn report_with_encoded_status_is_decoded_and_nested_report_ignored() {
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
    fn report_with_encoded_returned_message_is_decoded_and_parts_after_the_end_ignored() {
        let part = "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; a.test\r\n\r\n\
            Final-Recipient: rfc822; b@b.test\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n";
        let header = "Content-Type: multipart/report; boundary=b\r\n\r\n";
        let back = "--b\r\nContent-Type: message/global\r\nContent-Transfer-Encoding: base64\r\n\r\n\
            TWVzc2FnZS1JRDogPDNAYS50ZXN0Pg0KDQo=\r\n";
        let read = DeliveryReport::read(format!("{header}{part}{back}--b--\r\n").as_bytes()).unwrap();
        assert_eq!(read.message_id.as_deref(), Some("3@a.test"));
        assert!(DeliveryReport::read(format!("{header}{part}").as_bytes()).is_some(), "truncated");
        assert_eq!(DeliveryReport::read(format!("{header}{back}--b--\r\n{part}").as_bytes()), None);
        let other = part.replace("--b\r\n", "--bc\r\n");
        assert_eq!(DeliveryReport::read(format!("{header}{other}--b--\r\n").as_bytes()), None, "another delimiter");
    }

    #[test]
    fn report_with_nested_messages_is_not_parsed_further() {
        let message = "Content-Type:message/rfc822\n\n";
        for start in ["--b", "--b\n"] {
            let nested = format!("Content-Type:multipart/report;boundary=b\n\n{start}{message}{message}\n--b--");
            assert_eq!(DeliveryReport::read(nested.as_bytes()), None);
        }
    }

    #[test]
    fn report_with_many_parts_is_read_as_far_as_the_limit() {
        let status = "Reporting-MTA: dns; a.test\r\n\r\nFinal-Recipient: rfc822; bob@b.test\r\nAction: failed\r\nStatus: 5.1.1\r\n";
        let read = |parts_before| {
            let others = "--b\r\nContent-Type: text/plain\r\n\r\nx\r\n".repeat(parts_before);
            let text = report(status).replacen("--b\r\n\r\nIt failed.\r\n", &others, 1);
            DeliveryReport::read(text.as_bytes())
        };
        assert!(read(MAX_PARTS - 1).is_some());
        assert!(read(MAX_PARTS).is_none());
    }

    #[test]
    fn report_without_valid_recipient_is_none() {
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
