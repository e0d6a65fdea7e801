//! SIGKILL while clients append, flag, move and expunge: acknowledged changes are kept, others are complete or absent,
//! and no message is lost or duplicated.
//!
//! `POSTROAD_KILLS` is the number of kills (8), `POSTROAD_SEED` the seed of their times (1).

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use postroad::world::Rng;

use super::crash::{setting, wait};
use super::{Served, TIMEOUT};

const CLIENTS: u64 = 3;
/// The longest time from start to kill.
const LIFE_MAX_MS: u64 = 600;
/// The largest number of messages of one client between two kills.
const MESSAGES_MAX: u64 = 60;

/// Where a message is, or `None`: mailbox and flags.
type Place = Option<(&'static str, &'static str)>;

/// The possible states of each message; one state if it was acknowledged.
type Ledger = BTreeMap<String, BTreeSet<Place>>;

/// One command about a message, by UID, and the state after it.
struct Step {
    commands: &'static [&'static str],
    leads_to: Place,
}

const APPEND: Step = Step { commands: &["APPEND A"], leads_to: Some(("A", "")) };
const FLAG: Step = Step { commands: &["UID STORE # +FLAGS (\\Flagged)"], leads_to: Some(("A", "\\Flagged")) };
const MOVE: Step = Step { commands: &["UID MOVE # B"], leads_to: Some(("B", "\\Flagged")) };
const EXPUNGE: Step = Step { commands: &["UID STORE # +FLAGS (\\Deleted)", "UID EXPUNGE #"], leads_to: None };
/// Number of steps of the messages, in turn.
const COURSES: [&[Step]; 4] = [&[APPEND], &[APPEND, FLAG], &[APPEND, FLAG, MOVE], &[APPEND, FLAG, EXPUNGE]];

#[test]
fn acknowledged_mailbox_changes_survive_kill_9() {
    let (kills, seed) = (setting("POSTROAD_KILLS", 8), setting("POSTROAD_SEED", 1));
    let (data, rng, mut ledger) = (tempfile::tempdir().unwrap(), Rng::seeded(seed), Ledger::new());
    for kill in 0..kills {
        let mut served = Served::start(data.path());
        let at = served.at("imap").to_owned();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let at = at.clone();
                thread::spawn(move || work(&at, &format!("{kill}-{client}")))
            })
            .collect();
        wait(Duration::from_millis(rng.next_u64() % LIFE_MAX_MS));
        served.child.kill().unwrap();
        served.child.wait().unwrap();
        clients.into_iter().for_each(|client| ledger.extend(client.join().unwrap()));
    }
    let served = Served::start(data.path());
    let mut imap = Imap::open(served.at("imap")).unwrap();
    let found = imap.all();
    for (name, places) in &ledger {
        let place = found.get(name).copied();
        assert!(places.contains(&place), "{name} is at {place:?}, and may be at {places:?}");
    }
    assert!(found.keys().all(|name| ledger.contains_key(name)), "a message from nowhere");
    let sure = ledger.values().filter(|places| places.len() == 1).count();
    println!("{kills} kills: {} messages, {sure} as acknowledged, the others whole or not at all", ledger.len());
}

/// Sends commands until the server is killed.
fn work(at: &str, client: &str) -> Ledger {
    let mut ledger = Ledger::new();
    let Some(mut imap) = Imap::open(at) else { return ledger };
    // They are there from the second life on.
    let made = ["CREATE A", "CREATE B"].iter().all(|command| imap.command(command).is_some());
    if !made || imap.command("SELECT A").is_none() {
        return ledger;
    }
    for (number, course) in (0..MESSAGES_MAX).zip(COURSES.iter().cycle()) {
        let (name, mut uid, mut places) = (format!("{client}-{number}"), String::new(), BTreeSet::from([None]));
        for Step { commands, leads_to } in *course {
            places.insert(*leads_to);
            ledger.insert(name.clone(), places.clone());
            for command in *commands {
                let Some(reply) = imap.step(command, &name, &uid) else { return ledger };
                if let Some((_, rest)) = reply.split_once("[APPENDUID ") {
                    uid = rest.split([' ', ']']).nth(1).unwrap().to_owned();
                }
            }
            places = [*leads_to].into();
            ledger.insert(name.clone(), places.clone());
        }
    }
    ledger
}

struct Imap(BufReader<TcpStream>);

impl Imap {
    fn open(at: &str) -> Option<Self> {
        let stream = TcpStream::connect(at).ok()?;
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        let mut imap = Self(BufReader::new(stream));
        imap.read_line()?;
        imap.command("LOGIN friend@sina.test postroad").filter(|reply| reply.starts_with("OK")).map(|_| imap)
    }

    fn read_line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.0.read_line(&mut line).ok()?;
        line.ends_with("\r\n").then_some(line)
    }

    /// Sends a command and reads the tagged reply; `None` if the server was killed.
    fn command(&mut self, command: &str) -> Option<String> {
        write!(self.0.get_mut(), "t {command}\r\n").ok()?;
        loop {
            if let Some(reply) = self.read_line()?.strip_prefix("t ") {
                return Some(reply.to_owned());
            }
        }
    }

    /// Sends a command about a message; a reply must be OK.
    fn step(&mut self, command: &str, name: &str, uid: &str) -> Option<String> {
        let mut command = command.replace('#', uid);
        if command.starts_with("APPEND") {
            let text = format!("Subject: {name}\r\n\r\n{}", "x\r\n".repeat(500));
            command = format!("{command} {{{}+}}\r\n{text}", text.len());
        }
        let reply = self.command(&command)?;
        assert!(reply.starts_with("OK"), "{command}: {reply}");
        Some(reply)
    }

    /// All messages with mailbox and flags; fails if one is there twice.
    fn all(&mut self) -> BTreeMap<String, (&'static str, &'static str)> {
        let mut all = BTreeMap::new();
        for mailbox in ["A", "B"] {
            self.command(&format!("SELECT {mailbox}")).unwrap();
            write!(self.0.get_mut(), "t FETCH 1:* (FLAGS BODY.PEEK[])\r\n").unwrap();
            loop {
                let line = self.read_line().unwrap();
                if line.starts_with("t ") {
                    break;
                }
                let Some((before, bytes)) = line.trim_end().split_once(" {") else { continue };
                let bytes: usize = bytes.trim_end_matches('}').parse().unwrap();
                let mut message = vec![0; bytes];
                self.0.read_exact(&mut message).unwrap();
                let message = String::from_utf8(message).unwrap();
                let name = message.lines().next().unwrap().trim_start_matches("Subject: ").to_owned();
                assert!(message.ends_with("x\r\n") && message.len() == name.len() + 13 + 1_500, "{name} is incomplete");
                let flags = if before.contains("\\Flagged") { "\\Flagged" } else { "" };
                assert_eq!(all.insert(name, (mailbox, flags)), None, "there twice");
            }
        }
        all
    }
}
