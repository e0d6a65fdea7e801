//! What each host added to a message: the trace fields of its copies, with the events of the hosts that wrote them.
//!
//! A host of the world changes nothing but the top of a message: it adds a `Received` field with the id of its own queue
//! (RFC 5321 §4.4), and maybe `Return-Path` or `Delivered-To` above that.

use std::collections::BTreeMap;

use crate::control::{Client, ClientError};
use crate::journey::{Event, EventKind, Journey};
use crate::mail::QueueId;

/// The fields that hosts added, and whether the content is the same everywhere.
#[derive(Debug, Default)]
pub(super) struct TraceDiff {
    /// The lines of the fields, by the id of the message at the host.
    added: BTreeMap<QueueId, Vec<String>>,
    /// Whether every copy in a mailbox ends with the bytes that entered the world; `None` if there is no copy.
    pub(super) keeps_content: Option<bool>,
}

impl TraceDiff {
    /// Requests the copies of a message: those in mailboxes, one in a queue, and what entered the world; collects from
    /// their headers what each host added, and compares the contents. Copies that are gone are left out.
    ///
    /// # Errors
    /// The world is unreachable.
    pub(super) async fn read(client: &Client, journey: &Journey) -> Result<Self, ClientError> {
        let mut copies = Vec::new();
        for event in &journey.events {
            if let EventKind::Delivered { account, mailbox, uid, .. } = &event.kind {
                let mut query = url::form_urlencoded::Serializer::new("?".to_owned());
                query.extend_pairs([("account", account), ("mailbox", mailbox), ("uid", &uid.to_string())]);
                let path = format!("/api/v1/mailboxes/message{}", query.finish());
                copies.extend(if_there(client.bytes(&path).await)?);
            }
        }
        let entered = if_there(client.bytes(&format!("/api/v1/message/{}/raw", journey.journey)).await)?;
        let ends_so = |copy: &hyper::body::Bytes| entered.as_ref().is_some_and(|entered| copy.ends_with(entered));
        let keeps_content = (entered.is_some() && !copies.is_empty()).then(|| copies.iter().all(ends_so));
        let mut headers: Vec<String> = copies.iter().chain(&entered).map(|copy| header(copy)).collect();
        let queued: Result<serde_json::Value, _> = client.get(&format!("/api/v1/queue/{}", journey.journey)).await;
        if let Some(queued) = if_there(queued)? {
            headers.extend(queued["header"].as_str().map(str::to_owned));
        }
        let mut diff = Self { added: BTreeMap::new(), keeps_content };
        headers.iter().for_each(|header| diff.add(journey, header));
        Ok(diff)
    }

    /// The header lines that the host of this event added to the message; none unless this is the event by which the
    /// host accepted the message, and none if no copy with these lines was found.
    pub(super) fn added_by(&self, event: &Event) -> &[String] {
        let lines = event.id.filter(|_| is_acceptance(&event.kind)).and_then(|id| self.added.get(&id));
        lines.map_or(&[], Vec::as_slice)
    }

    /// Takes from a header, for each host that has no lines yet, what it added: its `Received` field, known by the
    /// queue id in it, and the fields above that, up to the `Received` of the next host.
    fn add(&mut self, journey: &Journey, header: &str) {
        let ids: Vec<_> =
            journey.events.iter().filter(|event| is_acceptance(&event.kind)).filter_map(|event| event.id).collect();
        let fields = fields(header);
        let writer = |field: &[&str]| {
            let is_received = field.first()?.get(..9)?.eq_ignore_ascii_case("received:");
            let words = || field.iter().flat_map(|line| line.split_ascii_whitespace());
            is_received
                .then(|| ids.iter().find(|id| words().any(|word| word.trim_end_matches(';') == id.to_string())))?
        };
        // From the bottom, as they were added.
        let mut hop: Option<(QueueId, Vec<String>)> = None;
        for field in fields.iter().rev() {
            if let Some(id) = writer(field) {
                self.added.extend(hop.take().filter(|(id, _)| !self.added.contains_key(id)));
                hop = Some((*id, Vec::new()));
            }
            if let Some((_, lines)) = &mut hop {
                lines.splice(0..0, field.iter().map(|line| (*line).to_owned()));
            }
        }
        self.added.extend(hop.filter(|(id, _)| !self.added.contains_key(id)));
    }
}

/// Whether this is the event by which a host accepted the message.
fn is_acceptance(kind: &EventKind) -> bool {
    matches!(kind, EventKind::Received { .. })
}

/// Returns the answer of a request; `None` if the server refused it with any error status, as it does for a message
/// that it does not have any more.
fn if_there<T>(answer: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(ClientError::Refused { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The header of a message, without the empty line; bytes that are not UTF-8 are replaced.
fn header(message: &[u8]) -> String {
    let end = memchr::memmem::find(message, b"\r\n\r\n").unwrap_or(message.len());
    String::from_utf8_lossy(&message[..end]).into_owned()
}

/// The fields of a header, each as its lines without line ends.
fn fields(header: &str) -> Vec<Vec<&str>> {
    let mut fields: Vec<Vec<&str>> = Vec::new();
    for line in header.lines() {
        match fields.last_mut() {
            Some(field) if line.starts_with([' ', '\t']) => field.push(line),
            _ => fields.push(vec![line]),
        }
    }
    fields
}
