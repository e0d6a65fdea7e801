use bytes::Bytes;

use super::*;
use crate::world::Rng;

/// Every transcript is played whole, byte by byte and in odd chunks.
const CHUNKS: [usize; 4] = [usize::MAX, 1, 2, 7];

/// An owner who knows `ann` by `pw`, `bob` by `b b`, and `busy` whose maildrop is held by another.
struct House {
    messages: Vec<Message>,
    deleted: Option<Vec<usize>>,
}

impl House {
    fn new() -> Self {
        let message = |text: &'static str| Message::new(Bytes::from_static(text.as_bytes()));
        let messages = vec![
            message("Received: x\r\nSubject: one\r\n\r\nHello\r\n.dot\r\nend\r\n"),
            message("Subject: two\r\n\r\nHi\r\n"),
        ];
        Self { messages, deleted: None }
    }

    fn answer(&mut self, session: &mut Session, event: Event) {
        match event {
            Event::StartTls => session.encrypted(),
            Event::NeedSecret(user) => session.secret(match user.as_str() {
                "ann" | "busy" => Some("pw"),
                "bob" => Some("b b"),
                _ => None,
            }),
            Event::Open { user } if user == "busy" => session.opened(Err(Refusal::InUse)),
            Event::Open { user } => {
                let entry = |(at, message): (usize, &Message)| Entry {
                    size: message.len() as u64,
                    uid: format!("{user}.{at}"),
                };
                session.opened(Ok(self.messages.iter().enumerate().map(entry).collect()));
            }
            Event::Retrieve { index, .. } => session.message(Ok(&self.messages[index])),
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
                Next::AwaitOwner => panic!("the house has answered"),
                Next::Read => return true,
                Next::Close => return false,
            }
        }
        panic!("the session does not end")
    }
}

fn session(encrypted: bool) -> Session {
    let config = Config {
        host: "mda.test".to_owned(),
        starttls: true,
        nonce: "nonce".to_owned(),
        transcript: true,
        recorder: crate::journey::Recorder::default(),
    };
    Session::new(config, encrypted)
}

/// RFC 6856 §2: a header in UTF-8 is for clients that said UTF8; other 8-bit headers are sent as they are.
#[test]
fn message_with_utf8_header_is_sent_only_after_utf8() {
    let message = |bytes: &'static [u8]| Message::new(Bytes::from_static(bytes));
    for (utf8, bytes, accepted) in [
        ("", &b"Subject: Gr\xc3\xbc\xc3\x9fe\r\n\r\nx\r\n"[..], false),
        ("UTF8\r\n", b"Subject: Gr\xc3\xbc\xc3\x9fe\r\n\r\nx\r\n", true),
        ("", b"Subject: Gr\xfc\xdfe\r\n\r\nx\r\n", true),
        ("", b"Subject: x\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n", true),
    ] {
        for command in ["RETR 1", "TOP 1 0"] {
            let (mut house, mut session, mut heard) = (House::new(), session(false), Vec::new());
            house.messages[0] = message(bytes);
            session.receive(format!("{utf8}AUTH PLAIN AGFubgBwdw==\r\n").as_bytes());
            house.run(&mut session, &mut heard);
            heard.clear();
            session.receive(format!("{command}\r\n").as_bytes());
            house.run(&mut session, &mut heard);
            let start: &[u8] = if accepted { b"+OK " } else { b"-ERR [UTF8] " };
            assert!(heard.starts_with(start), "{command}: {}", String::from_utf8_lossy(&heard));
        }
    }
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
fn session_in_transaction_lists_reads_and_deletes_messages() {
    let deleted = play(
        "
        S: +OK mda.test POP3 server ready <nonce@mda.test>
        C: USER ann
        S: +OK Password required
        C: PASS pw
        S: +OK 2 messages, 67 octets
        C: STAT
        S: +OK 2 67
        C: LIST
        S: +OK Listing follows
        S: 1 47
        S: 2 20
        S: .
        C: UIDL
        S: +OK Listing follows
        S: 1 ann.0
        S: 2 ann.1
        S: .
        C: LIST 2
        S: +OK 2 20
        C: UIDL 3
        S: -ERR No such message
        C: TOP 1 1
        S: +OK Header and 1 lines follow
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
        S: +OK Marked for deletion
        C: DELE 1
        S: -ERR No such message
        C: RETR 1
        S: -ERR No such message
        C: STAT
        S: +OK 1 20
        C: RSET
        S: +OK Marks removed
        C: STAT
        S: +OK 2 67
        C: DELE 2
        S: +OK Marked for deletion
        C: NOOP
        S: +OK
        C: QUIT
        S: +OK Goodbye
        ",
    );
    assert_eq!(deleted, Some(vec![1]));
}

#[test]
fn login_with_wrong_password_is_refused() {
    play(
        "
        S: +OK mda.test POP3 server ready <nonce@mda.test>
        C: STAT
        S: -ERR Need to log in first
        C: PASS pw
        S: -ERR Need USER first
        C: USER nobody
        S: +OK Password required
        C: PASS
        S: -ERR [AUTH] Invalid user name or password
        C: PASS pw
        S: -ERR Need USER first
        C: USER ann
        S: +OK Password required
        C: PASS PW
        S: -ERR [AUTH] Invalid user name or password
        C: USER ann
        S: +OK Password required
        C: STAT
        S: -ERR Need to log in first
        C: USER ann
        S: +OK Password required
        C: PASS wrong
        S: -ERR [AUTH] Invalid user name or password
        C: USER ann
        C: PASS pw
        ",
    );
}

#[test]
fn pass_with_spaces_is_accepted() {
    play(
        "
        S: +OK mda.test POP3 server ready <nonce@mda.test>
        C: USER bob
        S: +OK Password required
        C: PASS b b
        S: +OK 2 messages, 67 octets
        ",
    );
}

#[test]
fn auth_with_or_without_initial_response_succeeds() {
    let long = "x".repeat(2000);
    play(&format!(
        "
        S: +OK mda.test POP3 server ready <nonce@mda.test>
        C: AUTH CRAM-MD5
        S: -ERR Unknown authentication mechanism
        C: AUTH PLAIN AGFubgBubw==
        S: -ERR [AUTH] Invalid user name or password
        C: AUTH PLAIN !
        S: -ERR Initial response is not base64
        C: AUTH LOGIN
        S: + VXNlcm5hbWU6
        C: *
        S: -ERR Authentication cancelled
        C: AUTH LOGIN
        S: + VXNlcm5hbWU6
        C: {long}
        S: -ERR Line too long
        C: STAT
        S: -ERR Need to log in first
        C: AUTH LOGIN
        S: + VXNlcm5hbWU6
        C: YW5u
        S: + UGFzc3dvcmQ6
        C: bm8=
        S: -ERR [AUTH] Invalid user name or password
        C: AUTH plain
        S: +\x20
        C: AGFubgBwdw==
        S: +OK 2 messages, 67 octets
        C: AUTH PLAIN AGFubgBwdw==
        S: -ERR Already logged in
        "
    ));
}

#[test]
fn pipelined_commands_get_replies_in_order() {
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
        S: +OK Password required
        S: +OK 2 messages, 67 octets
        S: +OK 20 octets
        S: Subject: two
        S:
        S: Hi
        S: .
        S: +OK Marked for deletion
        S: -ERR No such message
        S: -ERR No such message
        S: +OK 1 47
        S: +OK Goodbye
        ",
    );
    assert_eq!(deleted, Some(vec![1]));
}

#[test]
fn session_when_ended_without_quit_deletes_nothing() {
    let before_quit = "
        S: +OK mda.test POP3 server ready <nonce@mda.test>
        C: USER ann
        C: PASS pw
        C: DELE 1
        S: +OK Password required
        S: +OK 2 messages, 67 octets
        S: +OK Marked for deletion
        ";
    assert_eq!(play(before_quit), None);
    for end in [Session::shut_down, Session::on_timeout, |session: &mut Session| session.receive(&[])] {
        let (mut house, mut session, mut heard) = (House::new(), session(false), Vec::new());
        session.receive(b"USER ann\r\nPASS pw\r\nDELE 1\r\n");
        assert!(house.run(&mut session, &mut heard));
        end(&mut session);
        assert!(!house.run(&mut session, &mut heard));
        assert!(heard.ends_with(b"+OK Marked for deletion\r\n"), "an interrupted session hears nothing more");
        assert_eq!(house.deleted, None);
    }
}

#[test]
fn login_when_maildrop_is_locked_gets_in_use() {
    play(
        "
        S: +OK mda.test POP3 server ready <nonce@mda.test>
        C: AUTH PLAIN AGJ1c3kAcHc=
        S: -ERR [IN-USE] Maildrop is locked by another session
        C: AUTH PLAIN AGFubgBwdw==
        S: +OK 2 messages, 67 octets
        ",
    );
}

#[test]
fn capa_in_both_states_says_the_same() {
    let common = "TOP UIDL RESP-CODES AUTH-RESP-CODE PIPELINING".split(' ');
    let common: String = common.map(|line| format!("S: {line}\n")).collect();
    let common = format!(
        "{common}S: EXPIRE NEVER\nS: UTF8 USER\nS: LANG\nS: IMPLEMENTATION Postroad-{}\nS: .\n",
        env!("CARGO_PKG_VERSION")
    );
    play(&format!(
        "S: +OK mda.test POP3 server ready <nonce@mda.test>
         C: CAPA
         S: +OK Capability list follows
         S: USER
         S: SASL SCRAM-SHA-256 PLAIN LOGIN
         S: STLS
         {common}
         C: STLS
         S: +OK Begin TLS negotiation
         C: CAPA
         S: +OK Capability list follows
         S: USER
         S: SASL SCRAM-SHA-256 PLAIN LOGIN
         {common}
         C: STLS
         S: -ERR TLS already active
         C: AUTH PLAIN AGFubgBwdw==
         S: +OK 2 messages, 67 octets
         C: CAPA
         S: +OK Capability list follows
         S: USER
         S: SASL SCRAM-SHA-256 PLAIN LOGIN
         {common}"
    ));
}

/// RFC 1939 §7 (APOP).
#[test]
fn apop_when_used_twice_is_refused() {
    play(
        "
        S: +OK mda.test POP3 server ready <nonce@mda.test>
        C: APOP ann 60a4545fc2adbfa517e33102923d13c8
        S: +OK 2 messages, 67 octets
        C: APOP ann 60a4545fc2adbfa517e33102923d13c8
        S: -ERR Already logged in
        ",
    );
    play(
        "
        S: +OK mda.test POP3 server ready <nonce@mda.test>
        C: APOP nobody 00000000000000000000000000000000
        S: -ERR [AUTH] Invalid user name or password
        C: APOP ann 00000000000000000000000000000000
        S: -ERR APOP already used
        C: USER ann
        S: +OK Password required
        ",
    );
}

/// RFC 6856 §2, §3.
#[test]
fn utf8_before_login_and_lang_at_any_time_are_accepted() {
    play(
        "
        S: +OK mda.test POP3 server ready <nonce@mda.test>
        C: UTF8
        S: +OK UTF-8 enabled
        C: LANG
        S: +OK Language listing follows
        S: en English
        S: .
        C: LANG de
        S: -ERR Only English is supported
        C: AUTH PLAIN AGFubgBwdw==
        S: +OK 2 messages, 67 octets
        C: LANG *
        S: +OK en Language changed
        C: UTF8
        S: -ERR UTF8 is only allowed before login
        C: STAT
        S: +OK 2 67
        ",
    );
}

#[test]
fn input_before_tls_handshake_is_discarded() {
    let (mut house, mut session, mut heard) = (House::new(), session(false), Vec::new());
    session.receive(b"STLS\r\nUSER ann\r\nPASS pw\r\nDELE 1\r\nQUIT\r\n");
    assert!(house.run(&mut session, &mut heard));
    assert_eq!(heard, b"+OK mda.test POP3 server ready <nonce@mda.test>\r\n+OK Begin TLS negotiation\r\n");
    session.receive(b"STAT\r\n");
    assert!(house.run(&mut session, &mut heard));
    assert!(heard.ends_with(b"-ERR Need to log in first\r\n"));
}

#[test]
fn session_after_too_many_errors_closes() {
    let wrong = |count| format!("{}{}", "C: FROB\n".repeat(count), "S: -ERR Unknown command\n".repeat(count));
    let (greeting, patient) = ("S: +OK mda.test POP3 server ready <nonce@mda.test>", wrong(MAX_ERRORS));
    play(&format!("{greeting}\n{}S: -ERR Too many errors, closing connection", wrong(MAX_ERRORS + 1)));
    let user = "C: USER ann\nS: +OK Password required";
    play(&format!("{greeting}\n{patient}{user}\n{patient}{user}"));
}

#[test]
fn line_when_too_long_counts_as_one_error() {
    let long = "x".repeat(2000);
    play(&format!(
        "S: +OK mda.test POP3 server ready <nonce@mda.test>\nC: {long}\nS: -ERR Line too long\nC: QUIT\nS: +OK Goodbye"
    ));
}

#[test]
fn quit_when_update_fails_gets_an_error() {
    let (mut house, mut session, mut heard) = (House::new(), session(false), Vec::new());
    session.receive(b"USER ann\r\nPASS pw\r\n");
    assert!(house.run(&mut session, &mut heard));
    session.receive(b"RETR 1\r\nQUIT\r\n");
    while !matches!(session.next(), Next::Event(Event::Retrieve { index: 0, whole: true })) {}
    session.message(Err(Refusal::Damaged));
    while !matches!(session.next(), Next::Event(Event::Update { .. })) {}
    session.updated(Err(Refusal::DiskFull));
    heard.clear();
    assert!(!house.run(&mut session, &mut heard));
    let replies = "-ERR [SYS/PERM] The message is damaged on the disk of the server\r\n\
        -ERR [SYS/TEMP] The disk of the server is full, try again later\r\n";
    assert_eq!(String::from_utf8(heard).unwrap(), replies);
}

#[test]
fn transcript_contains_no_secrets() {
    let (mut house, mut session, mut heard) = (House::new(), session(false), Vec::new());
    session.receive(b"AUTH PLAIN AGFubgBubw==\r\nAUTH PLAIN\r\nAGFubgBubw==\r\nUSER ann\r\nPASS pw\r\nRETR 2\r\n");
    assert!(house.run(&mut session, &mut heard));
    let transcript = session.take_transcript();
    let lines = || transcript.lines();
    let said: Vec<_> = lines().filter(|(who, _)| *who == Side::Client).map(|(_, line)| line).collect();
    assert_eq!(said, ["AUTH PLAIN ***", "AUTH PLAIN", "***", "USER ann", "PASS ***", "RETR 2"]);
    assert_eq!(lines().last(), Some((Side::Server, ".")));
    assert!(lines().all(|(_, line)| !line.contains("Subject")));
}

#[test]
fn session_with_random_bytes_does_not_panic() {
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
        let rng = Rng::seeded(seed);
        let (mut house, mut session, mut heard) = (House::new(), session(false), Vec::new());
        for _ in 0..200 {
            if !house.run(&mut session, &mut heard) {
                break;
            }
            match rng.below(4) {
                0 => session.receive(&(0..1 + rng.below(50)).map(|_| rng.next_u64() as u8).collect::<Vec<_>>()),
                _ => session.receive(words[rng.below(words.len() as u64) as usize]),
            }
        }
        session.receive(&[]);
        assert!(!house.run(&mut session, &mut heard));
    }
}

/// A web page can make a browser send this.
#[test]
fn http_request_closes_the_session_at_its_first_line() {
    for request in ["POST / HTTP/1.1", "GET /x HTTP/1.0"] {
        play(&format!(
            "S: +OK mda.test POP3 server ready <nonce@mda.test>
            C: {request}
            C: Host: a.test
            C: USER ann
            C: PASS pw
            S: -ERR This is no HTTP server, closing connection"
        ));
    }
}
