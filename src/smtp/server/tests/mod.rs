//! The stage on which transcripts are played. `C:` is a line of the client, `C+` one without its line end, `S:` a line
//! of the server; the last `S: (closes)` says that the session is over. `\r`, `\n` and `\0` stand for themselves.

mod commands;
mod content;
mod driver;
mod limits;
mod pace;
mod smuggling;
mod whole;

use bytes::Bytes;

use super::{Auth, Config, Event, Protocol, Session, Tls};
use crate::mail::Envelope;
use crate::net::{Machine, Next};
use crate::smtp::Reply;

fn smtp() -> Config {
    Config {
        hostname: "mx.b.test".into(),
        max_message_bytes: 1000,
        max_recipients: 3,
        max_errors: 5,
        ..Config::default()
    }
}

fn submission() -> Config {
    Config { protocol: Protocol::Submission, tls: Tls::Offered, auth: Auth::Required, ..smtp() }
}

fn lmtp() -> Config {
    Config { protocol: Protocol::Lmtp, ..smtp() }
}

/// A session with an owner who knows `ann` by `pw`, refuses hosts and has no mailbox for `no…` and no time for `later…`; he
/// takes no message from `stop…`, and hangs up on `gone…`.
struct Stage {
    session: Session,
    said: String,
    sends: usize,
    arrived: Vec<(Envelope, Bytes)>,
    is_closed: bool,
}

impl Stage {
    fn new(config: Config) -> Self {
        let session = Session::new(config, &Reply::plain(220, "mx.b.test"), "nonce".into());
        Self { session, said: String::new(), sends: 0, arrived: Vec::new(), is_closed: false }
    }

    /// Lets the session do all it can.
    fn turn(&mut self) {
        loop {
            match self.session.next() {
                Next::Send(bytes) => {
                    self.sends += 1;
                    self.said.push_str(std::str::from_utf8(&bytes).unwrap());
                }
                Next::Event(event) => self.decide(event),
                Next::AwaitOwner => panic!("everything is answered"),
                Next::Read => return,
                Next::Close => {
                    self.is_closed = true;
                    return;
                }
            }
        }
    }

    fn decide(&mut self, event: Event) {
        let ok = Reply::new(250, (2, 0, 0), "OK");
        match event {
            Event::StartTls => self.session.encrypted("TLS".into()),
            Event::NeedSecret(user) => self.session.secret((user == "ann").then_some("pw")),
            Event::Verify(_) => self.session.answer(Reply::new(252, (2, 1, 5), "perhaps")),
            Event::Rcpt(recipient) => self.session.answer(match recipient.address.local() {
                local if local.starts_with("no") => Reply::new(550, (5, 1, 1), "no such user"),
                local if local.starts_with("later") => Reply::new(421, (4, 3, 2), "AUTH not allowed now"),
                _ => ok,
            }),
            Event::Message { envelope, message } => {
                let recipients = envelope.recipients.iter();
                let replies: Vec<_> = recipients
                    .map(|to| match to.address.local() {
                        "farewell" => Reply::new(421, (4, 3, 2), "closing"),
                        _ => Reply::new(250, (2, 1, 5), &format!("{} has it", to.address)),
                    })
                    .collect();
                self.arrived.push((envelope, message.to_bytes()));
                match self.session.with_protocol().contains("LMTP") {
                    true => self.session.answer_each(&replies),
                    false => self.session.answer(ok),
                }
            }
            Event::Data => {
                let sender = self.session.envelope().and_then(|envelope| envelope.reverse_path.as_ref());
                self.session.answer(match sender.map_or("", |sender| sender.local()) {
                    local if local.starts_with("stop") => Reply::new(451, (4, 7, 1), "not this one"),
                    local if local.starts_with("gone") => Reply::new(421, (4, 3, 2), "AUTH not allowed now"),
                    _ => ok,
                });
            }
            Event::Hello { name, .. } if name.starts_with("no") => {
                self.session.answer(Reply::new(550, (5, 7, 1), "not you"))
            }
            Event::Hello { .. } | Event::Mail { .. } => self.session.answer(ok),
        }
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

fn unescape(line: &str) -> String {
    line.replace("\\r", "\r").replace("\\n", "\n").replace("\\0", "\0")
}

/// What the client says up to its next wait, and what it must read then.
fn turns(transcript: &str) -> Vec<(Vec<u8>, String)> {
    let mut turns = vec![(Vec::new(), String::new())];
    for line in transcript.lines().map(str::trim_start).filter(|line| !line.is_empty()) {
        let (speaker, text) = line.split_at(2);
        let text = unescape(text.strip_prefix(' ').unwrap_or(text));
        match speaker {
            "S:" => turns.last_mut().unwrap().1.push_str(&format!("{text}\r\n")),
            _ => {
                if !turns.last().unwrap().1.is_empty() {
                    turns.push((Vec::new(), String::new()));
                }
                let end = if speaker == "C:" { "\r\n" } else { "" };
                turns.last_mut().unwrap().0.extend_from_slice(format!("{text}{end}").as_bytes());
            }
        }
    }
    turns
}

/// Plays a conversation byte by byte, in odd chunks, turn by turn and, where the client may, all at once.
fn play(config: Config, transcript: &str) -> Vec<(Envelope, Bytes)> {
    let turns = turns(transcript);
    let mut arrived = Vec::new();
    for chunk in [1, 2, 7, usize::MAX] {
        let mut stage = Stage::new(config.clone());
        for (client, server) in &turns {
            stage.hear(client, chunk);
            let closes = if stage.is_closed { "(closes)\r\n" } else { "" };
            let said = std::mem::take(&mut stage.said) + closes;
            assert_eq!(said, *server, "to {:?} in chunks of {chunk}", String::from_utf8_lossy(client));
        }
        arrived = stage.arrived;
    }
    if !transcript.contains("STARTTLS") {
        let mut stage = Stage::new(config);
        let (client, server): (Vec<_>, Vec<_>) = turns.into_iter().unzip();
        stage.hear(&client.concat(), usize::MAX);
        assert_eq!(stage.said, server.concat().replace("(closes)\r\n", ""), "all at once (RFC 2920)");
    }
    arrived
}
