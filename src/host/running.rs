//! The hosts of a world, running, and the doors at which real programs find them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::{Error, Ground, start};
use crate::mda::{Mailboxes, Mda};
use crate::mta::Mta;
use crate::net::{Door, Limits, Listener, Service as Serving, Stop, serve};
use crate::world::{HostName, Service};

/// Where real programs find the world.
#[derive(Clone, Debug, Default)]
pub struct Doors(BTreeMap<Service, SocketAddr>);

impl Doors {
    /// None: the world keeps to itself.
    pub fn shut() -> Self {
        Self::default()
    }

    /// The ports of a world, each `offset` higher, on one address; port 0 stays 0 and picks a free one.
    ///
    /// # Errors
    /// A port would be higher than 65535.
    pub fn of(ports: &BTreeMap<Service, u16>, ip: IpAddr, offset: u16) -> Result<Self, Error> {
        let shift = |(service, port): (&Service, &u16)| {
            let shifted = if *port == 0 { Some(0) } else { port.checked_add(offset) };
            let shifted = shifted.ok_or(Error::Offset { service: *service, port: *port, offset })?;
            Ok((*service, SocketAddr::new(ip, shifted)))
        };
        ports.iter().map(shift).collect::<Result<_, _>>().map(Self)
    }

    /// A free port for each service of a world.
    pub fn free(ports: &BTreeMap<Service, u16>, ip: IpAddr) -> Self {
        Self(ports.keys().map(|service| (*service, SocketAddr::new(ip, 0))).collect())
    }
}

/// A running world.
pub struct Running {
    /// What it stands on.
    pub ground: Ground,
    /// Its MTAs, with their queues.
    pub mtas: Arc<BTreeMap<HostName, Mta>>,
    /// Its MDAs.
    pub mdas: Arc<BTreeMap<HostName, Mda>>,
    /// Their mailboxes.
    pub mailboxes: Mailboxes,
    doors: Doors,
    bound: BTreeMap<Service, SocketAddr>,
    stop: Stop,
    tasks: TaskTracker,
}

impl Running {
    /// Starts every host of the world, and opens the doors of mail and DNS. When it returns, all of them listen.
    ///
    /// # Errors
    /// A port is taken, or the store cannot be read. Nothing keeps running then.
    pub async fn start(ground: Ground, doors: Doors) -> Result<Self, Error> {
        let mailboxes = Mailboxes::new(ground.store.clone(), ground.clock);
        let mtas = Arc::new(start::mtas(&ground)?);
        let mdas = Arc::new(start::mdas(&ground, &mailboxes)?);
        let (stop, tasks) = (Stop::new(), TaskTracker::new());
        let mut running = Self { ground, mtas, mdas, mailboxes, doors, bound: BTreeMap::new(), stop, tasks };
        match start::hosts(&mut running).await {
            Ok(()) => Ok(running),
            Err(error) => {
                running.stop().await;
                Err(error)
            }
        }
    }

    /// Where each open door is.
    pub fn bound(&self) -> &BTreeMap<Service, SocketAddr> {
        &self.bound
    }

    /// Opens a door, if the world has it; the caller serves at it.
    ///
    /// # Errors
    /// The port is taken or may not be used.
    pub async fn open_door(&mut self, service: Service) -> Result<Option<Listener>, Error> {
        let Some(address) = self.doors.0.get(&service) else { return Ok(None) };
        let outside = self.ground.net.interface(&[]);
        let listener = outside.open_door(*address).await.map_err(|why| Error::Door { service, why })?;
        self.bound.insert(service, listener.address());
        Ok(Some(listener))
    }

    /// Fires when the world stops.
    pub fn stopping(&self) -> Stop {
        self.stop.clone()
    }

    /// Runs a task that the world waits for when it stops.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Serves at a listener until the world stops.
    pub fn serve(&self, listener: Listener, tls: Option<crate::net::Identity>, service: impl Serving + Sync) {
        let door = Door { listener, tls, limits: Limits::default() };
        self.spawn(serve(door, service, self.stop.clone()));
    }

    /// Stops: nothing new is accepted, conversations and deliveries under way may end, within the grace period.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
