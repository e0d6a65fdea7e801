//! One MTA of a world on an in-process network, for tests.

use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Mta, MtaContext, QueuedMessage, SCHEMA};
use crate::dns::Resolver;
use crate::journey::EventLog;
use crate::mail::{Address, Content, Envelope, JourneyId, Message};
use crate::net::{Authority, Net, UploadBudget};
use crate::store::Store;
use crate::world::{Clock, HostName, Rng, Role, World};

/// The MTA of this world file, which asks these name servers, and the event log in which it reports.
pub(super) fn mta(text: &str, host: &str, net: &Net, servers: Vec<SocketAddr>) -> (Mta, EventLog) {
    let (world, host): (_, HostName) = (Arc::new(World::parse("w.toml", text).unwrap()), host.into());
    let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
    let (event_log, rng) = (EventLog::new(clock, 1000, false), Rng::seeded(1));
    let authority = Authority::seeded("journey", clock, rng.fork("authority")).unwrap();
    let declared = world.hosts[&host].clone();
    let Role::Mta(settings) = declared.role.clone() else { panic!("{host} is no MTA") };
    let interface = net.interface(&declared.addresses);
    let mta = Mta::new(MtaContext {
        settings: *settings,
        resolver: Resolver::new(interface.clone(), servers, rng.fork("dns")),
        store: store(),
        catalogue: None,
        emitter: event_log.emitter(&host),
        tls: authority.issue(std::slice::from_ref(&declared.fqdn)).unwrap().into(),
        trust: authority.trust().unwrap(),
        authority: authority.trust().unwrap(),
        uploads: UploadBudget::default(),
        world,
        host,
        interface,
        clock,
        rng,
    });
    (mta.unwrap(), event_log)
}

/// A store with the tables of a queue.
pub(super) fn store() -> Store {
    Store::in_memory(&[SCHEMA]).unwrap()
}

/// A message for `friend@sina.test` that arrived in 1970.
pub(super) fn mail(number: u64) -> QueuedMessage {
    let recipient: Address = "friend@sina.test".parse().unwrap();
    QueuedMessage {
        id: JourneyId::from_random(number).queue_id(number),
        envelope: Envelope { recipients: vec![recipient.into()], ..Envelope::default() },
        message: Message {
            trace: "Received: from x\r\n".into(),
            content: Content::new(format!("Subject: {number}\r\n\r\nbody\r\n").into()),
        },
        arrived: Timestamp::UNIX_EPOCH,
    }
}
