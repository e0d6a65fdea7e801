//! Starts each host of a world by its role.

use std::collections::BTreeMap;

use super::{Error, Ground, Running};
use crate::dns::{Server as NameServer, Zones};
use crate::mda::{self, Lmtp, Mailboxes, Mda, Pop3, Site};
use crate::mta::{Kind, Mta, Reception, Setup};
use crate::net::{Identity, Interface};
use crate::world::{Host, HostName, Service, port};

/// Opens the queue of every MTA.
pub(super) fn mtas(ground: &Ground) -> Result<BTreeMap<HostName, Mta>, Error> {
    let open = |host: &Host, settings: &crate::world::Mta| {
        let setup = Setup {
            world: ground.world.clone(),
            host: host.name.clone(),
            settings: settings.clone(),
            interface: ground.interface(host),
            resolver: ground.resolver(host),
            store: ground.store.clone(),
            clock: ground.clock,
            dice: ground.dice.fork(&host.name),
            recorder: ground.journal.recorder(&host.name),
            identity: ground.identity(host)?,
            trust: Ground::trust_between_servers()?,
        };
        Ok((host.name.clone(), Mta::new(setup)?))
    };
    ground.world.mtas().map(|(host, settings)| open(host, settings)).collect()
}

/// Every MDA, on the same mailboxes.
pub(super) fn mdas(ground: &Ground, mailboxes: &Mailboxes) -> Result<BTreeMap<HostName, Mda>, Error> {
    let open = |host: &Host, settings: &crate::world::Mda| {
        let setup = mda::Setup {
            world: ground.world.clone(),
            host: host.name.clone(),
            settings: *settings,
            mailboxes: mailboxes.clone(),
            clock: ground.clock,
            dice: ground.dice.fork(&host.name),
            recorder: ground.journal.recorder(&host.name),
            identity: ground.identity(host)?,
        };
        Ok((host.name.clone(), Mda::new(setup)))
    };
    ground.world.mdas().map(|(host, settings)| open(host, settings)).collect()
}

/// Starts them all: first whoever is asked, then whoever asks.
pub(super) async fn hosts(running: &mut Running) -> Result<(), Error> {
    let world = running.ground.world.clone();
    let names = NameServer::new(Zones::of_world(&world)?);
    for host in world.dns() {
        dns(running, host, &names).await?;
    }
    for mda in running.mdas.values() {
        self::mda(running, mda).await?;
    }
    for mta in running.mtas.values() {
        self::mta(running, mta).await?;
    }
    doors(running, names).await
}

async fn dns(running: &Running, host: &Host, names: &NameServer) -> Result<(), Error> {
    let interface = running.ground.interface(host);
    listen(running, host, port::DNS, None, names.clone()).await?;
    let socket = interface.bind_udp(port::DNS).await.map_err(|why| failed(host, why))?;
    running.spawn(names.clone().serve_udp(socket, running.stopping()));
    Ok(())
}

async fn mta(running: &Running, mta: &Mta) -> Result<(), Error> {
    let Some(host) = running.ground.world.hosts.get(mta.host()) else { return Ok(()) };
    let identity = running.ground.identity(host)?;
    listen(running, host, port::SMTP, None, Reception::of(mta.clone(), Kind::Relay)).await?;
    let submission = Reception::of(mta.clone(), Kind::Submission);
    listen(running, host, port::SUBMISSION, None, submission.clone()).await?;
    listen(running, host, port::SUBMISSIONS, Some(identity), submission).await?;
    running.spawn(mta.clone().run(running.stopping()));
    Ok(())
}

async fn mda(running: &Running, mda: &Mda) -> Result<(), Error> {
    let Some(host) = running.ground.world.hosts.get(mda.host()) else { return Ok(()) };
    let (identity, pop3) = (running.ground.identity(host)?, Pop3::new(Site::of(mda.clone())));
    listen(running, host, port::LMTP, None, Lmtp::new(mda.clone())).await?;
    listen(running, host, port::POP3, None, pop3.clone()).await?;
    listen(running, host, port::POP3S, Some(identity.clone()), pop3).await?;
    Ok(())
}

async fn listen(
    running: &Running,
    host: &Host,
    port: u16,
    tls: Option<Identity>,
    service: impl crate::net::Service + Sync,
) -> Result<(), Error> {
    let interface: Interface = running.ground.interface(host);
    for listener in interface.listen(port).await.map_err(|why| failed(host, why))? {
        running.serve(listener, tls.clone(), service.clone());
    }
    Ok(())
}

/// The doors of mail and DNS. Any user of the world comes in at any of them.
async fn doors(running: &mut Running, names: NameServer) -> Result<(), Error> {
    let world = running.ground.world.clone();
    if let Some(entry) = running.mtas.get(&world.entry).cloned()
        && let Some(host) = world.hosts.get(&world.entry)
    {
        let identity = running.ground.identity(host)?;
        let front = |kind| Reception::front(running.mtas.clone(), entry.clone(), kind);
        let (open, submission) = (front(Kind::Open), front(Kind::Submission));
        door(running, Service::Smtp, None, open).await?;
        door(running, Service::Submission, None, submission.clone()).await?;
        door(running, Service::Submissions, Some(identity), submission).await?;
    }
    if let Some(face) = running.mdas.values().next().cloned()
        && let Some(host) = world.hosts.get(face.host())
    {
        let site = Site::front(running.mdas.clone(), face);
        let (identity, pop3) = (running.ground.identity(host)?, Pop3::new(site.clone()));
        door(running, Service::Pop3, None, pop3.clone()).await?;
        door(running, Service::Pop3s, Some(identity.clone()), pop3).await?;
    }
    if let Some(listener) = running.open_door(Service::Dns).await? {
        let outside = running.ground.net.interface(&[]);
        let socket = outside.open_udp_door(listener.address()).await;
        let socket = socket.map_err(|why| Error::Door { service: Service::Dns, why })?;
        running.serve(listener, None, names.clone());
        running.spawn(names.serve_udp(socket, running.stopping()));
    }
    Ok(())
}

async fn door(
    running: &mut Running,
    service: Service,
    tls: Option<Identity>,
    serving: impl crate::net::Service + Sync,
) -> Result<(), Error> {
    if let Some(listener) = running.open_door(service).await? {
        running.serve(listener, tls, serving);
    }
    Ok(())
}

fn failed(host: &Host, why: crate::net::Error) -> Error {
    Error::Host { host: host.name.to_string(), why }
}
