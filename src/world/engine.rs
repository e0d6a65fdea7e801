//! The program behind an MTA of the world: ours, or an external one.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::HostName;

/// The program behind an MTA.
#[derive(Clone, Debug, Default)]
pub enum Engine {
    /// Our own MTA.
    #[default]
    Postroad,
    /// The SMTP server of the crate mailin-embedded in front of our queue, in real time only.
    Mailin,
    /// Any other MTA, which is started and stopped by its operator.
    External(External),
}

/// Where an external MTA listens, and through which local ports it reaches the world.
#[derive(Clone, Debug)]
pub struct External {
    /// Its real address, to which port 25 of the host is forwarded.
    pub at: SocketAddr,
    /// The local port for each host that it can reach. Connections to these ports count as coming from this MTA.
    pub reach: BTreeMap<HostName, u16>,
}

impl Engine {
    /// Whether the queue is ours: true for all engines but an external MTA.
    pub fn is_ours(&self) -> bool {
        !matches!(self, Self::External(_))
    }

    /// Its name in the world file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Postroad => "postroad",
            Self::Mailin => "mailin",
            Self::External(_) => "external",
        }
    }
}
