//! The owner for whom transcripts are played. `S:` is a line of the server, `C:` what the client must say then. The last
//! `C: (closes)` says that the session is over, `S: (hangs up)` that the server is gone.

mod conversations;
mod endings;
mod pace;

use std::collections::VecDeque;

use super::{Config, Event, Failure, Session, Verdict};
use crate::mail::{Address, Envelope, Message};
use crate::net::{Machine, Next};

/// What the owner does when it is its turn; at the end it quits.
#[derive(Clone)]
enum Turn {
    StartTls,
    Login,
    Send(&'static [&'static str], &'static str),
}

use Turn::{Login, Send, StartTls};

fn config() -> Config {
    Config { hello: "a.test".into(), ..Config::default() }
}

fn lmtp() -> Config {
    Config { lmtp: true, ..config() }
}

struct Owner {
    session: Session,
    turns: VecDeque<Turn>,
    events: Vec<Event>,
    said: String,
    is_closed: bool,
}

impl Owner {
    fn new(config: Config, turns: &[Turn]) -> Self {
        let turns = turns.iter().cloned().collect();
        Self { session: Session::new(config), turns, events: Vec::new(), said: String::new(), is_closed: false }
    }

    fn turn(&mut self) {
        loop {
            match self.session.next() {
                Next::Send(bytes) => self.said.push_str(&String::from_utf8_lossy(&bytes)),
                Next::Event(event) => {
                    self.act_on(&event);
                    self.events.push(event);
                }
                Next::AwaitOwner => panic!("everything is answered"),
                Next::Read => return,
                Next::Close => {
                    self.is_closed = true;
                    return;
                }
            }
        }
    }

    fn act_on(&mut self, event: &Event) {
        match event {
            Event::StartTls => return self.session.encrypted(),
            Event::Failed(_) => return,
            _ => {}
        }
        match self.turns.pop_front() {
            Some(StartTls) => self.session.starttls(),
            Some(Login) => self.session.authenticate("ann", "pw"),
            Some(Send(recipients, message)) => {
                let address = |text: &&str| text.parse::<Address>().unwrap();
                let envelope = Envelope {
                    reverse_path: Some("ann@a.test".parse().unwrap()),
                    recipients: recipients.iter().map(|text| address(text).into()).collect(),
                    ..Envelope::default()
                };
                self.session.send(envelope, &Message::new(message.into()));
            }
            None => self.session.quit(),
        }
    }

    /// Hears one line after the other, each when it is its turn.
    fn replies(&mut self, lines: &str) {
        lines.lines().for_each(|line| self.hear(format!("{line}\r\n").as_bytes(), 9));
    }

    fn hear(&mut self, bytes: &[u8], chunk: usize) {
        self.turn();
        for part in bytes.chunks(chunk) {
            if self.is_closed {
                return;
            }
            self.session.receive(part);
            self.turn();
        }
    }
}

/// What the server says up to its next wait, and what the client says then.
fn turns(transcript: &str) -> Vec<(String, String)> {
    let mut turns = vec![(String::new(), String::new())];
    for line in transcript.lines().map(str::trim_start).filter(|line| !line.is_empty()) {
        let (speaker, text) = line.split_at(2);
        let line = format!("{}\r\n", text.strip_prefix(' ').unwrap_or(text));
        if speaker == "S:" {
            if !turns.last().unwrap().1.is_empty() {
                turns.push((String::new(), String::new()));
            }
            turns.last_mut().unwrap().0.push_str(&line);
        } else {
            turns.last_mut().unwrap().1.push_str(&line);
        }
    }
    turns
}

/// Plays a conversation byte by byte, in odd chunks and turn by turn; the events that the owner saw.
fn play(config: Config, actions: &[Turn], transcript: &str) -> Vec<Event> {
    let mut events = Vec::new();
    for chunk in [1, 2, 7, usize::MAX] {
        let mut owner = Owner::new(config.clone(), actions);
        for (server, client) in turns(transcript) {
            owner.hear(server.replace("(hangs up)\r\n", "").as_bytes(), chunk);
            if server.ends_with("(hangs up)\r\n") {
                owner.session.receive(&[]);
                owner.turn();
            }
            let closes = if owner.is_closed { "(closes)\r\n" } else { "" };
            let said = std::mem::take(&mut owner.said) + closes;
            assert_eq!(said, client, "to {server:?} in chunks of {chunk}");
        }
        events = owner.events;
    }
    events
}

fn verdicts(event: &Event) -> Vec<String> {
    let Event::Sent(outcome) = event else { panic!("{event:?} is no outcome") };
    let text = |verdict: &Verdict| match verdict {
        Verdict::Accepted(reply) => format!("{reply}"),
        Verdict::Refused { stage, reply } => format!("{stage}: {reply}"),
        Verdict::NotSent(not_sent) => format!("not sent: {not_sent}"),
    };
    outcome.verdicts.iter().map(text).collect()
}

fn failure(events: &[Event]) -> &Failure {
    match events.last() {
        Some(Event::Failed(failure)) => failure,
        other => panic!("{other:?} is no failure"),
    }
}
