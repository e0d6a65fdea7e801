//! One MTA of a world on an in-process network, for tests.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{Mta, SCHEMA, Setup};
use crate::dns::Resolver;
use crate::journey::Journal;
use crate::net::{Authority, Net};
use crate::smtp::whims::Whims;
use crate::store::Store;
use crate::world::{Clock, Dice, HostName, Role, World};

/// The MTA of this world file, which asks these name servers, and the journal in which it reports.
pub(super) fn mta(text: &str, host: &str, net: &Net, servers: Vec<SocketAddr>) -> (Mta, Journal) {
    let (world, host): (_, HostName) = (Arc::new(World::parse("w.toml", text).unwrap()), host.into());
    let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
    let (journal, dice) = (Journal::new(clock, 1000, false), Dice::seeded(1));
    let authority = Authority::seeded("journey", clock, dice.fork("authority")).unwrap();
    let declared = world.hosts[&host].clone();
    let Role::Mta(settings) = declared.role.clone() else { panic!("{host} is no MTA") };
    let interface = net.interface(&declared.addresses);
    let mta = Mta::new(Setup {
        settings: *settings,
        resolver: Resolver::new(interface.clone(), servers, dice.fork("dns")),
        store: Store::in_memory(&[SCHEMA]).unwrap(),
        recorder: journal.recorder(&host),
        identity: authority.issue(std::slice::from_ref(&declared.fqdn)).unwrap(),
        trust: authority.trust().unwrap(),
        authority: authority.trust().unwrap(),
        whims: Whims::default(),
        world,
        host,
        interface,
        clock,
        dice,
    });
    (mta.unwrap(), journal)
}
