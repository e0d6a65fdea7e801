//! `postroad host`: runs one host of a world in its own process.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use url::Url;

use super::common::{self, Endpoint, stop_at_signal};
use super::http_access::HttpAccess;
use crate::control::{self, Client};
use crate::host::{DataDir, Environment, HostSelection, PublicPorts, RunningWorld};
use crate::journey::EventLog;
use crate::net::{Net, Stop};
use crate::world::{Clock, Engine, Keep, Rng, Service, World};

/// Events in memory, until they are sent to the collector, or at the collector.
const MAX_EVENTS: usize = 200_000;
/// The host name that selects the collector process.
const COLLECTOR: &str = "control";

/// Runs one host of a world in its own container or machine.
///
/// It listens on the standard ports (25, 53, 110, 143, …) at the host's addresses in the world file, which the machine must
/// have. It reaches the other hosts at their addresses through the world's DNS. It also opens the
/// host's public ports of [ports] and the HTTP port with /livez and /readyz.
#[derive(Debug, Args)]
pub(super) struct Host {
    /// The host's name in the world file; or `control`, which runs no host and collects the events of all hosts.
    name: String,
    /// A world file. Default: the built-in world.
    #[arg(env = "POSTROAD_WORLD")]
    world: Option<PathBuf>,
    /// The folder of the host's mail and queue.
    #[arg(long, value_name = "FOLDER", env = "POSTROAD_DATA")]
    data: PathBuf,
    /// The folder of the certificate authority, shared by all hosts; the first host creates it. Default: the --data folder.
    #[arg(long, value_name = "FOLDER", env = "POSTROAD_AUTHORITY")]
    authority: Option<PathBuf>,
    /// The control interface to which events are sent, usually that of `postroad host control`.
    #[arg(long, value_name = "HOST:PORT", env = "POSTROAD_COLLECTOR")]
    collector: Option<Endpoint>,
    /// Sends the events of journeys as traces to the OpenTelemetry collector at this URL, by OTLP over HTTP in JSON
    /// (`POST URL/v1/traces`). `postroad host control` has the events of all hosts.
    #[arg(long, value_name = "URL", env = "POSTROAD_OTLP", value_parser = common::collector_url)]
    otlp: Option<Url>,
    /// The address of the public ports of [ports].
    #[arg(long, value_name = "IP", env = "POSTROAD_BIND", default_value_t = Ipv4Addr::UNSPECIFIED.into())]
    bind: IpAddr,
    #[command(flatten)]
    access: HttpAccess,
}

impl Host {
    /// Runs the selected host, or the collector, until Ctrl-C, SIGTERM or a failure of its disk: with its public ports,
    /// the HTTP interface, and its events sent to the collectors that are given. At the end, sends the last events. The
    /// exit code is 0, or 74 if the disk failed.
    ///
    /// # Errors
    /// There is no such host, a port is in use, or the data folder is unusable.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let signal = stop_at_signal();
        let world = Arc::new(common::world(self.world.as_deref())?);
        let selection = selection(&world, &self.name)?;
        let access = self.access.of(&world, self.bind)?;
        let credentials = self.access.credentials.of_client()?;
        let (data, clock, rng) = (DataDir::open(&self.data)?, Clock::wall(), Rng::from_entropy());
        let authority = self.authority.as_ref().unwrap_or(&self.data);
        let instance = rng.next_u64();
        let store = data.store()?;
        let event_log = EventLog::stored(store.clone(), clock, MAX_EVENTS, true)?;
        let (events, traced) = (event_log.subscribe_from_now(), event_log.subscribe_from_now());
        let env = Environment {
            net: Net::sockets(),
            store,
            catalogue: None,
            clock,
            rng,
            event_log,
            authority: Arc::new(DataDir::authority_in(authority, &world, clock)?),
            world,
        };
        let public_ports = PublicPorts::with_offset(&env.world.ports, self.bind, 0)?;
        let mut running = RunningWorld::start_selected(env, public_ports, &selection).await?;
        let http = running.bind_public(Service::Http).await?;
        let running = Arc::new(running);
        if let Some(listener) = http {
            running.spawn(control::serve(listener, running.clone(), access, running.stopping()));
        }
        if let Some(collector) = self.otlp {
            running.spawn(common::traces(&running, collector, traced, self.name == COLLECTOR));
        }
        let stop_sending = Stop::new();
        let sender = self.collector.map(|at| {
            let collector = Client::new(Net::sockets().interface(&[]), &at.host, at.port, credentials);
            tokio::spawn(control::send_events(events, collector, self.name.clone(), instance, stop_sending.clone()))
        });
        println!("{} of world {} is up", self.name, running.env.world.name);
        if running.env.world.keep != Keep::default() {
            println!("it keeps all messages: `keep` of the world file is for `postroad serve`");
        }
        let code = common::until_stopped(&signal, &running.env.store).await;
        println!("stopping");
        running.stop().await;
        stop_sending.cancel();
        if let Some(sender) = sender {
            sender.await.context("cannot send the last events")?;
        }
        Ok(code)
    }
}

/// What the process runs: the host of this name, or no host if it is [`COLLECTOR`]. An unknown host, or an MTA with the
/// engine of another program, is an error.
fn selection(world: &World, name: &str) -> anyhow::Result<HostSelection> {
    if name == COLLECTOR {
        return Ok(HostSelection::None);
    }
    let foreign = world.mtas().find(|(host, mta)| &*host.name == name && !matches!(mta.engine, Engine::Postroad));
    if let Some((_, mta)) = foreign {
        let engine = mta.engine.name();
        anyhow::bail!(
            "{name} has engine = \"{engine}\", which is supported by `postroad serve` and `postroad run` only"
        );
    }
    let host = world.hosts.get(name).map(|host| HostSelection::Only(host.name.clone()));
    host.with_context(|| {
        let names: Vec<_> = world.hosts.keys().map(ToString::to_string).collect();
        format!("there is no host {name} in world {}; choose one of {}, or {COLLECTOR}", world.name, names.join(", "))
    })
}
