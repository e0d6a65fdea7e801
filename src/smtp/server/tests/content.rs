//! Messages: their end, their size, their line ends, and how they came.

use super::super::{Auth, Config, Tls};
use super::{Stage, lmtp, play, smtp};
use crate::net::Machine;

#[test]
fn a_message_is_taken_as_in_rfc_5321_appendix_d_1() {
    let arrived = play(
        smtp(),
        r"
        S: 220 mx.b.test
        C: HELO a.test
        S: 250 mx.b.test greets a.test
        C: MAIL FROM:<ann@a.test>
        S: 250 2.0.0 ok
        C: RCPT TO:<bob@b.test>
        S: 250 2.0.0 ok
        C: RCPT TO:<nobody@b.test>
        S: 550 5.1.1 no such user
        C: DATA
        S: 354 go on; a line with a single dot ends it
        C: Subject: s
        C:
        C: ..a
        C: \0
        C: .
        S: 250 2.0.0 ok
        C: QUIT
        S: 221 2.0.0 bye
        S: (closes)
        ",
    );
    assert_eq!(arrived[0].1, "Subject: s\r\n\r\n.a\r\n\0\r\n");
    assert_eq!(arrived[0].0.recipients.len(), 1);
}

/// RFC 1870 §6.
#[test]
fn a_message_too_large_is_refused_when_announced_and_when_it_comes() {
    let big = "x".repeat(998);
    for (command, end) in [("DATA", ".\r\n"), ("", "")] {
        let mut stage = Stage::new(smtp());
        stage.hear(b"EHLO a.test\r\nMAIL FROM:<> SIZE=1001\r\n", 100);
        assert!(stage.said.ends_with("552 5.3.4 that is more than fits here\r\n"), "{}", stage.said);
        stage.hear(b"MAIL FROM:<> SIZE=1000\r\nRCPT TO:<bob@b.test>\r\n", 100);
        let command = if command.is_empty() { "BDAT 1004 LAST".to_owned() } else { command.to_owned() };
        stage.hear(format!("{command}\r\n{big}\r\n.x\r\n{end}NOOP\r\n").as_bytes(), 100);
        let wanted = "552 5.3.4 that is more than fits here\r\n250 2.0.0 ok\r\n";
        assert!(stage.said.ends_with(wanted), "{}", stage.said);
        assert_eq!(stage.arrived, []);
    }
}

/// RFC 3030 §2, §4.
#[test]
fn chunks_are_counted_and_never_taken_for_commands() {
    let arrived = play(
        Config { errors_max: 20, ..smtp() },
        r"
        S: 220 mx.b.test
        C: BDAT 6
        C: NOOP
        S: 503 5.5.1 MAIL and RCPT come first
        C: HELO a.test
        S: 250 mx.b.test greets a.test
        C: MAIL FROM:<>
        S: 250 2.0.0 ok
        C: BDAT 6 LAST
        C: QUIT
        S: 503 5.5.1 no valid recipients
        C: RCPT TO:<bob@b.test>
        S: 250 2.0.0 ok
        C: BDAT 3
        C: .
        S: 250 2.0.0 3 octets so far
        C: DATA
        S: 503 5.5.1 the message comes by BDAT
        C: RCPT TO:<cat@b.test>
        S: 503 5.5.1 the message has begun
        C: BDAT 0
        S: 250 2.0.0 3 octets so far
        C: BDAT 2 LAST
        C+ ab
        S: 250 2.0.0 ok
        C: BDAT 3 LAST
        C: x
        S: 503 5.5.1 MAIL and RCPT come first
        C: BDAT x
        S: 501 5.5.4 it goes BDAT octets [LAST]
        S: (closes)
        ",
    );
    assert_eq!(arrived[0].1, ".\r\nab");
}

/// RFC 3030 §3.
#[test]
fn binary_messages_come_by_bdat_alone_and_keep_every_octet() {
    let arrived = play(
        smtp(),
        r"
        S: 220 mx.b.test
        C: HELO a.test
        S: 250 mx.b.test greets a.test
        C: MAIL FROM:<> BODY=BINARYMIME
        S: 555 5.5.4 parameters need EHLO
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
        S: 250 LIMITS RCPTMAX=3
        C: MAIL FROM:<> BODY=BINARYMIME
        S: 250 2.0.0 ok
        C: RCPT TO:<bob@b.test>
        S: 250 2.0.0 ok
        C: DATA
        S: 503 5.5.1 BINARYMIME comes by BDAT
        C: BDAT 8
        C+ a\n.\n\0\rb\r
        S: 250 2.0.0 8 octets so far
        C: BDAT 4 LAST
        C+ .\r\nc
        S: 250 2.0.0 ok
        C: MAIL FROM:<> BODY=8BITMIME
        S: 250 2.0.0 ok
        C: RCPT TO:<bob@b.test>
        S: 250 2.0.0 ok
        C: BDAT 2 LAST
        C+ a\n
        S: 554 5.6.0 a lone CR or LF is not allowed in a message
        ",
    );
    assert_eq!((arrived.len(), arrived[0].1.as_ref()), (1, b"a\n.\n\0\rb\r.\r\nc".as_slice()));
}

/// RFC 5321 §2.3.8: a line end that is none ends no command and no message, and the message is refused.
#[test]
fn bare_line_ends_smuggle_nothing() {
    play(
        smtp(),
        r"
        S: 220 mx.b.test
        C: HELO a.test
        S: 250 mx.b.test greets a.test
        C: NOOP\nRSET
        S: 500 5.5.2 a command holds no control characters; lines end with CR LF
        C: NOOP\rRSET
        S: 500 5.5.2 a command holds no control characters; lines end with CR LF
        C: MAIL FROM:<>
        C: RCPT TO:<bob@b.test>
        C: DATA
        S: 250 2.0.0 ok
        S: 250 2.0.0 ok
        S: 354 go on; a line with a single dot ends it
        C: a\n.\nMAIL FROM:<evil@a.test>\n.\r
        C: RCPT TO:<x@b.test>\r.\r
        C: .
        S: 554 5.6.0 a lone CR or LF is not allowed in a message
        C: DATA
        S: 503 5.5.1 MAIL and RCPT come first
        ",
    );
}

/// RFC 2033 §4.
#[test]
fn lmtp_answers_for_each_recipient() {
    play(
        Config { errors_max: 20, ..lmtp() },
        "
        S: 220 mx.b.test
        C: EHLO a.test
        S: 500 5.5.1 this is LMTP: say LHLO
        C: LHLO a.test
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
        S: 250 LIMITS RCPTMAX=3
        C: MAIL FROM:<>
        C: RCPT TO:<no@b.test>
        C: DATA
        S: 250 2.0.0 ok
        S: 550 5.1.1 no such user
        S: 503 5.5.1 no valid recipients
        C: RCPT TO:<bob@b.test>
        C: RCPT TO:<cat@b.test>
        C: DATA
        S: 250 2.0.0 ok
        S: 250 2.0.0 ok
        S: 354 go on; a line with a single dot ends it
        C: .
        S: 250 2.1.5 bob@b.test has it
        S: 250 2.1.5 cat@b.test has it
        C: MAIL FROM:<>
        C: RCPT TO:<bob@b.test>
        C: RCPT TO:<cat@b.test>
        C: BDAT 1001 LAST
        S: 250 2.0.0 ok
        S: 250 2.0.0 ok
        S: 250 2.0.0 ok
        ",
    );
    let mut stage = Stage::new(lmtp());
    stage.hear(b"LHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<b@b.test>\r\nRCPT TO:<c@b.test>\r\nBDAT 1001 LAST\r\n", 64);
    stage.said.clear();
    stage.hear(&[b'x'; 1001], 64);
    assert_eq!(stage.said, "552 5.3.4 that is more than fits here\r\n".repeat(2));
}

#[test]
fn half_a_message_is_no_message() {
    let mut stage = Stage::new(smtp());
    stage.hear(b"HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<b@b.test>\r\nDATA\r\na\r\n.\r", usize::MAX);
    stage.session.receive(&[]);
    stage.turn();
    assert_eq!((stage.arrived.len(), stage.is_closed), (0, true));
}

/// RFC 3848, RFC 6531 §4.3.
#[test]
fn the_with_word_tells_how_a_message_came() {
    let active = || Tls::Active("TLS".into());
    let auth = Config { auth: Auth::Offered, plain_login: true, ..smtp() };
    for (config, hello, mail, wanted) in [
        (smtp(), "HELO a", "MAIL FROM:<>", "SMTP"),
        (smtp(), "EHLO a", "MAIL FROM:<>", "ESMTP"),
        (smtp(), "EHLO a", "MAIL FROM:<> SMTPUTF8", "UTF8SMTP"),
        (Config { tls: active(), ..smtp() }, "EHLO a", "MAIL FROM:<>", "ESMTPS"),
        (auth.clone(), "EHLO a\r\nAUTH PLAIN AGFubgBwdw==", "MAIL FROM:<>", "ESMTPA"),
        (Config { tls: active(), ..auth }, "EHLO a\r\nAUTH PLAIN AGFubgBwdw==", "MAIL FROM:<> SMTPUTF8", "UTF8SMTPSA"),
        (lmtp(), "LHLO a", "MAIL FROM:<>", "LMTP"),
        (Config { tls: active(), ..lmtp() }, "LHLO a", "MAIL FROM:<> SMTPUTF8", "UTF8LMTPS"),
    ] {
        let mut stage = Stage::new(config);
        stage.hear(format!("{hello}\r\n{mail}\r\n").as_bytes(), usize::MAX);
        assert_eq!(stage.session.with_protocol(), wanted);
    }
}
