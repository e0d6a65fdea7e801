//! Transcripts from the client's side: `S:` is a line of the server, `C:` what the client must say then. The last
//! `C: (closes)` says that the session is over, `S: (hangs up)` that the server is gone.

use std::collections::VecDeque;

use super::super::Reply;
use super::{Cause, Config, Event, Failure, Session, Stage, Verdict};
use crate::mail::{Address, Envelope, Letter, Speaker};
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
                    self.act(&event);
                    self.events.push(event);
                }
                Next::Answer => panic!("everything is answered"),
                Next::Read => return,
                Next::Close => {
                    self.is_closed = true;
                    return;
                }
            }
        }
    }

    fn act(&mut self, event: &Event) {
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
                self.session.send(envelope, &Letter::new(message.into()));
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
    };
    outcome.verdicts.iter().map(text).collect()
}

fn failure(events: &[Event]) -> &Failure {
    match events.last() {
        Some(Event::Failed(failure)) => failure,
        other => panic!("{other:?} is no failure"),
    }
}

/// RFC 5321 §3.2: servers that do not know EHLO.
#[test]
fn an_old_server_is_spoken_to_in_its_own_words() {
    let events = play(
        config(),
        &[Send(&["bob@b.test", "cat@b.test"], ".\r\n"), Send(&["no@b.test"], "x\r\n"), Send(&["bob@b.test"], "")],
        "
        S: 220 hi
        C: EHLO a.test
        S: 500 what?
        C: HELO a.test
        S: 250 hello
        C: MAIL FROM:<ann@a.test>
        S: 250 ok
        C: RCPT TO:<bob@b.test>
        S: 550 no
        C: RCPT TO:<cat@b.test>
        S: 251 will forward
        C: DATA
        S: 354 go
        C: ..
        C: .
        S: 250 taken
        C: MAIL FROM:<ann@a.test>
        S: 250 ok
        C: RCPT TO:<no@b.test>
        S: 450 busy
        C: RSET
        S: 250 ok
        C: MAIL FROM:<ann@a.test>
        S: 250 ok
        C: RCPT TO:<bob@b.test>
        S: 250 ok
        C: DATA
        S: 451 later
        C: QUIT
        S: 221 bye
        C: (closes)
        ",
    );
    assert_eq!(verdicts(&events[1]), ["RCPT: 550 no", "250 taken"]);
    assert_eq!(verdicts(&events[2]), ["RCPT: 450 busy"]);
    assert_eq!(verdicts(&events[3]), ["DATA: 451 later"]);
}

/// RFC 2920 §3.1.
#[test]
fn commands_go_together_where_the_server_can_take_it() {
    let events = play(
        config(),
        &[Send(&["bob@b.test", "cat@b.test"], "x"), Send(&["no@b.test"], "x"), Send(&["bob@b.test"], "x")],
        "
        S: 220 hi
        C: EHLO a.test
        S: 250-b.test
        S: 250-PIPELINING
        S: 250 SIZE 100
        C: MAIL FROM:<ann@a.test> SIZE=1
        C: RCPT TO:<bob@b.test>
        C: RCPT TO:<cat@b.test>
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 550 no
        S: 354 go
        C: x
        C: .
        S: 554 spam
        C: MAIL FROM:<ann@a.test> SIZE=1
        C: RCPT TO:<no@b.test>
        C: DATA
        S: 250 ok
        S: 550 no
        S: 354 go, though there is nobody
        C: .
        S: 554 no recipients
        C: MAIL FROM:<ann@a.test> SIZE=1
        C: RCPT TO:<bob@b.test>
        C: DATA
        S: 451 not now
        S: 503 no MAIL
        S: 503 no RCPT
        C: QUIT
        S: 221 bye
        C: (closes)
        ",
    );
    assert_eq!(verdicts(&events[1]), ["the end of the message: 554 spam", "RCPT: 550 no"]);
    assert_eq!(verdicts(&events[2]), ["RCPT: 550 no"]);
    assert_eq!(verdicts(&events[3]), ["MAIL: 451 not now"]);
}

/// RFC 3030 §2: without a recipient the chunk is not sent at all.
#[test]
fn a_chunk_waits_for_its_recipients() {
    let events = play(
        config(),
        &[Send(&["no@b.test"], "x\r\n"), Send(&["bob@b.test"], ".\r\n")],
        "
        S: 220 hi
        C: EHLO a.test
        S: 250-b.test
        S: 250-PIPELINING
        S: 250 CHUNKING
        C: MAIL FROM:<ann@a.test>
        C: RCPT TO:<no@b.test>
        S: 250 ok
        S: 550 no
        C: RSET
        C: MAIL FROM:<ann@a.test>
        C: RCPT TO:<bob@b.test>
        S: 250 ok
        S: 250 ok
        S: 250 ok
        C: BDAT 3 LAST
        C: .
        S: 250 taken
        C: QUIT
        S: 221 bye
        C: (closes)
        ",
    );
    assert_eq!((verdicts(&events[1]), verdicts(&events[2])), (vec!["RCPT: 550 no".into()], vec!["250 taken".into()]));
}

/// RFC 3207 §4.2, RFC 4954 §4.
#[test]
fn tls_and_login_come_before_the_first_message() {
    let transcript = "
        S: 220 hi
        C: EHLO a.test
        S: 250-b.test
        S: 250-SIZE 100
        S: 250 STARTTLS
        C: STARTTLS
        S: 220 go
        C: EHLO a.test
        S: 250-b.test
        S: 250 AUTH LOGIN PLAIN
        C: AUTH PLAIN AGFubgBwdw==
        S: 535 5.7.8 no
        C: AUTH PLAIN AGFubgBwdw==
        S: 235 yes
        C: QUIT
        S: 221 bye
        C: (closes)
    ";
    let events = play(config(), &[StartTls, Login, Login], transcript);
    let refused = Event::LoginRefused(Reply::new(535, (5, 7, 8), "no"));
    assert_eq!(events, [Event::Ready, Event::StartTls, Event::Ready, refused, Event::Ready]);
}

#[test]
fn a_login_that_cannot_be_is_given_up() {
    let transcript = "
        S: 220 hi
        C: EHLO a.test
        S: 250-b.test
        S: 250 AUTH LOGIN
        C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        C: YW5u
        S: 334 !
        C: *
        S: 501 fine
        C: QUIT
    ";
    let events = play(config(), &[Login], transcript);
    assert_eq!(events[1], Event::LoginRefused(Reply::plain(501, "fine")));
    let transcript = "
        S: 220 hi
        C: EHLO a.test
        S: 250-b.test
        S: 250 AUTH GSSAPI
        C: QUIT
    ";
    assert!(matches!(&play(config(), &[Login], transcript)[1], Event::LoginRefused(reply) if reply.code == 504));
    let transcript = "
        S: 220 hi
        C: EHLO a.test
        S: 250-b.test
        S: 250 AUTH SCRAM-SHA-256
        C: AUTH SCRAM-SHA-256 biwsbj1hbm4scj14LjE=
        S: 235 I believe you anyway
        C: (closes)
    ";
    let events = play(Config { nonce: Some("x".into()), ..config() }, &[Login], transcript);
    assert!(matches!(failure(&events), Failure { stage: Stage::Login, cause: Cause::Violation(_), .. }));
}

#[test]
fn a_server_without_tls_now_may_still_be_used() {
    let transcript = "
        S: 220 hi
        C: EHLO a.test
        S: 250 b.test
        C: STARTTLS
        S: 454 not now
        C: MAIL FROM:<ann@a.test>
    ";
    let events = play(config(), &[StartTls, Send(&["bob@b.test"], "x")], transcript);
    assert_eq!(events, [Event::Ready, Event::TlsRefused(Reply::plain(454, "not now"))]);
}

/// What somebody between put into the clear part must not count under TLS.
#[test]
fn words_behind_the_220_of_starttls_end_the_conversation() {
    let mut owner = Owner::new(config(), &[StartTls]);
    owner.hear(b"220 hi\r\n250 STARTTLS\r\n220 go\r\n250 evil\r\n", usize::MAX);
    assert!(matches!(failure(&owner.events), Failure { stage: Stage::StartTls, cause: Cause::Violation(_), .. }));
    assert!(owner.is_closed);
}

#[test]
fn a_reply_that_nobody_asked_for_is_not_taken_for_an_answer() {
    let mut owner = Owner::new(config(), &[Send(&["bob@b.test"], "x"), Send(&["cat@b.test"], "x")]);
    owner.hear(b"220 hi\r\n250 b.test\r\n250 ok\r\n550 no\r\n250 ok\r\n", usize::MAX);
    assert!(matches!(failure(&owner.events), Failure { stage: Stage::Mail, cause: Cause::Violation(_), .. }));
}

/// RFC 5321 §3.1, §3.8, §4.2.
#[test]
fn conversations_that_fail_say_where_and_why() {
    let hello = "S: 220 hi\nC: EHLO a.test\n";
    let mail =
        format!("{hello}S: 250-b\nS: 250 PIPELINING\nC: MAIL FROM:<ann@a.test>\nC: RCPT TO:<bob@b.test>\nC: DATA\n");
    let sent = format!("{mail}S: 250 ok\nS: 250 ok\nS: 354 go\nC: x\nC: .\n");
    let cases = [
        (
            "S: 554 no mail here\nC: QUIT\nS: 221 bye\nC: (closes)\n".to_owned(),
            Stage::Greeting,
            "the peer said 554 no mail here",
        ),
        ("S: 421 full\nC: (closes)\n".to_owned(), Stage::Greeting, "the peer said 421 full"),
        (
            "S: * OK IMAP\nC: (closes)\n".to_owned(),
            Stage::Greeting,
            "the peer broke the protocol: a line of the peer is no reply",
        ),
        ("S: (hangs up)\nC: (closes)\n".to_owned(), Stage::Greeting, "the peer hung up"),
        (format!("{hello}S: 450 wait\nC: QUIT\n"), Stage::Hello, "the peer said 450 wait"),
        (format!("{hello}S: 500 a\nC: HELO a.test\nS: 550 b\nC: QUIT\n"), Stage::Hello, "the peer said 550 b"),
        (format!("{mail}S: 421 4.3.2 closing\nC: (closes)\n"), Stage::Mail, "the peer said 421 4.3.2 closing"),
        (format!("{mail}S: 250 ok\nS: (hangs up)\nC: (closes)\n"), Stage::Rcpt, "the peer hung up"),
        (
            format!("{mail}S: 250 ok\nS: 250 ok\nS: 250 ok\nC: (closes)\n"),
            Stage::Data,
            "the peer broke the protocol: DATA was answered neither with 354 nor with a refusal",
        ),
        (format!("{sent}S: (hangs up)\nC: (closes)\n"), Stage::Dot, "the peer hung up"),
        (format!("{sent}S: 421 4.3.0 disk\nC: (closes)\n"), Stage::Dot, "the peer said 421 4.3.0 disk"),
    ];
    for (transcript, stage, cause) in cases {
        let events = play(config(), &[Send(&["bob@b.test"], "x")], &transcript);
        let failure = failure(&events);
        assert_eq!((failure.stage, failure.cause.to_string().as_str()), (stage, cause));
        assert_eq!(failure.is_in_doubt(), stage == Stage::Dot && failure.cause == Cause::HungUp);
    }
}

/// RFC 2033 §4.2: whose verdict is known must not get the message twice.
#[test]
fn half_the_verdicts_of_lmtp_are_kept_when_the_server_goes() {
    let transcript = "
        S: 220 hi
        C: LHLO a.test
        S: 250-b.test
        S: 250 PIPELINING
        C: MAIL FROM:<ann@a.test>
        C: RCPT TO:<bob@b.test>
        C: RCPT TO:<no@b.test>
        C: RCPT TO:<cat@b.test>
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 550 no
        S: 250 ok
        S: 354 go
        C: x
        C: .
        S: 250 bob has it
        S: (hangs up)
        C: (closes)
    ";
    let events = play(lmtp(), &[Send(&["bob@b.test", "no@b.test", "cat@b.test"], "x\r\n")], transcript);
    let failure = failure(&events);
    let known: Vec<_> = failure.verdicts.iter().map(Option::is_some).collect();
    assert_eq!((known, failure.is_in_doubt()), (vec![true, true, false], true));
}

#[test]
fn lmtp_has_no_older_hello() {
    let events = play(lmtp(), &[], "S: 220 hi\nC: LHLO a.test\nS: 500 what?\nC: QUIT\nS: 221 bye\nC: (closes)");
    assert_eq!(failure(&events).stage, Stage::Hello);
}

#[test]
fn an_owner_that_lost_the_connection_learns_what_is_known() {
    let mut owner = Owner::new(config(), &[Send(&["no@b.test", "bob@b.test"], "x")]);
    owner.replies("220 hi\n250-b\n250 PIPELINING\n250 ok\n550 no\n250 ok\n354 go");
    assert_eq!(owner.session.stage(), Stage::Dot);
    let failure = owner.session.abandon();
    assert_eq!((failure.is_in_doubt(), failure.cause), (true, Cause::Lost));
    assert!(matches!(failure.verdicts[..], [Some(Verdict::Refused { .. }), None]));
    owner.turn();
    assert!(owner.is_closed);
}

#[test]
fn a_house_that_closes_finishes_its_transaction_and_begins_none() {
    let mut owner = Owner::new(config(), &[Send(&["bob@b.test"], "x")]);
    owner.session.stop();
    owner.replies("220 hi\n250 b\n221 bye");
    assert_eq!((owner.said.as_str(), owner.events.len()), ("EHLO a.test\r\nQUIT\r\n", 0));
    let mut owner = Owner::new(config(), &[Send(&["bob@b.test"], "x")]);
    owner.replies("220 hi\n250 b\n250 ok");
    owner.session.stop();
    owner.replies("250 ok\n354 go\n250 taken");
    assert_eq!(verdicts(&owner.events[1]), ["250 taken"]);
}

#[test]
fn the_record_shows_no_secret_and_no_message() {
    let mut owner = Owner::new(Config { dialogue: true, ..config() }, &[Login, Send(&["bob@b.test"], "hidden")]);
    owner.replies("220 hi\n250-b\n250 AUTH LOGIN\n334 YQ==\n334 YQ==\n235 yes");
    owner.replies("250 ok\n250 ok\n354 go\n250 taken");
    let said: Vec<_> = owner.session.take_dialogue().lines;
    let client: Vec<_> =
        said.iter().filter(|(who, _)| *who == Speaker::Client).map(|(_, line)| line.as_str()).collect();
    let wanted = [
        "EHLO a.test",
        "AUTH LOGIN",
        "****",
        "****",
        "MAIL FROM:<ann@a.test>",
        "RCPT TO:<bob@b.test>",
        "DATA",
        "(6 octets of message)",
        "QUIT",
    ];
    assert_eq!(client, wanted);
}

/// RFC 5321 §4.5.3.2.
#[test]
fn patience_depends_on_what_is_awaited() {
    let mut owner = Owner::new(config(), &[Send(&["bob@b.test"], "x")]);
    let minutes = |owner: &Owner| owner.session.patience().as_secs() / 60;
    assert_eq!(minutes(&owner), 5);
    owner.replies("220 hi\n250 b\n250 ok\n250 ok");
    assert_eq!(minutes(&owner), 2, "DATA");
    owner.replies("354 go");
    assert_eq!(minutes(&owner), 10, "the final dot");
}

/// Replies and noise in any order: no panic, no endless loop, and always an end when the server is gone.
#[test]
fn random_replies_do_no_harm() {
    let words: Vec<&[u8]> =
        "220 hi\r\n|250 ok\r\n|250 ok\r\n|250-b\r\n250-PIPELINING\r\n250 AUTH LOGIN\r\n|250-CHUNKING\r\n|\
         354 go\r\n|334 YQ==\r\n|235 yes\r\n|421 bye\r\n|450 wait\r\n|550 no\r\n|550-\r\n|\r|\n|2|\u{e9}|\0| "
            .split('|')
            .map(str::as_bytes)
            .collect();
    let turns = [Login, Send(&["b@b.test", "c@b.test"], ".\r\n"), StartTls, Send(&["b@b.test"], "x")];
    let mut dice: u64 = 1;
    for round in 0..1000 {
        let mut owner = Owner::new(if round % 2 == 0 { config() } else { lmtp() }, &turns[round % 4..]);
        owner.hear(b"220 hi\r\n250-b\r\n250-CHUNKING\r\n250 PIPELINING\r\n", usize::MAX);
        for _ in 0..40 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let word = words[(dice >> 33) as usize % words.len()];
            owner.hear(word, 1 + (dice >> 60) as usize);
        }
        if !owner.is_closed {
            owner.session.receive(&[]);
            owner.turn();
        }
        assert!(owner.is_closed);
    }
}
