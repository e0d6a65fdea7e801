//! `postroad host`: one host of a world in a process of its own.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;

use super::common::{self, Endpoint, stop_at_signal};
use crate::control::{self, Client};
use crate::host::{Cast, Data, Doors, Ground, Running};
use crate::journey::Journal;
use crate::net::{Net, Stop};
use crate::world::{Clock, Dice, Engine, Service, World};

/// Events kept here until the collector has them, or by the collector.
const EVENTS_MAX: usize = 200_000;
/// The name under which a process runs that collects the events of all others.
const COLLECTOR: &str = "control";

/// Runs one host of a world, for a container or a machine of its own.
///
/// It listens on the usual ports (25, 53, 110, 143, …) at all addresses of the machine, which must have the host's
/// address in the world file; the other hosts are found at theirs, through the world's own DNS. The ports under [ports]
/// that belong to the host are open beside them, and so is the HTTP port, with /livez and /readyz.
#[derive(Debug, Args)]
pub(super) struct Host {
    /// The host's name in the world file; or `control`, which runs no host, but collects the events of all of them.
    name: String,
    /// A world file; without it, the default world.
    #[arg(env = "POSTROAD_WORLD")]
    world: Option<PathBuf>,
    /// Where the host keeps its mail and its queue.
    #[arg(long, value_name = "FOLDER", env = "POSTROAD_DATA")]
    data: PathBuf,
    /// Where the certificate authority is kept, which all hosts share; the first one makes it. Without it, in --data.
    #[arg(long, value_name = "FOLDER", env = "POSTROAD_AUTHORITY")]
    authority: Option<PathBuf>,
    /// The control interface that collects the events of all hosts, usually that of `postroad host control`.
    #[arg(long, value_name = "HOST:PORT", env = "POSTROAD_COLLECTOR")]
    collector: Option<Endpoint>,
    /// The address at which the ports under [ports] are open.
    #[arg(long, value_name = "IP", env = "POSTROAD_BIND", default_value_t = Ipv4Addr::UNSPECIFIED.into())]
    bind: IpAddr,
}

impl Host {
    /// Does it, until it is told to stop.
    ///
    /// # Errors
    /// There is no such host, a port is taken, or the data folder cannot be used.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let signal = stop_at_signal();
        let world = Arc::new(common::world(self.world.as_deref())?);
        let cast = cast(&world, &self.name)?;
        let (data, clock, dice) = (Data::open(&self.data)?, Clock::wall(), Dice::from_entropy());
        let authority = self.authority.as_ref().unwrap_or(&self.data);
        let instance = dice.draw();
        let ground = Ground {
            net: Net::sockets(),
            store: data.store()?,
            clock,
            dice,
            journal: Journal::new(clock, EVENTS_MAX, true),
            authority: Arc::new(Data::authority_in(authority, &world, clock)?),
            world,
        };
        let journal = ground.journal.clone();
        let doors = Doors::of(&ground.world.ports, self.bind, 0)?;
        let mut running = Running::start_cast(ground, doors, &cast).await?;
        let http = running.open_door(Service::Http).await?;
        let running = Arc::new(running);
        if let Some(listener) = http {
            running.spawn(control::serve(listener, running.clone(), running.stopping()));
        }
        let told = Stop::new();
        let telling = self.collector.map(|at| {
            let collector = Client::new(Net::sockets().interface(&[]), &at.host, at.port);
            tokio::spawn(control::send_events(journal, collector, self.name.clone(), instance, told.clone()))
        });
        println!("{} of world {} is up", self.name, running.ground.world.name);
        let code = common::until_stopped(&signal, &running.ground.store).await;
        println!("stopping");
        running.stop().await;
        told.cancel();
        if let Some(telling) = telling {
            telling.await.context("the last events were not sent")?;
        }
        Ok(code)
    }
}

fn cast(world: &World, name: &str) -> anyhow::Result<Cast> {
    if name == COLLECTOR {
        return Ok(Cast::Nobody);
    }
    let foreign = world.mtas().find(|(host, mta)| &*host.name == name && !matches!(mta.engine, Engine::Postroad));
    if let Some((_, mta)) = foreign {
        let engine = mta.engine.name();
        anyhow::bail!("{name} has engine = \"{engine}\", which is reached within `postroad serve` or `run` only");
    }
    let host = world.hosts.get(name).map(|host| Cast::Only(host.name.clone()));
    host.with_context(|| {
        let names: Vec<_> = world.hosts.keys().map(ToString::to_string).collect();
        format!("there is no host {name} in world {}; choose one of {}, or {COLLECTOR}", world.name, names.join(", "))
    })
}
