//! Takes messages over SMTP: who may send what to whom, and durable before `250`.
//!
//! `conversation` asks at each stage what the policy of the host says; `arrival` makes of a message what is queued.

mod arrival;
mod conversation;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

#[cfg(feature = "mailin")]
pub(super) use arrival::Arrival;
use conversation::Conversation;

use super::Mta;
use crate::mail::Address;
use crate::net::{Error, Service, Stop, Stream};
use crate::smtp::server;
use crate::world::HostName;

/// Errors after which a peer is let go.
const ERRORS_MAX: usize = 20;

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Port 25 of a host, for other hosts.
    Relay,
    /// Ports 587 and 465, for users who log in. RFC 6409.
    Submission,
    /// Port 25 for programs on this machine: no login needed. Never on an address that others can reach.
    Open,
}

/// The receiving side of one MTA, or of all of them behind one port. A [`Service`]; cheap to clone.
#[derive(Clone)]
pub struct Reception {
    kind: Kind,
    site: Site,
}

#[derive(Clone)]
enum Site {
    One(Mta),
    /// Each message starts at its sender's provider, or else at the entry.
    Any {
        mtas: Arc<BTreeMap<HostName, Mta>>,
        entry: Mta,
    },
}

impl Reception {
    /// Receives for one host.
    pub fn of(mta: Mta, kind: Kind) -> Self {
        Self { kind, site: Site::One(mta) }
    }

    /// Receives for all of these hosts: a message starts at the provider of who logged in or, without login, of its
    /// reverse-path; at `entry` if there is none.
    pub fn front(mtas: Arc<BTreeMap<HostName, Mta>>, entry: Mta, kind: Kind) -> Self {
        Self { kind, site: Site::Any { mtas, entry } }
    }

    fn face(&self) -> &Mta {
        match &self.site {
            Site::One(mta) | Site::Any { entry: mta, .. } => mta,
        }
    }

    /// The host that takes a message of this sender.
    fn home(&self, sender: Option<&Address>) -> &Mta {
        let Site::Any { mtas, entry } = &self.site else { return self.face() };
        let served = sender.and_then(|sender| entry.setup().world.domains.get(sender.domain()));
        served.and_then(|served| served.mx.iter().find_map(|host| mtas.get(host))).unwrap_or(entry)
    }

    fn config(&self, tls: Option<String>) -> server::Config {
        let setup = self.face().setup();
        let policy = &setup.settings.policy;
        server::Config {
            hostname: self.face().fqdn().to_owned(),
            protocol: match self.kind {
                Kind::Submission => server::Protocol::Submission,
                Kind::Relay | Kind::Open => server::Protocol::Smtp,
            },
            size_max: setup.settings.size_max as u64,
            recipients_max: policy.recipients_max,
            transactions_max: policy.transactions_max,
            recipient_domains_max: policy.recipient_domains_max,
            errors_max: ERRORS_MAX,
            tls: match tls {
                Some(tls) => server::Tls::Active(tls),
                None if setup.identity.is_shown() => server::Tls::Offered,
                None => server::Tls::Absent,
            },
            auth: match self.kind {
                Kind::Submission => server::Auth::Required,
                Kind::Open => server::Auth::Offered,
                Kind::Relay => server::Auth::Off,
            },
            // Doors of 127.0.0.1 are reached by nobody who could listen in.
            plain_login: matches!(self.site, Site::Any { .. }),
            bare_line_ends: policy.bare_line_ends,
            dialogue: setup.recorder.wants_dialogues(),
            ..server::Config::default()
        }
    }
}

impl Service for Reception {
    async fn converse(self, stream: Stream, stop: Stop) -> Result<(), Error> {
        Box::new(Conversation::new(self, stream, stop)?).run().await
    }

    fn farewell(&self) -> &'static str {
        "421 4.7.0 Too many connections from your address, try again later\r\n"
    }
}
