//! A running world: its hosts, and the public ports that real clients use.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::external::ExternalMtas;
use super::fault_injector::Recorded;
use super::host_table::{Hold, HostState, HostTable};
use super::host_tasks::HostTasks;
use super::ports::{BoundPorts, ExternalPorts, PublicPorts};
use super::start::{self, Context};
use super::{Environment, Error, Fault, FaultInjector, HostSelection, recovery};
use crate::mda::{Mailboxes, Mda};
use crate::mta::Mta;
use crate::net::{Datagrams, Listener, Service as Handler, Stop, TlsAcceptor, UploadBudget};
use crate::world::{HostName, Role, Service};

/// A running world.
pub struct RunningWorld {
    /// The dependencies that all hosts share.
    pub env: Environment,
    /// Its MTAs, with their queues.
    pub mtas: Arc<BTreeMap<HostName, Mta>>,
    /// Its MDAs.
    pub mdas: Arc<BTreeMap<HostName, Mda>>,
    /// The mailboxes of all MDAs.
    pub mailboxes: Mailboxes,
    /// The injected faults.
    pub faults: FaultInjector,
    /// The memory for messages that are being received, over whatever protocol.
    pub uploads: UploadBudget,
    pub(super) ports: BoundPorts,
    external: ExternalMtas,
    /// The tasks that belong to no host.
    public: HostTasks,
    /// Stores the events.
    saver: HostTasks,
    selection: HostSelection,
    hosts: HostTable,
}

impl RunningWorld {
    /// Starts every host of the world, each with its public ports for mail and DNS. When it returns, all listen.
    ///
    /// # Errors
    /// A port is taken, or the store cannot be read. Nothing keeps running then.
    pub async fn start(env: Environment, public_ports: PublicPorts) -> Result<Self, Error> {
        Self::start_selected(env, public_ports, &HostSelection::All).await
    }

    /// Starts those hosts of the world that run in this process, each with its public ports.
    ///
    /// # Errors
    /// As [`RunningWorld::start`].
    pub async fn start_selected(
        env: Environment,
        public_ports: PublicPorts,
        selection: &HostSelection,
    ) -> Result<Self, Error> {
        let mailboxes = Mailboxes::with_catalogue(env.store.clone(), env.clock, env.catalogue.clone());
        let faults = FaultInjector::new(&env.world, env.rng.fork("faults"));
        let uploads = start::uploads(&env.world);
        let mtas = Arc::new(start::mtas(&env, &faults, &uploads, selection)?);
        let mdas = Arc::new(start::mdas(&env, &mailboxes, &faults, &uploads, selection)?);
        let (public, saver) = (HostTasks::default(), HostTasks::default());
        recovery::recover(&env, &mtas).await?;
        saver.spawn(env.event_log.clone().save(saver.stop.clone()));
        let external = ExternalMtas::new(public_ports.external_offset());
        let (ports, selection) = (BoundPorts::new(public_ports), selection.clone());
        let hosts = HostTable::new(&env.world);
        let mut running =
            Self { env, mtas, mdas, mailboxes, faults, uploads, ports, external, public, saver, selection, hosts };
        start::sync_maildirs(&running.context(), &running.mailboxes, &running.public);
        match running.start_hosts().await {
            Ok(()) => Ok(running),
            Err(error) => {
                running.stop().await;
                Err(error)
            }
        }
    }

    /// Reserves the public ports, and starts DNS and MDAs, then the MTAs that depend on them. Each listens at its own.
    async fn start_hosts(&mut self) -> Result<(), Error> {
        for (host, services) in start::owners(&self.env, &self.mtas, &self.mdas, &self.selection) {
            for service in services {
                self.ports.reserve(&self.env.net, *service, host).await?;
            }
        }
        let world = self.env.world.clone();
        let selected = world.hosts.values().filter(|host| self.selection.includes(&host.name));
        let (mtas, others): (Vec<_>, Vec<_>) = selected.partition(|host| matches!(host.role, Role::Mta(_)));
        for host in others.into_iter().chain(mtas) {
            self.turn_on(&host.name).await?;
        }
        Ok(())
    }

    /// What a host needs to start.
    fn context(&self) -> Context<'_> {
        let Self { env, mtas, mdas, faults, external, ports, .. } = self;
        Context { env, faults, mtas, mdas, external, ports }
    }

    /// The public ports of a host, and where each is bound; empty if it has none.
    pub fn public_ports_of(&self, host: &str) -> BTreeMap<Service, SocketAddr> {
        self.ports.of_host(host).map(|(service, port)| (service, port.address())).collect()
    }

    /// Where each public port is bound.
    pub fn bound_ports(&self) -> &BTreeMap<Service, SocketAddr> {
        &self.ports.bound
    }

    /// The local addresses at which each external MTA that was started reaches the other hosts.
    pub fn external_ports(&self) -> ExternalPorts {
        self.external.ports()
    }

    /// Binds the public port of a service, for the caller to serve; `None` if the world does not have it.
    ///
    /// # Errors
    /// The port is taken or may not be used.
    pub async fn bind_public(&mut self, service: Service) -> Result<Option<Listener>, Error> {
        self.ports.bind(&self.env.net, service).await
    }

    /// Binds the public port of a service for TCP and UDP, for the caller to serve; `None` if the world does not have
    /// it.
    ///
    /// # Errors
    /// The port is taken or may not be used.
    pub async fn bind_public_tcp_udp(&mut self, service: Service) -> Result<Option<(Listener, Datagrams)>, Error> {
        self.ports.bind_tcp_udp(&self.env.net, service).await
    }

    /// The stop that fires when the world stops.
    pub fn stopping(&self) -> Stop {
        self.public.stop.clone()
    }

    /// Spawns a task that [`RunningWorld::stop`] waits for; it must end when [`RunningWorld::stopping`] fires.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.public.spawn(task);
    }

    /// Serves a public port until the world stops.
    pub fn serve(&self, listener: Listener, tls: Option<TlsAcceptor>, handler: impl Handler) {
        self.public.serve(listener, tls, handler);
    }

    /// Turns a host on, unless a fault keeps it off; its MTA resumes its queue. The history of faults notes that it is
    /// no longer turned off. Does nothing if the host is on already, or does not exist.
    ///
    /// # Errors
    /// A fault keeps the host off, it does not run in this process, or a port of it is taken.
    pub async fn turn_on(&self, host: &str) -> Result<(), Error> {
        if !self.runs_here(host) {
            return Err(Error::OtherProcess { host: host.to_owned() });
        }
        self.release(host, Hold::Operator, Duration::ZERO).await?;
        self.faults.record_end(&self.env.event_log, &Recorded::Off(host.to_owned())).await;
        self.faults.changed();
        match self.hosts.get(host).map(HostState::faults) {
            Some(faults) if !faults.is_empty() => Err(Error::HeldOff { host: host.to_owned(), faults }),
            _ => Ok(()),
        }
    }

    /// Turns a host off and waits for its tasks: it closes its connections and cannot be reached until it is turned on
    /// again. What it has stored is kept. The history of faults notes it.
    pub async fn turn_off(&self, host: &str) {
        self.hold_off(host, Hold::Operator).await;
        let fault = Fault::Off { host: host.to_owned(), startup: Duration::ZERO };
        self.faults.record_begin(&self.env.event_log, Recorded::Off(host.to_owned()), &fault).await;
        self.faults.changed();
    }

    /// Kills a host: all its tasks are dropped where they are, and what was not committed is lost. A simulated disk
    /// loses what was not synced, too. The host stays off until it is turned on. The history of faults does not note
    /// it.
    pub async fn kill_host(&self, host: &str) {
        self.kill(host, Hold::Operator).await;
    }

    /// Whether a host is on; `false` for one that does not exist.
    pub fn is_on(&self, host: &str) -> bool {
        self.hosts.get(host).is_some_and(|state| state.power().tasks.is_some())
    }

    /// Whether this process runs a host that the world has, rather than another process; `true` for one that it does
    /// not have.
    pub(super) fn runs_here(&self, host: &str) -> bool {
        self.env.world.hosts.get(host).is_none_or(|host| self.selection.includes(&host.name))
    }

    /// Turns a host off for this reason, beside any others.
    pub(super) async fn hold_off(&self, host: &str, hold: Hold) {
        if let Some(state) = self.hosts.get(host) {
            state.stop(hold, false).await;
        }
    }

    /// Kills a host, which is then off for this reason, beside any others. A store in memory loses what is not synced,
    /// of all hosts.
    pub(super) async fn kill(&self, host: &str, hold: Hold) {
        if let Some(state) = self.hosts.get(host) {
            state.stop(hold, true).await;
        }
        if let Err(error) = self.env.store.cut_power() {
            tracing::error!(host, %error, "the store did not survive a power cut");
        }
    }

    /// Removes a reason for which a host is off. Without any other, the host is turned on, unless the world stops; its
    /// services need `startup_delay` to start: until then, connections to it are accepted but get no answer.
    ///
    /// # Errors
    /// A port of the host is taken; the reason stays.
    pub(super) async fn release(&self, host: &str, hold: Hold, startup_delay: Duration) -> Result<(), Error> {
        let (Some(state), Some(host)) = (self.hosts.get(host), self.env.world.hosts.get(host)) else { return Ok(()) };
        let _switching = state.switching.lock().await;
        {
            let mut power = state.power();
            power.holds.remove(&hold);
            if !power.holds.is_empty() || power.tasks.is_some() || self.public.stop.is_cancelled() {
                return Ok(());
            }
        }
        let tasks = HostTasks::delayed(startup_delay);
        let started = start::host(&self.context(), host, &tasks).await;
        if started.is_err() {
            tasks.shut_down().await;
            state.power().holds.insert(hold);
        } else {
            state.power().tasks = Some(tasks);
        }
        started
    }

    /// Stops the world: no new connections are accepted, and open connections and deliveries may end within the grace
    /// period.
    pub async fn stop(&self) {
        self.public.stop.cancel();
        futures_util::future::join_all(self.hosts.tasks().iter().map(HostTasks::shut_down)).await;
        self.public.shut_down().await;
        // The last events are those of the tasks that have ended.
        self.saver.shut_down().await;
    }

    /// Starts to stop the world, without waiting: fires the stops of all hosts, of the tasks of no host, and of the
    /// task that stores events.
    pub fn request_stop(&self) {
        self.public.stop.cancel();
        self.hosts.tasks().iter().for_each(|tasks| tasks.stop.cancel());
        self.saver.stop.cancel();
    }
}
