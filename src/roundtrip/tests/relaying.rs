//! No shipped world has an open relay, however the client writes the address. RFC 5321 §7.9.

use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use super::*;
use crate::net::Stream;
use crate::world::port;

/// The address of a client outside the world.
const UNKNOWN_CLIENT: [u8; 4] = [203, 0, 113, 250];

struct Client(BufReader<Stream>);

impl Client {
    async fn open(running: &RunningWorld, host: IpAddr, port: u16) -> Self {
        let unknown = running.env.net.interface(&[UNKNOWN_CLIENT.into()]);
        let mut client = Self(BufReader::new(unknown.connect(SocketAddr::new(host, port)).await.unwrap()));
        client.read_reply().await;
        assert!(client.send("EHLO unknown.example").await.starts_with("250"));
        client
    }

    /// The last line of a reply.
    async fn read_reply(&mut self) -> String {
        let mut line = String::new();
        while line.as_bytes().get(3) != Some(&b' ') {
            line.clear();
            assert!(0 < self.0.read_line(&mut line).await.unwrap(), "the connection is closed");
        }
        line
    }

    async fn send(&mut self, command: &str) -> String {
        self.0.write_all(format!("{command}\r\n").as_bytes()).await.unwrap();
        self.read_reply().await
    }
}

/// All shipped worlds, with our engine in place of others.
fn worlds() -> Vec<(String, World)> {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/config")).unwrap();
    let files = folder.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let parse = |path: std::path::PathBuf| {
        let (name, text) = (path.display().to_string(), std::fs::read_to_string(&path).unwrap());
        let text = text.replace("engine = \"external\"", "relay_from = [\"mta-163\", \"mta-sina\"]");
        let is_of_engine = |line: &str| ["engine =", "at =", "reach ="].iter().any(|key| line.starts_with(key));
        let text: Vec<_> = text.lines().filter(|line| !is_of_engine(line)).collect();
        let world = World::parse(&name, &text.join("\n")).unwrap();
        (name, world)
    };
    files.map(parse).collect()
}

#[tokio::test(start_paused = true)]
async fn shipped_worlds_do_not_relay_for_unknown_clients() {
    let mut hosts = 0;
    for (name, world) in worlds() {
        let start = "2026-11-01T08:00:00Z".parse().unwrap();
        let running = RunningWorld::start(Environment::simulated(world, 1, start, false).unwrap(), PublicPorts::none())
            .await
            .unwrap();
        let world = running.env.world.clone();
        for (host, _) in world.mtas() {
            let serves = |domain: &str| world.domain(domain).is_some_and(|served| served.mx.contains(&host.name));
            let own = world.domains.keys().find(|domain| serves(domain)).map_or("away.example", String::as_str);
            hosts += 1;
            for from in ["me@163.test", &format!("postmaster@{own}"), ""] {
                let mut client = Client::open(&running, host.addresses[0], port::SMTP).await;
                assert!(client.send(&format!("MAIL FROM:<{from}>")).await.starts_with("250"), "{name} {}", host.name);
                for (to, domain) in [
                    ("x@away.example".to_owned(), "away.example"),
                    ("x@[198.51.100.7]".to_owned(), "[198.51.100.7]"),
                    ("x@163.test".to_owned(), "163.test"),
                    (format!("@{own}:x@away.example"), "away.example"),
                    (format!("x%away.example@{own}"), own),
                    (format!("\"x@away.example\"@{own}"), own),
                    (format!("away.example!x@{own}"), own),
                    (format!("x@away.example@{own}"), "away.example"),
                ] {
                    let reply = client.send(&format!("RCPT TO:<{to}>")).await;
                    let may_be_taken = serves(domain) && reply.starts_with('2');
                    assert!(may_be_taken || reply.starts_with(['4', '5']), "{name} {}: {to}: {reply}", host.name);
                }
            }
            let mut client = Client::open(&running, host.addresses[0], port::SUBMISSION).await;
            assert!(client.send("MAIL FROM:<me@163.test>").await.starts_with("530 5.7.0"), "{name} {}", host.name);
        }
        running.stop().await;
    }
    assert!(15 < hosts, "{hosts} hosts");
}
