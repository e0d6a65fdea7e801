//! Builds the DNS zones of a world: its hosts, its mail domains, and `elsewhere`.

use super::{Data, InvalidZone, Record, Zones};
use crate::world::{HostName, World};

/// TTL of the records that the world declares.
pub(super) const WORLD_TTL_SECONDS: u32 = 300;

impl Zones {
    /// Builds the zones of a world: addresses of all hosts, a zone with MX records for each mail domain, null MX
    /// records, and the MX of `elsewhere` for all other domains. The servers are its DNS hosts.
    ///
    /// ```
    /// use postroad::{dns::Zones, world::World};
    /// assert!(Zones::of_world(&World::journey()).is_ok());
    /// ```
    ///
    /// # Errors
    /// A name of the world is not a valid domain name.
    pub fn of_world(world: &World) -> Result<Self, InvalidZone> {
        let mut records = Vec::new();
        let mut declare =
            |name: &str, data| records.push(Record { name: name.to_owned(), ttl: WORLD_TTL_SECONDS, data });
        for host in world.hosts.values() {
            host.addresses.iter().for_each(|address| declare(&host.fqdn, Data::Address(*address)));
        }
        let fqdn = |name: &HostName| world.hosts.get(name).map(|host| host.fqdn.as_str());
        for (domain, served) in &world.domains {
            declare(domain, Data::Domain);
            for (preference, host) in served.mx_preferences.iter().zip(&served.mx) {
                if let Some(exchange) = fqdn(host) {
                    declare(domain, Data::Mail { preference: *preference, exchange: exchange.to_owned() });
                }
            }
        }
        world.no_mail.iter().for_each(|domain| declare(domain, Data::NoMail));
        let servers: Vec<_> = world.dns().map(|host| host.fqdn.as_str()).collect();
        let elsewhere = world.elsewhere.as_ref().and_then(|served| served.mx.first()).and_then(fqdn);
        Self::new(&servers, &records, elsewhere)
    }
}
