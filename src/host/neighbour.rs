//! MTAs of another make: the world leads to them, and they come back in by doors of their own.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;

use super::running::Power;
use super::{Error, Ground, Running};
use crate::mta::{Mailin, Mta};
use crate::net::{Error as NetError, Interface, Service, Stop, Stream, foreign_port};
use crate::world::{External, Host, Role, port};

/// Lets the world reach an external MTA, and opens its doors.
pub(super) async fn external(running: &Running, host: &Host, external: &External, power: &Power) -> Result<(), Error> {
    let ground = &running.ground;
    for (to, port) in &external.reach {
        let Some(door) = Tunnel::between(ground, host, to) else { continue };
        let failed = |why| Error::Host { host: host.name.to_string(), why };
        let at = running.door_for_neighbour(*port)?;
        let listener = ground.net.interface(&[]).open_door(at).await.map_err(failed)?;
        running.note_reach(&host.name, to, listener.address());
        power.serve(listener, None, door);
    }
    announce(ground, host, external.at, power);
    Ok(())
}

/// Lets the world reach an old-fashioned MTA, which is started at the first time.
pub(super) async fn mailin(running: &Running, mta: &Mta, host: &Host, power: &Power) -> Result<(), Error> {
    let at = match running.mailin(&host.name) {
        Some(mailin) => {
            mailin.reopen(power.stop.clone());
            mailin.address()
        }
        None => {
            let failed = |why: NetError| Error::Host { host: host.name.to_string(), why };
            let (listener, at) = foreign_port().map_err(failed)?;
            let started = Mailin::start(mta.clone(), listener, at, power.stop.clone());
            running.note_mailin(&host.name, started.map_err(|error| failed(error.into()))?);
            at
        }
    };
    announce(&running.ground, host, at, power);
    power.spawn(mta.start(power.stop.clone(), power.end.clone())?);
    Ok(())
}

/// Port 25 of the host leads to a foreign server, while there is power.
fn announce(ground: &Ground, host: &Host, at: SocketAddr, power: &Power) {
    let places: Vec<_> = host.addresses.iter().map(|ip| SocketAddr::new(*ip, port::SMTP)).collect();
    let announced: Vec<_> = places.into_iter().map(|place| ground.net.announce(place, at)).collect();
    let stop = power.stop.clone();
    power.spawn(async move {
        stop.cancelled().await;
        drop(announced);
    });
}

/// Carries a foreign program's connections to one host of the world, where they come from the host that it plays.
#[derive(Clone)]
struct Tunnel {
    from: Interface,
    to: SocketAddr,
}

impl Tunnel {
    /// To the SMTP port of an MTA, or to the LMTP port of an MDA; `None` if there is no such host.
    fn between(ground: &Ground, from: &Host, to: &str) -> Option<Self> {
        let to = ground.world.hosts.get(to)?;
        let port = if matches!(to.role, Role::Mda(_)) { port::LMTP } else { port::SMTP };
        let reachable = |ip: &&std::net::IpAddr| from.addresses.iter().any(|own| own.is_ipv4() == ip.is_ipv4());
        let ip = to.addresses.iter().find(reachable)?;
        Some(Self { from: ground.interface(from), to: SocketAddr::new(*ip, port) })
    }
}

impl Service for Tunnel {
    /// Both ends have their own patience, so there is none here. A host that is off hangs up at once.
    async fn converse(self, mut stream: Stream, _stop: Stop) -> Result<(), NetError> {
        let mut inside = self.from.connect(self.to).await?;
        copy_bidirectional(&mut stream, &mut inside).await?;
        Ok(())
    }
}
