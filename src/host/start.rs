//! Starts each host of a world according to its role, with the services behind its public ports.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::external::ExternalMtas;
use super::host_tasks::HostTasks;
use super::ports::BoundPorts;
use super::{Environment, Error, FaultInjector, HostSelection};
use crate::dns::{FaultyZones, Server as NameServer, Zones};
use crate::mail::Address;
use crate::mda::{self, Imap, LmtpPolicy, Mailboxes, Mda, Pop3, UserDirectory};
use crate::mta::{ListenerKind, Mta, MtaContext, SmtpPolicy};
use crate::net::{self, Lifetime, PublicPort, TlsAcceptor, UploadBudget};
use crate::smtp::server::{PublicHost, Server};
use crate::world::{self, Engine, Host, HostGroup, HostName, MailboxForm, Role, Service, port};

/// The public ports of an MTA.
pub(super) const SMTP_SERVICES: &[Service] =
    &[Service::Smtp, Service::Smtps, Service::Submission, Service::Submissions];
/// The public ports of an MDA.
pub(super) const MAILBOX_SERVICES: &[Service] = &[Service::Pop3, Service::Pop3s, Service::Imap, Service::Imaps];

/// What a host needs to start.
pub(super) struct Context<'a> {
    pub(super) env: &'a Environment,
    pub(super) faults: &'a FaultInjector,
    pub(super) mtas: &'a Arc<BTreeMap<HostName, Mta>>,
    pub(super) mdas: &'a Arc<BTreeMap<HostName, Mda>>,
    pub(super) external: &'a ExternalMtas,
    pub(super) ports: &'a BoundPorts,
}

/// A budget of memory for uploads under way in this process, made for the largest message that an MTA or MDA of the
/// world accepts.
pub(super) fn uploads(world: &world::World) -> UploadBudget {
    let limits = world.mtas().map(|(_, mta)| mta.size_max).chain(world.mdas().map(|(_, mda)| mda.size_max));
    UploadBudget::for_messages_of(limits.max().unwrap_or_default())
}

/// The MTAs of this process but external ones, each with its queue opened.
pub(super) fn mtas(
    env: &Environment,
    faults: &FaultInjector,
    uploads: &UploadBudget,
    selection: &HostSelection,
) -> Result<BTreeMap<HostName, Mta>, Error> {
    let open = |host: &Host, settings: &world::Mta| {
        let context = MtaContext {
            world: env.world.clone(),
            host: host.name.clone(),
            settings: settings.clone(),
            interface: env.interface(host),
            resolver: env.resolver(host),
            store: env.store.with_disk_faults(faults.disk(&host.name)),
            catalogue: env.catalogue.clone(),
            clock: env.clock,
            rng: env.rng.fork(&host.name),
            emitter: env.event_log.emitter(&host.name),
            tls: env.tls(host, faults)?,
            trust: env.trust_between_servers(),
            authority: env.authority.trust().map_err(Error::Authority)?,
            uploads: uploads.clone(),
        };
        Ok((host.name.clone(), Mta::new(context)?))
    };
    let ours = env.world.mtas().filter(|(host, settings)| settings.engine.is_ours() && selection.includes(&host.name));
    ours.map(|(host, settings)| open(host, settings)).collect()
}

/// The MDAs of this process; they share one set of mailboxes.
pub(super) fn mdas(
    env: &Environment,
    mailboxes: &Mailboxes,
    faults: &FaultInjector,
    uploads: &UploadBudget,
    selection: &HostSelection,
) -> Result<BTreeMap<HostName, Mda>, Error> {
    let open = |host: &Host, settings: &world::Mda| {
        let context = mda::MdaContext {
            world: env.world.clone(),
            host: host.name.clone(),
            settings: *settings,
            mailboxes: mailboxes.with_store(env.store.with_disk_faults(faults.disk(&host.name))),
            clock: env.clock,
            rng: env.rng.fork(&host.name),
            emitter: env.event_log.emitter(&host.name),
            tls: env.tls(host, faults)?,
            uploads: uploads.clone(),
        };
        Ok((host.name.clone(), Mda::new(context)))
    };
    let ours = env.world.mdas().filter(|(host, _)| selection.includes(&host.name));
    ours.map(|(host, settings)| open(host, settings)).collect()
}

/// Starts the Maildir sync for the MDAs whose mailboxes are also kept as Maildirs, if the store is on disk.
pub(super) fn sync_maildirs(context: &Context<'_>, mailboxes: &Mailboxes, tasks: &HostTasks) {
    let has_maildirs = |mda: &Mda| mda.form() == MailboxForm::Maildir;
    if !context.mdas.values().any(has_maildirs) {
        return;
    }
    let (world, mdas) = (context.env.world.clone(), context.mdas.clone());
    let is_synced = move |key: &str| {
        let domain = key.parse::<Address>().ok().and_then(|address| world.domain(address.domain()).cloned());
        domain.and_then(|domain| mdas.get(&domain.mailboxes)).is_some_and(has_maildirs)
    };
    if let Some(sync) = mda::MaildirSync::new(mailboxes, is_synced) {
        tasks.spawn(sync.run(tasks.stop.clone()));
    }
}

/// Starts one host according to its role: its servers and its queue, as tasks of `tasks`. Does nothing for a MUA, and
/// for an MTA or MDA that this process does not have.
pub(super) async fn host(context: &Context<'_>, host: &Host, tasks: &HostTasks) -> Result<(), Error> {
    let Context { env, external: external_mtas, mtas, mdas, .. } = context;
    let starting = Starting { context, host, tasks };
    match &host.role {
        Role::Dns => starting.dns().await,
        Role::Mua => Ok(()),
        Role::Mta(settings) => match (&settings.engine, mtas.get(&host.name)) {
            (Engine::External(external), _) => external_mtas.start(env, host, external, tasks).await,
            (Engine::Mailin, Some(mta)) => external_mtas.start_mailin(env, host, mta, tasks),
            (Engine::Postroad, Some(mta)) => starting.mta(mta).await,
            (Engine::Mailin | Engine::Postroad, None) => Ok(()),
        },
        Role::Mda(_) => match mdas.get(&host.name) {
            Some(mda) => starting.mda(mda).await,
            None => Ok(()),
        },
    }
}

/// A host that is being started.
struct Starting<'a> {
    context: &'a Context<'a>,
    host: &'a Host,
    tasks: &'a HostTasks,
}

impl Starting<'_> {
    /// Serves DNS over TCP and UDP at port 53 and at the public port.
    async fn dns(&self) -> Result<(), Error> {
        let zones = Arc::new(Zones::of_world(&self.context.env.world)?);
        let names = NameServer::new(FaultyZones::new(zones, self.context.faults.dns_faults()));
        self.listen(port::DNS, None, names.clone()).await?;
        let sockets =
            self.context.env.interface(self.host).listen_udp(port::DNS).await.map_err(|why| self.host_error(why))?;
        for socket in sockets {
            self.tasks.spawn(names.clone().serve_udp(socket, self.tasks.stop.clone()));
        }
        for (service, port) in self.context.ports.of_host(&self.host.name) {
            let failed = |why| Error::PublicPort { service, why };
            let socket = port.bind_udp().await.map_err(failed)?;
            self.tasks.serve(port.listen().map_err(failed)?, None, names.clone());
            self.tasks.spawn(names.clone().serve_udp(socket, self.tasks.stop.clone()));
        }
        Ok(())
    }

    /// Serves SMTP at ports 25, 587 and 465, starts the queue, and serves the public ports, where each MTA of the
    /// process may take a message.
    async fn mta(&self, mta: &Mta) -> Result<(), Error> {
        let tls = self.context.env.tls(self.host, self.context.faults)?;
        let hosts = HostGroup::single(self.host.name.clone(), mta.clone());
        let [relay, submission] = [ListenerKind::Relay, ListenerKind::Submission].map(|kind| {
            let policy = SmtpPolicy::new(hosts.clone(), kind);
            Server::new(policy, self.context.faults.reply_faults(&self.host.name))
        });
        self.listen(port::SMTP, None, relay).await?;
        self.listen(port::SUBMISSION, None, submission.clone()).await?;
        self.listen(port::SUBMISSIONS, Some(tls.clone()), submission).await?;
        self.tasks.spawn(mta.start(self.tasks.stop.clone(), self.tasks.end.clone())?);
        let hosts = HostGroup::public((*self.context.mtas).clone(), mta.clone());
        let [open, submission] = [ListenerKind::Unauthenticated, ListenerKind::Submission].map(|kind| {
            let policy = SmtpPolicy::new(hosts.clone(), kind);
            Server::new(policy, self.context.faults.reply_faults(&self.host.name)).public(self.mtas_seen_from_outside())
        });
        for (service, port) in self.context.ports.of_host(&self.host.name) {
            match service {
                Service::Submission => self.listen_public(service, port, None, submission.clone())?,
                Service::Submissions => {
                    self.listen_public(service, port, Some(tls.clone()), submission.clone())?;
                }
                Service::Smtps => self.listen_public(service, port, Some(tls.clone()), open.clone())?,
                _ => self.listen_public(service, port, None, open.clone())?,
            }
        }
        Ok(())
    }

    /// Serves LMTP, POP3 and IMAP at their ports inside the world, and the public ports, where the users of all MDAs of
    /// the process log in.
    async fn mda(&self, mda: &Mda) -> Result<(), Error> {
        let tls = self.context.env.tls(self.host, self.context.faults)?;
        let users = UserDirectory::new(HostGroup::single(self.host.name.clone(), mda.clone()));
        let (pop3, imap) = (Pop3::new(users.clone()), Imap::new(users));
        let faults = self.context.faults.reply_faults(&self.host.name);
        self.listen(port::LMTP, None, Server::new(LmtpPolicy::new(mda.clone()), faults)).await?;
        mda.start(Lifetime::new(self.tasks.stop.clone(), self.tasks.end.clone()));
        self.listen(port::POP3, None, pop3.clone()).await?;
        self.listen(port::POP3S, Some(tls.clone()), pop3).await?;
        self.listen(port::IMAP, None, imap.clone()).await?;
        self.listen(port::IMAPS, Some(tls.clone()), imap).await?;
        let users = UserDirectory::new(HostGroup::public((*self.context.mdas).clone(), mda.clone()));
        let (pop3, imap) = (Pop3::new(users.clone()), Imap::new(users));
        for (service, port) in self.context.ports.of_host(&self.host.name) {
            match service {
                Service::Pop3 => self.listen_public(service, port, None, pop3.clone())?,
                Service::Pop3s => self.listen_public(service, port, Some(tls.clone()), pop3.clone())?,
                Service::Imaps => self.listen_public(service, port, Some(tls.clone()), imap.clone())?,
                _ => self.listen_public(service, port, None, imap.clone())?,
            }
        }
        Ok(())
    }

    /// The first address and the injected replies of each MTA of this process, which may take a message behind a public
    /// port.
    fn mtas_seen_from_outside(&self) -> BTreeMap<HostName, PublicHost> {
        let seen = |name: &HostName| {
            let address = *self.context.env.world.hosts.get(name)?.addresses.first()?;
            Some((name.clone(), PublicHost { address, faults: self.context.faults.reply_faults(name) }))
        };
        self.context.mtas.keys().filter_map(seen).collect()
    }

    /// Serves a public port of the host with this handler; `tls` is for TLS from the start.
    fn listen_public(
        &self,
        service: Service,
        port: &PublicPort,
        tls: Option<TlsAcceptor>,
        handler: impl net::Service,
    ) -> Result<(), Error> {
        let listener = port.listen().map_err(|why| Error::PublicPort { service, why })?;
        self.tasks.serve(listener, tls, handler);
        Ok(())
    }

    /// Serves a port at each address of the host with this service; `tls` is for TLS from the start.
    async fn listen(&self, port: u16, tls: Option<TlsAcceptor>, service: impl net::Service) -> Result<(), Error> {
        let listeners = self.context.env.interface(self.host).listen(port).await.map_err(|why| self.host_error(why))?;
        for listener in listeners {
            self.tasks.serve(listener, tls.clone(), service.clone());
        }
        Ok(())
    }

    /// The error that this host cannot start, for this reason. Failures at public ports are [`Error::PublicPort`]
    /// instead.
    fn host_error(&self, why: net::Error) -> Error {
        Error::Host { host: self.host.name.to_string(), why }
    }
}

/// The hosts of this process that public ports belong to, with the services of each: the world's entry for SMTP; for
/// POP3 and IMAP the MDA of its domain, or else the first one; the first name server for DNS. Any user of the world can
/// log in at any of them.
pub(super) fn owners<'a>(
    env: &'a Environment,
    mtas: &BTreeMap<HostName, Mta>,
    mdas: &'a BTreeMap<HostName, Mda>,
    selection: &HostSelection,
) -> Vec<(&'a Host, &'static [Service])> {
    let world = &env.world;
    let entry = Some(&world.entry).filter(|entry| mtas.contains_key(*entry));
    let served = world.domains.values().chain(&world.elsewhere).find(|domain| domain.mx.contains(&world.entry));
    let own = served.map(|domain| &domain.mailboxes).filter(|mda| mdas.contains_key(*mda));
    let names = world.dns().find(|dns| selection.includes(&dns.name)).map(|dns| &dns.name);
    let owners = [(entry, SMTP_SERVICES), (own.or(mdas.keys().next()), MAILBOX_SERVICES), (names, &[Service::Dns][..])];
    let owners = owners.into_iter().filter_map(|(host, services)| Some((world.hosts.get(host?)?, services)));
    owners.collect()
}
