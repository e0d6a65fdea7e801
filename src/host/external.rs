//! External MTAs (Postfix, Exim, mailin-embedded): traffic for their host is forwarded to them, and each gets local
//! ports through which it reaches the other hosts.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;

use tokio::io::copy_bidirectional;

use super::host_tasks::HostTasks;
use super::ports::{ExternalPorts, PortOffset};
use super::{Environment, Error};
use crate::mta::{Mailin, Mta};
use crate::net::{Error as NetError, Interface, Service, Stop, Stream, external_listener};
use crate::sync::lock;
use crate::world::{External, Host, HostName, Role, port};

/// The external MTAs of a running world.
pub(super) struct ExternalMtas {
    offset: PortOffset,
    ports: Mutex<ExternalPorts>,
    /// The mailin servers that were started; they cannot be stopped, only refuse connections.
    mailins: Mutex<BTreeMap<HostName, Mailin>>,
}

impl ExternalMtas {
    /// No external MTA is started yet.
    pub(super) fn new(offset: PortOffset) -> Self {
        Self { offset, ports: Mutex::default(), mailins: Mutex::default() }
    }

    /// The local addresses at which each external MTA that was started reaches the other hosts.
    pub(super) fn ports(&self) -> ExternalPorts {
        lock(&self.ports).clone()
    }

    /// Connects an external MTA with the world: forwards each of its local ports to the host that it leads to, and port
    /// 25 of its own host to the MTA, until the tasks of the host stop. A host that does not exist or has no address of
    /// the same family gets no port.
    pub(super) async fn start(
        &self,
        env: &Environment,
        host: &Host,
        external: &External,
        tasks: &HostTasks,
    ) -> Result<(), Error> {
        for (to, port) in &external.reach {
            let Some(forwarder) = Forwarder::between(env, host, to) else { continue };
            let failed = |why| Error::Host { host: host.name.to_string(), why };
            let address = self.offset.address(*port)?;
            let listener = env.net.interface(&[]).bind_public(address).await.map_err(failed)?;
            let mut ports = lock(&self.ports);
            ports.entry(host.name.clone()).or_default().insert(to.clone(), listener.address());
            drop(ports);
            tasks.serve(listener, None, forwarder);
        }
        register(env, host, self.offset.external(external.at)?, tasks);
        Ok(())
    }

    /// Forwards port 25 of a host to its mailin server, which is started by the first call and reopened by later ones,
    /// and starts the queue of its MTA, until the tasks of the host stop.
    pub(super) fn start_mailin(
        &self,
        env: &Environment,
        host: &Host,
        mta: &Mta,
        tasks: &HostTasks,
    ) -> Result<(), Error> {
        let mut mailins = lock(&self.mailins);
        let address = if let Some(mailin) = mailins.get(&host.name) {
            mailin.reopen(tasks.stop.clone());
            mailin.address()
        } else {
            let failed = |why: NetError| Error::Host { host: host.name.to_string(), why };
            let (listener, address) = external_listener().map_err(failed)?;
            let started = Mailin::start(mta.clone(), listener, address, tasks.stop.clone());
            mailins.insert(host.name.clone(), started.map_err(|error| failed(error.into()))?);
            address
        };
        register(env, host, address, tasks);
        tasks.spawn(mta.start(tasks.stop.clone(), tasks.end.clone())?);
        Ok(())
    }
}

/// Forwards port 25 at all addresses of the host to an external server until the tasks of the host stop.
fn register(env: &Environment, host: &Host, server: SocketAddr, tasks: &HostTasks) {
    let addresses = host.addresses.iter().map(|ip| SocketAddr::new(*ip, port::SMTP));
    let registered: Vec<_> = addresses.map(|address| env.net.register_external(address, server)).collect();
    let stop = tasks.stop.clone();
    tasks.spawn(async move {
        stop.cancelled().await;
        drop(registered);
    });
}

/// Forwards connections of an external MTA to one host of the world, from the address of the MTA's own host.
#[derive(Clone)]
struct Forwarder {
    from: Interface,
    to: SocketAddr,
}

impl Forwarder {
    /// A forwarder of connections as those of the host `from`, to port 25 of the MTA `to` or the LMTP port of the MDA
    /// `to`. `None` if there is no such host, or none of its addresses is of a family of those of `from`.
    fn between(env: &Environment, from: &Host, to: &str) -> Option<Self> {
        let to = env.world.hosts.get(to)?;
        let port = if matches!(to.role, Role::Mda(_)) { port::LMTP } else { port::SMTP };
        let reachable = |ip: &&std::net::IpAddr| from.addresses.iter().any(|own| own.is_ipv4() == ip.is_ipv4());
        let ip = to.addresses.iter().find(reachable)?;
        Some(Self { from: env.interface(from), to: SocketAddr::new(*ip, port) })
    }
}

impl Service for Forwarder {
    /// Connects to the target as the host, and copies bytes both ways until both ends have closed. Has no timeout of
    /// its own, since both ends have one. If the target is off, the connection is closed at once.
    async fn serve_connection(self, mut stream: Stream, _stop: Stop) -> Result<(), NetError> {
        let mut inside = self.from.connect(self.to).await?;
        copy_bidirectional(&mut stream, &mut inside).await?;
        Ok(())
    }
}
