//! Runs a world: the hosts of a world file as actors, live or in virtual time.
//!
//! [`Environment`] holds the dependencies that all hosts share: network, store, clock, random numbers, event log,
//! certificate authority. [`RunningWorld`] is the hosts, and the public ports that real clients use.
//!
//! ```text
//! inject -> running_world -> start -> external, ports, host_tasks
//!                       '-----> recovery
//!                              |
//!                              '----> environment -> fault_injector -> fault
//! ```

mod data_dir;
mod environment;
mod external;
mod fault;
mod fault_check;
mod fault_injector;
mod host_table;
mod host_tasks;
mod import;
mod inject;
mod inventory;
mod ports;
#[cfg(test)]
mod public_tests;
mod recovery;
mod running_world;
mod selection;
mod start;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use crate::dns::InvalidZone;
use crate::world::Service;
use crate::{net, store};

pub use data_dir::DataDir;
pub use environment::Environment;
pub use fault::{Certificate, Direction, DnsFaultKind, Fault, OUTSIDE, UndoList};
pub use fault_injector::{Active, FaultInjector};
pub use import::{Imported, import};
pub use inventory::Inventory;
pub use ports::{ExternalPorts, PublicPorts};
pub use running_world::RunningWorld;
pub use selection::HostSelection;

/// Why a world, or a host of it, cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A public port cannot be bound.
    #[error("the {service} port: {why}")]
    PublicPort {
        /// The service.
        service: Service,
        /// The cause.
        why: net::Error,
    },
    /// A public port plus the offset is not a valid port.
    #[error("the {service} port: {port} + {offset} is above 65535; choose a smaller --port-offset")]
    Offset {
        /// The service.
        service: Service,
        /// The port in the world file.
        port: u16,
        /// The offset.
        offset: u16,
    },
    /// A local port of an external MTA plus the offset is not a valid port.
    #[error("a port of `reach` or `at`: {port} + {offset} is above 65535; choose a smaller --port-offset")]
    ExternalOffset {
        /// The port in the world file.
        port: u16,
        /// The offset.
        offset: u16,
    },
    /// A host cannot listen, or has no certificate.
    #[error("host {host}: {why}")]
    Host {
        /// The host.
        host: String,
        /// The cause.
        why: net::Error,
    },
    /// Faults keep a host off.
    #[error("{host} stays off until these faults end: {}; see `postroad fault list`", list(faults))]
    HeldOff {
        /// The host.
        host: String,
        /// The faults.
        faults: Vec<u64>,
    },
    /// A host is left to another process.
    #[error("{host} does not run in this process")]
    OtherProcess {
        /// The host.
        host: String,
    },
    /// An external program cannot run in virtual time.
    #[error("host {host}: engine = \"{engine}\" runs in real time only; leave it out for virtual time")]
    LiveOnly {
        /// The host.
        host: String,
        /// Its engine.
        engine: &'static str,
    },
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The names of the world do not form valid DNS zones.
    #[error("the world's names: {0}")]
    Zones(#[from] InvalidZone),
    /// The data folder cannot be used.
    #[error("the data folder {}: {why}", path.display())]
    Data {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        why: String,
    },
    /// Mail that is to be there from the start cannot be imported.
    #[error("cannot import {}: {why}", path.display())]
    Import {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        why: String,
    },
    /// The local certificate authority cannot be made or read.
    #[error(transparent)]
    Authority(net::Error),
}

fn list(faults: &[u64]) -> String {
    faults.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}
