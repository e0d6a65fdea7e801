//! Which hosts of a world run in this process.

use crate::world::HostName;

/// The hosts of a world that run in this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostSelection {
    /// All hosts.
    All,
    /// One host; the others run elsewhere, at their addresses in the world file.
    Only(HostName),
    /// No host.
    None,
}

impl HostSelection {
    /// Whether this host runs in this process.
    pub fn includes(&self, host: &HostName) -> bool {
        match self {
            Self::All => true,
            Self::Only(name) => name == host,
            Self::None => false,
        }
    }
}
