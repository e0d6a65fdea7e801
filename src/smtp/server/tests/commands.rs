//! Commands, logins and encryption, one after the other.

use super::super::{Config, Tls};
use super::{Stage, play, smtp, submission};

#[test]
fn ehlo_shows_what_is_offered_in_this_state() {
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
        S: 538 5.7.11 log in only under TLS
        C: HELP
        S: 214-2.0.0 EHLO HELO STARTTLS MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT
        S: 214 2.0.0 see RFC 5321
        C: VRFY ann
        S: 530 5.7.0 log in first
        C: STARTTLS
        S: 220 2.0.0 begin the handshake
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
        S: 503 5.5.1 TLS is active already
        C: HELP STARTTLS
        S: 214-2.0.0 EHLO HELO AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT
        S: 214 2.0.0 see RFC 5321
        ",
    );
}

/// RFC 4954 §4.
#[test]
fn logins_need_their_turn_and_their_password() {
    let config = Config { tls: Tls::Active("TLS".into()), errors_max: 20, ..submission() };
    play(
        config,
        "
        S: 220 mx.b.test
        C: AUTH PLAIN
        S: 503 5.5.1 say EHLO first
        C: HELO a.test
        S: 250 mx.b.test greets a.test
        C: AUTH PLAIN
        S: 503 5.5.1 say EHLO first
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
        S: 530 5.7.0 log in first
        C: AUTH CRAM-MD5
        S: 504 5.5.4 no such mechanism here
        C: AUTH PLAIN !
        S: 501 5.5.2 that is not base64
        C: AUTH PLAIN
        S: 334 
        C: *
        S: 501 5.7.0 as you wish
        C: AUTH PLAIN =
        S: 535 5.7.8 name or password is wrong
        C: AUTH PLAIN AGFubgBubw==
        S: 535 5.7.8 name or password is wrong
        C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        C: Ym9i
        S: 334 UGFzc3dvcmQ6
        C: cHc=
        S: 535 5.7.8 name or password is wrong
        C: AUTH LOGIN YW5u
        S: 334 UGFzc3dvcmQ6
        C: cHc=
        S: 235 2.7.0 welcome
        C: AUTH PLAIN AGFubgBwdw==
        S: 503 5.5.1 not now
        C: MAIL FROM:<ann@a.test> AUTH=<>
        S: 250 2.0.0 ok
        ",
    );
}

/// RFC 4954 §4: an attempt that is refused may be followed by another, but not for ever.
#[test]
fn too_many_wrong_passwords_end_the_session() {
    let config = Config { tls: Tls::Active("TLS".into()), errors_max: 20, logins_max: 2, ..submission() };
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
        S: 535 5.7.8 name or password is wrong
        C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        C: Ym9i
        S: 334 UGFzc3dvcmQ6
        C: cHc=
        S: 535 5.7.8 name or password is wrong
        C: AUTH PLAIN AGFubgBubw==
        S: 421 4.7.0 too many logins
        S: (closes)
        ",
    );
}

#[test]
fn without_accounts_there_is_no_auth() {
    play(smtp(), "S: 220 mx.b.test\nC: AUTH PLAIN\nS: 502 5.5.1 there is nobody to be here");
    play(smtp(), "S: 220 mx.b.test\nC: STARTTLS\nS: 502 5.5.1 there is no TLS here");
}

/// RFC 5321 §4.1.4.
#[test]
fn commands_out_of_order_are_told_so() {
    play(
        Config { errors_max: 20, ..smtp() },
        "
        S: 220 mx.b.test
        C: MAIL FROM:<>
        S: 503 5.5.1 say hello first
        C: HELO a.test
        S: 250 mx.b.test greets a.test
        C: RCPT TO:<bob@b.test>
        S: 503 5.5.1 MAIL comes first
        C: DATA
        S: 503 5.5.1 MAIL and RCPT come first
        C: MAIL FROM:<>
        S: 250 2.0.0 ok
        C: MAIL FROM:<>
        S: 503 5.5.1 there is a transaction already
        C: DATA
        S: 503 5.5.1 no valid recipients
        C: RSET
        S: 250 2.0.0 forgotten
        C: RCPT TO:<bob@b.test>
        S: 503 5.5.1 MAIL comes first
        C: MAIL FROM:<>
        S: 250 2.0.0 ok
        C: HELO a.test
        S: 250 mx.b.test greets a.test
        C: RCPT TO:<bob@b.test>
        S: 503 5.5.1 MAIL comes first
        C: LHLO a.test
        S: 500 5.5.1 this is not LMTP: say EHLO
        ",
    );
}

/// RFC 5321 §4.1.1.6 to §4.1.1.9, §3.5.3.
#[test]
fn the_small_commands_are_answered_at_any_time() {
    play(
        smtp(),
        "
        S: 220 mx.b.test
        C: NOOP hello
        S: 250 2.0.0 ok
        C: VRFY ann
        S: 252 2.1.5 perhaps
        C: vrfy <ann@b.test> SMTPUTF8
        S: 252 2.1.5 perhaps
        C: VRFY
        S: 501 5.5.4 verify whom?
        C: EXPN list
        S: 502 5.5.1 lists are not shown here
        C: HELP
        S: 214-2.0.0 EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT
        S: 214 2.0.0 see RFC 5321
        C: FOO
        S: 500 5.5.1 no such command
        C: RSET
        S: 250 2.0.0 forgotten
        ",
    );
}

/// RFC 5321 §4.1.1.11: parameters belong to EHLO; RFC 5321 §4.5.3.1.10; RFC 1870 §6.1; RFC 6531 §3.5.
#[test]
fn limits_hold_before_the_owner_is_asked() {
    let names = r"
        S: 220 mx.b.test
        C: HELO a.test
        S: 250 mx.b.test greets a.test
        C: MAIL FROM:<> SIZE=1
        S: 555 5.5.4 parameters need EHLO
        C: MAIL FROM:<é@a.test>
        S: 553 5.6.7 such an address needs MAIL with SMTPUTF8
        C: MAIL FROM:<ann@a.test>
        S: 250 2.0.0 ok
        C: RCPT TO:<bob@b.test> NOTIFY=NEVER
        S: 555 5.5.4 parameters need EHLO
        C: RCPT TO:<é@b.test>
        S: 553 5.6.7 such an address needs MAIL with SMTPUTF8
        C: RCPT TO:<a@b.test>
        C: RCPT TO:<Postmaster>
        C: RCPT TO:<c@[127.0.0.1]>
        C: RCPT TO:<d@b.test>
        S: 250 2.0.0 ok
        S: 250 2.0.0 ok
        S: 250 2.0.0 ok
        S: 452 4.5.3 too many recipients
    ";
    play(smtp(), names);
}

/// RFC 3207 §4.2, §6.
#[test]
fn what_came_in_the_clear_is_forgotten_under_tls() {
    let mut stage = Stage::new(Config { tls: Tls::Offered, ..smtp() });
    stage.hear(b"EHLO a.test\r\nMAIL FROM:<>\r\nSTARTTLS\r\nRCPT TO:<evil@b.test>\r\nNO", usize::MAX);
    assert!(stage.said.ends_with("220 2.0.0 begin the handshake\r\n"), "{}", stage.said);
    assert_eq!((stage.session.hello(), stage.session.envelope(), stage.session.tls()), (None, None, Some("TLS")));
    stage.said.clear();
    stage.hear(b"MAIL FROM:<>\r\n", usize::MAX);
    assert_eq!(stage.said, "503 5.5.1 say hello first\r\n");
}
