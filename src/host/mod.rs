//! A world brought to life: the hosts of a world file as running actors, live or in virtual time.
//!
//! [`Ground`] is what they stand on (network, store, clock, dice, journal, authority); [`Running`] is the hosts
//! themselves, and the doors at which real programs find them.

mod census;
mod data;
mod fault;
mod faults;
mod ground;
mod neighbour;
mod running;
mod start;

use std::path::PathBuf;

use crate::dns::InvalidZone;
use crate::world::Service;
use crate::{net, store};

pub use census::Census;
pub use data::Data;
pub use fault::{Certificate, Cure, Fault, Names, Way};
pub use faults::{Active, Faults};
pub use ground::Ground;
pub use running::{Cast, Doors, Reach, Running};

/// Why a world does not come to life.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A door cannot be opened.
    #[error("the {service} port: {why}")]
    Door {
        /// Which one.
        service: Service,
        /// What is in the way.
        why: net::Error,
    },
    /// A port and its offset make no port.
    #[error("the {service} port: {port} and {offset} more is above 65535; choose a smaller --port-offset")]
    Offset {
        /// Which one.
        service: Service,
        /// The port in the world file.
        port: u16,
        /// What was to be added.
        offset: u16,
    },
    /// The same, for a port by which an external MTA reaches a host.
    #[error("a port of `reach`: {port} and {offset} more is above 65535; choose a smaller --port-offset")]
    NeighbourOffset {
        /// The port in the world file.
        port: u16,
        /// What was to be added.
        offset: u16,
    },
    /// A host cannot listen, or has no certificate.
    #[error("host {host}: {why}")]
    Host {
        /// Which one.
        host: String,
        /// What is in the way.
        why: net::Error,
    },
    /// Virtual time is nothing to a foreign program.
    #[error("host {host}: engine = \"{engine}\" runs in real time only; leave it out for virtual time")]
    LiveOnly {
        /// Which one.
        host: String,
        /// Its engine.
        engine: &'static str,
    },
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The names of the world do not make sound zones.
    #[error("the world's names: {0}")]
    Zones(#[from] InvalidZone),
    /// The data folder cannot be used.
    #[error("the data folder {}: {why}", path.display())]
    Data {
        /// Which file or folder.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The local certificate authority cannot be made or read.
    #[error(transparent)]
    Authority(net::Error),
}
