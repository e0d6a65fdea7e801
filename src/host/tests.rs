//! A running world in virtual time: its hosts, the names they find, and faults that overlap.

use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::dns::{Mx, Resolver};
use crate::world::{JOURNEY, World};

async fn running() -> RunningWorld {
    running_world(World::journey()).await
}

async fn running_world(world: World) -> RunningWorld {
    let env = Environment::simulated(world, 1, jiff::Timestamp::UNIX_EPOCH, false).unwrap();
    RunningWorld::start(env, PublicPorts::none()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn name_server_with_two_addresses_answers_at_both() {
    let text = JOURNEY.replace("address = \"192.0.2.53\"", "address = [\"192.0.2.53\", \"192.0.2.54\"]");
    let running = running_world(World::parse("w.toml", &text).unwrap()).await;
    let mua = &running.env.world.hosts["mua"];
    for server in ["192.0.2.53:53", "192.0.2.54:53"] {
        let servers: Vec<SocketAddr> = vec![server.parse().unwrap()];
        let resolver = Resolver::new(running.env.net.interface(&mua.addresses), servers, running.env.rng.fork(server));
        assert!(matches!(resolver.mx("sina.test").await, Ok(Mx::Hosts(_))), "{server}");
    }
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn mx_of_a_domain_may_have_equal_preferences() {
    let text = JOURNEY.replace("mx = [\"mta-sina\"]", "mx = [[\"mta-sina\", \"mta-163\"], \"mta-relay\"]");
    let world = World::parse("w.toml", &text).unwrap();
    assert!(world.map().contains("to sina.test: -> [mta-sina, mta-163] or mta-relay -> mda-sina"), "{}", world.map());
    let running = running_world(world).await;
    let resolver = running.env.resolver(&running.env.world.hosts["mua"]);
    let Ok(Mx::Hosts(hosts)) = resolver.mx("sina.test").await else { panic!("no hosts") };
    let hosts: Vec<_> = hosts.iter().map(|exchange| (exchange.preference, exchange.host.as_str())).collect();
    assert_eq!(hosts, [(10, "mx.163.test"), (10, "mx.sina.test"), (20, "relay.postroad.test")]);
    running.stop().await;
}

fn off() -> Fault {
    Fault::Off { host: "mta-sina".to_owned(), startup: Duration::ZERO }
}

fn crash() -> Fault {
    Fault::Crash { host: "mta-sina".to_owned(), startup: Duration::ZERO }
}

#[tokio::test(start_paused = true)]
async fn overlapping_faults_keep_host_off_until_the_last_has_ended() {
    let running = running().await;
    for [first, second, last] in [[off(), off(), off()], [off(), crash(), off()], [crash(), off(), crash()]] {
        let mut ids = Vec::new();
        for fault in [first, second, last] {
            ids.push(running.begin_fault(fault).await.id);
        }
        for place in [2, 0, 1] {
            assert!(!running.is_on("mta-sina"), "{place}");
            assert!(running.end_fault(ids[place]).await.unwrap().is_some());
            assert!(running.end_fault(ids[place]).await.unwrap().is_none(), "ended twice");
        }
        assert!(running.is_on("mta-sina") && running.active_faults().is_empty());
    }
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn host_turned_off_by_an_operator_stays_off_when_a_fault_ends() {
    let running = running().await;
    running.turn_off("mta-sina").await;
    let fault = running.begin_fault(off()).await;
    running.end_fault(fault.id).await.unwrap();
    assert!(!running.is_on("mta-sina"));
    running.turn_on("mta-sina").await.unwrap();
    assert!(running.is_on("mta-sina"));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn turn_on_of_a_host_under_a_fault_is_refused() {
    let running = running().await;
    let fault = running.begin_fault(off()).await;
    let refused = running.turn_on("mta-sina").await.unwrap_err().to_string();
    assert!(refused.contains(&format!("until these faults end: {}", fault.id)), "{refused}");
    assert!(!running.is_on("mta-sina") && running.active_faults().len() == 1);
    running.end_fault(fault.id).await.unwrap();
    assert!(running.is_on("mta-sina"));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn fault_ids_are_never_used_twice() {
    let running = running().await;
    let first = running.begin_fault(off()).await.id;
    running.end_fault(first).await.unwrap();
    let second = running.begin_fault(crash()).await.id;
    assert_ne!(first, second);
    assert!(running.end_fault(first).await.unwrap().is_none() && !running.is_on("mta-sina"));
    let disk = running.begin_fault(Fault::DiskFull { host: "mda-sina".to_owned() }).await.id;
    let ended: Vec<_> = running.end_all_faults().await.unwrap().iter().map(|active| active.id).collect();
    assert_eq!((ended, running.active_faults().len(), running.is_on("mta-sina")), (vec![second, disk], 0, true));
    assert!(running.begin_fault(off()).await.id > disk);
    running.stop().await;
}
