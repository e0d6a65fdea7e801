use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::*;
use crate::net::{Door, Limits, Net, Service, Stop, Stream, serve};
use crate::smtp::Reply;
use crate::smtp::server::{Config, Event, Session};
use crate::world::World;

fn letters(octets: usize) -> Letters {
    Letters::new("a@x.test".parse().unwrap(), "b@y.test".parse().unwrap(), octets, 7)
}

#[test]
fn letters_have_their_size_and_are_all_different() {
    for octets in [300, 4096, 4097, 100 << 10] {
        let letters = letters(octets);
        let some: Vec<_> = (0..20).map(|number| letters.letter(number)).collect();
        let contents: BTreeSet<_> = some.iter().map(|letter| letter.content.bytes().clone()).collect();
        assert_eq!(contents.len(), some.len());
        for letter in some {
            let text = letter.to_bytes();
            assert_eq!(text.len(), octets);
            assert!(text.ends_with(b"\r\n") && !crate::mail::has_bare_line_end(&text));
            assert!(text.split(|octet| *octet == b'\n').all(|line| line.len() <= 78 && !line.starts_with(b".")));
        }
    }
}

#[test]
fn the_world_to_be_measured_is_sound() {
    let world = World::parse("front.toml", FRONT).unwrap();
    assert!(world.has_mailbox(&"sink@away.test".parse().unwrap()));
}

/// Takes letters, up to a number.
#[derive(Clone)]
struct Taker(u64);

impl Service for Taker {
    async fn converse(mut self, stream: Stream, stop: Stop) -> Result<(), crate::net::Error> {
        let session = Session::new(Config::default(), &Reply::plain(220, "hello"), "nonce".to_owned());
        let mut conn = crate::net::Conn::new(stream, session, stop);
        while let Some(event) = conn.event().await? {
            let refused = matches!(event, Event::Message { .. }) && self.0 == 0;
            if let Event::Message { .. } = event {
                self.0 = self.0.saturating_sub(1);
            }
            conn.machine.answer(if refused { Reply::plain(552, "full") } else { Reply::plain(250, "ok") });
        }
        Ok(())
    }
}

/// Loads a server each of whose connections takes so many letters.
async fn load(taken: u64, count: u64, connections: usize) -> Result<Sent, Error> {
    let interface = Net::sockets().interface(&[]);
    let listener = interface.open_door("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let (server, stop) = (listener.address(), Stop::new());
    let door = Door { listener, tls: None, limits: Limits::default() };
    tokio::spawn(serve(door, Taker(taken), stop.clone()));
    let load = Load { server, letters: letters(1000), connections, count, time: Duration::from_secs(60) };
    let sent = AtomicU64::new(0);
    let outcome = load.run(&interface, &sent).await;
    stop.cancel();
    outcome
}

#[tokio::test]
async fn a_load_is_bounded_in_count_and_timed_letter_by_letter() {
    let sent = load(u64::MAX, 40, 3).await.unwrap();
    assert_eq!(sent.letters(), 40);
    assert!(0.0 < sent.percentile_ms(0.5) && sent.percentile_ms(0.5) <= sent.percentile_ms(0.99));
}

#[tokio::test]
async fn a_refused_letter_ends_the_measurement() {
    let refused = load(5, 40, 1).await.unwrap_err();
    assert!(refused.to_string().contains("552"), "{refused}");
}
