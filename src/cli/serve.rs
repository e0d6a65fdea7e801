//! `postroad serve`: the world for real clients.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use console::style;

use super::common::{self, stop_at_signal};
use crate::control;
use crate::demo::{echo, greeter};
use crate::host::{Data, Doors, Ground, Running};
use crate::journey::Journal;
use crate::net::Net;
use crate::world::{Clock, Dice, Service};

/// Events kept for the control interface.
const EVENTS_MAX: usize = 50_000;
/// How long the greeter thinks about a name.
const GREETER_DELAY: Duration = Duration::from_secs(1);

/// Keeps the world running for real clients. Stops cleanly on Ctrl-C or SIGTERM.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// A world file; without it, the default world.
    #[arg(env = "POSTROAD_WORLD")]
    world: Option<PathBuf>,
    /// Where mail, queues and the certificate authority are kept; found again at the next start. Without it, in the
    /// user's data folder.
    #[arg(long, value_name = "FOLDER", env = "POSTROAD_DATA")]
    data: Option<PathBuf>,
    /// For one run of a test suite: data in a temporary folder that is removed at the end, and free ports.
    #[arg(long, env = "POSTROAD_EPHEMERAL", conflicts_with = "data")]
    ephemeral: bool,
    /// The address that real clients connect to. Mail needs no login at the SMTP port: keep others out.
    #[arg(long, value_name = "IP", env = "POSTROAD_BIND", default_value_t = Ipv4Addr::LOCALHOST.into())]
    bind: IpAddr,
    /// Adds this to every port.
    #[arg(long, value_name = "N", env = "POSTROAD_PORT_OFFSET", default_value_t = 0, conflicts_with_all = ["free_ports", "ephemeral"])]
    port_offset: u16,
    /// Takes free ports instead of those of the world.
    #[arg(long, env = "POSTROAD_FREE_PORTS")]
    free_ports: bool,
    /// Writes the bound ports to this file, as JSON, once everything listens.
    #[arg(long, value_name = "FILE", env = "POSTROAD_PORTS_FILE")]
    ports_file: Option<PathBuf>,
    /// Prints the bound ports as JSON.
    #[arg(long, env = "POSTROAD_JSON")]
    json: bool,
}

impl Serve {
    /// Does it, until it is told to stop.
    ///
    /// # Errors
    /// A port is taken, or the data folder cannot be used.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let signal = stop_at_signal();
        let world = Arc::new(common::world(self.world.as_deref())?);
        let passing = self.ephemeral.then(|| tempfile::Builder::new().prefix("postroad-").tempdir()).transpose()?;
        let folder = match (&passing, &self.data) {
            (Some(passing), _) => passing.path().to_owned(),
            (None, Some(folder)) => folder.clone(),
            (None, None) => common::data_folder(&world),
        };
        let (data, clock) = (Data::open(&folder)?, Clock::wall());
        let doors = if self.free_ports || self.ephemeral {
            Doors::free(&world.ports, self.bind)
        } else {
            Doors::of(&world.ports, self.bind, self.port_offset)?
        };
        let ground = Ground {
            net: Net::loopback(world.addresses()),
            store: data.store()?,
            clock,
            dice: Dice::from_entropy(),
            journal: Journal::new(clock, EVENTS_MAX, true),
            authority: Arc::new(data.authority(&world, clock)?),
            world,
        };
        let mut running = Running::start(ground, doors).await?;
        demos(&mut running).await?;
        let http = running.open_door(Service::Http).await?;
        let running = Arc::new(running);
        if let Some(listener) = http {
            running.spawn(control::serve(listener, running.clone(), running.stopping()));
        }
        self.announce(&running, &folder)?;
        let code = common::until_stopped(&signal, &running.ground.store).await;
        if !self.json {
            println!("stopping");
        }
        running.stop().await;
        Ok(code)
    }

    fn announce(&self, running: &Running, folder: &Path) -> anyhow::Result<()> {
        let mut ports = serde_json::to_value(running.bound())?;
        let reach = running.reach();
        if !reach.is_empty() {
            ports["reach"] = serde_json::to_value(&reach)?;
        }
        let ports = ports.to_string();
        if let Some(path) = &self.ports_file {
            write_whole(path, &ports).with_context(|| format!("cannot write {}", path.display()))?;
        }
        if self.json {
            println!("{ports}");
            return Ok(());
        }
        let world = &running.ground.world;
        println!("{} world {}, data in {}\n", style("postroad").bold(), world.name, folder.display());
        for (service, address) in running.bound() {
            println!("  {service:<11}  {}", style(address).cyan());
        }
        for (from, to) in reach.iter().flat_map(|(from, doors)| doors.iter().map(move |(to, at)| (from, (to, at)))) {
            println!("  {from} finds {} at {}", to.0, style(to.1).cyan());
        }
        println!("\nusers (login with the whole address)");
        for user in world.users.values() {
            println!("  {}  password {}", user.address, user.password);
        }
        if world.elsewhere.is_some() {
            println!("  anybody@any.other.domain, from the first letter on  password {}", world.password);
        }
        println!("\nCtrl-C stops it");
        Ok(())
    }
}

/// The greeter over TCP and the echo over UDP, on one port number.
async fn demos(running: &mut Running) -> anyhow::Result<()> {
    let Some((listener, socket)) = running.open_both_doors(Service::Greeter).await? else { return Ok(()) };
    let greeter = greeter::Greeter { delay: GREETER_DELAY, report: Arc::new(|_| {}) };
    running.serve(listener, None, greeter);
    running.spawn(echo::serve(socket, running.stopping(), |_| {}));
    Ok(())
}

/// Whoever waits for the file finds it whole or not at all.
fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let draft = path.with_extension("part");
    std::fs::write(&draft, text)?;
    std::fs::rename(&draft, path)
}
