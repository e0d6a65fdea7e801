//! No world that is shipped has an open relay, however a stranger writes the address. RFC 5321 §7.9.

use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use super::*;
use crate::net::Stream;
use crate::world::port;

const STRANGER: [u8; 4] = [203, 0, 113, 250];

struct Line(BufReader<Stream>);

impl Line {
    async fn open(running: &Running, host: IpAddr, port: u16) -> Self {
        let stranger = running.ground.net.interface(&[STRANGER.into()]);
        let mut line = Self(BufReader::new(stranger.connect(SocketAddr::new(host, port)).await.unwrap()));
        line.hear().await;
        assert!(line.say("EHLO stranger.example").await.starts_with("250"));
        line
    }

    /// The last line of a reply.
    async fn hear(&mut self) -> String {
        let mut line = String::new();
        while line.as_bytes().get(3) != Some(&b' ') {
            line.clear();
            assert!(0 < self.0.read_line(&mut line).await.unwrap(), "it hung up");
        }
        line
    }

    async fn say(&mut self, words: &str) -> String {
        self.0.write_all(format!("{words}\r\n").as_bytes()).await.unwrap();
        self.hear().await
    }
}

/// Every shipped world, with engines of ours wherever it has others.
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
async fn no_shipped_world_relays_for_a_stranger() {
    let mut hosts = 0;
    for (name, world) in worlds() {
        let start = "2026-11-01T08:00:00Z".parse().unwrap();
        let running = Running::start(Ground::simulated(world, 1, start, false).unwrap(), Doors::shut()).await.unwrap();
        let world = running.ground.world.clone();
        for (host, _) in world.mtas() {
            let serves = |domain: &str| world.domain(domain).is_some_and(|served| served.mx.contains(&host.name));
            let own = world.domains.keys().find(|domain| serves(domain)).map_or("away.example", String::as_str);
            hosts += 1;
            for from in ["me@163.test", &format!("postmaster@{own}"), ""] {
                let mut line = Line::open(&running, host.addresses[0], port::SMTP).await;
                assert!(line.say(&format!("MAIL FROM:<{from}>")).await.starts_with("250"), "{name} {}", host.name);
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
                    let reply = line.say(&format!("RCPT TO:<{to}>")).await;
                    let may_be_taken = serves(domain) && reply.starts_with('2');
                    assert!(may_be_taken || reply.starts_with(['4', '5']), "{name} {}: {to}: {reply}", host.name);
                }
            }
            let mut line = Line::open(&running, host.addresses[0], port::SUBMISSION).await;
            assert!(line.say("MAIL FROM:<me@163.test>").await.starts_with("530 5.7.0"), "{name} {}", host.name);
        }
        running.stop().await;
    }
    assert!(15 < hosts, "{hosts} hosts");
}
