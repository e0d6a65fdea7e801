//! Transcripts, each played whole, byte by byte and in odd chunks, against an owner with one user and one mailbox.

mod compress;
mod login;
mod metadata;
mod quota;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::*;
use crate::imap::value::Numbers;
use crate::imap::write::Code;

const GREETING: &str = "S: * OK [CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE STARTTLS AUTH=SCRAM-SHA-256 \
    AUTH=PLAIN AUTH=LOGIN] mail.a.test ready";
const WELCOME: &str = "OK [CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ ID ENABLE IDLE NAMESPACE UNSELECT UIDPLUS MOVE \
    CHILDREN SPECIAL-USE LIST-EXTENDED LIST-STATUS STATUS=SIZE ESEARCH SEARCHRES COMPRESS=DEFLATE CREATE-SPECIAL-USE METADATA CONDSTORE QRESYNC MULTIAPPEND REPLACE BINARY UTF8=ACCEPT WITHIN SAVEDATE PARTIAL NOTIFY SORT THREAD=ORDEREDSUBJECT THREAD=REFERENCES PREVIEW OBJECTID QUOTA QUOTA=RES-STORAGE QUOTA=RES-MESSAGE \
    APPENDLIMIT=100000] Logged in";

fn config() -> SessionConfig {
    SessionConfig {
        host: "mail.a.test".into(),
        starttls: true,
        cleartext_login: true,
        max_message_bytes: 100_000,
        nonce: "n".into(),
        record: true,
        recorder: crate::journey::Recorder::default(),
        uploads: UploadBudget::default(),
    }
}

/// A test owner whose mailbox has three messages.
fn answer(session: &mut Session, event: Event) {
    match event {
        Event::StartTls => session.encrypted(),
        Event::NeedSecret(user) => session.secret((user == "ann").then_some("secret")),
        Event::Open { .. } => session.opened(Ok(())),
        Event::IdleEnd(reply) => session.done(&reply),
        Event::Request(Request::Idle) => {
            session.idle();
            session.out().exists(4);
        }
        Event::Request(Request::Select { mailbox, .. }) if mailbox == "none" => {
            session.done(&Reply::no("No such mailbox").with(Code::Word("NONEXISTENT")));
        }
        Event::Request(Request::Select { .. }) => {
            session.out().exists(3);
            session.done(&Reply::ok("selected").with(Code::Word("READ-WRITE")));
        }
        Event::Request(Request::Append(append)) => {
            assert_eq!(append.messages[0].message, "hello\r\nyou");
            session.done(&Reply::ok("appended").with(Code::AppendUid { validity: 7, uids: [8].into_iter().collect() }));
        }
        Event::Request(Request::Search(search)) => {
            let found: Numbers = [1, 2, 4].into_iter().collect();
            session.found(search.uid, search.returns.as_ref(), &found, None);
            session.done(&Reply::ok("searched"));
        }
        Event::Request(Request::Quota(request)) => quota::answer(session, &request),
        Event::Request(Request::Metadata(request)) => metadata::answer(session, request),
        Event::Request(Request::Create { uses, .. }) => match uses.as_slice() {
            [] => session.done(&Reply::ok("made for nothing")),
            [first, second] if first == "\\Drafts" && second == "\\Sent" => {
                session.done(&Reply::ok("made for \\Drafts \\Sent"));
            }
            _ => session.done(&Reply::no("not for that")),
        },
        Event::Request(Request::Status { mailbox, .. }) => {
            session.out().status(&mailbox, []);
            session.done(&Reply::ok("done"));
        }
        Event::Request(_) => session.done(&Reply::ok("done")),
    }
}

/// Runs the session until it needs input; `None` when it is closed.
fn run(session: &mut Session, output: &mut Vec<u8>) -> Option<()> {
    loop {
        match session.next() {
            Next::Send(bytes) => output.extend_from_slice(&bytes),
            Next::Event(event) => answer(session, event),
            Next::Read if session.has_input() => {}
            Next::Read => return Some(()),
            Next::Close => return None,
            Next::AwaitOwner => panic!("the owner has not answered"),
        }
    }
}

/// Sends the `C:` lines in chunks of this size and compares the output with the `S:` lines.
fn play_in_chunks(config: &SessionConfig, transcript: &str, size: usize) -> Session {
    let mut session = Session::new(config.clone(), false);
    let (mut output, mut expected, mut client) = (Vec::new(), String::new(), String::new());
    let mut lines = transcript.lines().map(str::trim_start).filter(|line| !line.is_empty()).peekable();
    let mut open = run(&mut session, &mut output);
    while let Some(line) = lines.next() {
        let line =
            line.strip_prefix("C: ").map(|line| (true, line)).or(line.strip_prefix("S: ").map(|line| (false, line)));
        let (by_client, line) = line.unwrap_or_else(|| panic!("{line:?} begins with neither C: nor S:"));
        let text = if by_client { &mut client } else { &mut expected };
        text.push_str(line);
        text.push_str("\r\n");
        if by_client && lines.peek().is_none_or(|next| next.starts_with("S: ")) {
            assert_eq!(String::from_utf8_lossy(&output), expected, "before {client:?}, in chunks of {size}");
            output.clear();
            expected.clear();
            for chunk in client.as_bytes().chunks(size) {
                if open.is_some() {
                    session.receive(chunk);
                    open = run(&mut session, &mut output);
                }
            }
            client.clear();
        }
    }
    assert_eq!(String::from_utf8_lossy(&output), expected, "at the end, in chunks of {size}");
    session
}

fn play_with(config: &SessionConfig, transcript: &str) {
    for size in [1, 2, 7, usize::MAX] {
        play_in_chunks(config, transcript, size);
    }
}

fn play(transcript: &str) {
    play_with(&config(), &format!("{GREETING}\n{transcript}"));
}

/// Plays a transcript after a login.
fn play_as_ann(transcript: &str) {
    play(&format!("C: a0 LOGIN ann secret\nS: a0 {WELCOME}\n{transcript}"));
}

#[test]
fn commands_in_the_wrong_state_are_refused() {
    play(
        "
        C: a1 SELECT INBOX
        S: a1 BAD Not authenticated
        C: a2 ENABLE IMAP4rev2
        S: a2 BAD Not authenticated
        C: a3 ID NIL
        S: * ID (\"name\" \"Postroad\" \"version\" \"0.1.0\")
        S: a3 OK ID completed
    ",
    );
    play_as_ann(
        "
        C: a1 FETCH 1 FLAGS
        S: a1 BAD No mailbox selected
        C: a2 LOGIN ann secret
        S: a2 BAD Already authenticated
        C: a3 SELECT INBOX
        S: * 3 EXISTS
        S: a3 OK [READ-WRITE] selected
        C: a4 FETCH 1 FLAGS
        S: a4 OK done
        C: a5 SELECT none
        S: * OK [CLOSED] Previous mailbox closed
        S: a5 NO [NONEXISTENT] No such mailbox
        C: a6 FETCH 1 FLAGS
        S: a6 BAD No mailbox selected
        C: a7 EXAMINE INBOX
        S: * 3 EXISTS
        S: a7 OK [READ-WRITE] selected
        C: a8 UNSELECT
        S: a8 OK done
        C: a9 CLOSE
        S: a9 BAD No mailbox selected
    ",
    );
}

#[test]
fn idle_ends_only_with_done() {
    play_as_ann(
        "
        C: a1 IDLE
        S: + idling
        S: * 4 EXISTS
        C: done
        S: a1 OK IDLE completed
        C: a2 IDLE
        S: + idling
        S: * 4 EXISTS
        C: a3 NOOP
        S: a2 BAD Expected DONE
        C: a4 NOOP
        S: a4 OK done
    ",
    );
}

#[test]
fn append_accepts_both_kinds_of_literals() {
    play_as_ann(
        "
        C: a1 APPEND INBOX (\\Seen) \" 1-Jan-2024 00:00:00 +0000\" {10}
        S: + Ready for literal data
        C: hello
        C: you
        S: a1 OK [APPENDUID 7 8] appended
        C: a2 APPEND {5+}
        C: INBOX {10+}
        C: hello
        C: you
        S: a2 OK [APPENDUID 7 8] appended
        C: a3 APPEND INBOX {100001}
        S: a3 NO [TOOBIG] Message too large
        C: a4 SELECT {70000}
        S: a4 BAD [TOOBIG] Literal too large
    ",
    );
}

#[test]
fn literal_beyond_the_limit_is_skipped() {
    let literal = "x".repeat(100_001);
    play_as_ann(&format!(
        "
        C: a1 APPEND INBOX {{100001+}}
        C: {literal}
        S: a1 NO [TOOBIG] Message too large
        C: a2 NOOP
        S: a2 OK done
    "
    ));
}

#[test]
fn line_beyond_the_limit_is_skipped() {
    let line = "x".repeat(70_000);
    play_as_ann(&format!("C: a1 SELECT {line}\nS: a1 BAD [TOOBIG] Line too long\nC: a2 NOOP\nS: a2 OK done"));
}

#[test]
fn search_replies_in_the_requested_form() {
    play_as_ann(
        "
        C: a1 SELECT INBOX
        S: * 3 EXISTS
        S: a1 OK [READ-WRITE] selected
        C: a2 SEARCH ALL
        S: * SEARCH 1 2 4
        S: a2 OK searched
        C: a3 UID SEARCH RETURN (MIN COUNT) ALL
        S: * ESEARCH (TAG \"a3\") UID MIN 1 COUNT 3
        S: a3 OK searched
        C: a4 SEARCH RETURN () ALL
        S: * ESEARCH (TAG \"a4\") ALL 1:2,4
        S: a4 OK searched
        C: a5 SEARCH RETURN (SAVE) ALL
        S: a5 OK searched
        C: a6 SEARCH CHARSET KOI8-R ALL
        S: a6 NO [BADCHARSET (US-ASCII UTF-8)] Unknown charset
    ",
    );
}

#[test]
fn imap4rev2_when_enabled_uses_utf8_names() {
    play_as_ann(
        "
        C: a1 STATUS &ZeVnLIqe- (MESSAGES)
        S: * STATUS \"&ZeVnLIqe-\" ()
        S: a1 OK done
        C: a2 ENABLE CONDSTORE IMAP4rev2
        S: * ENABLED IMAP4rev2 CONDSTORE
        S: a2 OK ENABLE completed
        C: a3 STATUS \"\u{65e5}\u{672c}\u{8a9e}&\" (MESSAGES)
        S: * STATUS \"\u{65e5}\u{672c}\u{8a9e}&\" ()
        S: a3 OK done
        C: a4 SELECT INBOX
        S: * 3 EXISTS
        S: a4 OK [READ-WRITE] selected
        C: a5 SEARCH ALL
        S: * ESEARCH (TAG \"a5\") ALL 1:2,4
        S: a5 OK searched
    ",
    );
}

#[test]
fn invalid_commands_in_a_row_close_the_session() {
    let nonsense = |count| {
        let commands: String = (0..count).map(|at| format!("C: a{at} FROB\n")).collect();
        (0..count).fold(commands, |text, at| format!("{text}S: a{at} BAD Unknown command\n"))
    };
    play(&format!("{}S: * BYE Too many invalid commands", nonsense(MAX_BAD_COMMANDS + 1)));
    let patient = nonsense(MAX_BAD_COMMANDS);
    play(&format!("{patient}C: b NOOP\nS: b OK NOOP completed\n{patient}C: c NOOP\nS: c OK NOOP completed"));
    play("C: (\nS: * BAD A command begins with a tag\nC: a1 NOOP\nS: a1 OK NOOP completed");
}

/// RFC 9051 §5.5: pipelined commands are executed one at a time.
#[test]
fn pipelined_commands_are_executed_one_at_a_time() {
    let mut session = play_in_chunks(&config(), &format!("{GREETING}\nC: a LOGIN ann secret\nS: a {WELCOME}"), 9);
    session.receive(b"b NOOP\r\nc NOOP\r\nd NOOP\r\n");
    for reply in ["", "b OK done\r\n", "c OK done\r\n"] {
        assert!(matches!(session.next(), Next::Event(Event::Request(Request::Noop))));
        let mut next = session.next();
        if let Next::Send(bytes) = &next {
            assert_eq!(bytes, reply);
            next = session.next();
        }
        assert!(matches!(next, Next::AwaitOwner), "the next command waits for the reply");
        session.done(&Reply::ok("done"));
    }
}

#[test]
fn shut_down_waits_for_the_command_in_progress() {
    let mut session = play_in_chunks(&config(), &format!("{GREETING}\nC: a LOGIN ann secret\nS: a {WELCOME}"), 9);
    session.receive(b"b NOOP\r\n");
    let Next::Event(Event::Request(Request::Noop)) = session.next() else { panic!("expected NOOP") };
    session.shut_down();
    assert!(matches!(session.next(), Next::AwaitOwner));
    session.done(&Reply::ok("done"));
    let mut output = Vec::new();
    assert_eq!(run(&mut session, &mut output), None);
    assert_eq!(String::from_utf8_lossy(&output), "b OK done\r\n* BYE Server shutting down\r\n");
}

#[test]
fn shut_down_during_the_last_failed_login_says_bye_once() {
    let refused = "NO [AUTHENTICATIONFAILED] Authentication failed";
    let failed = |tag: &str| format!("C: {tag} LOGIN bob secret\nS: {tag} {refused}\n");
    let transcript = format!("{GREETING}\n{}{}", failed("a"), failed("b"));
    let mut session = play_in_chunks(&config(), transcript.trim_end(), 9);
    session.receive(b"c LOGIN bob secret\r\n");
    let Next::Event(Event::NeedSecret(_)) = session.next() else { panic!("expected the login") };
    session.shut_down();
    session.secret(None);
    let mut output = Vec::new();
    assert_eq!(run(&mut session, &mut output), None);
    assert_eq!(String::from_utf8_lossy(&output), format!("c {refused}\r\n* BYE Server shutting down\r\n"));
}

#[test]
fn timeout_closes_the_session() {
    let mut session = Session::new(config(), true);
    let mut output = Vec::new();
    run(&mut session, &mut output);
    assert_eq!(session.timeout(), LOGIN_TIMEOUT);
    session.on_timeout();
    assert_eq!(run(&mut session, &mut output), None);
    assert!(output.ends_with(b"* BYE Autologout, idle for too long\r\n"));
}

/// Fragments of the lines of a random client.
const WORDS: [&str; 30] = [
    "a1 ",
    "LOGIN ",
    "ann ",
    "secret",
    "\r\n",
    "\n",
    "{3}\r\n",
    "{2+}\r\n",
    "(",
    ")",
    "\"",
    "\\",
    "APPEND INBOX ",
    "IDLE",
    "DONE\r\n",
    "FETCH 1:* ",
    "BODY[",
    "]",
    "<0.5>",
    "SEARCH ",
    "NOT ",
    "OR ",
    "UID ",
    "STARTTLS",
    "AUTHENTICATE ",
    "PLAIN ",
    "SELECT INBOX",
    "*",
    "{99999999999}\r\n",
    "\0\u{e9}",
];

#[test]
fn session_survives_random_input() {
    for seed in 0..300 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut session = Session::new(config(), false);
        let mut output = Vec::new();
        run(&mut session, &mut output);
        if seed % 2 == 0 {
            session.receive(b"a LOGIN ann secret\r\nb SELECT INBOX\r\n");
        }
        for _ in 0..200 {
            if run(&mut session, &mut output).is_none() {
                break;
            }
            let drawn = rng.next_u32() as usize;
            let word = WORDS[drawn % WORDS.len()].as_bytes();
            let noise = drawn.to_le_bytes();
            session.receive(if drawn.is_multiple_of(97) { &noise } else { word });
        }
        assert!(output.len() < 1_000_000);
    }
}
