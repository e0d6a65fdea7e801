//! What goes wrong, what is known then, and what holds for the session as a whole.

use std::collections::VecDeque;

use super::super::{Cause, Config, Failure, Stage, Verdict};
use super::Turn::{Login, Send, StartTls};
use super::{Owner, config, failure, lmtp, play, verdicts};
use crate::mail::Side;
use crate::net::Machine;

/// What somebody between put into the clear part must not count under TLS.
#[test]
fn client_when_input_follows_starttls_reply_fails() {
    let mut owner = Owner::new(config(), &[StartTls]);
    owner.hear(b"220 hi\r\n250 STARTTLS\r\n220 go\r\n250 evil\r\n", usize::MAX);
    assert!(matches!(failure(&owner.events), Failure { stage: Stage::StartTls, cause: Cause::Violation(_), .. }));
    assert!(owner.is_closed);
}

#[test]
fn client_when_reply_is_unsolicited_fails() {
    let mut owner = Owner::new(config(), &[Send(&["bob@b.test"], "x"), Send(&["cat@b.test"], "x")]);
    owner.hear(b"220 hi\r\n250 b.test\r\n250 ok\r\n550 no\r\n250 ok\r\n", usize::MAX);
    assert!(matches!(failure(&owner.events), Failure { stage: Stage::Mail, cause: Cause::Violation(_), .. }));
}

/// RFC 5321 §3.1, §3.8, §4.2.
#[test]
fn client_failure_reports_stage_and_cause() {
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
            "the peer violated the protocol: a line of the peer is not a reply",
        ),
        ("S: (hangs up)\nC: (closes)\n".to_owned(), Stage::Greeting, "the peer closed the connection"),
        (format!("{hello}S: 450 wait\nC: QUIT\n"), Stage::Hello, "the peer said 450 wait"),
        (format!("{hello}S: 500 a\nC: HELO a.test\nS: 550 b\nC: QUIT\n"), Stage::Hello, "the peer said 550 b"),
        (format!("{mail}S: 421 4.3.2 closing\nC: (closes)\n"), Stage::Mail, "the peer said 421 4.3.2 closing"),
        (format!("{mail}S: 250 ok\nS: (hangs up)\nC: (closes)\n"), Stage::Rcpt, "the peer closed the connection"),
        (
            format!("{mail}S: 250 ok\nS: 250 ok\nS: 250 ok\nC: (closes)\n"),
            Stage::Data,
            "the peer violated the protocol: DATA was answered neither with 354 nor with a refusal",
        ),
        (format!("{sent}S: (hangs up)\nC: (closes)\n"), Stage::Dot, "the peer closed the connection"),
        (format!("{sent}S: 421 4.3.0 disk\nC: (closes)\n"), Stage::Dot, "the peer said 421 4.3.0 disk"),
    ];
    for (transcript, stage, cause) in cases {
        let events = play(config(), &[Send(&["bob@b.test"], "x")], &transcript);
        let failure = failure(&events);
        assert_eq!((failure.stage, failure.cause.to_string().as_str()), (stage, cause));
        assert_eq!(failure.is_in_doubt(), stage == Stage::Dot && failure.cause == Cause::Closed);
    }
}

/// RFC 3030 §4.2: it has gone along with its envelope.
#[test]
fn failure_after_the_final_dot_is_in_doubt() {
    let begun = "S: 220 hi\nC: EHLO a.test\nS: 250-b\nS: 250-PIPELINING\nS: 250 CHUNKING\nC: MAIL FROM:<ann@a.test>\n\
        C: RCPT TO:<bob@b.test>\nC: BDAT 3 LAST\nC: x\n";
    for (end, stage, in_doubt) in [
        ("S: (hangs up)", Stage::Dot, true),
        ("S: 250 ok\nS: (hangs up)", Stage::Dot, true),
        ("S: 421 closing", Stage::Mail, false),
        ("S: 250 ok\nS: 421 closing", Stage::Rcpt, false),
    ] {
        let events = play(config(), &[Send(&["bob@b.test"], "x\r\n")], &format!("{begun}{end}\nC: (closes)"));
        let failure = failure(&events);
        assert_eq!((failure.stage, failure.is_in_doubt()), (stage, in_doubt), "{end}");
    }
}

#[test]
fn client_after_hold_next_message_waits_for_the_envelope() {
    let mut owner = Owner::new(config(), &[]);
    owner.session.hold_next_message();
    owner.turns = VecDeque::from([Send(&["bob@b.test"], "x\r\n"), Send(&["bob@b.test"], "y\r\n")]);
    owner.replies("220 hi\n250-b\n250-PIPELINING\n250 CHUNKING");
    assert!(owner.said.ends_with("RCPT TO:<bob@b.test>\r\n"), "{}", owner.said);
    owner.replies("250 ok\n250 ok");
    assert!(owner.said.ends_with("BDAT 3 LAST\r\nx\r\n"), "{}", owner.said);
    owner.replies("250 ok");
    assert!(owner.said.ends_with("BDAT 3 LAST\r\ny\r\n"), "the next one need not: {}", owner.said);
}

/// RFC 2033 §4.2: whose verdict is known must not get the message twice.
#[test]
fn lmtp_client_when_server_closes_keeps_verdicts() {
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
fn lmtp_client_when_lhlo_is_refused_fails() {
    let events = play(lmtp(), &[], "S: 220 hi\nC: LHLO a.test\nS: 500 what?\nC: QUIT\nS: 221 bye\nC: (closes)");
    assert_eq!(failure(&events).stage, Stage::Hello);
}

#[test]
fn abandon_returns_the_known_verdicts() {
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
fn client_on_shut_down_finishes_its_transaction_and_quits() {
    let mut owner = Owner::new(config(), &[Send(&["bob@b.test"], "x")]);
    owner.session.shut_down();
    owner.replies("220 hi\n250 b\n221 bye");
    assert_eq!((owner.said.as_str(), owner.events.len()), ("EHLO a.test\r\nQUIT\r\n", 0));
    let mut owner = Owner::new(config(), &[Send(&["bob@b.test"], "x")]);
    owner.replies("220 hi\n250 b\n250 ok");
    owner.session.shut_down();
    owner.replies("250 ok\n354 go\n250 taken");
    assert_eq!(verdicts(&owner.events[1]), ["250 taken"]);
}

#[test]
fn transcript_contains_no_secrets_and_messages() {
    let mut owner = Owner::new(Config { transcript: true, ..config() }, &[Login, Send(&["bob@b.test"], "hidden")]);
    owner.replies("220 hi\n250-b\n250 AUTH LOGIN\n334 YQ==\n334 YQ==\n235 yes");
    owner.replies("250 ok\n250 ok\n354 go\n250 taken");
    let said = owner.session.take_transcript();
    let client: Vec<_> = said.lines().filter(|(who, _)| *who == Side::Client).map(|(_, line)| line).collect();
    let wanted = [
        "EHLO a.test",
        "AUTH LOGIN",
        "****",
        "****",
        "MAIL FROM:<ann@a.test>",
        "RCPT TO:<bob@b.test>",
        "DATA",
        "(6 bytes of message data)",
        "QUIT",
    ];
    assert_eq!(client, wanted);
}

/// RFC 5321 §4.5.3.2.
#[test]
fn timeout_depends_on_the_stage() {
    let mut owner = Owner::new(config(), &[Send(&["bob@b.test"], "x")]);
    let minutes = |owner: &Owner| owner.session.timeout().as_secs() / 60;
    assert_eq!(minutes(&owner), 5);
    owner.replies("220 hi\n250 b\n250 ok\n250 ok");
    assert_eq!(minutes(&owner), 2, "DATA");
    owner.replies("354 go");
    assert_eq!(minutes(&owner), 10, "the final dot");
}

/// Replies and noise in any order: no panic, no endless loop, and always an end when the server is gone.
#[test]
fn client_with_random_replies_does_not_panic() {
    let words: Vec<&[u8]> =
        "220 hi\r\n|250 ok\r\n|250 ok\r\n|250-b\r\n250-PIPELINING\r\n250 AUTH LOGIN\r\n|250-CHUNKING\r\n|\
         354 go\r\n|334 YQ==\r\n|235 yes\r\n|421 bye\r\n|450 wait\r\n|550 no\r\n|550-\r\n|\r|\n|2|\u{e9}|\0| "
            .split('|')
            .map(str::as_bytes)
            .collect();
    let turns = [Login, Send(&["b@b.test", "c@b.test"], ".\r\n"), StartTls, Send(&["b@b.test"], "x")];
    let mut rng: u64 = 1;
    for round in 0..1000 {
        let mut owner = Owner::new(if round % 2 == 0 { config() } else { lmtp() }, &turns[round % 4..]);
        owner.hear(b"220 hi\r\n250-b\r\n250-CHUNKING\r\n250 PIPELINING\r\n", usize::MAX);
        for _ in 0..40 {
            rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let word = words[(rng >> 33) as usize % words.len()];
            owner.hear(word, 1 + (rng >> 60) as usize);
        }
        if !owner.is_closed {
            owner.session.receive(&[]);
            owner.turn();
        }
        assert!(owner.is_closed);
    }
}
