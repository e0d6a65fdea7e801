//! SIGKILL while clients append, flag, move and expunge: whatever was acknowledged is so, what was not is whole or not
//! at all, and no message is lost or doubled.
//!
//! `POSTROAD_KILLS` says how often (20), `POSTROAD_SEED` with which moments (1).

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use postroad::world::Dice;

use super::crash::{setting, wait};
use super::{PATIENCE, Served};

const CLIENTS: u64 = 3;
/// From the start of serving to the kill, at most.
const LIFE_MAX_MS: u64 = 600;
/// Messages of one client between two kills, at most.
const MESSAGES_MAX: u64 = 60;

/// Where a message is, or `None`: mailbox and flags.
type Place = Option<(&'static str, &'static str)>;

/// Where each message may be. What is acknowledged is in one place only.
type Ledger = BTreeMap<String, BTreeSet<Place>>;

/// One thing that a client does with a message, by its UID, and where the message is afterwards.
struct Step {
    commands: &'static [&'static str],
    leads_to: Place,
}

const APPEND: Step = Step { commands: &["APPEND A"], leads_to: Some(("A", "")) };
const FLAG: Step = Step { commands: &["UID STORE # +FLAGS (\\Flagged)"], leads_to: Some(("A", "\\Flagged")) };
const MOVE: Step = Step { commands: &["UID MOVE # B"], leads_to: Some(("B", "\\Flagged")) };
const EXPUNGE: Step = Step { commands: &["UID STORE # +FLAGS (\\Deleted)", "UID EXPUNGE #"], leads_to: None };
/// How far messages get, in turn.
const COURSES: [&[Step]; 4] = [&[APPEND], &[APPEND, FLAG], &[APPEND, FLAG, MOVE], &[APPEND, FLAG, EXPUNGE]];

#[test]
fn appended_flagged_moved_and_expunged_messages_survive_kill_9_as_acknowledged() {
    let (kills, seed) = (setting("POSTROAD_KILLS", 20), setting("POSTROAD_SEED", 1));
    let (data, dice, mut ledger) = (tempfile::tempdir().unwrap(), Dice::seeded(seed), Ledger::new());
    for kill in 0..kills {
        let mut served = Served::start(data.path());
        let at = served.at("imap").to_owned();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let at = at.clone();
                thread::spawn(move || work(&at, &format!("{kill}-{client}")))
            })
            .collect();
        wait(Duration::from_millis(dice.draw() % LIFE_MAX_MS));
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

/// Works until the server is gone.
fn work(at: &str, client: &str) -> Ledger {
    let mut ledger = Ledger::new();
    let Some(mut imap) = Imap::open(at) else { return ledger };
    // They are there from the second life on.
    let made = ["CREATE A", "CREATE B"].iter().all(|command| imap.say(command).is_some());
    if !made || imap.say("SELECT A").is_none() {
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
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut imap = Self(BufReader::new(stream));
        imap.hear()?;
        imap.say("LOGIN friend@sina.test postroad").filter(|reply| reply.starts_with("OK")).map(|_| imap)
    }

    fn hear(&mut self) -> Option<String> {
        let mut line = String::new();
        self.0.read_line(&mut line).ok()?;
        line.ends_with("\r\n").then_some(line)
    }

    /// The tagged reply; `None` when the server is gone.
    fn say(&mut self, command: &str) -> Option<String> {
        write!(self.0.get_mut(), "t {command}\r\n").ok()?;
        loop {
            if let Some(reply) = self.hear()?.strip_prefix("t ") {
                return Some(reply.to_owned());
            }
        }
    }

    /// One command about a message, which must be done if it is answered.
    fn step(&mut self, command: &str, name: &str, uid: &str) -> Option<String> {
        let mut command = command.replace('#', uid);
        if command.starts_with("APPEND") {
            let text = format!("Subject: {name}\r\n\r\n{}", "x\r\n".repeat(500));
            command = format!("{command} {{{}+}}\r\n{text}", text.len());
        }
        let reply = self.say(&command)?;
        assert!(reply.starts_with("OK"), "{command}: {reply}");
        Some(reply)
    }

    /// All messages, each where it is; none is there twice.
    fn all(&mut self) -> BTreeMap<String, (&'static str, &'static str)> {
        let mut all = BTreeMap::new();
        for mailbox in ["A", "B"] {
            self.say(&format!("SELECT {mailbox}")).unwrap();
            write!(self.0.get_mut(), "t FETCH 1:* (FLAGS BODY.PEEK[])\r\n").unwrap();
            loop {
                let line = self.hear().unwrap();
                if line.starts_with("t ") {
                    break;
                }
                let Some((before, octets)) = line.trim_end().split_once(" {") else { continue };
                let octets: usize = octets.trim_end_matches('}').parse().unwrap();
                let mut message = vec![0; octets];
                self.0.read_exact(&mut message).unwrap();
                let message = String::from_utf8(message).unwrap();
                let name = message.lines().next().unwrap().trim_start_matches("Subject: ").to_owned();
                assert!(message.ends_with("x\r\n") && message.len() == name.len() + 13 + 1_500, "{name} is not whole");
                let flags = if before.contains("\\Flagged") { "\\Flagged" } else { "" };
                assert_eq!(all.insert(name, (mailbox, flags)), None, "there twice");
            }
        }
        all
    }
}
