//! `postroad serve`: runs a world for real clients.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use console::style;
use url::Url;

use super::announcer::Lines;
use super::common::{self, stop_at_signal};
use super::http_access::HttpAccess;
use super::mailpit::StandIn;
use super::run_file::PortsFile;
use crate::catalogue::Catalogue;
use crate::control::{self, Access};
use crate::demo::{echo, greeter};
use crate::host::{self, DataDir, Environment, Imported, PublicPorts, RunningWorld};
use crate::journey::EventLog;
use crate::net::Net;
use crate::world::{Clock, Rng, Service, World};

/// Events in memory; older ones are read from the store.
const MAX_EVENTS: usize = 50_000;
/// Delay of the greeter's replies.
const GREETER_DELAY: Duration = Duration::from_secs(1);

/// Runs a world for real clients until Ctrl-C or SIGTERM.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// A world file. Default: the built-in world.
    #[arg(env = "POSTROAD_WORLD")]
    world: Option<PathBuf>,
    /// The folder of mail, queues and certificate authority, which survive a restart. Default: under the user's data folder.
    #[arg(long, value_name = "FOLDER", env = "POSTROAD_DATA")]
    data: Option<PathBuf>,
    /// For tests: uses free ports and a temporary data folder that is removed at the end.
    #[arg(long, env = "POSTROAD_EPHEMERAL", conflicts_with = "data")]
    ephemeral: bool,
    /// The address of the public ports. The SMTP port needs no login: do not expose it to untrusted networks.
    #[arg(long, value_name = "IP", env = "POSTROAD_BIND", default_value_t = Ipv4Addr::LOCALHOST.into())]
    bind: IpAddr,
    /// Adds this to every port of the world file on this machine: those of [ports], and `reach` and `at` of external MTAs.
    #[arg(long, value_name = "N", env = "POSTROAD_PORT_OFFSET", default_value_t = 0, conflicts_with_all = ["free_ports", "ephemeral"])]
    port_offset: u16,
    /// Uses free ports instead of those of the world.
    #[arg(long, env = "POSTROAD_FREE_PORTS")]
    free_ports: bool,
    /// Writes the bound ports to this file as JSON once all listeners are up. The file of an earlier run is removed at the
    /// start, and this one at the end.
    #[arg(long, value_name = "FILE", env = "POSTROAD_PORTS_FILE")]
    ports_file: Option<PathBuf>,
    #[command(flatten)]
    access: HttpAccess,
    /// Mail that is there from the start: a folder with one for each account, such as `ann@shop.test`, that holds .eml files,
    /// mbox files or a Maildir, and folders of these for other mailboxes. It is imported before the world is ready, and only once
    /// into the same data folder, also if it was deleted there. May be repeated.
    #[arg(long, value_name = "FOLDER", env = "POSTROAD_IMPORT")]
    import: Vec<PathBuf>,
    /// Sends each journey as a trace to the OpenTelemetry collector at this URL, by OTLP over HTTP in JSON (`POST URL/v1/traces`).
    #[arg(long, value_name = "URL", env = "POSTROAD_OTLP", value_parser = common::collector_url)]
    otlp: Option<Url>,
    /// Prints the bound ports as JSON, and nothing else.
    #[arg(long, env = "POSTROAD_JSON")]
    json: bool,
    /// Prints no lines about messages: by default there is one for each that enters the world, has to wait, or has ended.
    #[arg(long, short, env = "POSTROAD_QUIET")]
    quiet: bool,
    /// For `bench smtp`: leaves these out.
    #[arg(long, hide = true)]
    without: Vec<Omitted>,
}

/// What a world can do without, at the price of what it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Omitted {
    /// The list of messages over HTTP; as in a process of `host`.
    Catalogue,
    /// The conversations at the doors, and the dialogues in journeys.
    Dialogues,
}

impl Serve {
    /// The options of a server at this address, with its data in this folder and without lines about messages; all
    /// others have their defaults.
    pub(super) fn of(bind: IpAddr, data: PathBuf) -> Self {
        Self {
            world: None,
            data: Some(data),
            ephemeral: false,
            bind,
            port_offset: 0,
            free_ports: false,
            ports_file: None,
            json: false,
            import: Vec::new(),
            otlp: None,
            quiet: true,
            without: Vec::new(),
            access: HttpAccess::default(),
        }
    }

    /// Runs the world of the options until Ctrl-C, SIGTERM or a failure of the disk. Removes the ports file of an
    /// earlier run first. The exit code is 0, or 74 if the disk failed.
    ///
    /// # Errors
    /// A port is in use, or the data folder is unusable.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let ports_file = self.ports_file.as_deref().map(PortsFile::fresh).transpose()?;
        let world = Arc::new(common::world(self.world.as_deref())?);
        let access = self.access.of(&world, self.bind)?;
        self.run_world(world, access, ports_file, None).await
    }

    /// Starts this world, whatever the options name, imports mail, serves the HTTP interface to those of `access`, and
    /// stops it at Ctrl-C, SIGTERM or a failure of the disk; returns the exit code as [`Serve::run`]. With `stand_in`,
    /// it prints the lines of Mailpit and none about messages, and writes no ports file.
    ///
    /// # Errors
    /// As for [`Serve::run`].
    pub(super) async fn run_world(
        self,
        world: Arc<World>,
        access: Access,
        mut ports_file: Option<PortsFile>,
        stand_in: Option<&StandIn>,
    ) -> anyhow::Result<ExitCode> {
        let signal = stop_at_signal();
        let passing = self.ephemeral.then(|| tempfile::Builder::new().prefix("postroad-").tempdir()).transpose()?;
        let folder = match (&passing, &self.data) {
            (Some(passing), _) => passing.path().to_owned(),
            (None, Some(folder)) => folder.clone(),
            (None, None) => common::data_folder(&world),
        };
        let (data, clock) = (DataDir::open(&folder)?, Clock::wall());
        let public_ports = if self.free_ports || self.ephemeral {
            PublicPorts::free(&world.ports, self.bind)
        } else {
            PublicPorts::with_offset(&world.ports, self.bind, self.port_offset)?
        };
        let store = data.store()?;
        let has = |part| !self.without.contains(&part);
        let env = Environment {
            net: Net::loopback(world.addresses()),
            event_log: EventLog::stored(store.clone(), clock, MAX_EVENTS, has(Omitted::Dialogues))?,
            catalogue: has(Omitted::Catalogue).then(|| Catalogue::new(store.clone())),
            store,
            clock,
            rng: Rng::from_entropy(),
            authority: Arc::new(data.authority(&world, clock)?),
            world,
        };
        let events = env.event_log.subscribe_from_now();
        let mut running = RunningWorld::start(env, public_ports).await?;
        if let Some(stand_in) = stand_in {
            stand_in.set_tls(&running).await?;
        }
        start_demos(&mut running).await?;
        let mut imported = Imported::default();
        for from in &self.import {
            imported += host::import(&running, from, &folder.join("imported")).await?;
        }
        let http = running.bind_public(Service::Http).await?;
        let running = Arc::new(running);
        if let Some(listener) = http {
            running.spawn(control::serve(listener, running.clone(), access, running.stopping()));
        }
        if let Some(collector) = self.otlp.clone() {
            running.spawn(common::traces(&running, collector, events, true));
        }
        let lines = Lines::start().context("cannot start a thread")?;
        if !self.quiet && !self.json && stand_in.is_none() {
            let (announcing, stop) = (lines.announce(running.env.event_log.clone(), clock.now()), running.stopping());
            running.spawn(async move { stop.run_until_cancelled(announcing).await.unwrap_or_default() });
        }
        match stand_in {
            Some(stand_in) => stand_in.announce(&running),
            None => self.announce(&running, &folder, imported, ports_file.as_mut())?,
        }
        let code = common::until_stopped(&signal, &running.env.store).await;
        // While the ports can still be reached.
        drop(ports_file);
        if !self.json {
            lines.print("stopping");
        }
        running.stop().await;
        lines.end().await;
        Ok(code)
    }

    /// Writes the ports file, if any, and prints the ports: as JSON only with `--json`, else with the data folder, the
    /// users and the number of imported messages.
    fn announce(
        &self,
        running: &RunningWorld,
        folder: &Path,
        imported: Imported,
        ports_file: Option<&mut PortsFile>,
    ) -> anyhow::Result<()> {
        let mut ports = serde_json::to_value(running.bound_ports())?;
        let reach = running.external_ports();
        if !reach.is_empty() {
            ports["reach"] = serde_json::to_value(&reach)?;
        }
        let ports = ports.to_string();
        if let Some(file) = ports_file {
            file.write(ports.clone())?;
        }
        if self.json {
            println!("{ports}");
            return Ok(());
        }
        let world = &running.env.world;
        println!("{} world {}, data in {}\n", style("postroad").bold(), world.name, folder.display());
        let of_hosts = world.hosts.values().map(|host| (host, running.public_ports_of(&host.name)));
        let of_hosts: Vec<_> = of_hosts.filter(|(_, ports)| !ports.is_empty()).collect();
        for (service, address) in running.bound_ports() {
            let host = of_hosts.iter().find(|(_, ports)| ports.contains_key(service));
            let host = host.map_or_else(String::new, |(host, _)| format!("  {}", host.name));
            println!("  {service:<11}  {}{host}", style(address).cyan());
        }
        for (from, to) in reach.iter().flat_map(|(from, ports)| ports.iter().map(move |(to, at)| (from, (to, at)))) {
            println!("  {from} reaches {} at {}", to.0, style(to.1).cyan());
        }
        println!("\nusers (log in with the full address)");
        for user in world.users.values() {
            println!("  {}  password {}", user.address, user.password);
        }
        if world.elsewhere.is_some() {
            println!("  any other address, once it has received a message  password {}", world.password);
        }
        if !self.import.is_empty() {
            let Imported { stored, known } = imported;
            println!("\n{} imported, {known} were there", messages(stored));
        }
        println!("\npress Ctrl-C to stop");
        Ok(())
    }
}

/// The number with the noun, as in `1 message` or `2 messages`.
fn messages(count: usize) -> String {
    format!("{count} {}", if count == 1 { "message" } else { "messages" })
}

/// Starts the two demonstration services, the greeter over TCP and the echo over UDP, on the same public port number;
/// does nothing if the world does not have that port.
async fn start_demos(running: &mut RunningWorld) -> anyhow::Result<()> {
    let Some((listener, socket)) = running.bind_public_tcp_udp(Service::Greeter).await? else { return Ok(()) };
    let greeter = greeter::Greeter { delay: GREETER_DELAY, report: Arc::new(|_| {}) };
    running.serve(listener, None, greeter);
    running.spawn(echo::serve(socket, running.stopping(), |_| {}));
    Ok(())
}
