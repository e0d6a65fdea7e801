//! Starts each host of a world according to its role, and the services behind the public ports.

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
use crate::net::{self, TlsAcceptor, UploadBudget};
use crate::smtp::server::Server;
use crate::world::{self, Engine, Host, HostGroup, HostName, MailboxForm, Role, Service, port};

/// What a host needs to start.
pub(super) struct Context<'a> {
    pub(super) env: &'a Environment,
    pub(super) faults: &'a FaultInjector,
    pub(super) mtas: &'a Arc<BTreeMap<HostName, Mta>>,
    pub(super) mdas: &'a Arc<BTreeMap<HostName, Mda>>,
    pub(super) external: &'a ExternalMtas,
}

/// The memory for uploads under way in this process.
pub(super) fn uploads(world: &world::World) -> UploadBudget {
    let limits = world.mtas().map(|(_, mta)| mta.size_max).chain(world.mdas().map(|(_, mda)| mda.size_max));
    UploadBudget::for_messages_of(limits.max().unwrap_or_default())
}

/// The MTAs of this process, each with its queue opened.
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

/// Starts one host according to its role.
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
    async fn dns(&self) -> Result<(), Error> {
        let zones = Arc::new(Zones::of_world(&self.context.env.world)?);
        let names = NameServer::new(FaultyZones::new(zones, self.context.faults.dns_faults()));
        self.listen(port::DNS, None, names.clone()).await?;
        let sockets =
            self.context.env.interface(self.host).listen_udp(port::DNS).await.map_err(|why| self.failed(why))?;
        for socket in sockets {
            self.tasks.spawn(names.clone().serve_udp(socket, self.tasks.stop.clone()));
        }
        Ok(())
    }

    async fn mta(&self, mta: &Mta) -> Result<(), Error> {
        let tls = self.context.env.tls(self.host, self.context.faults)?;
        let hosts = HostGroup::single(self.host.name.clone(), mta.clone());
        let [relay, submission] = [ListenerKind::Relay, ListenerKind::Submission].map(|kind| {
            let policy = SmtpPolicy::new(hosts.clone(), kind);
            Server::new(policy, self.context.faults.reply_faults(&self.host.name))
        });
        self.listen(port::SMTP, None, relay).await?;
        self.listen(port::SUBMISSION, None, submission.clone()).await?;
        self.listen(port::SUBMISSIONS, Some(tls), submission).await?;
        self.tasks.spawn(mta.start(self.tasks.stop.clone(), self.tasks.end.clone())?);
        Ok(())
    }

    async fn mda(&self, mda: &Mda) -> Result<(), Error> {
        let tls = self.context.env.tls(self.host, self.context.faults)?;
        let users = UserDirectory::new(HostGroup::single(self.host.name.clone(), mda.clone()));
        let (pop3, imap) = (Pop3::new(users.clone()), Imap::new(users));
        let faults = self.context.faults.reply_faults(&self.host.name);
        self.listen(port::LMTP, None, Server::new(LmtpPolicy::new(mda.clone()), faults)).await?;
        self.listen(port::POP3, None, pop3.clone()).await?;
        self.listen(port::POP3S, Some(tls.clone()), pop3).await?;
        self.listen(port::IMAP, None, imap.clone()).await?;
        self.listen(port::IMAPS, Some(tls), imap).await
    }

    async fn listen(&self, port: u16, tls: Option<TlsAcceptor>, service: impl net::Service) -> Result<(), Error> {
        let listeners = self.context.env.interface(self.host).listen(port).await.map_err(|why| self.failed(why))?;
        for listener in listeners {
            self.tasks.serve(listener, tls.clone(), service.clone());
        }
        Ok(())
    }

    fn failed(&self, why: net::Error) -> Error {
        Error::Host { host: self.host.name.to_string(), why }
    }
}

/// Binds the public ports for mail and DNS, and starts serving them. Any user of the world can log in at any of them.
pub(super) async fn public_ports(
    context: &Context<'_>,
    ports: &mut BoundPorts,
    tasks: &HostTasks,
    selection: &HostSelection,
) -> Result<(), Error> {
    let Context { env, faults, mtas, mdas, .. } = context;
    let mut public = PublicServices { env, ports, tasks };
    if let Some(entry) = mtas.get(&env.world.entry).cloned()
        && let Some(host) = env.world.hosts.get(&env.world.entry)
    {
        let tls = env.tls(host, faults)?;
        let hosts = HostGroup::public((*mtas).clone(), entry);
        let [open, submission] = [ListenerKind::Unauthenticated, ListenerKind::Submission]
            .map(|kind| Server::new(SmtpPolicy::new(hosts.clone(), kind), faults.reply_faults(&host.name)));
        public.serve(Service::Smtp, None, open).await?;
        public.serve(Service::Submission, None, submission.clone()).await?;
        public.serve(Service::Submissions, Some(tls), submission).await?;
    }
    if let Some(greeting) = mdas.values().next().cloned()
        && let Some(host) = env.world.hosts.get(greeting.host())
    {
        let tls = env.tls(host, faults)?;
        let users = UserDirectory::new(HostGroup::public((*mdas).clone(), greeting));
        let (pop3, imap) = (Pop3::new(users.clone()), Imap::new(users));
        public.serve(Service::Pop3, None, pop3.clone()).await?;
        public.serve(Service::Pop3s, Some(tls.clone()), pop3).await?;
        public.serve(Service::Imap, None, imap.clone()).await?;
        public.serve(Service::Imaps, Some(tls), imap).await?;
    }
    if env.world.dns().any(|dns| selection.includes(&dns.name)) { public.dns().await } else { Ok(()) }
}

/// Binds public ports and serves them.
struct PublicServices<'a> {
    env: &'a Environment,
    ports: &'a mut BoundPorts,
    tasks: &'a HostTasks,
}

impl PublicServices<'_> {
    async fn serve(
        &mut self,
        service: Service,
        tls: Option<TlsAcceptor>,
        handler: impl net::Service,
    ) -> Result<(), Error> {
        if let Some(listener) = self.ports.bind(&self.env.net, service).await? {
            self.tasks.serve(listener, tls, handler);
        }
        Ok(())
    }

    async fn dns(&mut self) -> Result<(), Error> {
        if let Some((listener, socket)) = self.ports.bind_tcp_udp(&self.env.net, Service::Dns).await? {
            let server = NameServer::new(Arc::new(Zones::of_world(&self.env.world)?));
            self.tasks.serve(listener, None, server.clone());
            self.tasks.spawn(server.serve_udp(socket, self.tasks.stop.clone()));
        }
        Ok(())
    }
}
