use bytes::Bytes;

use super::*;
use crate::world::Dice;

/// Every dialogue is played whole, byte by byte and in odd chunks.
const CHUNKS: [usize; 4] = [usize::MAX, 1, 2, 7];

/// An owner who knows `ann` by `pw`, `bob` by `b b`, and `busy` whose maildrop is held by another.
struct House {
    letters: Vec<Letter>,
    deleted: Option<Vec<usize>>,
}

impl House {
    fn new() -> Self {
        let letter = |text: &'static str| Letter::new(Bytes::from_static(text.as_bytes()));
        let letters = vec![
            letter("Received: x\r\nSubject: one\r\n\r\nHello\r\n.dot\r\nend\r\n"),
            letter("Subject: two\r\n\r\nHi\r\n"),
        ];
        Self { letters, deleted: None }
    }

    fn answer(&mut self, session: &mut Session, event: Event) {
        match event {
            Event::StartTls => session.encrypted(),
            Event::Who(user) => session.secret(match user.as_str() {
                "ann" | "busy" => Some("pw"),
                "bob" => Some("b b"),
                _ => None,
            }),
            Event::Open { user } if user == "busy" => session.opened(Err(Refusal::InUse)),
            Event::Open { user } => {
                let entry =
                    |(at, letter): (usize, &Letter)| Entry { size: letter.len() as u64, uid: format!("{user}.{at}") };
                session.opened(Ok(self.letters.iter().enumerate().map(entry).collect()));
            }
            Event::Retrieve { index, .. } => session.message(Ok(&self.letters[index])),
            Event::Update { deleted } => {
                self.deleted = Some(deleted);
                session.updated(Ok(()));
            }
        }
    }

    /// Runs the session until it wants to read; `false` when it is over.
    fn run(&mut self, session: &mut Session, heard: &mut Vec<u8>) -> bool {
        for _ in 0..100_000 {
            match session.next() {
                Next::Send(bytes) => heard.extend_from_slice(&bytes),
                Next::Event(event) => self.answer(session, event),
                Next::Answer => panic!("the house has answered"),
                Next::Read => return true,
                Next::Close => return false,
            }
        }
        panic!("the session does not end")
    }
}

fn session(encrypted: bool) -> Session {
    let setup = Setup { host: "mda.test".to_owned(), starttls: true, nonce: "nonce".to_owned(), record: true };
    Session::new(setup, encrypted)
}

/// Plays `C:` and `S:` lines in chunks of all sizes; what the house was told to delete in the end.
fn play(transcript: &str) -> Option<Vec<usize>> {
    let mut deleted = None;
    for chunk in CHUNKS {
        let (mut house, mut session, mut heard, mut open) = (House::new(), session(false), Vec::new(), true);
        let mut said = String::new();
        let mut wanted = String::new();
        for line in transcript.lines().map(str::trim_start).filter(|line| !line.is_empty()).chain(["C:"]) {
            if let Some(line) = line.strip_prefix("S:") {
                open &= tell(&mut house, &mut session, &mut said, &mut heard, chunk, open);
                wanted += &format!("{}\r\n", line.strip_prefix(' ').unwrap_or(line));
                continue;
            }
            if said.is_empty() && !wanted.is_empty() {
                assert_eq!(String::from_utf8_lossy(&heard), wanted, "in chunks of {chunk}");
                heard.clear();
                wanted.clear();
            }
            let line = line.strip_prefix("C:").expect("a line of a transcript begins with C: or S:");
            said += &format!("{}\r\n", line.strip_prefix(' ').unwrap_or(line));
        }
        deleted = house.deleted;
    }
    deleted
}

fn tell(
    house: &mut House,
    session: &mut Session,
    said: &mut String,
    heard: &mut Vec<u8>,
    chunk: usize,
    open: bool,
) -> bool {
    let mut open = open && house.run(session, heard);
    for bytes in std::mem::take(said).as_bytes().chunks(chunk) {
        if open {
            session.receive(bytes);
            open = house.run(session, heard);
        }
    }
    open
}

#[test]
fn a_maildrop_is_listed_read_and_emptied() {
    let deleted = play(
        "
        S: +OK mda.test POP3 server ready <nonce@mda.test>
        C: USER ann
        S: +OK and the password?
        C: PASS pw
        S: +OK 2 messages, 67 octets
        C: STAT
        S: +OK 2 67
        C: LIST
        S: +OK the listing follows
        S: 1 47
        S: 2 20
        S: .
        C: UIDL
        S: +OK the listing follows
        S: 1 ann.0
        S: 2 ann.1
        S: .
        C: LIST 2
        S: +OK 2 20
        C: UIDL 3
        S: -ERR no such message
        C: TOP 1 1
        S: +OK the header and 1 lines follow
        S: Received: x
        S: Subject: one
        S:
        S: Hello
        S: .
        C: RETR 1
        S: +OK 47 octets
        S: Received: x
        S: Subject: one
        S:
        S: Hello
        S: ..dot
        S: end
        S: .
        C: DELE 1
        S: +OK marked for deletion
        C: DELE 1
        S: -ERR no such message
        C: RETR 1
        S: -ERR no such message
        C: STAT
        S: +OK 1 20
        C: RSET
        S: +OK no message is marked
        C: STAT
        S: +OK 2 67
        C: DELE 2
        S: +OK marked for deletion
        C: NOOP
        S: +OK
        C: QUIT
        S: +OK goodbye
        ",
    );
    assert_eq!(deleted, Some(vec![1]));
}

#[test]
fn the_maildrop_stays_shut_without_the_password() {
    play(
        "
        S: +OK mda.test POP3 server ready <nonce@mda.test>
        C: STAT
        S: -ERR log in first
        C: PASS pw
        S: -ERR say USER first
        C: USER nobody
        S: +OK and the password?
        C: PASS
        S: -ERR [AUTH] the name or the password is wrong
        C: PASS pw
        S: -ERR say USER first
        C: USER ann
        S: +OK and the password?
        C: PASS PW
        S: -ERR [AUTH] the name or the password is wrong
        C: USER ann
        S: +OK and the password?
        C: STAT
        S: -ERR log in first
        C: USER ann
        S: +OK and the password?
        C: PASS wrong
        S: -ERR [AUTH] the name or the password is wrong
        C: USER ann
        C: PASS pw
        ",
    );
}

#[test]
fn a_password_may_hold_spaces() {
    play(
        "
        S: +OK mda.test POP3 server ready <nonce@mda.test>
        C: USER bob
        S: +OK and the password?
        C: PASS b b
        S: +OK 2 messages, 67 octets
        ",
    );
}

#[test]
fn sasl_works_with_and_without_an_initial_response() {
    let long = "x".repeat(2000);
    play(&format!(
        "
        S: +OK mda.test POP3 server ready <nonce@mda.test>
        C: AUTH CRAM-MD5
        S: -ERR unknown mechanism
        C: AUTH PLAIN AGFubgBubw==
        S: -ERR [AUTH] the name or the password is wrong
        C: AUTH PLAIN !
        S: -ERR the initial response is not base64
        C: AUTH LOGIN
        S: + VXNlcm5hbWU6
        C: *
        S: -ERR login cancelled
        C: AUTH LOGIN
        S: + VXNlcm5hbWU6
        C: {long}
        S: -ERR the line is too long
        C: STAT
        S: -ERR log in first
        C: AUTH LOGIN
        S: + VXNlcm5hbWU6
        C: YW5u
        S: + UGFzc3dvcmQ6
        C: bm8=
        S: -ERR [AUTH] the name or the password is wrong
        C: AUTH plain
        S: +\x20
        C: AGFubgBwdw==
        S: +OK 2 messages, 67 octets
        C: AUTH PLAIN AGFubgBwdw==
        S: -ERR you are logged in already
        "
    ));
}

#[test]
fn pipelined_commands_are_answered_in_order() {
    let deleted = play(
        "
        S: +OK mda.test POP3 server ready <nonce@mda.test>
        C: USER ann
        C: PASS pw
        C: RETR 2
        C: DELE 2
        C: RETR 2
        C: TOP 2 0
        C: STAT
        C: QUIT
        C: NOOP
        S: +OK and the password?
        S: +OK 2 messages, 67 octets
        S: +OK 20 octets
        S: Subject: two
        S:
        S: Hi
        S: .
        S: +OK marked for deletion
        S: -ERR no such message
        S: -ERR no such message
        S: +OK 1 47
        S: +OK goodbye
        ",
    );
    assert_eq!(deleted, Some(vec![1]));
}

#[test]
fn only_quit_deletes() {
    let before_quit = "
        S: +OK mda.test POP3 server ready <nonce@mda.test>
        C: USER ann
        C: PASS pw
        C: DELE 1
        S: +OK and the password?
        S: +OK 2 messages, 67 octets
        S: +OK marked for deletion
        ";
    assert_eq!(play(before_quit), None);
    for end in [Session::stop, Session::expire, |session: &mut Session| session.receive(&[])] {
        let (mut house, mut session, mut heard) = (House::new(), session(false), Vec::new());
        session.receive(b"USER ann\r\nPASS pw\r\nDELE 1\r\n");
        assert!(house.run(&mut session, &mut heard));
        end(&mut session);
        assert!(!house.run(&mut session, &mut heard));
        assert!(heard.ends_with(b"+OK marked for deletion\r\n"), "an interrupted session hears nothing more");
        assert_eq!(house.deleted, None);
    }
}

#[test]
fn a_held_maildrop_is_told_apart_from_a_wrong_password() {
    play(
        "
        S: +OK mda.test POP3 server ready <nonce@mda.test>
        C: AUTH PLAIN AGJ1c3kAcHc=
        S: -ERR [IN-USE] another session holds this maildrop
        C: AUTH PLAIN AGFubgBwdw==
        S: +OK 2 messages, 67 octets
        ",
    );
}

#[test]
fn each_state_announces_what_works_in_it() {
    let common = "TOP UIDL RESP-CODES AUTH-RESP-CODE PIPELINING".split(' ');
    let common: String = common.map(|line| format!("S: {line}\n")).collect();
    let common = format!(
        "{common}S: EXPIRE NEVER\nS: UTF8 USER\nS: LANG\nS: IMPLEMENTATION Postroad-{}\nS: .\n",
        env!("CARGO_PKG_VERSION")
    );
    play(&format!(
        "S: +OK mda.test POP3 server ready <nonce@mda.test>
         C: CAPA
         S: +OK capabilities follow
         S: USER
         S: SASL SCRAM-SHA-256 PLAIN LOGIN
         S: STLS
         {common}
         C: STLS
         S: +OK begin TLS
         C: CAPA
         S: +OK capabilities follow
         S: USER
         S: SASL SCRAM-SHA-256 PLAIN LOGIN
         {common}
         C: STLS
         S: -ERR TLS is active already
         C: AUTH PLAIN AGFubgBwdw==
         S: +OK 2 messages, 67 octets
         C: CAPA
         S: +OK capabilities follow
         {common}"
    ));
}

/// RFC 1939 §7 (APOP).
#[test]
fn apop_proves_the_password_once_for_a_greeting() {
    play(
        "
        S: +OK mda.test POP3 server ready <nonce@mda.test>
        C: APOP ann 60a4545fc2adbfa517e33102923d13c8
        S: +OK 2 messages, 67 octets
        C: APOP ann 60a4545fc2adbfa517e33102923d13c8
        S: -ERR you are logged in already
        ",
    );
    play(
        "
        S: +OK mda.test POP3 server ready <nonce@mda.test>
        C: APOP nobody 00000000000000000000000000000000
        S: -ERR [AUTH] the name or the password is wrong
        C: APOP ann 00000000000000000000000000000000
        S: -ERR APOP was tried already
        C: USER ann
        S: +OK and the password?
        ",
    );
}

/// RFC 6856 §2, §3.
#[test]
fn utf8_is_said_before_the_login_and_languages_at_any_time() {
    play(
        "
        S: +OK mda.test POP3 server ready <nonce@mda.test>
        C: UTF8
        S: +OK UTF-8 it is
        C: LANG
        S: +OK these languages
        S: en English
        S: .
        C: LANG de
        S: -ERR only English is spoken here
        C: AUTH PLAIN AGFubgBwdw==
        S: +OK 2 messages, 67 octets
        C: LANG *
        S: +OK en English it is
        C: UTF8
        S: -ERR say UTF8 before you log in
        C: STAT
        S: +OK 2 67
        ",
    );
}

#[test]
fn what_came_before_tls_is_forgotten() {
    let (mut house, mut session, mut heard) = (House::new(), session(false), Vec::new());
    session.receive(b"STLS\r\nUSER ann\r\nPASS pw\r\nDELE 1\r\nQUIT\r\n");
    assert!(house.run(&mut session, &mut heard));
    assert_eq!(heard, b"+OK mda.test POP3 server ready <nonce@mda.test>\r\n+OK begin TLS\r\n");
    session.receive(b"STAT\r\n");
    assert!(house.run(&mut session, &mut heard));
    assert!(heard.ends_with(b"-ERR log in first\r\n"));
}

#[test]
fn who_makes_no_sense_is_let_go() {
    let refused = "S: -ERR unknown command\n".repeat(11);
    let said = "C: GET / HTTP/1.1\n".repeat(12);
    play(&format!(
        "S: +OK mda.test POP3 server ready <nonce@mda.test>\n{said}{refused}S: -ERR too many errors, goodbye"
    ));
}

#[test]
fn a_line_too_long_is_one_error() {
    let long = "x".repeat(2000);
    play(&format!(
        "S: +OK mda.test POP3 server ready <nonce@mda.test>\nC: {long}\nS: -ERR the line is too long\nC: QUIT\nS: +OK goodbye"
    ));
}

#[test]
fn a_failed_update_is_not_hidden() {
    let (mut house, mut session, mut heard) = (House::new(), session(false), Vec::new());
    session.receive(b"USER ann\r\nPASS pw\r\n");
    assert!(house.run(&mut session, &mut heard));
    session.receive(b"RETR 1\r\nQUIT\r\n");
    while !matches!(session.next(), Next::Event(Event::Retrieve { index: 0, whole: true })) {}
    session.message(Err(Refusal::Gone));
    while !matches!(session.next(), Next::Event(Event::Update { .. })) {}
    session.updated(Err(Refusal::Temporary));
    heard.clear();
    assert!(!house.run(&mut session, &mut heard));
    assert_eq!(heard, b"-ERR this message is gone\r\n-ERR [SYS/TEMP] not possible now, try again later\r\n");
}

#[test]
fn the_dialogue_keeps_no_secret() {
    let (mut house, mut session, mut heard) = (House::new(), session(false), Vec::new());
    session.receive(b"AUTH PLAIN AGFubgBubw==\r\nAUTH PLAIN\r\nAGFubgBubw==\r\nUSER ann\r\nPASS pw\r\nRETR 2\r\n");
    assert!(house.run(&mut session, &mut heard));
    let dialogue = session.take_dialogue();
    let lines = || dialogue.lines();
    let said: Vec<_> = lines().filter(|(who, _)| *who == Speaker::Client).map(|(_, line)| line).collect();
    assert_eq!(said, ["AUTH PLAIN ***", "AUTH PLAIN", "***", "USER ann", "PASS ***", "RETR 2"]);
    assert_eq!(lines().last(), Some((Speaker::Server, ".")));
    assert!(lines().all(|(_, line)| !line.contains("Subject")));
}

#[test]
fn any_bytes_are_survived() {
    let words: [&[u8]; 14] = [
        b"USER ann\r\n",
        b"PASS pw\r\n",
        b"RETR 1\r\n",
        b"TOP 2 ",
        b"DELE ",
        b"1\r\n",
        b"STLS\r\n",
        b"AUTH PLAIN\r\n",
        b"AGFubgBwdw==\r\n",
        b"LIST\r\n",
        b"\r\n",
        b"AUTH SCRAM-SHA-256 ",
        b"RSET\r\n",
        b"\xff\x00",
    ];
    for seed in 0..200 {
        let dice = Dice::seeded(seed);
        let (mut house, mut session, mut heard) = (House::new(), session(false), Vec::new());
        for _ in 0..200 {
            if !house.run(&mut session, &mut heard) {
                break;
            }
            match dice.below(4) {
                0 => session.receive(&(0..1 + dice.below(50)).map(|_| dice.draw() as u8).collect::<Vec<_>>()),
                _ => session.receive(words[dice.below(words.len() as u64) as usize]),
            }
        }
        session.receive(&[]);
        assert!(!house.run(&mut session, &mut heard));
    }
}
