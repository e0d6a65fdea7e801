//! A running world: its hosts, and the public ports that real clients use.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::external::ExternalMtas;
use super::host_tasks::HostTasks;
use super::ports::{BoundPorts, ExternalPorts, PublicPorts};
use super::start::{self, Context};
use super::{Environment, Error, FaultInjector, HostSelection, recovery};
use crate::mda::{Mailboxes, Mda};
use crate::mta::Mta;
use crate::net::{Datagrams, Listener, Service as Handler, Stop, TlsAcceptor, UploadBudget};
use crate::sync::lock;
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
    ports: BoundPorts,
    external: ExternalMtas,
    /// The tasks behind the public ports.
    public: HostTasks,
    /// Stores the events.
    saver: HostTasks,
    /// The tasks of each host that is on.
    hosts: Mutex<BTreeMap<HostName, HostTasks>>,
}

impl RunningWorld {
    /// Starts every host of the world, then binds the public ports for mail and DNS. When it returns, all listen.
    ///
    /// # Errors
    /// A port is taken, or the store cannot be read. Nothing keeps running then.
    pub async fn start(env: Environment, public_ports: PublicPorts) -> Result<Self, Error> {
        Self::start_selected(env, public_ports, &HostSelection::All).await
    }

    /// Starts those hosts of the world that run in this process, then binds their public ports.
    ///
    /// # Errors
    /// As [`RunningWorld::start`].
    pub async fn start_selected(
        env: Environment,
        public_ports: PublicPorts,
        selection: &HostSelection,
    ) -> Result<Self, Error> {
        let mailboxes = Mailboxes::new(env.store.clone(), env.clock);
        let faults = FaultInjector::new(&env.world, env.rng.fork("faults"));
        let uploads = start::uploads(&env.world);
        let mtas = Arc::new(start::mtas(&env, &faults, &uploads, selection)?);
        let mdas = Arc::new(start::mdas(&env, &mailboxes, &faults, &uploads, selection)?);
        let (public, saver, hosts) = (HostTasks::default(), HostTasks::default(), Mutex::default());
        recovery::recover(&env, &mtas).await?;
        saver.spawn(env.event_log.clone().save(saver.stop.clone()));
        let external = ExternalMtas::new(public_ports.external_offset());
        let ports = BoundPorts::new(public_ports);
        let mut running = Self { env, mtas, mdas, mailboxes, faults, uploads, ports, external, public, saver, hosts };
        start::sync_maildirs(&running.context(), &running.mailboxes, &running.public);
        match running.start_hosts(selection).await {
            Ok(()) => Ok(running),
            Err(error) => {
                running.stop().await;
                Err(error)
            }
        }
    }

    /// Starts DNS and MDAs first, then the MTAs that depend on them, then binds the public ports.
    async fn start_hosts(&mut self, selection: &HostSelection) -> Result<(), Error> {
        let world = self.env.world.clone();
        let selected = world.hosts.values().filter(|host| selection.includes(&host.name));
        let (mtas, others): (Vec<_>, Vec<_>) = selected.partition(|host| matches!(host.role, Role::Mta(_)));
        for host in others.into_iter().chain(mtas) {
            self.turn_on(&host.name).await?;
        }
        let Self { env, mtas, mdas, faults, ports, external, public, .. } = self;
        let context = Context { env, faults, mtas, mdas, external };
        start::public_ports(&context, ports, public, selection).await
    }

    fn context(&self) -> Context<'_> {
        let Self { env, mtas, mdas, faults, external, .. } = self;
        Context { env, faults, mtas, mdas, external }
    }

    /// Where each public port is bound.
    pub fn bound_ports(&self) -> &BTreeMap<Service, SocketAddr> {
        &self.ports.bound
    }

    /// Where each external MTA reaches the other hosts.
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

    /// Fires when the world stops.
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

    /// Turns a host on; its MTA resumes its queue. Does nothing if the host is on already, or does not exist.
    ///
    /// # Errors
    /// A port of the host is taken.
    pub async fn turn_on(&self, host: &str) -> Result<(), Error> {
        self.start_host_delayed(host, Duration::ZERO).await
    }

    /// Turns a host on whose services need some time to start: until then, connections to it are accepted but get no
    /// answer.
    ///
    /// # Errors
    /// As [`RunningWorld::turn_on`].
    pub async fn start_host_delayed(&self, host: &str, startup_delay: Duration) -> Result<(), Error> {
        let Some(host) = self.env.world.hosts.get(host) else { return Ok(()) };
        if self.hosts().contains_key(&host.name) {
            return Ok(());
        }
        let tasks = HostTasks::delayed(startup_delay);
        let started = start::host(&self.context(), host, &tasks).await;
        if started.is_err() {
            tasks.shut_down().await;
        } else {
            self.hosts().insert(host.name.clone(), tasks);
        }
        started
    }

    /// Turns a host off: it closes its connections and cannot be reached until it is turned on again. What it has
    /// stored is kept.
    pub async fn turn_off(&self, host: &str) {
        let tasks = self.hosts().remove(host);
        if let Some(tasks) = tasks {
            tasks.shut_down().await;
        }
    }

    /// Kills a host: all its tasks are dropped where they are, and what was not committed is lost. A simulated disk loses
    /// what was not synced, too. The host stays off until it is turned on.
    pub async fn kill_host(&self, host: &str) {
        let tasks = self.hosts().remove(host);
        if let Some(tasks) = tasks {
            tasks.abort().await;
        }
        if let Err(error) = self.env.store.cut_power() {
            tracing::error!(host, %error, "the store did not survive a power cut");
        }
    }

    /// Whether a host is on.
    pub fn is_on(&self, host: &str) -> bool {
        self.hosts().contains_key(host)
    }

    /// Stops the world: no new connections are accepted, and open connections and deliveries may end within the grace
    /// period.
    pub async fn stop(&self) {
        self.public.stop.cancel();
        let hosts: Vec<_> = std::mem::take(&mut *self.hosts()).into_values().collect();
        futures_util::future::join_all(hosts.iter().map(HostTasks::shut_down)).await;
        self.public.shut_down().await;
        // The last events are those of the tasks that have ended.
        self.saver.shut_down().await;
    }

    /// Starts to stop the world, without waiting.
    pub fn request_stop(&self) {
        self.public.stop.cancel();
        self.hosts().values().for_each(|tasks| tasks.stop.cancel());
        self.saver.stop.cancel();
    }

    fn hosts(&self) -> MutexGuard<'_, BTreeMap<HostName, HostTasks>> {
        lock(&self.hosts)
    }
}
