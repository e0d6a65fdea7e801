//! The hosts of a world, running, and the doors at which real programs find them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use super::{Error, Faults, Ground, start};
use crate::mda::{Mailboxes, Mda};
use crate::mta::{Mailin, Mta};
use crate::net::{Datagrams, Door, Identity, Limits, Listener, Service as Serving, Stop, serve_until};
use crate::world::{HostName, Service};

/// Where real programs find the world.
#[derive(Clone, Debug, Default)]
pub struct Doors {
    services: BTreeMap<Service, SocketAddr>,
    /// How ports that the world file gives to neighbours are moved.
    neighbours: Shift,
}

#[derive(Clone, Copy, Debug)]
enum Shift {
    /// So much higher; port 0 picks a free one.
    By(u16),
    /// All are free ones.
    Free,
}

impl Default for Shift {
    fn default() -> Self {
        Self::By(0)
    }
}

/// The doors of external MTAs: who reaches whom, and where.
pub type Reach = BTreeMap<HostName, BTreeMap<HostName, SocketAddr>>;

impl Doors {
    /// None: the world keeps to itself, and to the external MTAs that are part of it.
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
        let services = ports.iter().map(shift).collect::<Result<_, Error>>()?;
        Ok(Self { services, neighbours: Shift::By(offset) })
    }

    /// A free port for each service of a world.
    pub fn free(ports: &BTreeMap<Service, u16>, ip: IpAddr) -> Self {
        let services = ports.keys().map(|service| (*service, SocketAddr::new(ip, 0))).collect();
        Self { services, neighbours: Shift::Free }
    }
}

/// Which hosts of the world run in this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cast {
    /// All of them.
    Everyone,
    /// One; the others run elsewhere, at the addresses of the world.
    Only(HostName),
    /// None.
    Nobody,
}

impl Cast {
    /// Whether this host runs here.
    pub fn plays(&self, host: &HostName) -> bool {
        match self {
            Self::Everyone => true,
            Self::Only(name) => name == host,
            Self::Nobody => false,
        }
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
    /// What goes wrong.
    pub faults: Faults,
    doors: Doors,
    bound: BTreeMap<Service, SocketAddr>,
    reach: Mutex<Reach>,
    /// Old-fashioned MTAs, once started.
    mailins: Mutex<BTreeMap<HostName, Mailin>>,
    /// What runs for the doors, and for each host that is up.
    outside: Power,
    hosts: Mutex<BTreeMap<HostName, Power>>,
}

/// What keeps some tasks running, and waits for them when it is cut.
#[derive(Clone, Default)]
pub(super) struct Power {
    pub(super) stop: Stop,
    /// Fires when it goes away all at once.
    pub(super) end: Stop,
    /// What it runs begins so much later.
    startup: Duration,
    tasks: TaskTracker,
}

impl Power {
    /// Runs a task for as long as there is power; it must end when `stop` fires.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if self.startup.is_zero() {
            self.tasks.spawn(task);
            return;
        }
        let (stop, startup) = (self.stop.clone(), self.startup);
        self.tasks.spawn(async move {
            if stop.run_until_cancelled(sleep(startup)).await.is_some() {
                task.await;
            }
        });
    }

    /// Serves at a listener.
    pub(super) fn serve(&self, listener: Listener, tls: Option<Identity>, service: impl Serving) {
        let door = Door { listener, tls, limits: Limits::default() };
        self.spawn(serve_until(door, service, self.stop.clone(), self.end.clone()));
    }

    /// Everything stops where it is.
    async fn fail(&self) {
        self.end.cancel();
        self.cut().await;
    }

    async fn cut(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Running {
    /// Starts every host of the world, and opens the doors of mail and DNS. When it returns, all of them listen.
    ///
    /// # Errors
    /// A port is taken, or the store cannot be read. Nothing keeps running then.
    pub async fn start(ground: Ground, doors: Doors) -> Result<Self, Error> {
        Self::start_cast(ground, doors, &Cast::Everyone).await
    }

    /// Starts those hosts of the world that run in this process, and their doors.
    ///
    /// # Errors
    /// As [`Running::start`].
    pub async fn start_cast(ground: Ground, doors: Doors, cast: &Cast) -> Result<Self, Error> {
        let mailboxes = Mailboxes::new(ground.store.clone(), ground.clock);
        let faults = Faults::of(&ground);
        let mtas = Arc::new(start::mtas(&ground, &faults, cast)?);
        let mdas = Arc::new(start::mdas(&ground, &mailboxes, &faults, cast)?);
        let (outside, hosts) = (Power::default(), Mutex::default());
        let (bound, reach, mailins) = (BTreeMap::new(), Mutex::default(), Mutex::default());
        let mut running = Self { ground, mtas, mdas, mailboxes, faults, doors, bound, reach, mailins, outside, hosts };
        start::keep_maildirs(&running);
        match start::all(&mut running, cast).await {
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

    /// Where each external MTA finds the other hosts.
    pub fn reach(&self) -> Reach {
        self.reach.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn note_reach(&self, from: &HostName, to: &HostName, at: SocketAddr) {
        let mut reach = self.reach.lock().unwrap_or_else(PoisonError::into_inner);
        reach.entry(from.clone()).or_default().insert(to.clone(), at);
    }

    pub(super) fn mailin(&self, host: &HostName) -> Option<Mailin> {
        self.mailins.lock().unwrap_or_else(PoisonError::into_inner).get(host).cloned()
    }

    pub(super) fn note_mailin(&self, host: &HostName, mailin: Mailin) {
        self.mailins.lock().unwrap_or_else(PoisonError::into_inner).insert(host.clone(), mailin);
    }

    /// Neighbours run on this machine, and are trusted: nobody else shall come in by their doors.
    pub(super) fn door_for_neighbour(&self, port: u16) -> Result<SocketAddr, Error> {
        let port = match self.doors.neighbours {
            Shift::Free => 0,
            Shift::By(_) if port == 0 => 0,
            Shift::By(offset) => port.checked_add(offset).ok_or(Error::NeighbourOffset { port, offset })?,
        };
        Ok(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port))
    }

    /// Opens a door, if the world has it; the caller serves at it.
    ///
    /// # Errors
    /// The port is taken or may not be used.
    pub async fn open_door(&mut self, service: Service) -> Result<Option<Listener>, Error> {
        let Some(address) = self.doors.services.get(&service) else { return Ok(None) };
        let outside = self.ground.net.interface(&[]);
        let listener = outside.open_door(*address).await.map_err(|why| Error::Door { service, why })?;
        self.bound.insert(service, listener.address());
        Ok(Some(listener))
    }

    /// The same for TCP and UDP on one port.
    ///
    /// # Errors
    /// The port is taken or may not be used.
    pub async fn open_both_doors(&mut self, service: Service) -> Result<Option<(Listener, Datagrams)>, Error> {
        let Some(address) = self.doors.services.get(&service) else { return Ok(None) };
        let outside = self.ground.net.interface(&[]);
        let both = outside.open_both_doors(*address).await.map_err(|why| Error::Door { service, why })?;
        self.bound.insert(service, both.0.address());
        Ok(Some(both))
    }

    /// Fires when the world stops.
    pub fn stopping(&self) -> Stop {
        self.outside.stop.clone()
    }

    /// Runs a task that the world waits for when it stops; it must end when [`Running::stopping`] fires.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.outside.spawn(task);
    }

    /// Serves at a door until the world stops.
    pub fn serve(&self, listener: Listener, tls: Option<Identity>, service: impl Serving) {
        self.outside.serve(listener, tls, service);
    }

    /// Turns a host on; it goes on with what waits in its queue. One that is on stays as it is.
    ///
    /// # Errors
    /// A port of it is taken. A name that is no host's is no error.
    pub async fn turn_on(&self, host: &str) -> Result<(), Error> {
        self.turn_on_slowly(host, Duration::ZERO).await
    }

    /// The same for a host that needs some time: connections to it come up at once, but nobody answers.
    ///
    /// # Errors
    /// As [`Running::turn_on`].
    pub async fn turn_on_slowly(&self, host: &str, startup: Duration) -> Result<(), Error> {
        let Some(host) = self.ground.world.hosts.get(host) else { return Ok(()) };
        if self.hosts().contains_key(&host.name) {
            return Ok(());
        }
        let power = Power { startup, ..Power::default() };
        let started = start::host(self, host, &power).await;
        if started.is_err() {
            power.cut().await;
        } else {
            self.hosts().insert(host.name.clone(), power);
        }
        started
    }

    /// Turns a host off: it hangs up, and nobody reaches it until it is turned on again. What it had made durable
    /// waits for that.
    pub async fn turn_off(&self, host: &str) {
        let power = self.hosts().remove(host);
        if let Some(power) = power {
            power.cut().await;
        }
    }

    /// Kills a host: everything it does stops where it is, and what it had not yet made durable is lost. It stays off
    /// until it is turned on.
    pub async fn crash(&self, host: &str) {
        let power = self.hosts().remove(host);
        if let Some(power) = power {
            power.fail().await;
        }
    }

    /// Whether a host is on.
    pub fn is_on(&self, host: &str) -> bool {
        self.hosts().contains_key(host)
    }

    /// Stops: nothing new is accepted, conversations and deliveries under way may end, within the grace period.
    pub async fn stop(&self) {
        self.outside.stop.cancel();
        let powers: Vec<_> = std::mem::take(&mut *self.hosts()).into_values().collect();
        futures_util::future::join_all(powers.iter().map(Power::cut)).await;
        self.outside.cut().await;
    }

    /// Stops without waiting for it.
    pub fn stop_soon(&self) {
        self.outside.stop.cancel();
        self.hosts().values().for_each(|power| power.stop.cancel());
    }

    /// A panic elsewhere does not make this table wrong: each change to it is whole.
    fn hosts(&self) -> MutexGuard<'_, BTreeMap<HostName, Power>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
