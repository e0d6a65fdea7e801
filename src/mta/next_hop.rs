//! The destination of a message: a next hop, and the protection that the connection to it needs.

use std::net::IpAddr;

use crate::journey::Protocol;
use crate::world::{HostName, TlsMode};

/// Where a message goes next, and how. Messages with the same next hop share connections.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NextHop {
    pub(super) kind: HopKind,
    /// How well the connection must be protected.
    pub(super) tls: TlsMode,
    /// The sender requires that protection. RFC 8689.
    pub(super) sender_requires: bool,
}

/// The kind of a next hop.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum HopKind {
    /// The MDA of a local domain.
    Mailboxes(HostName),
    /// A host of the world, by a configured route.
    Host(HostName),
    /// Any server, by a configured route.
    Server(String, u16),
    /// The mail exchanges of a domain.
    Exchange(String),
    /// An address literal. RFC 5321 §4.1.3.
    Literal(IpAddr),
}

impl NextHop {
    /// Whether the hop is reached by LMTP, as only the MDA of a local domain is.
    pub(super) fn is_lmtp(&self) -> bool {
        matches!(self.kind, HopKind::Mailboxes(_))
    }

    /// The protocol by which the hop is reached: LMTP for the MDA of a local domain, else SMTP.
    pub(super) fn protocol(&self) -> Protocol {
        if self.is_lmtp() { Protocol::Lmtp } else { Protocol::Smtp }
    }
}
