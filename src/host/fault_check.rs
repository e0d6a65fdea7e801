//! Checks faults: one that would have no effect is refused.

use super::fault::{Direction, DnsFaultKind, Fault, OUTSIDE, read_reply};
use crate::smtp::reply_faults::FaultPoint;
use crate::world::{Engine, Host, Role, World};

impl Fault {
    /// Checks the fault for this world.
    ///
    /// # Errors
    /// One line: what is wrong, or why it would have no effect, and mostly what to write instead.
    pub fn check(&self, world: &World) -> Result<(), String> {
        for name in self.hosts() {
            let host = world.hosts.get(name).ok_or_else(|| format!("there is no host `{name}` in this world"))?;
            self.check_host(host)?;
        }
        match self {
            Self::Reply { at, reply, about, share, .. } => check_reply(*at, reply.as_deref(), about, *share),
            Self::Dns { .. } => self.check_dns(world),
            Self::DiskSlow { by, .. } if by.is_zero() => {
                Err("a disk that is slow by nothing is not; set `by`".to_owned())
            }
            Self::Greylist { wait, .. } if wait.is_zero() => Err("nobody waits; set `wait`".to_owned()),
            Self::Slow { latency, jitter, bandwidth: 0, .. } if latency.is_zero() && jitter.is_zero() => {
                Err("nothing is slow; set `latency`, `jitter` or `bandwidth`".to_owned())
            }
            _ => self.check_ends(),
        }
    }

    /// Checks that the two ends of a link are different; other faults pass.
    fn check_ends(&self) -> Result<(), String> {
        match self.ends() {
            Some([here, there]) if here == there => {
                Err(format!("there is no link between {here} and itself; name two hosts, or a host and `{OUTSIDE}`"))
            }
            _ => Ok(()),
        }
    }

    /// Checks that a host of this role and engine can have this kind of fault.
    fn check_host(&self, host: &Host) -> Result<(), String> {
        let name = &host.name;
        let is_external = matches!(&host.role, Role::Mta(mta) if matches!(mta.engine, Engine::External(_)));
        match (self, &host.role) {
            (Self::Off { .. } | Self::Crash { .. }, Role::Mua) => {
                Err(format!("{name} is a MUA, which runs nothing; cut its links instead"))
            }
            (Self::DiskFull { .. } | Self::DiskFailing { .. } | Self::DiskSlow { .. }, Role::Mua | Role::Dns) => {
                Err(format!("{name} stores nothing; name an MTA or MDA"))
            }
            (Self::Reply { .. } | Self::Greylist { .. } | Self::Tls { .. }, Role::Mua | Role::Dns) => {
                Err(format!("{name} is no mail server; name an MTA or MDA"))
            }
            (
                Self::DiskFull { .. }
                | Self::DiskFailing { .. }
                | Self::DiskSlow { .. }
                | Self::Reply { .. }
                | Self::Greylist { .. }
                | Self::Tls { .. },
                _,
            ) if is_external => {
                Err(format!("{name} is an external MTA, which has a disk, replies and a certificate of its own"))
            }
            (Self::Tls { .. } | Self::Reply { .. } | Self::Greylist { .. }, Role::Mta(mta))
                if matches!(mta.engine, Engine::Mailin) =>
            {
                Err(format!("{name} has engine = \"mailin\", whose replies and certificate cannot be changed"))
            }
            (Self::Dns { names: DnsFaultKind::Moved, .. }, Role::Mta(_)) => Ok(()),
            (Self::Dns { names: DnsFaultKind::Moved, .. }, _) => {
                Err(format!("{name} accepts no mail; name the MTA that the names have moved to"))
            }
            _ => Ok(()),
        }
    }

    /// Checks that `host` and `by` of a fault of DNS are given for the kinds that need them, and for no others.
    fn check_dns(&self, world: &World) -> Result<(), String> {
        let Self::Dns { names, by, host, .. } = self else { return Ok(()) };
        let needs_host = matches!(names, DnsFaultKind::Wrong | DnsFaultKind::Moved);
        match (names, by.is_zero(), host) {
            _ if world.dns().next().is_none() => Err("this world has no name server".to_owned()),
            (_, _, None) if needs_host => {
                Err("wrong and moved names need a target host, such as host = \"mta-a\"".to_owned())
            }
            (_, _, Some(_)) if !needs_host => Err("`host` is for wrong and moved names; leave it out".to_owned()),
            (DnsFaultKind::Slow, true, _) => Err("no answer is slow; set `by`, such as by = \"2s\"".to_owned()),
            (DnsFaultKind::Slow, false, _) | (_, true, _) => Ok(()),
            (_, false, _) => Err("`by` is for slow names; leave it out".to_owned()),
        }
    }
}

/// Checks the reply, that `about` is empty where no address is known yet, and that `share` is a probability above 0.
fn check_reply(at: FaultPoint, reply: Option<&str>, about: &str, share: f64) -> Result<(), String> {
    match reply {
        Some(reply) if read_reply(reply).is_none() => {
            Err(format!("`{reply}` is not a reply such as \"450 4.2.0 try again\" (codes 400 to 599)"))
        }
        _ if matches!(at, FaultPoint::Greeting | FaultPoint::Hello | FaultPoint::Auth) && !about.is_empty() => {
            Err("no address is known yet at `greeting`, `hello` and `auth`; leave out `about`".to_owned())
        }
        _ if !(0.0 < share && share <= 1.0) => Err(format!("a share of {share} is not above 0 and up to 1")),
        _ => Ok(()),
    }
}

impl Direction {
    /// Whether the fault applies to what the end at this place of `between`, 0 or 1, sends.
    pub(super) fn goes_from(self, place: usize) -> bool {
        self == Self::Both || place == 0
    }
}
