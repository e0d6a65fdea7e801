//! SIGKILL at random times under load: acknowledged messages arrive, only messages in transit at a kill may be
//! duplicated, and the lists of messages and journeys agree with the mailboxes.
//!
//! `POSTROAD_KILLS` is the number of kills (8), `POSTROAD_SEED` the seed of their times (1).

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{fs, thread};

use postroad::world::Rng;
use rusqlite::Connection;
use serde_json::Value;

use super::{LineClient, Served, TIMEOUT, eventually, maildrop};

const CONNECTIONS: u64 = 4;
/// Messages of one connection between two kills, at most.
const MAX_MESSAGES: u64 = 40;
/// The longest time from start to kill.
const MAX_LIFE_MS: u64 = 400;
/// The longest time from a start on what a kill has left to the second kill.
const MAX_RECOVERY_MS: u64 = 150;
/// The largest number of polls of the queue at the end.
const MAX_POLLS: usize = 6000;

#[derive(Default)]
struct Ledger {
    /// Messages for which a 250 was read, with the id in it.
    acknowledged: BTreeMap<String, String>,
    /// Messages that went out, and no reply to them was read.
    unanswered: BTreeSet<String>,
    /// Journeys that were in a queue at a kill, and in how many queues and kills.
    at_risk: BTreeMap<String, usize>,
}

pub(super) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn acknowledged_messages_under_load_survive_kill_9() {
    let (kills, seed) = (setting("POSTROAD_KILLS", 8), setting("POSTROAD_SEED", 1));
    let (data, rng, mut ledger) = (tempfile::tempdir().unwrap(), Rng::seeded(seed), Ledger::default());
    for kill in 0..kills {
        let mut served = Served::start(data.path());
        check_lists(&served, &ledger);
        let at = served.at("smtp").to_owned();
        let writers: Vec<_> = (0..CONNECTIONS)
            .map(|connection| {
                let at = at.clone();
                thread::spawn(move || write_messages(&at, &format!("{kill}-{connection}")))
            })
            .collect();
        wait(Duration::from_millis(rng.next_u64() % MAX_LIFE_MS));
        served.child.kill().unwrap();
        served.child.wait().unwrap();
        for writer in writers {
            let (acknowledged, unanswered) = writer.join().unwrap();
            ledger.acknowledged.extend(acknowledged);
            ledger.unanswered.extend(unanswered);
        }
        check_database(data.path(), &mut ledger);
        kill_during_recovery(data.path(), Duration::from_millis(rng.next_u64() % MAX_RECOVERY_MS));
        check_database(data.path(), &mut ledger);
    }
    let served = Served::start(data.path());
    drain(&served);
    check_delivery(&served, &ledger, kills);
}

/// Sends until the server is gone: which messages it acknowledged under which id, and which one may have been stored all the same.
fn write_messages(at: &str, name: &str) -> (Vec<(String, String)>, Option<String>) {
    let mut acknowledged = Vec::new();
    let Ok(stream) = TcpStream::connect(at) else { return (acknowledged, None) };
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut smtp = BufReader::new(stream);
    if !read_line(&mut smtp).starts_with("220") || !command(&mut smtp, "HELO program.test").starts_with("250") {
        return (acknowledged, None);
    }
    for number in 0..MAX_MESSAGES {
        let message = format!("{name}-{number}");
        let commands = ["MAIL FROM:<me@163.test>", "RCPT TO:<friend@sina.test>", "DATA"];
        if !commands.iter().all(|line| matches!(command(&mut smtp, line).as_bytes(), [b'2' | b'3', ..])) {
            return (acknowledged, None);
        }
        // Contents lie in their rows, or in a segment.
        let lines = "x\r\n".repeat(match number % 8 {
            3 => 10_000,
            7 => 100_000,
            _ => 500,
        });
        let reply = command(&mut smtp, &format!("Letter: {message}\r\n\r\n{lines}end of {message}\r\n."));
        if !reply.starts_with("250 ") || !reply.ends_with('\n') {
            return (acknowledged, Some(message));
        }
        let id = reply.split_once("queued as ").and_then(|(_, id)| id.split_once('-')).expect("an id").0;
        acknowledged.push((message, id.to_owned()));
    }
    (acknowledged, None)
}

/// Starts the program on what a kill has left, and kills it again before it serves, or shortly after.
fn kill_during_recovery(data: &Path, after: Duration) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postroad"));
    command.args(["serve", "--free-ports", "--data"]).arg(data).stdout(Stdio::null());
    let mut starting = command.spawn().unwrap();
    wait(after);
    starting.kill().unwrap();
    starting.wait().unwrap();
}

fn read_line(smtp: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    // What cannot be read any more is an empty reply.
    let _ = smtp.read_line(&mut line);
    line
}

fn command(smtp: &mut BufReader<TcpStream>, text: &str) -> String {
    match smtp.get_mut().write_all(format!("{text}\r\n").as_bytes()) {
        Ok(()) => read_line(smtp),
        Err(_) => String::new(),
    }
}

#[expect(clippy::disallowed_methods, reason = "another process lives meanwhile, in real time")]
pub(super) fn wait(time: Duration) {
    thread::sleep(time);
}

/// Checks the database after a kill, and records the messages in queues.
fn check_database(data: &Path, ledger: &mut Ledger) {
    // In a copy: who closes a database cleans up behind others, and the world is to find what it has left.
    let copy = tempfile::tempdir().unwrap();
    for file in ["post.db", "post.db-wal"] {
        let _ = fs::copy(data.join(file), copy.path().join(file));
    }
    let database = Connection::open(copy.path().join("post.db")).unwrap();
    let ask = |sql: &str| database.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(ask("PRAGMA quick_check"), "ok");
    let bare =
        "SELECT CAST(count(*) AS TEXT) FROM queue LEFT JOIN content ON content.id = content WHERE length IS NULL";
    assert_eq!(ask(bare), "0");
    let mut names = database.prepare("SELECT name FROM queue").unwrap();
    for name in names.query_map([], |row| row.get::<_, String>(0)).unwrap() {
        let (journey, _) = name.as_ref().unwrap().split_once('-').unwrap();
        *ledger.at_risk.entry(journey.to_owned()).or_default() += 1;
    }
}

fn drain(served: &Served) {
    let is_empty = || {
        let total = served.json("/api/v1/queue?limit=1")["total"].as_u64();
        wait(Duration::from_millis(50));
        total == Some(0)
    };
    assert!((0..MAX_POLLS).any(|_| is_empty()), "the queues do not empty");
}

/// The ids of all pages of a list.
fn ids(served: &Served, path: &str, list: &str, id: &str) -> BTreeSet<String> {
    let (mut all, mut cursor) = (BTreeSet::new(), String::new());
    loop {
        let page = served.json(&format!("{path}?limit=1000{cursor}"));
        for item in page[list].as_array().unwrap() {
            assert!(all.insert(item[id].as_str().unwrap().to_owned()), "{path} has {item} twice");
        }
        match &page["next"] {
            Value::Null => return all,
            Value::String(next) => cursor = format!("&cursor={next}"),
            next => cursor = format!("&cursor={next}"),
        }
    }
}

/// What was acknowledged is in the list of messages and has a journey, and neither has what the other has not. Returns the ids.
fn check_lists(served: &Served, ledger: &Ledger) -> BTreeSet<String> {
    let messages = ids(served, "/api/v1/messages", "messages", "ID");
    let journeys = ids(served, "/api/v1/journeys", "journeys", "id");
    assert_eq!(messages, journeys);
    let lost: Vec<_> = ledger.acknowledged.iter().filter(|(_, id)| !messages.contains(*id)).collect();
    assert!(lost.is_empty(), "acknowledged and not in the list of messages: {lost:?}");
    messages
}

/// The journeys agree with the mailbox and the queues, whichever events were not stored before a kill.
fn check_journeys<'a>(served: &Served, delivered: impl Iterator<Item = &'a String>) {
    let is_settled = || served.json("/api/v1/journeys?settled=false")["total"] == 0;
    eventually("the end of every journey", || is_settled().then_some(()));
    for journey in delivered {
        let story = served.json(&format!("/api/v1/journeys/{journey}"));
        assert_eq!(story["recipients"]["friend@sina.test"]["status"], "delivered", "{story:#}");
        assert_eq!(story["reverse_path"], "me@163.test", "{story:#}");
    }
}

fn check_delivery(served: &Served, ledger: &Ledger, kills: u64) {
    let (mut pop3, uids) = maildrop(served, "friend@sina.test");
    let mut copies: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for number in 1..=uids.len() {
        assert!(pop3.command(&format!("RETR {number}")).starts_with("+OK"));
        let lines = pop3.read_multiline();
        let message = lines.iter().find_map(|line| line.strip_prefix("Letter: ")).unwrap().to_owned();
        assert_eq!(lines.last().unwrap(), &format!("end of {message}"), "whole");
        let id = lines.iter().find_map(|line| Some(line.split_once(" id ")?.1.split_once('-')?.0)).unwrap();
        copies.entry(message).or_insert((0, id.to_owned())).0 += 1;
    }
    pop3.command("QUIT");
    let lost: Vec<_> = ledger.acknowledged.iter().filter(|(message, _)| !copies.contains_key(*message)).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    let delivered: BTreeSet<_> = copies.values().map(|(_, journey)| journey.clone()).collect();
    assert_eq!(check_lists(served, ledger), delivered);
    let mut imap = LineClient::open(served.at("imap"));
    imap.command("a LOGIN friend@sina.test postroad");
    let status = imap.command("b STATUS INBOX (MESSAGES)");
    assert!(status.ends_with(&format!("(MESSAGES {})", uids.len())), "{status}");
    let doubled = copies.values().filter(|(count, _)| *count != 1);
    for (count, journey) in doubled.clone() {
        let risks = ledger.at_risk.get(journey).copied().unwrap_or(0);
        assert!(*count <= risks + 1, "{journey} is there {count} times, and was under way at {risks} kills");
    }
    let unasked: Vec<_> = copies
        .keys()
        .filter(|message| !ledger.acknowledged.contains_key(*message) && !ledger.unanswered.contains(*message))
        .collect();
    assert!(unasked.is_empty(), "from nowhere: {unasked:?}");
    check_journeys(served, copies.values().map(|(_, journey)| journey));
    println!(
        "{kills} kills: {} acknowledged and delivered, {} without reply of which {} were delivered; {} were under way \
         at a kill, {} of them are doubled",
        ledger.acknowledged.len(),
        ledger.unanswered.len(),
        ledger.unanswered.iter().filter(|message| copies.contains_key(*message)).count(),
        ledger.at_risk.len(),
        doubled.count()
    );
}
