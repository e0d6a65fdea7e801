use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::net::{Limits, Net, ServerConfig, Service, Stop, Stream, serve};
use crate::smtp::Reply;
use crate::smtp::server::{Config, Event, Session};
use crate::world::World;

fn messages(bytes: usize) -> Messages {
    Messages::new("a@x.test".parse().unwrap(), "b@y.test".parse().unwrap(), bytes, 7)
}

#[test]
fn load_messages_have_the_given_size_and_are_all_different() {
    for bytes in (300..400).chain([4096, 4097, 100 << 10]) {
        let messages = messages(bytes);
        let some: BTreeSet<_> = (0..3)
            .map(|number| {
                let mut text = Vec::new();
                messages.header(number, &mut text);
                text.extend_from_slice(messages.filling());
                text
            })
            .collect();
        assert_eq!(some.len(), 3);
        for text in some {
            assert_eq!((text.len(), messages.bytes()), (bytes, bytes));
            assert!(text.ends_with(b"\r\n") && !crate::mail::has_bare_line_end(&text));
            assert!(text.split(|octet| *octet == b'\n').all(|line| line.len() <= 78 && !line.starts_with(b".")));
        }
    }
}

#[test]
fn front_world_is_valid() {
    let world = World::parse("front.toml", FRONT).unwrap();
    assert!(world.has_mailbox(&"sink@away.test".parse().unwrap()));
}

/// Takes messages, up to a number.
#[derive(Clone)]
struct Taker(u64);

impl Service for Taker {
    async fn serve_connection(mut self, stream: Stream, stop: Stop) -> Result<(), crate::net::Error> {
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

/// Knows a few commands and these extensions, and counts the bytes of the messages.
#[derive(Clone)]
struct Plain(&'static str, Arc<AtomicU64>);

impl Service for Plain {
    async fn serve_connection(self, mut stream: Stream, _: Stop) -> Result<(), crate::net::Error> {
        let (mut input, mut is_message) = (Vec::new(), false);
        stream.write_all(b"220 hello\r\n").await.unwrap();
        while stream.read_buf(&mut input).await.unwrap() != 0 {
            while let Some(end) = memchr::memchr(b'\n', &input) {
                let line: Vec<_> = input.drain(..=end).collect();
                let reply = match &line[..] {
                    b".\r\n" if is_message => "250 taken\r\n",
                    line if is_message => {
                        self.1.fetch_add(line.len() as u64, Ordering::Relaxed);
                        continue;
                    }
                    [b'E', b'H', ..] => self.0,
                    b"DATA\r\n" => "354 go\r\n",
                    [b'M' | b'R' | b'Q', ..] => "250 ok\r\n",
                    _ => "500 what?\r\n",
                };
                assert!(self.0.contains("PIPELINING") || input.is_empty(), "a client that does not wait");
                is_message = reply.starts_with("354");
                stream.write_all(reply.as_bytes()).await.unwrap();
            }
        }
        Ok(())
    }
}

#[tokio::test]
async fn load_uses_only_offered_extensions() {
    for offers in ["250 hello\r\n", "250-hello\r\n250 PIPELINING\r\n", "250-hello\r\n250 CHUNKING\r\n"] {
        let bytes = Arc::new(AtomicU64::new(0));
        let sent = load_of(Plain(offers, bytes.clone()), 7, 2).await.unwrap();
        assert_eq!((sent.messages(), bytes.load(Ordering::Relaxed)), (7, 7000), "{offers}");
    }
}

/// Loads a server each of whose connections takes so many messages.
async fn load(taken: u64, count: u64, connections: usize) -> Result<Sent, Error> {
    load_of(Taker(taken), count, connections).await
}

async fn load_of(service: impl Service, count: u64, connections: usize) -> Result<Sent, Error> {
    let interface = Net::sockets().interface(&[]);
    let listener = interface.bind_public("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let (server, stop) = (listener.address(), Stop::new());
    let config = ServerConfig { listener, tls: None, limits: Limits::default() };
    tokio::spawn(serve(config, service, stop.clone()));
    let load = Load {
        server,
        by_data: false,
        stepwise: false,
        messages: messages(1000),
        connections,
        count,
        time: Duration::from_secs(60),
    };
    let sent = AtomicU64::new(0);
    let outcome = load.run(&interface, &sent).await;
    stop.cancel();
    outcome
}

#[tokio::test]
async fn load_with_a_count_stops_and_times_each_message() {
    let sent = load(u64::MAX, 40, 3).await.unwrap();
    assert_eq!(sent.messages(), 40);
    assert!(0.0 < sent.percentile_ms(0.5) && sent.percentile_ms(0.5) <= sent.percentile_ms(0.99));
}

#[tokio::test]
async fn load_with_a_refused_message_fails() {
    let refused = load(5, 40, 1).await.unwrap_err();
    assert!(refused.to_string().contains("552"), "{refused}");
}
