//! Takes messages over SMTP: who may send what to whom, and durable before `250`.
//!
//! `conversation` asks at each stage what the policy of the host says; `arrival` makes of a message what is queued.

mod handler;
mod incoming_message;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use handler::SmtpHandler;
#[cfg(feature = "mailin")]
#[cfg(feature = "mailin")]
pub(super) use incoming_message::IncomingMessage;

use super::Mta;
use crate::mail::Address;
use crate::net::{Error, Service, Stop, Stream};
use crate::smtp::server;
use crate::world::HostName;

/// Errors after which a peer is let go.
const MAX_ERRORS: usize = 20;

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// Port 25 of a host, for other hosts.
    Relay,
    /// Ports 587 and 465, for users who log in. RFC 6409.
    Submission,
    /// Port 25 for programs on this machine: no login needed. Never on an address that others can reach.
    Unauthenticated,
}

/// The receiving side of one MTA, or of all of them behind one port. A [`Service`]; cheap to clone.
#[derive(Clone)]
pub struct SmtpService {
    kind: ListenerKind,
    ingress: Ingress,
}

#[derive(Clone)]
enum Ingress {
    One(Mta),
    /// Each message starts at its sender's provider, or else at the entry.
    Any {
        mtas: Arc<BTreeMap<HostName, Mta>>,
        entry: Mta,
    },
}

impl SmtpService {
    /// Receives for one host.
    pub fn of(mta: Mta, kind: ListenerKind) -> Self {
        Self { kind, ingress: Ingress::One(mta) }
    }

    /// Receives for all of these hosts: a message starts at the provider of who logged in or, without login, of its
    /// reverse-path; at `entry` if there is none.
    pub fn front(mtas: Arc<BTreeMap<HostName, Mta>>, entry: Mta, kind: ListenerKind) -> Self {
        Self { kind, ingress: Ingress::Any { mtas, entry } }
    }

    fn greeting_mta(&self) -> &Mta {
        match &self.ingress {
            Ingress::One(mta) | Ingress::Any { entry: mta, .. } => mta,
        }
    }

    /// The host that takes a message of this sender.
    fn owning_mta(&self, sender: Option<&Address>) -> &Mta {
        let Ingress::Any { mtas, entry } = &self.ingress else { return self.greeting_mta() };
        let served = sender.and_then(|sender| entry.context().world.domains.get(sender.domain()));
        served.and_then(|served| served.mx.iter().find_map(|host| mtas.get(host))).unwrap_or(entry)
    }

    fn config(&self, tls: Option<String>) -> server::Config {
        let context = self.greeting_mta().context();
        let policy = &context.settings.policy;
        server::Config {
            hostname: self.greeting_mta().fqdn().to_owned(),
            protocol: match self.kind {
                ListenerKind::Submission => server::Protocol::Submission,
                ListenerKind::Relay | ListenerKind::Unauthenticated => server::Protocol::Smtp,
            },
            max_message_bytes: context.settings.size_max as u64,
            max_recipients: policy.recipients_max,
            max_transactions: policy.transactions_max,
            max_recipient_domains: policy.recipient_domains_max,
            max_errors: MAX_ERRORS,
            tls: match tls {
                Some(tls) => server::Tls::Active(tls),
                None if context.identity.offers_tls() => server::Tls::Offered,
                None => server::Tls::Absent,
            },
            auth: match self.kind {
                ListenerKind::Submission => server::Auth::Required,
                ListenerKind::Unauthenticated => server::Auth::Offered,
                ListenerKind::Relay => server::Auth::Off,
            },
            // PublicPorts of 127.0.0.1 are reached by nobody who could listen in.
            plain_login: matches!(self.ingress, Ingress::Any { .. }),
            bare_line_ends: policy.bare_line_ends,
            transcript: context.emitter.wants_transcripts(),
            uploads: context.uploads.clone(),
            ..server::Config::default()
        }
    }
}

impl Service for SmtpService {
    async fn serve_connection(self, stream: Stream, stop: Stop) -> Result<(), Error> {
        Box::new(SmtpHandler::new(self, stream, stop)?).run().await
    }

    fn too_many_reply(&self) -> &'static str {
        "421 4.7.0 Too many connections from your address, try again later\r\n"
    }
}
