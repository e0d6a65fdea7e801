//! Tells the sender what became of a message: failed, late, delivered, passed on. RFC 3464, as RFC 3461 asks.

use std::collections::BTreeMap;
use std::fmt::Write;

use bytes::Bytes;
use jiff::Timestamp;

use super::{Failure, Mta, QueuedMessage};
use crate::journey::EventKind;
use crate::mail::{Address, Body, Envelope, JourneyId, Message, Recipient, Return, normalize};
use crate::world::rfc5322_date;

/// What became of a recipient. RFC 3464 §2.3.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    Failed,
    Delayed,
    Delivered,
    /// The next host does not know about reports, so this is the last that the sender hears.
    Relayed,
    /// It was an alias, and is now several recipients.
    Expanded,
    /// The next host will report.
    PassedOn,
}

/// What the report says about a recipient.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) status: (u8, u16, u16),
    pub(super) host: Option<String>,
    /// The words of the next host, or our own.
    pub(super) words: Option<String>,
}

impl Told {
    pub(super) fn of(failure: &Failure) -> Self {
        let words = Some(failure.reply().map_or_else(|| failure.to_string(), ToString::to_string));
        let host = failure.reply().and(failure.host()).map(str::to_owned);
        Self { status: failure.status(), host, words }
    }
}

type Line<'a> = (&'a Recipient, Action, Told);

/// The reports about one message, one for each kind of news. Without a sender there is nobody to tell (RFC 5321 §4.5.5),
/// but what is lost then is not lost unseen: the postmaster of this host gets it.
pub(super) fn all(mta: &Mta, queued: &QueuedMessage, told: &[Line<'_>], now: Timestamp) -> Vec<QueuedMessage> {
    let Some(sender) = &queued.envelope.reverse_path else { return to_postmaster(mta, queued, told, now) };
    let mut news: BTreeMap<Action, Vec<&Line<'_>>> = BTreeMap::new();
    for line in told.iter().filter(|(recipient, action, _)| wants(recipient, *action)) {
        news.entry(line.1).or_default().push(line);
    }
    news.into_iter().map(|(action, lines)| report(mta, queued, sender, action, &lines, now)).collect()
}

/// What failed, unless it was for the postmaster: nothing of that goes round.
fn to_postmaster(mta: &Mta, queued: &QueuedMessage, told: &[Line<'_>], now: Timestamp) -> Vec<QueuedMessage> {
    let Some(postmaster) = mta.postmaster() else { return Vec::new() };
    let is_lost = |line: &&Line<'_>| line.1 == Action::Failed && !line.0.address.is_postmaster();
    let lost: Vec<_> = told.iter().filter(is_lost).collect();
    if lost.is_empty() { Vec::new() } else { vec![report(mta, queued, &postmaster, Action::Failed, &lost, now)] }
}

/// What the event log hears of a report about that journey.
pub(super) fn step(report: &QueuedMessage, about: JourneyId) -> EventKind {
    let recipients = report.envelope.recipients.iter().map(|recipient| recipient.address.clone()).collect();
    EventKind::Reported { about, recipients }
}

/// RFC 3461 §4.1; without NOTIFY the sender hears of failure and delay.
fn wants(recipient: &Recipient, action: Action) -> bool {
    match (action, recipient.notify) {
        (Action::PassedOn, _) => false,
        (Action::Failed, notify) => notify.is_none_or(|notify| notify.failure),
        (Action::Delayed, notify) => notify.is_none_or(|notify| notify.delay),
        (Action::Delivered | Action::Relayed | Action::Expanded, notify) => notify.is_some_and(|notify| notify.success),
    }
}

fn report(
    mta: &Mta,
    queued: &QueuedMessage,
    sender: &Address,
    action: Action,
    lines: &[&Line<'_>],
    now: Timestamp,
) -> QueuedMessage {
    let rng = &mta.context().rng;
    let id = JourneyId::from_random(rng.next_u64()).queue_id(rng.next_u64());
    let text = compose(mta, queued, sender, action, lines, now, &id.to_string());
    let (message, _) = normalize(&text);
    let eight_bit = !message.is_ascii();
    // Nobody sent it here, so there is no `from`; but its journey begins here, and the next host must know.
    let field = format!("Received: by {} (Postroad) id {id};\r\n\t{}", mta.fqdn(), rfc5322_date(now));
    QueuedMessage {
        id,
        message: Message::new(Bytes::from(message.into_owned())).with_header(&field),
        envelope: Envelope {
            reverse_path: None,
            recipients: vec![sender.clone().into()],
            body: if eight_bit { Body::EightBit } else { Body::SevenBit },
            // RFC 8689 §5: what was to be kept from listeners is, on its way back too.
            require_tls: queued.envelope.require_tls,
            smtputf8: !sender.is_ascii() || lines.iter().any(|(recipient, ..)| !recipient.address.is_ascii()),
            ..Envelope::default()
        },
        arrived: now,
    }
}

/// The whole report: RFC 3464 §2, a text, the facts, and what is returned of the message.
fn compose(
    mta: &Mta,
    queued: &QueuedMessage,
    sender: &Address,
    action: Action,
    lines: &[&Line<'_>],
    now: Timestamp,
    id: &str,
) -> Vec<u8> {
    let (host, date, boundary) = (mta.fqdn(), rfc5322_date(now), format!("={id}="));
    let (subject, opening) = words(action);
    let mut text = format!(
        "From: Mail Delivery System <postmaster@{host}>\r\nTo: <{sender}>\r\nSubject: {subject}\r\nDate: {date}\r\n\
         Message-ID: <{id}@{host}>\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{boundary}\"\r\n\r\n\
         This is a report in MIME format.\r\n\r\n--{boundary}\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
         This is the mail server {host}.\r\n\r\n{opening}\r\n\r\n"
    );
    for (recipient, _, told) in lines {
        let words = told.words.as_deref().unwrap_or("no reason was given");
        // Writing to a String cannot fail.
        let _ = write!(text, "  <{}>\r\n      {}\r\n", recipient.address, one_line(words));
    }
    let _ = write!(text, "\r\n--{boundary}\r\nContent-Type: message/{}delivery-status\r\n\r\n", global(lines));
    if let Some(envid) = &queued.envelope.envid {
        let _ = write!(text, "Original-Envelope-Id: {}\r\n", one_line(envid));
    }
    let arrived = rfc5322_date(queued.arrived);
    let _ = write!(
        text,
        "Reporting-MTA: dns; {host}\r\nX-Postroad-Journey: {}\r\nArrival-Date: {arrived}\r\n",
        queued.id.journey
    );
    for (recipient, action, told) in lines {
        write_recipient(&mut text, recipient, *action, told, &date);
    }
    // What is binary cannot stand inside a text (RFC 3030 §3); what needed TLS stays where it was (RFC 8689 §5).
    let envelope = &queued.envelope;
    let may_be_whole = envelope.body != Body::Binary && !envelope.require_tls;
    let whole = envelope.ret == Some(Return::Full) && action == Action::Failed && may_be_whole;
    // RFC 6533 §4.
    let is_utf8 = envelope.smtputf8 && !queued.message.pieces().iter().all(|piece| header(piece).is_ascii());
    let kind = match (whole, is_utf8) {
        (true, false) => "message/rfc822",
        (false, false) => "text/rfc822-headers",
        (true, true) => "message/global",
        (false, true) => "message/global-headers",
    };
    let _ = write!(text, "\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n");
    let mut report = text.into_bytes();
    for piece in queued.message.pieces() {
        report.extend_from_slice(if whole { &piece } else { header(&piece) });
    }
    report.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    report
}

/// RFC 3464 §2.3.
fn write_recipient(text: &mut String, recipient: &Recipient, action: Action, told: &Told, date: &str) {
    let Told { status: (class, subject, detail), host, words } = told;
    let kind = if recipient.address.is_ascii() { "rfc822" } else { "utf-8" };
    let action = match action {
        Action::Failed => "failed",
        Action::Delayed => "delayed",
        Action::Delivered => "delivered",
        Action::Expanded => "expanded",
        Action::Relayed | Action::PassedOn => "relayed",
    };
    text.push_str("\r\n");
    if let Some((kind, address)) = recipient.orcpt.as_deref().and_then(|orcpt| orcpt.split_once(';')) {
        let _ = write!(text, "Original-Recipient: {kind}; {}\r\n", one_line(address));
    }
    let _ = write!(text, "Final-Recipient: {kind}; {}\r\nAction: {action}\r\n", recipient.address);
    let _ = write!(text, "Status: {class}.{subject}.{detail}\r\n");
    if let Some(host) = host {
        let _ = write!(text, "Remote-MTA: dns; {host}\r\n");
        if let Some(words) = words {
            let _ = write!(text, "Diagnostic-Code: smtp; {}\r\n", one_line(words));
        }
    }
    let _ = write!(text, "Last-Attempt-Date: {date}\r\n");
}

fn words(action: Action) -> (&'static str, &'static str) {
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
            "Your message was sent on to all who are behind the recipients below; what becomes of it there is not told.",
        ),
        Action::Relayed | Action::PassedOn => (
            "Successful mail relay report",
            "Your message was passed on for the recipients below, to a host that may not confirm its delivery.",
        ),
    }
}

/// RFC 6533 §3: addresses in UTF-8 ask for the international form.
fn global(lines: &[&Line<'_>]) -> &'static str {
    if lines.iter().all(|(recipient, ..)| recipient.address.is_ascii()) { "" } else { "global-" }
}

fn one_line(text: &str) -> String {
    text.split(['\r', '\n']).map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Up to the first empty line, the part that a header-only report returns.
fn header(message: &[u8]) -> &[u8] {
    let end = message.windows(4).position(|window| window == b"\r\n\r\n");
    end.map_or(message, |end| &message[..end + 2])
}
