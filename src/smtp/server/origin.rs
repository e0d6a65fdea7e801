//! Who sent a message, and how: for its journey, its `Received` field and its event.

use std::net::IpAddr;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::journey::{EventKind, Protocol, Recorder};
use crate::mail::{Address, JourneyId, Message, QueueId, ReversePath, Stamp};
use crate::world::{Host, Rng, rfc5322_date};

/// The client that sends a message, and its connection.
#[derive(Clone, Debug)]
pub struct Origin<'a> {
    /// The protocol, for the event.
    pub protocol: Protocol,
    /// The client's name in `EHLO`, `HELO` or `LHLO`.
    pub hello: &'a str,
    /// Its address.
    pub peer: IpAddr,
    /// The host of the world that it is.
    pub host: Option<&'a Host>,
    /// The protocol keyword of RFC 3848.
    pub with: String,
    /// TLS version and cipher, if encrypted.
    pub tls: Option<&'a str>,
    /// The user who logged in.
    pub user: Option<&'a str>,
    /// When the transaction began.
    pub began: Instant,
    /// Notes the conversation.
    pub session: Option<&'a Recorder>,
}

impl Origin<'_> {
    /// The journey of a message from here: if the client is a host of this world, that in the trace fields of the
    /// message; else, or if there is none, a new one, drawn from `rng`.
    pub fn journey(&self, message: &Message, rng: &Rng) -> JourneyId {
        let known = self.host.and_then(|_| message.journey());
        known.unwrap_or_else(|| JourneyId::from_random(rng.next_ascending()))
    }

    /// Returns the `Received` field of a message that came from here, to be put on top of it at the host `by`: folded,
    /// without its last line end. `recipient` is set if there is exactly one. RFC 5321 §4.4.
    pub fn received_field(&self, by: &str, id: QueueId, recipient: Option<&Address>, now: Timestamp) -> String {
        let stamp = Stamp {
            hello: self.hello,
            known: self.host.map(|host| host.fqdn.as_str()),
            peer: self.peer,
            by,
            with: &self.with,
            id,
            tls: self.tls,
            recipient,
            date: &rfc5322_date(now),
        };
        stamp.to_string()
    }

    /// Returns, and does not record, the event that a message of `size` bytes was accepted now from here; it holds the
    /// time since the transaction began.
    pub fn received_event(&self, reverse_path: &ReversePath, recipients: Vec<Address>, size: usize) -> EventKind {
        EventKind::Received {
            protocol: self.protocol,
            from: format!("{} [{}]", self.hello, self.peer),
            reverse_path: reverse_path.clone(),
            recipients,
            size,
            tls: self.tls.map(str::to_owned),
            user: self.user.map(str::to_owned),
            took_ms: self.began.elapsed().as_secs_f64() * 1e3,
            session: self.session.and_then(Recorder::id),
        }
    }
}
