//! Commands, logins and encryption, one after the other.

use super::super::{Config, Tls};
use super::{Stage, play, smtp, submission};

#[test]
fn ehlo_in_each_state_lists_the_available_extensions() {
    play(
        submission(),
        "
        S: 220 mx.b.test
        C: EHLO a.test
        S: 250-mx.b.test greets a.test
        S: 250-PIPELINING
        S: 250-8BITMIME
        S: 250-SMTPUTF8
        S: 250-ENHANCEDSTATUSCODES
        S: 250-DSN
        S: 250-CHUNKING
        S: 250-BINARYMIME
        S: 250-HELP
        S: 250-SIZE 1000
        S: 250-LIMITS RCPTMAX=3
        S: 250 STARTTLS
        C: AUTH PLAIN AGFubgBwdw==
        S: 538 5.7.11 Encryption required for AUTH
        C: HELP
        S: 214-2.0.0 EHLO HELO STARTTLS MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT
        S: 214 2.0.0 see RFC 5321
        C: VRFY ann
        S: 530 5.7.0 Authentication required
        C: STARTTLS
        S: 220 2.0.0 Ready to start TLS
        C: EHLO a.test
        S: 250-mx.b.test greets a.test
        S: 250-PIPELINING
        S: 250-8BITMIME
        S: 250-SMTPUTF8
        S: 250-ENHANCEDSTATUSCODES
        S: 250-DSN
        S: 250-CHUNKING
        S: 250-BINARYMIME
        S: 250-HELP
        S: 250-SIZE 1000
        S: 250-LIMITS RCPTMAX=3
        S: 250-REQUIRETLS
        S: 250 AUTH SCRAM-SHA-256 PLAIN LOGIN
        C: STARTTLS
        S: 503 5.5.1 TLS already active
        C: HELP STARTTLS
        S: 214-2.0.0 EHLO HELO AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT
        S: 214 2.0.0 see RFC 5321
        ",
    );
}

/// RFC 5321 §4.1.4.
#[test]
fn ehlo_that_is_refused_keeps_the_transaction_and_one_that_is_accepted_ends_it() {
    play(
        smtp(),
        "
        S: 220 mx.b.test
        C: HELO a.test
        S: 250 mx.b.test greets a.test
        C: MAIL FROM:<me@a.test>
        S: 250 2.0.0 OK
        C: EHLO no.test
        S: 550 5.7.1 not you
        C: RCPT TO:<ann@b.test>
        S: 250 2.0.0 OK
        C: HELO a.test
        S: 250 mx.b.test greets a.test
        C: RCPT TO:<ann@b.test>
        S: 503 5.5.1 Need MAIL first
        ",
    );
}

/// RFC 4954 §4.
#[test]
fn auth_with_right_password_in_the_right_state_only_succeeds() {
    let config = Config { tls: Tls::Active("TLS".into()), max_errors: 20, ..submission() };
    play(
        config,
        "
        S: 220 mx.b.test
        C: AUTH PLAIN
        S: 503 5.5.1 Need EHLO first
        C: HELO a.test
        S: 250 mx.b.test greets a.test
        C: AUTH PLAIN
        S: 503 5.5.1 Need EHLO first
        C: EHLO a.test
        S: 250-mx.b.test greets a.test
        S: 250-PIPELINING
        S: 250-8BITMIME
        S: 250-SMTPUTF8
        S: 250-ENHANCEDSTATUSCODES
        S: 250-DSN
        S: 250-CHUNKING
        S: 250-BINARYMIME
        S: 250-HELP
        S: 250-SIZE 1000
        S: 250-LIMITS RCPTMAX=3
        S: 250-REQUIRETLS
        S: 250 AUTH SCRAM-SHA-256 PLAIN LOGIN
        C: MAIL FROM:<ann@a.test>
        S: 530 5.7.0 Authentication required
        C: AUTH CRAM-MD5
        S: 504 5.5.4 Unknown authentication mechanism
        C: AUTH PLAIN !
        S: 501 5.5.2 Invalid base64
        C: AUTH PLAIN
        S: 334 
        C: *
        S: 501 5.7.0 Authentication cancelled
        C: AUTH PLAIN =
        S: 535 5.7.8 Authentication credentials invalid
        C: AUTH PLAIN AGFubgBubw==
        S: 535 5.7.8 Authentication credentials invalid
        C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        C: Ym9i
        S: 334 UGFzc3dvcmQ6
        C: cHc=
        S: 535 5.7.8 Authentication credentials invalid
        C: AUTH LOGIN YW5u
        S: 334 UGFzc3dvcmQ6
        C: cHc=
        S: 235 2.7.0 Authentication successful
        C: AUTH PLAIN AGFubgBwdw==
        S: 503 5.5.1 AUTH not allowed now
        C: MAIL FROM:<ann@a.test> AUTH=<>
        S: 250 2.0.0 OK
        ",
    );
}

/// RFC 4954 §4: an attempt that is refused may be followed by another, but not for ever.
#[test]
fn auth_after_too_many_failures_closes_the_session() {
    let config = Config { tls: Tls::Active("TLS".into()), max_errors: 20, max_failed_logins: 2, ..submission() };
    play(
        config,
        "
        S: 220 mx.b.test
        C: EHLO a.test
        S: 250-mx.b.test greets a.test
        S: 250-PIPELINING
        S: 250-8BITMIME
        S: 250-SMTPUTF8
        S: 250-ENHANCEDSTATUSCODES
        S: 250-DSN
        S: 250-CHUNKING
        S: 250-BINARYMIME
        S: 250-HELP
        S: 250-SIZE 1000
        S: 250-LIMITS RCPTMAX=3
        S: 250-REQUIRETLS
        S: 250 AUTH SCRAM-SHA-256 PLAIN LOGIN
        C: AUTH PLAIN AGFubgBubw==
        S: 535 5.7.8 Authentication credentials invalid
        C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        C: Ym9i
        S: 334 UGFzc3dvcmQ6
        C: cHc=
        S: 535 5.7.8 Authentication credentials invalid
        C: AUTH PLAIN AGFubgBubw==
        S: 421 4.7.0 Too many failed logins
        S: (closes)
        ",
    );
}

#[test]
fn auth_when_off_gets_502() {
    play(smtp(), "S: 220 mx.b.test\nC: AUTH PLAIN\nS: 502 5.5.1 AUTH not available");
    play(smtp(), "S: 220 mx.b.test\nC: STARTTLS\nS: 502 5.5.1 STARTTLS not available");
}

/// RFC 5321 §4.1.4.
#[test]
fn commands_out_of_order_get_503() {
    play(
        Config { max_errors: 20, ..smtp() },
        "
        S: 220 mx.b.test
        C: MAIL FROM:<>
        S: 503 5.5.1 Need EHLO or HELO first
        C: HELO a.test
        S: 250 mx.b.test greets a.test
        C: RCPT TO:<bob@b.test>
        S: 503 5.5.1 Need MAIL first
        C: DATA
        S: 503 5.5.1 Need MAIL and RCPT first
        C: MAIL FROM:<>
        S: 250 2.0.0 OK
        C: MAIL FROM:<>
        S: 503 5.5.1 Transaction already open
        C: DATA
        S: 503 5.5.1 No valid recipients
        C: RSET
        S: 250 2.0.0 OK
        C: RCPT TO:<bob@b.test>
        S: 503 5.5.1 Need MAIL first
        C: MAIL FROM:<>
        S: 250 2.0.0 OK
        C: HELO a.test
        S: 250 mx.b.test greets a.test
        C: RCPT TO:<bob@b.test>
        S: 503 5.5.1 Need MAIL first
        C: LHLO a.test
        S: 500 5.5.1 This is not LMTP, use EHLO
        ",
    );
}

/// RFC 5321 §4.1.1.6 to §4.1.1.9, §3.5.3.
#[test]
fn noop_help_rset_and_vrfy_at_any_time_are_answered() {
    play(
        smtp(),
        "
        S: 220 mx.b.test
        C: NOOP hello
        S: 250 2.0.0 OK
        C: VRFY ann
        S: 252 2.1.5 perhaps
        C: vrfy <ann@b.test> SMTPUTF8
        S: 252 2.1.5 perhaps
        C: VRFY
        S: 501 5.5.4 Syntax: VRFY user
        C: EXPN list
        S: 502 5.5.1 EXPN not implemented
        C: HELP
        S: 214-2.0.0 EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT
        S: 214 2.0.0 see RFC 5321
        C: FOO
        S: 500 5.5.1 Unknown command
        C: RSET
        S: 250 2.0.0 OK
        ",
    );
}

/// RFC 5321 §4.1.1.11: parameters belong to EHLO; RFC 5321 §4.5.3.1.10; RFC 1870 §6.1; RFC 6531 §3.5.
#[test]
fn limits_when_exceeded_refuse_without_asking_the_owner() {
    let names = r"
        S: 220 mx.b.test
        C: HELO a.test
        S: 250 mx.b.test greets a.test
        C: MAIL FROM:<> SIZE=1
        S: 555 5.5.4 Parameters require EHLO
        C: MAIL FROM:<> AUTH=<>
        S: 555 5.5.4 Parameters require EHLO
        C: MAIL FROM:<é@a.test>
        S: 553 5.6.7 Address requires MAIL with SMTPUTF8
        C: MAIL FROM:<ann@a.test>
        S: 250 2.0.0 OK
        C: RCPT TO:<bob@b.test> NOTIFY=NEVER
        S: 555 5.5.4 Parameters require EHLO
        C: RCPT TO:<é@b.test>
        S: 553 5.6.7 Address requires MAIL with SMTPUTF8
        C: RCPT TO:<a@b.test>
        C: RCPT TO:<Postmaster>
        C: RCPT TO:<c@[127.0.0.1]>
        C: RCPT TO:<d@b.test>
        S: 250 2.0.0 OK
        S: 250 2.0.0 OK
        S: 250 2.0.0 OK
        S: 452 4.5.3 Too many recipients
    ";
    play(smtp(), names);
}

/// RFC 3207 §4.2, §6.
#[test]
fn input_before_tls_handshake_is_discarded() {
    let mut stage = Stage::new(Config { tls: Tls::Offered, ..smtp() });
    stage.hear(b"EHLO a.test\r\nMAIL FROM:<>\r\nSTARTTLS\r\nRCPT TO:<evil@b.test>\r\nNO", usize::MAX);
    assert!(stage.said.ends_with("220 2.0.0 Ready to start TLS\r\n"), "{}", stage.said);
    assert_eq!((stage.session.hello(), stage.session.envelope(), stage.session.tls()), (None, None, Some("TLS")));
    stage.said.clear();
    stage.hear(b"MAIL FROM:<>\r\n", usize::MAX);
    assert_eq!(stage.said, "503 5.5.1 Need EHLO or HELO first\r\n");
}
