//! Injects faults into a running world, and clears them.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use tokio::sync::watch;

use super::fault::{OUTSIDE, UndoStep, read_reply};
use super::fault_injector::Recorded;
use super::host_table::Hold;
use super::start::{MAILBOX_SERVICES, SMTP_SERVICES};
use super::{Active, Certificate, Direction, DnsFaultKind, Error, Fault, RunningWorld, UndoList};
use crate::dns::DnsFault;
use crate::net::{Identity, Link, LinkEnd, LinkFault, TlsFault};
use crate::smtp::Reply;
use crate::smtp::reply_faults::{FaultPoint, ReplyFault, Rule};
use crate::store::DiskFault;
use crate::world::{Domain, Engine, HostName, Service};

impl RunningWorld {
    /// Injects a fault, until the returned list is given to [`RunningWorld::clear`]. Hosts that the world does not have
    /// are ignored; check with [`RunningWorld::validate`] first.
    pub async fn inject(&self, fault: &Fault) -> UndoList {
        let id = self.faults.next_id();
        UndoList { id, steps: self.inject_with_id(fault, id).await }
    }

    /// Injects a fault and returns the steps that clear it. A host that it turns off is held off by the fault with this
    /// id.
    async fn inject_with_id(&self, fault: &Fault, id: u64) -> Vec<UndoStep> {
        match fault {
            Fault::Off { host, startup } => {
                self.hold_off(host, Hold::Fault(id)).await;
                vec![UndoStep::TurnOn(host.clone(), *startup)]
            }
            Fault::Crash { host, startup } => {
                self.kill(host, Hold::Fault(id)).await;
                vec![UndoStep::TurnOn(host.clone(), *startup)]
            }
            Fault::DiskFull { host } => self.inject_disk_fault(host, DiskFault::Full),
            Fault::DiskFailing { host } => self.inject_disk_fault(host, DiskFault::Failing),
            Fault::DiskSlow { host, by } => self.inject_disk_fault(host, DiskFault::Slow(*by)),
            Fault::Cut { between, direction } => self.inject_link_faults(between, *direction, || LinkFault::Cut),
            Fault::Refuse { between, direction } => self.inject_link_faults(between, *direction, || LinkFault::Refuse),
            Fault::Stall { between, direction, after } => {
                self.inject_link_faults(between, *direction, || LinkFault::Stall { after: *after })
            }
            Fault::Reset { between, direction, after } => {
                self.inject_link_faults(between, *direction, || LinkFault::Reset { after: *after })
            }
            Fault::Slow { between, direction, latency, jitter, bandwidth } => {
                self.inject_link_faults(between, *direction, || {
                    let rng = self.faults.rng.fork(&format!("slow {}", self.faults.rng.next_u64()));
                    LinkFault::Slow { latency: *latency, jitter: *jitter, bandwidth: *bandwidth, rng }
                })
            }
            Fault::Reply { host, at, reply, about, share } => {
                let fault = reply.as_deref().and_then(read_reply).map_or(ReplyFault::HangUp, ReplyFault::Say);
                self.inject_reply_fault(host, *at, about, *share, fault)
            }
            Fault::Greylist { host, wait } => {
                let reply = Reply::new(451, (4, 7, 1), "Greylisted, please try again later");
                self.inject_reply_fault(host, FaultPoint::Rcpt, "", 1.0, ReplyFault::Greylist(reply, *wait))
            }
            Fault::Tls { host, certificate } => {
                vec![UndoStep::TlsFault(
                    host.clone(),
                    self.faults.tls_faults(host).inject(self.tls_fault(host, *certificate)),
                )]
            }
            Fault::Dns { names, about, by, host } => {
                let host = host.as_deref().unwrap_or_default();
                let dns_fault = match names {
                    DnsFaultKind::Silent => DnsFault::Silent,
                    DnsFaultKind::NoSuchName => DnsFault::NoSuchName,
                    DnsFaultKind::ServerFailure => DnsFault::ServerFailure,
                    DnsFaultKind::Slow => DnsFault::Slow(*by),
                    DnsFaultKind::Wrong => {
                        let address = self.addresses(host).first().copied();
                        DnsFault::Wrong(address.unwrap_or(Ipv4Addr::UNSPECIFIED.into()))
                    }
                    DnsFaultKind::Moved => DnsFault::Moved(
                        self.env.world.hosts.get(host).map_or_else(String::new, |host| host.fqdn.clone()),
                    ),
                    DnsFaultKind::Stale => DnsFault::Stale,
                };
                let id = self.faults.dns_faults().inject(about, dns_fault);
                self.forget_names(about);
                vec![UndoStep::DnsFault(id, about.clone())]
            }
        }
    }

    /// Clears a fault of [`RunningWorld::inject`]. A host that it kept off is turned on, unless something else keeps it
    /// off.
    ///
    /// # Errors
    /// A host cannot be started again; the fault keeps it off.
    pub async fn clear(&self, undo: &UndoList) -> Result<(), Error> {
        for step in &undo.steps {
            match step {
                UndoStep::TurnOn(host, startup) => self.release(host, Hold::Fault(undo.id), *startup).await?,
                UndoStep::DiskFault(host, id) => self.faults.disk(host).clear(*id),
                UndoStep::Link(id) => self.env.net.faults().clear(*id),
                UndoStep::ReplyFault(host, id) => self.faults.reply_faults(host).clear(*id),
                UndoStep::TlsFault(host, id) => self.faults.tls_faults(host).clear(*id),
                UndoStep::DnsFault(id, about) => {
                    self.faults.dns_faults().clear(*id);
                    self.forget_names(about);
                }
            }
        }
        Ok(())
    }

    /// Injects a fault and lists it in [`RunningWorld::active_faults`] until [`RunningWorld::end_fault`].
    pub async fn begin_fault(&self, fault: Fault) -> Active {
        let undo = self.inject(&fault).await;
        let active = Active { id: undo.id, title: fault.title(), since: self.env.clock.now(), fault };
        self.faults.record_begin(&self.env.event_log, Recorded::Fault(active.id), &active.fault).await;
        self.faults.active().insert(undo.id, (active.clone(), undo));
        self.faults.changed();
        active
    }

    /// Clears an active fault and returns it; `None` if there is no such fault. Other faults still apply, also to the
    /// same host or link.
    ///
    /// # Errors
    /// A host cannot be started again; the fault stays active.
    pub async fn end_fault(&self, id: u64) -> Result<Option<Active>, Error> {
        let Some((active, undo)) = self.faults.active().remove(&id) else { return Ok(None) };
        let cleared = self.clear(&undo).await;
        match cleared {
            Ok(()) => self.faults.record_end(&self.env.event_log, &Recorded::Fault(id)).await,
            Err(_) => drop(self.faults.active().insert(id, (active.clone(), undo))),
        }
        self.faults.changed();
        cleared.map(|()| Some(active))
    }

    /// Clears all active faults and returns them.
    ///
    /// # Errors
    /// A host cannot be started again; that fault stays active, and the others are cleared.
    pub async fn end_all_faults(&self) -> Result<Vec<Active>, Error> {
        let (mut ended, mut outcome) = (Vec::new(), Ok(()));
        for active in self.active_faults() {
            match self.end_fault(active.id).await {
                Ok(fault) => ended.extend(fault),
                Err(error) => outcome = Err(error),
            }
        }
        outcome.map(|()| ended)
    }

    /// The faults of [`RunningWorld::begin_fault`] that have not ended, the oldest first.
    pub fn active_faults(&self) -> Vec<Active> {
        self.faults.active().values().map(|(active, _)| active.clone()).collect()
    }

    /// A receiver that is notified when [`RunningWorld::begin_fault`] or [`RunningWorld::end_fault`] changes the active
    /// faults, or a host is turned on or off. Its value is the number of such changes since the start.
    pub fn fault_changes(&self) -> watch::Receiver<u64> {
        self.faults.changes().subscribe()
    }

    /// Checks whether a fault can be injected into this world, where it has an effect.
    ///
    /// # Errors
    /// One line that says what is wrong: an unknown host, an invalid reply, or a fault that is not possible here.
    pub fn validate(&self, fault: &Fault) -> Result<(), String> {
        fault.check(&self.env.world)?;
        if fault.ends().is_some() && !self.env.net.has_links() {
            return Err("a host that runs alone has real network links, which cannot have injected faults".to_owned());
        }
        if let Some(other) = fault.hosts().into_iter().find(|host| fault.ends().is_none() && !self.runs_here(host)) {
            return Err(format!("{other} does not run in this process; begin the fault at its own"));
        }
        if matches!(fault, Fault::Off { startup, .. } | Fault::Crash { startup, .. } if !startup.is_zero())
            && let Some(external) = fault.hosts().into_iter().find(|host| self.is_external(host))
        {
            return Err(format!("{external} is an external MTA, whose start cannot be delayed; leave out `startup`"));
        }
        match fault.ends() {
            Some(ends) if ends.iter().any(|end| end == OUTSIDE) => self.validate_outside(fault),
            _ => Ok(()),
        }
    }

    /// Checks that a fault of a link to [`OUTSIDE`] has an effect: programs outside reach the host through its own
    /// public port, or, unless the fault refuses connections, through that of another host. The error is one line.
    fn validate_outside(&self, fault: &Fault) -> Result<(), String> {
        let Some(host) = fault.hosts().first().copied() else { return Ok(()) };
        let owners: Vec<_> = self.ports.hosts().map(ToString::to_string).collect();
        let (owns, known) = (owners.iter().any(|owner| owner == host), owners.join(", "));
        let is_open = |services: &[Service]| services.iter().any(|service| self.bound_ports().contains_key(service));
        let serves = |of: fn(&Domain) -> &[HostName]| {
            let world = &self.env.world;
            world.domains.values().chain(&world.elsewhere).any(|domain| of(domain).iter().any(|name| **name == *host))
        };
        // Behind the port of another host, it takes the mail of its senders, or has the mailboxes of its users.
        let answers = (self.mtas.contains_key(host) && is_open(SMTP_SERVICES) && serves(|domain| &domain.mx))
            || (self.mdas.contains_key(host)
                && is_open(MAILBOX_SERVICES)
                && serves(|domain| std::slice::from_ref(&domain.mailboxes)));
        match fault {
            _ if owners.is_empty() => {
                Err(format!("this world has no public ports, so nothing is `{OUTSIDE}`; name the MUA instead"))
            }
            Fault::Refuse { between, direction } if owns => {
                // Hosts do not connect to programs outside.
                let place = between.iter().position(|end| end == OUTSIDE).unwrap_or_default();
                if direction.goes_from(place) { Ok(()) } else { Err(format!("{host} connects to nothing {OUTSIDE}")) }
            }
            Fault::Refuse { .. } => {
                Err(format!("no public port belongs to {host}, which could refuse connections; name one of {known}"))
            }
            _ if owns || answers => Ok(()),
            _ => Err(format!("no public port leads to {host}; name one of {known}")),
        }
    }

    /// Presents this certificate at a host from now on, instead of the one of the world's authority. This
    /// cannot be undone.
    pub fn present(&self, host: &str, identity: Identity) {
        self.faults.tls_faults(host).inject(TlsFault::Presents(identity));
    }

    /// Whether a host is an MTA with another engine than ours.
    fn is_external(&self, host: &str) -> bool {
        let mut mtas = self.env.world.mtas();
        mtas.any(|(mta, settings)| &*mta.name == host && !matches!(settings.engine, Engine::Postroad))
    }

    /// The fault for what a server presents instead of its certificate: nothing, or one that the authority of the world
    /// issues here.
    fn tls_fault(&self, host: &str, certificate: Certificate) -> TlsFault {
        let authority = &self.env.authority;
        let other = match certificate {
            Certificate::Absent => return TlsFault::Absent,
            Certificate::Expired => self.env.names(host).and_then(|names| authority.issue_expired(&names).ok()),
            Certificate::WrongName => authority.issue(&["somebody-else.invalid".to_owned()]).ok(),
        };
        // Issuing does not fail: the authority has issued a valid certificate for these names before.
        other.map_or(TlsFault::Absent, TlsFault::Presents)
    }

    /// Injects a fault into the link between two hosts, or a host and [`OUTSIDE`], and returns the steps that clear it.
    /// `fault` makes it anew for each direction that `direction` has.
    fn inject_link_faults(
        &self,
        between: &[String; 2],
        direction: Direction,
        fault: impl Fn() -> LinkFault,
    ) -> Vec<UndoStep> {
        let [here, there] = between.each_ref().map(|end| match end.as_str() {
            OUTSIDE => LinkEnd::Outside(Arc::new(self.env.world.addresses())),
            host => LinkEnd::Among(self.addresses(host)),
        });
        let links = [Link { from: here.clone(), to: there.clone() }, Link { from: there, to: here }];
        let links =
            links.into_iter().enumerate().filter(|(place, _)| direction.goes_from(*place)).map(|(_, link)| link);
        links.map(|link| UndoStep::Link(self.env.net.faults().inject(link, fault()))).collect()
    }

    /// Drops the answers that the resolvers of all MTAs have for this domain and the names below it, or for all names
    /// if it is empty: those from before a fault begins or ends are out of date then.
    fn forget_names(&self, domain: &str) {
        self.mtas.values().for_each(|mta| mta.forget_names(domain));
    }

    /// Injects a fault into the disk of a host, and returns the step that clears it.
    fn inject_disk_fault(&self, host: &str, fault: DiskFault) -> Vec<UndoStep> {
        vec![UndoStep::DiskFault(host.to_owned(), self.faults.disk(host).inject(fault))]
    }

    /// The addresses of the host with this name in the world file; none if there is no such host.
    fn addresses(&self, host: &str) -> Vec<IpAddr> {
        self.env.world.hosts.get(host).map(|host| host.addresses.clone()).unwrap_or_default()
    }

    /// Injects a reply at this point of the sessions of a host, for addresses with this ending, and returns the step
    /// that clears it. It is given with this probability, from 0 to 1.
    fn inject_reply_fault(
        &self,
        host: &str,
        point: FaultPoint,
        address_suffix: &str,
        probability: f64,
        fault: ReplyFault,
    ) -> Vec<UndoStep> {
        // The label selects the random stream: changing it would change what a seed gives.
        let rng = self.faults.rng.fork(&format!("whim {}", self.faults.rng.next_u64()));
        let rule = Rule { point, address_suffix: address_suffix.to_owned(), probability, fault, rng };
        vec![UndoStep::ReplyFault(host.to_owned(), self.faults.reply_faults(host).inject(rule))]
    }
}
