//! Dependencies of one MTA.

use std::sync::Arc;

use crate::catalogue::Catalogue;
use crate::dns::Resolver;
use crate::journey::EventEmitter;
use crate::net::{Interface, TlsAcceptor, Trust, UploadBudget};
use crate::store::Store;
use crate::world::{self, Clock, HostName, Rng, World};

/// Dependencies of one MTA.
pub struct MtaContext {
    /// The world that it belongs to.
    pub world: Arc<World>,
    /// Its short host name.
    pub host: HostName,
    /// Its settings in the world file.
    pub settings: world::Mta,
    /// Its addresses on the network.
    pub interface: Interface,
    /// Looks up the hosts that it relays to.
    pub resolver: Resolver,
    /// Stores its queue.
    pub store: Store,
    /// Where messages that enter the world are listed, if they are.
    pub catalogue: Option<Catalogue>,
    /// The clock of the world.
    pub clock: Clock,
    /// Its random number generator.
    pub rng: Rng,
    /// Records its events.
    pub emitter: EventEmitter,
    /// Accepts TLS with its certificate.
    pub tls: TlsAcceptor,
    /// Accepts any certificate, for opportunistic TLS.
    pub trust: Trust,
    /// Accepts certificates of the authority, where the next host must prove its name.
    pub authority: Trust,
    /// The memory for messages that are being received.
    pub uploads: UploadBudget,
}
