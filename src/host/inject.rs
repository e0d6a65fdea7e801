//! Injects faults into a running world, and clears them.

use std::net::{IpAddr, Ipv4Addr};

use super::fault::{UndoStep, read_reply};
use super::host_table::Hold;
use super::{Active, Certificate, Direction, DnsFaultKind, Error, Fault, RunningWorld, UndoList};
use crate::dns::DnsFault;
use crate::net::{Link, LinkFault, TlsFault};
use crate::smtp::Reply;
use crate::smtp::reply_faults::{FaultPoint, ReplyFault, Rule};
use crate::store::DiskFault;
use crate::world::Engine;

impl RunningWorld {
    /// Injects a fault. Hosts that the world does not have are ignored; check with [`RunningWorld::validate`] first.
    pub async fn inject(&self, fault: &Fault) -> UndoList {
        let id = self.faults.next_id();
        UndoList { id, steps: self.inject_with_id(fault, id).await }
    }

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
            Fault::Cut { between, way } => self.inject_link_faults(between, *way, || LinkFault::Cut),
            Fault::Refuse { between, way } => self.inject_link_faults(between, *way, || LinkFault::Refuse),
            Fault::Stall { between, way, after } => {
                self.inject_link_faults(between, *way, || LinkFault::Stall { after: *after })
            }
            Fault::Reset { between, way, after } => {
                self.inject_link_faults(between, *way, || LinkFault::Reset { after: *after })
            }
            Fault::Slow { between, way, latency, jitter, bandwidth } => self.inject_link_faults(between, *way, || {
                let rng = self.faults.rng.fork(&format!("slow {}", self.faults.rng.next_u64()));
                LinkFault::Slow { latency: *latency, jitter: *jitter, bandwidth: *bandwidth, rng }
            }),
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

    /// Clears a fault.
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
        self.faults.active().insert(undo.id, (active.clone(), undo));
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
        if cleared.is_err() {
            self.faults.active().insert(id, (active.clone(), undo));
        }
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

    /// The active faults.
    pub fn active_faults(&self) -> Vec<Active> {
        self.faults.active().values().map(|(active, _)| active.clone()).collect()
    }

    /// Checks whether a fault can be injected into this world.
    ///
    /// # Errors
    /// One line that says what is wrong: an unknown host, an invalid reply, or a fault that is not possible here.
    pub fn validate(&self, fault: &Fault) -> Result<(), String> {
        fault.check(|host| self.env.world.hosts.contains_key(host))?;
        let is_of_link = matches!(
            fault,
            Fault::Cut { .. } | Fault::Refuse { .. } | Fault::Stall { .. } | Fault::Reset { .. } | Fault::Slow { .. }
        );
        if is_of_link && !self.env.net.has_links() {
            return Err("a host that runs alone has real network links, which cannot have injected faults".to_owned());
        }
        if matches!(fault, Fault::Off { startup, .. } | Fault::Crash { startup, .. } if !startup.is_zero())
            && let Some(external) = fault.hosts().into_iter().find(|host| self.is_external(host))
        {
            return Err(format!("{external} is an external MTA, whose start cannot be delayed; leave out `startup`"));
        }
        Ok(())
    }

    /// Whether a host is an MTA with another engine than ours.
    fn is_external(&self, host: &str) -> bool {
        let mut mtas = self.env.world.mtas();
        mtas.any(|(mta, settings)| &*mta.name == host && !matches!(settings.engine, Engine::Postroad))
    }

    /// The fault for what a server presents instead of its certificate.
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

    fn inject_link_faults(
        &self,
        between: &[String; 2],
        way: Direction,
        fault: impl Fn() -> LinkFault,
    ) -> Vec<UndoStep> {
        let [here, there] = between.each_ref().map(|host| self.addresses(host));
        let mut links = vec![Link { from: here.clone(), to: there.clone() }];
        if way == Direction::Both {
            links.push(Link { from: there, to: here });
        }
        links.into_iter().map(|link| UndoStep::Link(self.env.net.faults().inject(link, fault()))).collect()
    }

    /// What the resolvers know of these names is from before the fault, or before its end.
    fn forget_names(&self, domain: &str) {
        self.mtas.values().for_each(|mta| mta.forget_names(domain));
    }

    fn inject_disk_fault(&self, host: &str, fault: DiskFault) -> Vec<UndoStep> {
        vec![UndoStep::DiskFault(host.to_owned(), self.faults.disk(host).inject(fault))]
    }

    fn addresses(&self, host: &str) -> Vec<IpAddr> {
        self.env.world.hosts.get(host).map(|host| host.addresses.clone()).unwrap_or_default()
    }

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
