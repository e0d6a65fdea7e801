//! Delivery status notifications: messages that report the delivery status of a message to its sender. RFC 3464, RFC 3461.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;

use bytes::Bytes;
use jiff::Timestamp;

use super::{Failure, Mta, QueuedMessage};
use crate::journey::EventKind;
use crate::mail::{Address, Body, Envelope, JourneyId, Message, Recipient, Return, normalize};
use crate::world::{later, rfc5322_date};

/// Longest line of a report, without CR LF: a next hop may refuse longer ones. RFC 5322 §2.1.1.
const MAX_LINE_BYTES: usize = 998;
/// Longest piece of a folded value; it fits into a line with the name of its field.
const MAX_PIECE_BYTES: usize = 900;
/// Length of a folded line, if there are spaces. RFC 5322 §2.1.1 recommends at most 78.
const LINE_BYTES: usize = 76;

/// The result for a recipient. RFC 3464 §2.3.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    Failed,
    Delayed,
    Delivered,
    /// The next host does not support reports, so this is the last one.
    Relayed,
    /// It was an alias, and is now several recipients.
    Expanded,
    /// The next host will report.
    PassedOn,
}

/// What the report says about a recipient.
#[derive(Clone, Debug)]
pub(super) struct RecipientStatus {
    pub(super) status: (u8, u16, u16),
    /// The next host, if the text is its reply.
    pub(super) host: Option<String>,
    /// The reply of the next host, as it was received, or the reason of this host.
    pub(super) text: Option<String>,
}

impl RecipientStatus {
    /// The status of a recipient that failed or waits because of this failure. The text is the reply of the next host,
    /// with that host, if there is one; else the reason of this host, without a host.
    pub(super) fn of(failure: &Failure) -> Self {
        let text = Some(failure.reply().map_or_else(|| failure.to_string(), ToString::to_string));
        let host = failure.reply().and(failure.host()).map(str::to_owned);
        Self { status: failure.status(), host, text }
    }
}

/// A recipient, its result, and the details.
type DsnEntry<'a> = (&'a Recipient, Action, RecipientStatus);

/// Composes the reports about one message, one for each action, with the recipients whose NOTIFY requests it; stores
/// nothing. A message without a sender has no report (RFC 5321 §4.5.5); what failed is reported to the postmaster of
/// this host instead.
pub(super) fn all(mta: &Mta, queued: &QueuedMessage, entries: &[DsnEntry<'_>], now: Timestamp) -> Vec<QueuedMessage> {
    let Some(sender) = &queued.envelope.reverse_path else { return to_postmaster(mta, queued, entries, now) };
    let mut by_action: BTreeMap<Action, Vec<&DsnEntry<'_>>> = BTreeMap::new();
    for entry in entries.iter().filter(|(recipient, action, _)| wants(recipient, *action)) {
        by_action.entry(entry.1).or_default().push(entry);
    }
    by_action.into_iter().map(|(action, entries)| report(mta, queued, sender, action, &entries, now)).collect()
}

/// One report to the postmaster about what failed, except for mail to a postmaster: a report of that could fail in
/// turn, without end. None if nothing else failed, or the world has no domain.
fn to_postmaster(mta: &Mta, queued: &QueuedMessage, entries: &[DsnEntry<'_>], now: Timestamp) -> Vec<QueuedMessage> {
    let Some(postmaster) = mta.postmaster() else { return Vec::new() };
    let is_lost = |entry: &&DsnEntry<'_>| entry.1 == Action::Failed && !entry.0.address.is_postmaster();
    let lost: Vec<_> = entries.iter().filter(is_lost).collect();
    if lost.is_empty() { Vec::new() } else { vec![report(mta, queued, &postmaster, Action::Failed, &lost, now)] }
}

/// The `Reported` event for a report, to be recorded in the journey of the report: its recipients, and the journey
/// `about` which it is.
pub(super) fn reported_event(report: &QueuedMessage, about: JourneyId) -> EventKind {
    let recipients = report.envelope.recipients.iter().map(|recipient| recipient.address.clone()).collect();
    EventKind::Reported { about, recipients }
}

/// Whether the recipient's NOTIFY asks for a report of this action; without NOTIFY, failure and delay are reported.
/// What is passed on to a host that reports never is. RFC 3461 §4.1.
fn wants(recipient: &Recipient, action: Action) -> bool {
    match (action, recipient.notify) {
        (Action::PassedOn, _) => false,
        (Action::Failed, notify) => notify.is_none_or(|notify| notify.failure),
        (Action::Delayed, notify) => notify.is_none_or(|notify| notify.delay),
        (Action::Delivered | Action::Relayed | Action::Expanded, notify) => notify.is_some_and(|notify| notify.success),
    }
}

/// The report of one action to `sender`, with a null reverse-path, not stored yet: a message with a journey of its own
/// and a `Received` field, due at `now`. It requires TLS if the reported message does (RFC 8689 §5).
fn report(
    mta: &Mta,
    queued: &QueuedMessage,
    sender: &Address,
    action: Action,
    entries: &[&DsnEntry<'_>],
    now: Timestamp,
) -> QueuedMessage {
    let rng = &mta.context().rng;
    let id = JourneyId::from_random(rng.next_ascending()).queue_id(rng.next_u64());
    let text = compose(mta, queued, sender, action, entries, now, &id.to_string());
    let (message, _) = normalize(&text);
    let eight_bit = !message.is_ascii();
    // It was not received from a host, so there is no `from`; its journey begins here, and later hosts read its id.
    let field = format!("Received: by {} (Postroad) id {id};\r\n\t{}", mta.fqdn(), rfc5322_date(now));
    QueuedMessage {
        id,
        message: Message::new(Bytes::from(message.into_owned())).with_header(&field),
        envelope: Envelope {
            reverse_path: None,
            recipients: vec![sender.clone().into()],
            body: if eight_bit { Body::EightBit } else { Body::SevenBit },
            // RFC 8689 §5: a report about a message that requires TLS requires it too.
            require_tls: queued.envelope.require_tls,
            smtputf8: !sender.local().is_ascii() || is_international(entries),
            ..Envelope::default()
        },
        arrived: now,
    }
}

/// The whole report, its header included: a text, the fields for programs, and the message, if it failed, was requested
/// in full, and may be returned, else its header. May have line ends that are not CR LF. `sender` is whom the report is
/// for, `id` that of the report. RFC 3464 §2.
fn compose(
    mta: &Mta,
    queued: &QueuedMessage,
    sender: &Address,
    action: Action,
    entries: &[&DsnEntry<'_>],
    now: Timestamp,
    id: &str,
) -> Vec<u8> {
    let (host, date, boundary) = (mta.fqdn(), rfc5322_date(now), format!("={id}="));
    // Domains are in A-labels: with an ASCII local part, the report can pass hosts without SMTPUTF8.
    let sender = sender.clone().in_a_labels();
    let (subject, opening) = texts(action);
    let mut text = format!(
        "From: Mail Delivery System <postmaster@{host}>\r\nTo: <{sender}>\r\nSubject: {subject}\r\nDate: {date}\r\n\
         Message-ID: <{id}@{host}>\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{boundary}\"\r\n\r\n\
         This is a report in MIME format.\r\n\r\n--{boundary}\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
         This is the mail server {host}.\r\n\r\n{opening}\r\n\r\n"
    );
    for (recipient, _, status) in entries {
        let reason = status.text.as_deref().unwrap_or("no reason was given");
        let reason = match &status.host {
            Some(host) => format!("{host} said: {reason}"),
            None => reason.to_owned(),
        };
        // Writing to a String cannot fail.
        let _ = write!(text, "  <{}>\r\n      {}\r\n", recipient.address, folded(&reason, "      ", LINE_BYTES));
    }
    let prefix = if is_international(entries) { "global-" } else { "" };
    let _ = write!(text, "\r\n--{boundary}\r\nContent-Type: message/{prefix}delivery-status\r\n\r\n");
    let mut fields = Fields { text: &mut text, is_ascii: prefix.is_empty() };
    if let Some(envid) = &queued.envelope.envid {
        fields.write_field("Original-Envelope-Id", envid);
    }
    fields.write_field("Reporting-MTA", &format!("dns; {host}"));
    fields.write_field("X-Postroad-Journey", &queued.id.journey.to_string());
    fields.write_field("Arrival-Date", &rfc5322_date(queued.arrived));
    let retry_until = later(queued.arrived, mta.context().settings.retry.give_up);
    for (recipient, action, status) in entries {
        fields.write_recipient(recipient, *action, status);
        fields.write_field("Last-Attempt-Date", &date);
        if *action == Action::Delayed {
            // RFC 3464 §2.3.9.
            fields.write_field("Will-Retry-Until", &rfc5322_date(retry_until));
        }
    }
    // A binary message cannot stand inside a text (RFC 3030 §3), nor can its lines be folded; one that requires TLS is not
    // returned (RFC 8689 §5).
    let envelope = &queued.envelope;
    let may_be_whole = envelope.body != Body::Binary && !envelope.require_tls && !has_long_lines(&queued.message);
    let whole = envelope.ret == Some(Return::Full) && action == Action::Failed && may_be_whole;
    let Message { trace, content } = &queued.message;
    // RFC 6533 §4.
    let is_utf8 = envelope.smtputf8 && !(trace.is_ascii() && content.header().is_ascii());
    let kind = match (whole, is_utf8) {
        (true, false) => "message/rfc822",
        (false, false) => "text/rfc822-headers",
        (true, true) => "message/global",
        (false, true) => "message/global-headers",
    };
    let _ = write!(text, "\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n");
    let mut report = text.into_bytes();
    match whole {
        true => [trace, content.bytes()].into_iter().for_each(|piece| report.extend_from_slice(piece)),
        false => [trace, content.header()].into_iter().for_each(|lines| write_header(&mut report, lines)),
    }
    report.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    report
}

/// Writes the fields of a delivery status. RFC 3464 §2.1.
struct Fields<'a> {
    text: &'a mut String,
    /// The media type is `message/delivery-status`, which is ASCII; else it is that of RFC 6533 §3, in UTF-8.
    is_ascii: bool,
}

impl Fields<'_> {
    /// Appends a field and its line end. The value may have several lines, which are joined; it is [`escaped`] if the
    /// report is ASCII, and the field is [`folded`].
    fn write_field(&mut self, name: &str, value: &str) {
        let value = if self.is_ascii { escaped(value) } else { value.into() };
        let line = folded(&format!("{name}: {value}"), " ", LINE_BYTES);
        self.text.push_str(&line);
        self.text.push_str("\r\n");
    }

    /// Appends an empty line and the fields of a recipient, up to its diagnostic. RFC 3464 §2.3. Only a reply of the
    /// next host has a Remote-MTA and the diagnostic type `smtp`.
    fn write_recipient(&mut self, recipient: &Recipient, action: Action, status: &RecipientStatus) {
        let RecipientStatus { status: (class, subject, detail), host, text } = status;
        self.text.push_str("\r\n");
        if let Some((kind, address)) = recipient.orcpt.as_deref().and_then(|orcpt| orcpt.split_once(';')) {
            self.write_field("Original-Recipient", &format!("{kind}; {address}"));
        }
        let kind = if recipient.address.local().is_ascii() { "rfc822" } else { "utf-8" };
        self.write_field("Final-Recipient", &format!("{kind}; {}", recipient.address.clone().in_a_labels()));
        let is_problem = matches!(action, Action::Failed | Action::Delayed);
        let action = match action {
            Action::Failed => "failed",
            Action::Delayed => "delayed",
            Action::Delivered => "delivered",
            Action::Expanded => "expanded",
            Action::Relayed | Action::PassedOn => "relayed",
        };
        self.write_field("Action", action);
        self.write_field("Status", &format!("{class}.{subject}.{detail}"));
        match (host, text) {
            (Some(host), text) => {
                self.write_field("Remote-MTA", &format!("dns; {host}"));
                if let Some(reply) = text {
                    self.write_field("Diagnostic-Code", &format!("smtp; {reply}"));
                }
            }
            (None, Some(reason)) if is_problem => self.write_field("Diagnostic-Code", &format!("X-Postroad; {reason}")),
            (None, _) => {}
        }
    }
}

/// The value of a field in ASCII: other characters are written as in addresses of type `utf-8`, such as `\x{E9}`. RFC
/// 6533 §3.
fn escaped(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return text.into();
    }
    let written = |char: char| if char.is_ascii() { char.to_string() } else { format!("\\x{{{:X}}}", u32::from(char)) };
    text.chars().map(written).collect()
}

/// Subject and opening sentences of a report of this action, for a human reader.
fn texts(action: Action) -> (&'static str, &'static str) {
    match action {
        Action::Failed => (
            "Undelivered mail returned to sender",
            "Your message could not be delivered to the recipients below. It will not be tried again.",
        ),
        Action::Delayed => (
            "Delayed mail (still being tried)",
            "Your message has not yet been delivered to the recipients below. It is still being tried; there is\r\n\
             no need to send it again.",
        ),
        Action::Delivered => ("Successful mail delivery report", "Your message was delivered to the recipients below."),
        Action::Expanded => (
            "Successful mail expansion report",
            "Your message was sent on to the addresses behind the recipients below; their delivery is not reported.",
        ),
        Action::Relayed | Action::PassedOn => (
            "Successful mail relay report",
            "Your message was passed on for the recipients below, to a host that may not confirm its delivery.",
        ),
    }
}

/// Whether the local part of a recipient is not ASCII, so that the report needs the international media types. RFC 6533
/// §3.
fn is_international(entries: &[&DsnEntry<'_>]) -> bool {
    entries.iter().any(|(recipient, ..)| !recipient.address.local().is_ascii())
}

/// The lines of a text, trimmed, with a space between; empty ones are left out.
fn one_line(text: &str) -> String {
    text.split(['\r', '\n']).map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The text, its lines joined, on one line of up to `width` bytes. Longer text is folded at spaces, a long word at
/// `MAX_PIECE_BYTES`; further lines begin with `indent`. A word between both lengths stays whole.
fn folded(text: &str, indent: &str, width: usize) -> String {
    let text = one_line(text);
    let (mut lines, mut rest) = (Vec::new(), text.as_str());
    while width < rest.len() {
        let boundary = |max: usize| (0..=max.min(rest.len())).rev().find(|at| rest.is_char_boundary(*at)).unwrap_or(0);
        let (within, most) = (&rest[..boundary(width)], boundary(MAX_PIECE_BYTES));
        let space = within.rfind(' ').or_else(|| rest[..most].find(' ')).filter(|at| 0 < *at);
        let end = match space {
            Some(at) => at,
            None if rest.len() <= MAX_PIECE_BYTES => break,
            None => most,
        };
        lines.push(&rest[..end]);
        rest = rest[end..].trim_start_matches(' ');
    }
    lines.push(rest);
    lines.join(&format!("\r\n{indent}"))
}

/// Whether a line of the message has more than `MAX_LINE_BYTES`, without its line end.
fn has_long_lines(message: &Message) -> bool {
    message.pieces().iter().any(|piece| {
        piece.split(|byte| *byte == b'\n').any(|line| MAX_LINE_BYTES < line.strip_suffix(b"\r").unwrap_or(line).len())
    })
}

/// Appends the header fields of the returned message to the report; a line of more than `MAX_LINE_BYTES` is folded,
/// before a space if there is one, else between characters. RFC 5322 §2.2.3.
fn write_header(report: &mut Vec<u8>, header: &[u8]) {
    for mut line in header.split_inclusive(|byte| *byte == b'\n') {
        while MAX_LINE_BYTES < line.strip_suffix(b"\r\n").unwrap_or(line).len() {
            let is_space = |at: &usize| matches!(line[*at], b' ' | b'\t');
            let is_char = |at: &usize| line[*at] & 0xc0 != 0x80;
            let mut ends = (1..=MAX_PIECE_BYTES).rev();
            let end = ends.clone().find(is_space).or_else(|| ends.find(is_char)).unwrap_or(MAX_PIECE_BYTES);
            report.extend_from_slice(&line[..end]);
            report.extend_from_slice(if is_space(&end) { b"\r\n" } else { b"\r\n " });
            line = &line[end..];
        }
        report.extend_from_slice(line);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::mail::DeliveryReport;
    use crate::mta::test_support;
    use crate::net::Net;
    use crate::world::JOURNEY;

    /// The report about a message that a next hop refused with this reply.
    fn reported(message: &str, ret: Option<Return>, reason: &str) -> String {
        let net = Net::memory(Arc::new(|_, _| Duration::ZERO));
        let (mta, _) = test_support::mta(JOURNEY, "mta-sina", &net, vec![]);
        let recipient: Recipient = "bob@b.test".parse::<Address>().unwrap().into();
        let envelope = Envelope {
            reverse_path: Some("ann@a.test".parse().unwrap()),
            recipients: vec![recipient.clone()],
            envid: Some("e".repeat(2_000)),
            ret,
            ..Envelope::default()
        };
        let (id, arrived) = (JourneyId::from_random(1).queue_id(1), Timestamp::UNIX_EPOCH);
        let queued = QueuedMessage { id, envelope, message: Message::new(message.to_owned().into()), arrived };
        let status =
            RecipientStatus { status: (5, 7, 1), host: Some("mx.b.test".to_owned()), text: Some(reason.to_owned()) };
        let reports = all(&mta, &queued, &[(&recipient, Action::Failed, status)], arrived);
        let report = String::from_utf8(reports[0].message.to_bytes().to_vec()).unwrap();
        let longest = report.split("\r\n").map(str::len).max();
        assert!(longest <= Some(MAX_LINE_BYTES), "{longest:?}");
        report
    }

    #[test]
    fn report_of_a_long_reply_has_no_long_lines_and_all_words() {
        let words: Vec<_> = (0..600).map(|at| format!("word{at}")).collect();
        let lines = words.chunks(50).map(|line| format!("550-5.7.1 {}\r\n", line.join(" "))).collect::<String>();
        let read = DeliveryReport::read(reported("Subject: s\r\n\r\n", None, &lines).as_bytes()).unwrap();
        assert_eq!(read.recipients[0].diagnostic.as_deref(), Some(one_line(&lines).as_str()));
        // One word, whose characters must not be split.
        for word in ["x".repeat(5_000), "\u{e9}".repeat(2_500)] {
            let read = DeliveryReport::read(reported("Subject: s\r\n\r\n", None, &word).as_bytes()).unwrap();
            assert_eq!(
                read.recipients[0].diagnostic.as_deref().map(|text| text.replace(' ', "")),
                Some(escaped(&word).into_owned())
            );
        }
        let short = reported("Subject: s\r\n\r\n", None, "550 5.7.1 no");
        assert!(short.contains("\r\nDiagnostic-Code: smtp; 550 5.7.1 no\r\n"), "{short}");
    }

    /// RFC 6533 §3: only a local part needs the international types; other fields write UTF-8 as its `utf-8` addresses do.
    #[test]
    fn report_about_a_non_ascii_domain_is_ascii_but_for_its_text() {
        let net = Net::memory(Arc::new(|_, _| Duration::ZERO));
        let (mta, _) = test_support::mta(JOURNEY, "mta-sina", &net, vec![]);
        let address: Address = "bob@b\u{fc}cher.test".parse().unwrap();
        let recipient = Recipient { orcpt: Some("utf-8;\u{4f8b}@b.test".to_owned()), ..address.into() };
        let envelope = Envelope {
            reverse_path: Some("ann@\u{65b0}\u{6d6a}.test".parse().unwrap()),
            recipients: vec![recipient.clone()],
            envid: Some("caf\u{e9}".to_owned()),
            smtputf8: true,
            ..Envelope::default()
        };
        let (id, arrived) = (JourneyId::from_random(1).queue_id(1), Timestamp::UNIX_EPOCH);
        let queued = QueuedMessage { id, envelope, message: Message::new("Subject: s\r\n\r\n".into()), arrived };
        let status = RecipientStatus { status: (4, 4, 1), host: None, text: Some("no route".to_owned()) };
        let report = all(&mta, &queued, &[(&recipient, Action::Delayed, status)], arrived).remove(0);
        let text = String::from_utf8(report.message.to_bytes().to_vec()).unwrap();
        let (header, _) = text.split_once("\r\n\r\n").unwrap();
        assert!(header.is_ascii() && header.contains("\r\nTo: <ann@xn--efvx5o.test>\r\n"), "{header}");
        assert!(!report.envelope.smtputf8, "it may pass a host without SMTPUTF8");
        let (_, fields) = text.split_once("Content-Type: message/delivery-status\r\n\r\n").unwrap();
        let (fields, _) = fields.split_once("\r\n--").unwrap();
        let wanted = [
            r"Original-Envelope-Id: caf\x{E9}",
            r"Original-Recipient: utf-8; \x{4F8B}@b.test",
            "Final-Recipient: rfc822; bob@xn--bcher-kva.test",
            "Diagnostic-Code: X-Postroad; no route",
            "Will-Retry-Until: Tue, 6 Jan 1970 00:00:00 +0000",
        ];
        assert!(wanted.iter().all(|line| fields.lines().any(|it| it == *line)), "{fields}");
        assert_eq!(DeliveryReport::read(text.as_bytes()).unwrap().recipients[0].status, (4, 4, 1));
    }

    #[test]
    fn report_with_headers_about_a_message_without_fields_has_none_of_its_text() {
        let report = reported("\r\nsecret\r\n\r\nmore\r\n", Some(Return::Headers), "550 no");
        assert!(report.contains("text/rfc822-headers") && !report.contains("secret"), "{report}");
    }

    #[test]
    fn report_about_a_message_with_long_lines_has_none() {
        let list = vec!["<id@a.test>"; 300].join(" ");
        let text = format!("References: {list}\r\nX-Word: {}\r\nSubject: s\r\n\r\nbody\r\n", "w".repeat(3_000));
        for ret in [None, Some(Return::Full)] {
            let report = reported(&text, ret, "550 no");
            let returned = report.split("text/rfc822-headers").nth(1).expect("only its header comes back");
            assert_eq!(returned.matches("<id@a.test>").count(), 300);
            assert_eq!(returned.matches('w').count(), 3_000);
            assert!(returned.contains("\r\nSubject: s\r\n") && !returned.contains("body"));
        }
        let body = format!("Subject: s\r\n\r\n{}\r\n", "b".repeat(999));
        assert!(!reported(&body, Some(Return::Full), "550 no").contains("message/rfc822"));
        let fits = format!("Subject: s\r\n\r\n{}\r\n", "b".repeat(998));
        assert!(reported(&fits, Some(Return::Full), "550 no").contains("message/rfc822"));
    }
}
