//! Starts each host of a world by its role.

use std::collections::BTreeMap;

use super::running::Power;
use super::{Cast, Error, Faults, Ground, Running, neighbour};
use crate::dns::{Server as NameServer, Zones};
use crate::mail::Address;
use crate::mda::{self, Imap, Lmtp, Mailboxes, Mda, Pop3, Site};
use crate::mta::{Kind, Mta, Reception, Setup};
use crate::net::{self, Identity};
use crate::world::{self, Engine, Host, HostName, MailboxForm, Role, Service, port};

/// Opens the queue of every MTA that runs here.
pub(super) fn mtas(ground: &Ground, faults: &Faults, cast: &Cast) -> Result<BTreeMap<HostName, Mta>, Error> {
    let open = |host: &Host, settings: &world::Mta| {
        let setup = Setup {
            world: ground.world.clone(),
            host: host.name.clone(),
            settings: settings.clone(),
            interface: ground.interface(host),
            resolver: ground.resolver(host),
            store: ground.store.with_disk_faults(faults.disk(&host.name)),
            clock: ground.clock,
            dice: ground.dice.fork(&host.name),
            recorder: ground.journal.recorder(&host.name),
            identity: ground.identity(host, faults)?,
            trust: ground.trust_between_servers()?,
            authority: ground.authority.trust().map_err(Error::Authority)?,
            whims: faults.whims(&host.name),
        };
        Ok((host.name.clone(), Mta::new(setup)?))
    };
    let ours = ground.world.mtas().filter(|(host, settings)| settings.engine.is_ours() && cast.plays(&host.name));
    ours.map(|(host, settings)| open(host, settings)).collect()
}

/// Every MDA that runs here, on the same mailboxes.
pub(super) fn mdas(
    ground: &Ground,
    mailboxes: &Mailboxes,
    faults: &Faults,
    cast: &Cast,
) -> Result<BTreeMap<HostName, Mda>, Error> {
    let open = |host: &Host, settings: &world::Mda| {
        let setup = mda::Setup {
            world: ground.world.clone(),
            host: host.name.clone(),
            settings: *settings,
            mailboxes: mailboxes.with_disk_faults(faults.disk(&host.name)),
            clock: ground.clock,
            dice: ground.dice.fork(&host.name),
            recorder: ground.journal.recorder(&host.name),
            identity: ground.identity(host, faults)?,
            whims: faults.whims(&host.name),
        };
        Ok((host.name.clone(), Mda::new(setup)))
    };
    let ours = ground.world.mdas().filter(|(host, _)| cast.plays(&host.name));
    ours.map(|(host, settings)| open(host, settings)).collect()
}

/// Keeps the mailboxes of hosts that want them so as Maildirs too, beside the database if that is on disk.
pub(super) fn keep_maildirs(running: &Running) {
    let wants = |mda: &Mda| mda.form() == MailboxForm::Maildir;
    if !running.mdas.values().any(wants) {
        return;
    }
    let (world, mdas) = (running.ground.world.clone(), running.mdas.clone());
    let serves = move |key: &str| {
        let domain = key.parse::<Address>().ok().and_then(|address| world.domain(address.domain()).cloned());
        domain.and_then(|domain| mdas.get(&domain.mailboxes)).is_some_and(wants)
    };
    if let Some(keeper) = mda::Keeper::new(&running.mailboxes, serves) {
        running.spawn(keeper.keep(running.stopping()));
    }
}

/// Starts them all: first whoever is asked, then whoever asks; then opens the doors.
pub(super) async fn all(running: &mut Running, cast: &Cast) -> Result<(), Error> {
    let world = running.ground.world.clone();
    let (asking, answering): (Vec<_>, Vec<_>) =
        world.hosts.values().filter(|host| cast.plays(&host.name)).partition(|host| matches!(host.role, Role::Mta(_)));
    for host in answering.into_iter().chain(asking) {
        running.turn_on(&host.name).await?;
    }
    doors(running, cast).await
}

/// Starts one host by its role.
pub(super) async fn host(running: &Running, host: &Host, power: &Power) -> Result<(), Error> {
    let starting = Starting { ground: &running.ground, faults: &running.faults, host, power };
    match &host.role {
        Role::Dns => starting.dns().await,
        Role::Mua => Ok(()),
        Role::Mta(settings) => match (&settings.engine, running.mtas.get(&host.name)) {
            (Engine::External(external), _) => neighbour::external(running, host, external, power).await,
            (Engine::Mailin, Some(mta)) => neighbour::mailin(running, mta, host, power).await,
            (Engine::Postroad, Some(mta)) => starting.mta(mta).await,
            (Engine::Mailin | Engine::Postroad, None) => Ok(()),
        },
        Role::Mda(_) => match running.mdas.get(&host.name) {
            Some(mda) => starting.mda(mda).await,
            None => Ok(()),
        },
    }
}

/// A host that is being turned on.
struct Starting<'a> {
    ground: &'a Ground,
    faults: &'a Faults,
    host: &'a Host,
    power: &'a Power,
}

impl Starting<'_> {
    async fn dns(&self) -> Result<(), Error> {
        let names = NameServer::new(Zones::of_world(&self.ground.world)?).with_moods(self.faults.moods());
        self.listen(port::DNS, None, names.clone()).await?;
        let socket = self.ground.interface(self.host).bind_udp(port::DNS).await.map_err(|why| self.failed(why))?;
        self.power.spawn(names.serve_udp(socket, self.power.stop.clone()));
        Ok(())
    }

    async fn mta(&self, mta: &Mta) -> Result<(), Error> {
        let identity = self.ground.identity(self.host, self.faults)?;
        let submission = Reception::of(mta.clone(), Kind::Submission);
        self.listen(port::SMTP, None, Reception::of(mta.clone(), Kind::Relay)).await?;
        self.listen(port::SUBMISSION, None, submission.clone()).await?;
        self.listen(port::SUBMISSIONS, Some(identity), submission).await?;
        self.power.spawn(mta.start(self.power.stop.clone(), self.power.end.clone())?);
        Ok(())
    }

    async fn mda(&self, mda: &Mda) -> Result<(), Error> {
        let (identity, site) = (self.ground.identity(self.host, self.faults)?, Site::of(mda.clone()));
        // On the world's own network passwords travel encrypted.
        let (pop3, imap) = (Pop3::new(site.clone()), Imap::new(site, false));
        self.listen(port::LMTP, None, Lmtp::new(mda.clone())).await?;
        self.listen(port::POP3, None, pop3.clone()).await?;
        self.listen(port::POP3S, Some(identity.clone()), pop3).await?;
        self.listen(port::IMAP, None, imap.clone()).await?;
        self.listen(port::IMAPS, Some(identity), imap).await
    }

    async fn listen(&self, port: u16, tls: Option<Identity>, service: impl net::Service) -> Result<(), Error> {
        let listeners = self.ground.interface(self.host).listen(port).await.map_err(|why| self.failed(why))?;
        for listener in listeners {
            self.power.serve(listener, tls.clone(), service.clone());
        }
        Ok(())
    }

    fn failed(&self, why: net::Error) -> Error {
        Error::Host { host: self.host.name.to_string(), why }
    }
}

/// The doors of mail and DNS. Any user of the world comes in at any of them.
async fn doors(running: &mut Running, cast: &Cast) -> Result<(), Error> {
    let world = running.ground.world.clone();
    if let Some(entry) = running.mtas.get(&world.entry).cloned()
        && let Some(host) = world.hosts.get(&world.entry)
    {
        let identity = running.ground.identity(host, &running.faults)?;
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
        let identity = running.ground.identity(host, &running.faults)?;
        // Doors of 127.0.0.1 are reached by nobody who could listen in.
        let (pop3, imap) = (Pop3::new(site.clone()), Imap::new(site, true));
        door(running, Service::Pop3, None, pop3.clone()).await?;
        door(running, Service::Pop3s, Some(identity.clone()), pop3).await?;
        door(running, Service::Imap, None, imap.clone()).await?;
        door(running, Service::Imaps, Some(identity), imap).await?;
    }
    if !world.dns().any(|dns| cast.plays(&dns.name)) {
        return Ok(());
    }
    if let Some((listener, socket)) = running.open_both_doors(Service::Dns).await? {
        let names = NameServer::new(Zones::of_world(&world)?);
        running.serve(listener, None, names.clone());
        running.spawn(names.serve_udp(socket, running.stopping()));
    }
    Ok(())
}

async fn door(
    running: &mut Running,
    service: Service,
    tls: Option<Identity>,
    serving: impl net::Service,
) -> Result<(), Error> {
    if let Some(listener) = running.open_door(service).await? {
        running.serve(listener, tls, serving);
    }
    Ok(())
}
