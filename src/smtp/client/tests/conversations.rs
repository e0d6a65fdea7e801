//! Conversations that come to their end as planned.

use super::super::{Cause, Config, Event, Failure, Stage};
use super::Turn::{Login, Send, StartTls};
use super::{Owner, config, failure, lmtp, play, verdicts};
use crate::net::Machine;
use crate::smtp::Reply;

/// RFC 5321 §3.2: servers that do not know EHLO.
#[test]
fn client_when_ehlo_is_refused_uses_helo() {
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
fn client_when_pipelining_is_offered_groups_commands() {
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
        S: 451 AUTH not allowed now
        S: 503 no MAIL
        S: 503 no RCPT
        C: QUIT
        S: 221 bye
        C: (closes)
        ",
    );
    assert_eq!(verdicts(&events[1]), ["the end of the message: 554 spam", "RCPT: 550 no"]);
    assert_eq!(verdicts(&events[2]), ["RCPT: 550 no"]);
    assert_eq!(verdicts(&events[3]), ["MAIL: 451 AUTH not allowed now"]);
}

/// RFC 3030 §4.2. Where no recipient was taken the message is refused, and the transaction is still open.
#[test]
fn client_with_short_message_sends_it_with_the_envelope() {
    let events = play(
        config(),
        &[Send(&["no@b.test"], "x\r\n"), Send(&["bob@b.test", "no@b.test"], ".\r\n")],
        "
        S: 220 hi
        C: EHLO a.test
        S: 250-b.test
        S: 250-PIPELINING
        S: 250 CHUNKING
        C: MAIL FROM:<ann@a.test>
        C: RCPT TO:<no@b.test>
        C: BDAT 3 LAST
        C: x
        S: 250 ok
        S: 550 no
        S: 503 to whom?
        C: RSET
        C: MAIL FROM:<ann@a.test>
        C: RCPT TO:<bob@b.test>
        C: RCPT TO:<no@b.test>
        C: BDAT 3 LAST
        C: .
        S: 250 ok
        S: 250 ok
        S: 250 ok
        S: 550 no
        S: 250 taken
        C: QUIT
        S: 221 bye
        C: (closes)
        ",
    );
    assert_eq!(verdicts(&events[1]), ["RCPT: 550 no"]);
    assert_eq!(verdicts(&events[2]), ["250 taken", "RCPT: 550 no"]);
}

#[test]
fn client_after_partial_replies_expects_more() {
    let mut owner = Owner::new(config(), &[Send(&["bob@b.test"], "x\r\n")]);
    owner.replies("220 hi\n250-b\n250-PIPELINING\n250 CHUNKING");
    assert!(!owner.session.expects_more(), "nothing has been answered");
    owner.replies("250 ok\n250 ok");
    assert!(owner.session.expects_more());
    owner.replies("250 taken");
    assert!(!owner.session.expects_more());
}

/// RFC 2033 §4.2.
#[test]
fn lmtp_client_reads_one_reply_per_accepted_recipient() {
    let events = play(
        lmtp(),
        &[Send(&["a@b.test", "no@b.test", "c@b.test"], "x\r\n"), Send(&["no@b.test"], "y\r\n")],
        "
        S: 220 hi
        C: LHLO a.test
        S: 250-b.test
        S: 250-PIPELINING
        S: 250 CHUNKING
        C: MAIL FROM:<ann@a.test>
        C: RCPT TO:<a@b.test>
        C: RCPT TO:<no@b.test>
        C: RCPT TO:<c@b.test>
        C: BDAT 3 LAST
        C: x
        S: 250 ok
        S: 250 ok
        S: 550 no
        S: 250 ok
        S: 250 taken
        S: 452 full
        C: MAIL FROM:<ann@a.test>
        C: RCPT TO:<no@b.test>
        C: BDAT 3 LAST
        C: y
        S: 451 AUTH not allowed now
        S: 503 whose?
        S: 503 to whom?
        C: QUIT
        S: 221 bye
        C: (closes)
        ",
    );
    assert_eq!(verdicts(&events[1]), ["250 taken", "RCPT: 550 no", "the end of the message: 452 full"]);
    assert_eq!(verdicts(&events[2]), ["MAIL: 451 AUTH not allowed now"]);
}

#[test]
fn client_with_long_message_waits_for_an_accepted_recipient() {
    let message: &str = String::leak("x".repeat(40_000) + "\r\n");
    let transcript = format!(
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
        C: BDAT 40002 LAST
        C: {message}        S: 250 taken
        C: QUIT
        S: 221 bye
        C: (closes)
        "
    );
    let events = play(config(), &[Send(&["no@b.test"], message), Send(&["bob@b.test"], message)], &transcript);
    assert_eq!((verdicts(&events[1]), verdicts(&events[2])), (vec!["RCPT: 550 no".into()], vec!["250 taken".into()]));
}

/// RFC 3207 §4.2, RFC 4954 §4.
#[test]
fn client_with_tls_and_login_sends_after_both() {
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
fn client_when_login_is_impossible_reports_it() {
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
    assert_eq!(play(config(), &[Login], transcript)[1], Event::NoMechanism);
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
fn client_when_starttls_is_refused_can_continue() {
    let transcript = "
        S: 220 hi
        C: EHLO a.test
        S: 250 b.test
        C: STARTTLS
        S: 454 AUTH not allowed now
        C: MAIL FROM:<ann@a.test>
    ";
    let events = play(config(), &[StartTls, Send(&["bob@b.test"], "x")], transcript);
    assert_eq!(events, [Event::Ready, Event::TlsRefused(Reply::plain(454, "AUTH not allowed now"))]);
}
