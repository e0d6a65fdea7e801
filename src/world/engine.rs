//! Which program plays an MTA of the world: ours, or a neighbour of another make.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::HostName;

/// The program behind an MTA.
#[derive(Clone, Debug, Default)]
pub enum Engine {
    /// Ours.
    #[default]
    Postroad,
    /// The crate mailin-embedded in front of our queue: an old-fashioned server, in real time only.
    Mailin,
    /// Any real MTA, run by somebody else.
    External(External),
}

/// Where a foreign MTA is, and by which doors it comes back in.
#[derive(Clone, Debug)]
pub struct External {
    /// Its real address. Port 25 of the host leads there.
    pub at: SocketAddr,
    /// Ports of this machine that stand for the other hosts: what comes in there comes from this one.
    pub reach: BTreeMap<HostName, u16>,
}

impl Engine {
    /// Whether the queue is ours.
    pub fn is_ours(&self) -> bool {
        !matches!(self, Self::External(_))
    }

    /// In the words of the world file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Postroad => "postroad",
            Self::Mailin => "mailin",
            Self::External(_) => "external",
        }
    }
}
