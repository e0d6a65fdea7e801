//! Inflicts faults on a running world, and cures them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

use super::fault::Remedy;
use super::{Certificate, Cure, Error, Fault, Ground, Names, Running, Way};
use crate::dns::{Mood, Moods};
use crate::net::{Flaw, Flaws, Link, LinkFault};
use crate::smtp::Reply;
use crate::smtp::whims::{Moment, Rule, Whim, Whims};
use crate::store::DiskFaults;
use crate::world::{Dice, Engine, HostName};

/// What may be made to go wrong at each host; the links are those of the ground's network.
pub struct Faults {
    disks: BTreeMap<HostName, DiskFaults>,
    whims: BTreeMap<HostName, Whims>,
    flaws: BTreeMap<HostName, Flaws>,
    moods: Moods,
    dice: Dice,
    active: Mutex<BTreeMap<u64, (Active, Cure)>>,
}

/// A fault that holds now.
#[derive(Clone, Debug, Serialize)]
pub struct Active {
    /// Names it, so that it can be ended.
    pub id: u64,
    /// In a few words.
    pub title: String,
    /// Since when.
    pub since: Timestamp,
    /// The fault itself.
    pub fault: Fault,
}

impl Faults {
    /// None yet.
    pub(super) fn of(ground: &Ground) -> Self {
        let hosts = || ground.world.hosts.keys().cloned();
        Self {
            disks: hosts().map(|host| (host, DiskFaults::default())).collect(),
            whims: hosts().map(|host| (host, Whims::default())).collect(),
            flaws: hosts().map(|host| (host, Flaws::default())).collect(),
            moods: Moods::default(),
            dice: ground.dice.fork("faults"),
            active: Mutex::default(),
        }
    }

    pub(super) fn disk(&self, host: &str) -> DiskFaults {
        self.disks.get(host).cloned().unwrap_or_default()
    }

    pub(super) fn whims(&self, host: &str) -> Whims {
        self.whims.get(host).cloned().unwrap_or_default()
    }

    pub(super) fn flaws(&self, host: &str) -> Flaws {
        self.flaws.get(host).cloned().unwrap_or_default()
    }

    pub(super) fn moods(&self) -> Moods {
        self.moods.clone()
    }

    /// A panic elsewhere does not make the table wrong: each change to it is whole.
    fn active(&self) -> MutexGuard<'_, BTreeMap<u64, (Active, Cure)>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    /// Lets it happen. Hosts that the world does not have are not touched; [`Running::knows`] tells beforehand.
    pub async fn inflict(&self, fault: &Fault) -> Cure {
        Cure(match fault {
            Fault::Off { host, startup } => {
                self.turn_off(host).await;
                vec![Remedy::TurnOn(host.clone(), *startup)]
            }
            Fault::Crash { host, startup } => {
                self.crash(host).await;
                vec![Remedy::TurnOn(host.clone(), *startup)]
            }
            Fault::DiskFull { host } => {
                self.faults.disk(host).set_full(true);
                vec![Remedy::EmptyDisk(host.clone())]
            }
            Fault::DiskSlow { host, by } => {
                self.faults.disk(host).set_delay(*by);
                vec![Remedy::SpeedUp(host.clone())]
            }
            Fault::Cut { between, way } => self.on_links(between, *way, || LinkFault::Cut),
            Fault::Refuse { between, way } => self.on_links(between, *way, || LinkFault::Refuse),
            Fault::Stall { between, way, after } => self.on_links(between, *way, || LinkFault::Stall { after: *after }),
            Fault::Reset { between, way, after } => self.on_links(between, *way, || LinkFault::Reset { after: *after }),
            Fault::Slow { between, way, latency, jitter, bandwidth } => self.on_links(between, *way, || {
                let dice = self.faults.dice.fork(&format!("slow {}", self.faults.dice.draw()));
                LinkFault::Slow { latency: *latency, jitter: *jitter, bandwidth: *bandwidth, dice }
            }),
            Fault::Reply { host, at, reply, about, share } => {
                let whim = reply.as_deref().and_then(read_reply).map_or(Whim::HangUp, Whim::Say);
                self.whim(host, *at, about, *share, whim)
            }
            Fault::Greylist { host, wait } => {
                let reply = Reply::new(451, (4, 7, 1), "Greylisted, please try again later");
                self.whim(host, Moment::Rcpt, "", 1.0, Whim::Greylist(reply, *wait))
            }
            Fault::Tls { host, certificate } => {
                vec![Remedy::Flaw(host.clone(), self.faults.flaws(host).inflict(self.flaw(host, *certificate)))]
            }
            Fault::Dns { names, about, by, host } => {
                let host = host.as_deref().unwrap_or_default();
                let mood = match names {
                    Names::Silent => Mood::Silent,
                    Names::NoSuchName => Mood::NoSuchName,
                    Names::ServerFailure => Mood::ServerFailure,
                    Names::Slow => Mood::Slow(*by),
                    Names::Wrong => {
                        let address = self.addresses(host).first().copied();
                        Mood::Wrong(address.unwrap_or(Ipv4Addr::UNSPECIFIED.into()))
                    }
                    Names::Moved => Mood::Moved(
                        self.ground.world.hosts.get(host).map_or_else(String::new, |host| host.fqdn.clone()),
                    ),
                    Names::Stale => Mood::Stale,
                };
                vec![Remedy::Mood(self.faults.moods.inflict(about, mood))]
            }
        })
    }

    /// Mends it.
    ///
    /// # Errors
    /// A host does not come up again.
    pub async fn cure(&self, cure: Cure) -> Result<(), Error> {
        for remedy in cure.0 {
            match remedy {
                Remedy::TurnOn(host, startup) => self.turn_on_slowly(&host, startup).await?,
                Remedy::EmptyDisk(host) => self.faults.disk(&host).set_full(false),
                Remedy::SpeedUp(host) => self.faults.disk(&host).set_delay(std::time::Duration::ZERO),
                Remedy::Link(id) => self.ground.net.faults().lift(id),
                Remedy::Whim(host, id) => self.faults.whims(&host).lift(id),
                Remedy::Flaw(host, id) => self.faults.flaws(&host).lift(id),
                Remedy::Mood(id) => self.faults.moods.lift(id),
            }
        }
        Ok(())
    }

    /// Inflicts a fault that [`Running::end_fault`] ends.
    pub async fn begin_fault(&self, fault: Fault) -> Active {
        let cure = self.inflict(&fault).await;
        let mut table = self.faults.active();
        let id = table.last_key_value().map_or(1, |(last, _)| last + 1);
        let active = Active { id, title: fault.title(), since: self.ground.clock.now(), fault };
        table.insert(id, (active.clone(), cure));
        active
    }

    /// Ends a fault, and gives it back; `None` if it does not hold.
    ///
    /// # Errors
    /// A host does not come up again.
    pub async fn end_fault(&self, id: u64) -> Result<Option<Active>, Error> {
        let Some((active, cure)) = self.faults.active().remove(&id) else { return Ok(None) };
        self.cure(cure).await?;
        Ok(Some(active))
    }

    /// The faults that hold now.
    pub fn active_faults(&self) -> Vec<Active> {
        self.faults.active().values().map(|(active, _)| active.clone()).collect()
    }

    /// What is wrong with a fault in this world, in one line.
    ///
    /// # Errors
    /// It names a host that is not there, or a reply that is none, or it cannot be in this world.
    pub fn knows(&self, fault: &Fault) -> Result<(), String> {
        fault.check(|host| self.ground.world.hosts.contains_key(host))?;
        let is_of_link = matches!(
            fault,
            Fault::Cut { .. } | Fault::Refuse { .. } | Fault::Stall { .. } | Fault::Reset { .. } | Fault::Slow { .. }
        );
        if is_of_link && !self.ground.net.has_links() {
            return Err("hosts that run alone have real links between them; end them where they are".to_owned());
        }
        if matches!(fault, Fault::Off { startup, .. } | Fault::Crash { startup, .. } if !startup.is_zero())
            && let Some(foreign) = fault.hosts().into_iter().find(|host| self.is_foreign(host))
        {
            return Err(format!("{foreign} starts in its own time; leave out `startup`"));
        }
        Ok(())
    }

    /// Whether an MTA is of another make.
    fn is_foreign(&self, host: &str) -> bool {
        let mut mtas = self.ground.world.mtas();
        mtas.any(|(mta, settings)| &*mta.name == host && !matches!(settings.engine, Engine::Postroad))
    }

    /// What a server shows instead of its certificate.
    fn flaw(&self, host: &str, certificate: Certificate) -> Flaw {
        let authority = &self.ground.authority;
        let other = match certificate {
            Certificate::Absent => return Flaw::Absent,
            Certificate::Expired => self.ground.names(host).and_then(|names| authority.issue_expired(&names).ok()),
            Certificate::WrongName => authority.issue(&["somebody-else.invalid".to_owned()]).ok(),
        };
        // Names for which the host has a good certificate can stand in a bad one, too.
        other.map_or(Flaw::Absent, Flaw::Shows)
    }

    fn on_links(&self, between: &[String; 2], way: Way, fault: impl Fn() -> LinkFault) -> Vec<Remedy> {
        let [here, there] = between.each_ref().map(|host| self.addresses(host));
        let mut links = vec![Link { from: here.clone(), to: there.clone() }];
        if way == Way::Both {
            links.push(Link { from: there, to: here });
        }
        links.into_iter().map(|link| Remedy::Link(self.ground.net.faults().inflict(link, fault()))).collect()
    }

    fn addresses(&self, host: &str) -> Vec<IpAddr> {
        self.ground.world.hosts.get(host).map(|host| host.addresses.clone()).unwrap_or_default()
    }

    fn whim(&self, host: &str, moment: Moment, about: &str, share: f64, whim: Whim) -> Vec<Remedy> {
        let dice = self.faults.dice.fork(&format!("whim {}", self.faults.dice.draw()));
        let rule = Rule { moment, about: about.to_owned(), share, whim, dice };
        vec![Remedy::Whim(host.to_owned(), self.faults.whims(host).inflict(rule))]
    }
}

impl Fault {
    /// What is wrong with it where only these hosts are known.
    ///
    /// # Errors
    /// One line: what, and what to write instead.
    pub fn check(&self, is_host: impl Fn(&str) -> bool) -> Result<(), String> {
        if let Some(unknown) = self.hosts().into_iter().find(|host| !is_host(host)) {
            return Err(format!("there is no host `{unknown}` in this world"));
        }
        if let Self::Reply { reply: Some(reply), .. } = self
            && read_reply(reply).is_none()
        {
            return Err(format!("`{reply}` is no reply such as \"450 4.2.0 try again\" (codes 400 to 599)"));
        }
        if matches!(self, Self::Dns { names: Names::Wrong | Names::Moved, host: None, .. }) {
            return Err("wrong and moved names need the host they lead to, as in host = \"mta-a\"".to_owned());
        }
        if let Self::Reply { at: Moment::Greeting | Moment::Hello, about, .. } = self
            && !about.is_empty()
        {
            return Err("no address is known yet at `greeting` and `hello`; leave out `about`".to_owned());
        }
        if let Self::Reply { share, .. } = self
            && !(0.0..=1.0).contains(share)
        {
            return Err(format!("a share of {share} is not between 0 and 1"));
        }
        Ok(())
    }
}

/// `450 4.2.0 try again`, with or without the status of RFC 3463.
fn read_reply(text: &str) -> Option<Reply> {
    let (code, rest) = text.split_once(' ').unwrap_or((text, ""));
    let code: u16 = code.parse().ok().filter(|code| (400..600).contains(code))?;
    let (status, words) = rest.split_once(' ').unwrap_or((rest, ""));
    let parts: Vec<u16> = status.split('.').filter_map(|part| part.parse().ok()).collect();
    Some(match parts.as_slice() {
        [class @ (4 | 5), subject, detail] => Reply::new(code, (*class as u8, *subject, *detail), words),
        _ => Reply::plain(code, rest),
    })
}
