//! Messages: their end, their size, their line ends, and how they came.

use super::super::{Auth, Config, Tls};
use super::{Stage, lmtp, play, smtp};
use crate::net::Machine;

#[test]
fn message_as_in_rfc_5321_appendix_d_1_is_accepted() {
    let arrived = play(
        smtp(),
        r"
        S: 220 mx.b.test
        C: HELO a.test
        S: 250 mx.b.test greets a.test
        C: MAIL FROM:<ann@a.test>
        S: 250 2.0.0 OK
        C: RCPT TO:<bob@b.test>
        S: 250 2.0.0 OK
        C: RCPT TO:<nobody@b.test>
        S: 550 5.1.1 no such user
        C: DATA
        S: 354 Start mail input; end with <CRLF>.<CRLF>
        C: Subject: s
        C:
        C: ..a
        C: \0
        C: .
        S: 250 2.0.0 OK
        C: QUIT
        S: 221 2.0.0 Bye
        S: (closes)
        ",
    );
    assert_eq!(arrived[0].1, "Subject: s\r\n\r\n.a\r\n\0\r\n");
    assert_eq!(arrived[0].0.recipients.len(), 1);
}

/// RFC 1870 §6.
#[test]
fn message_when_too_large_is_refused_at_mail_and_at_data() {
    let big = "x".repeat(998);
    for (command, end) in [("DATA", ".\r\n"), ("", "")] {
        let mut stage = Stage::new(smtp());
        stage.hear(b"EHLO a.test\r\nMAIL FROM:<> SIZE=1001\r\n", 100);
        assert!(stage.said.ends_with("552 5.3.4 Message size exceeds the limit\r\n"), "{}", stage.said);
        stage.hear(b"MAIL FROM:<> SIZE=1000\r\nRCPT TO:<bob@b.test>\r\n", 100);
        let command = if command.is_empty() { "BDAT 1004 LAST".to_owned() } else { command.to_owned() };
        stage.hear(format!("{command}\r\n{big}\r\n.x\r\n{end}NOOP\r\n").as_bytes(), 100);
        let wanted = "552 5.3.4 Message size exceeds the limit\r\n250 2.0.0 OK\r\n";
        assert!(stage.said.ends_with(wanted), "{}", stage.said);
        assert_eq!(stage.arrived, []);
    }
}

/// RFC 3030 §2, §4.
#[test]
fn bdat_chunks_are_never_parsed_as_commands() {
    let arrived = play(
        Config { max_errors: 20, ..smtp() },
        r"
        S: 220 mx.b.test
        C: BDAT 6
        C: NOOP
        S: 503 5.5.1 Need MAIL and RCPT first
        C: HELO a.test
        S: 250 mx.b.test greets a.test
        C: MAIL FROM:<>
        S: 250 2.0.0 OK
        C: BDAT 6 LAST
        C: QUIT
        S: 503 5.5.1 No valid recipients
        C: RCPT TO:<bob@b.test>
        S: 250 2.0.0 OK
        C: BDAT 3
        C: .
        S: 250 2.0.0 3 bytes received
        C: DATA
        S: 503 5.5.1 BDAT in progress
        C: RCPT TO:<cat@b.test>
        S: 503 5.5.1 Message transfer has started
        C: BDAT 0
        S: 250 2.0.0 3 bytes received
        C: BDAT 2 LAST
        C+ ab
        S: 250 2.0.0 OK
        C: BDAT 3 LAST
        C: x
        S: 503 5.5.1 Need MAIL and RCPT first
        C: BDAT x
        S: 501 5.5.4 Syntax: BDAT size [LAST]
        S: (closes)
        ",
    );
    assert_eq!(arrived[0].1, ".\r\nab");
}

/// RFC 3030 §3.
#[test]
fn binary_message_by_bdat_only_is_accepted_unchanged() {
    let arrived = play(
        smtp(),
        r"
        S: 220 mx.b.test
        C: HELO a.test
        S: 250 mx.b.test greets a.test
        C: MAIL FROM:<> BODY=BINARYMIME
        S: 555 5.5.4 Parameters require EHLO
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
        S: 250 2.0.0 OK
        C: RCPT TO:<bob@b.test>
        S: 250 2.0.0 OK
        C: DATA
        S: 503 5.5.1 BINARYMIME requires BDAT
        C: BDAT 8
        C+ a\n.\n\0\rb\r
        S: 250 2.0.0 8 bytes received
        C: BDAT 4 LAST
        C+ .\r\nc
        S: 250 2.0.0 OK
        C: MAIL FROM:<> BODY=8BITMIME
        S: 250 2.0.0 OK
        C: RCPT TO:<bob@b.test>
        S: 250 2.0.0 OK
        C: BDAT 2 LAST
        C+ a\n
        S: 554 5.6.0 Message contains a lone CR or LF
        ",
    );
    assert_eq!((arrived.len(), arrived[0].1.as_ref()), (1, b"a\n.\n\0\rb\r.\r\nc".as_slice()));
}

/// RFC 5321 §2.3.8: a line end that is none ends no command and no message, and the message is refused.
#[test]
fn message_with_bare_line_ends_cannot_smuggle_another() {
    play(
        smtp(),
        r"
        S: 220 mx.b.test
        C: HELO a.test
        S: 250 mx.b.test greets a.test
        C: NOOP\nRSET
        S: 500 5.5.2 Control character in command; lines end with CR LF
        C: NOOP\rRSET
        S: 500 5.5.2 Control character in command; lines end with CR LF
        C: MAIL FROM:<>
        C: RCPT TO:<bob@b.test>
        C: DATA
        S: 250 2.0.0 OK
        S: 250 2.0.0 OK
        S: 354 Start mail input; end with <CRLF>.<CRLF>
        C: a\n.\nMAIL FROM:<evil@a.test>\n.\r
        C: RCPT TO:<x@b.test>\r.\r
        C: .
        S: 554 5.6.0 Message contains a lone CR or LF
        C: DATA
        S: 503 5.5.1 Need MAIL and RCPT first
        ",
    );
}

/// RFC 2033 §4.
#[test]
fn lmtp_message_gets_one_reply_per_recipient() {
    play(
        Config { max_errors: 20, ..lmtp() },
        "
        S: 220 mx.b.test
        C: EHLO a.test
        S: 500 5.5.1 This is LMTP, use LHLO
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
        S: 250 2.0.0 OK
        S: 550 5.1.1 no such user
        S: 503 5.5.1 No valid recipients
        C: RCPT TO:<bob@b.test>
        C: RCPT TO:<cat@b.test>
        C: DATA
        S: 250 2.0.0 OK
        S: 250 2.0.0 OK
        S: 354 Start mail input; end with <CRLF>.<CRLF>
        C: .
        S: 250 2.1.5 bob@b.test has it
        S: 250 2.1.5 cat@b.test has it
        C: MAIL FROM:<>
        C: RCPT TO:<bob@b.test>
        C: RCPT TO:<cat@b.test>
        C: BDAT 1001 LAST
        S: 250 2.0.0 OK
        S: 250 2.0.0 OK
        S: 250 2.0.0 OK
        ",
    );
    let mut stage = Stage::new(lmtp());
    stage.hear(b"LHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<b@b.test>\r\nRCPT TO:<c@b.test>\r\nBDAT 1001 LAST\r\n", 64);
    stage.said.clear();
    stage.hear(&[b'x'; 1001], 64);
    assert_eq!(stage.said, "552 5.3.4 Message size exceeds the limit\r\n".repeat(2));
}

/// RFC 2033 §4.2: the client learns of each recipient, whatever became of the others.
#[test]
fn lmtp_reply_421_for_a_recipient_ends_the_session_after_the_replies_for_all() {
    let mut stage = Stage::new(lmtp());
    stage.hear(b"LHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<b@b.test>\r\nRCPT TO:<farewell@b.test>\r\n", 64);
    stage.hear(b"RCPT TO:<c@b.test>\r\nDATA\r\n", 64);
    stage.said.clear();
    stage.hear(b".\r\n", 64);
    assert_eq!(stage.said, "250 2.1.5 b@b.test has it\r\n421 4.3.2 closing\r\n250 2.1.5 c@b.test has it\r\n");
    assert!(stage.is_closed);
}

#[test]
fn message_when_connection_closes_is_not_delivered() {
    let mut stage = Stage::new(smtp());
    stage.hear(b"HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<b@b.test>\r\nDATA\r\na\r\n.\r", usize::MAX);
    stage.session.receive(&[]);
    stage.turn();
    assert_eq!((stage.arrived.len(), stage.is_closed), (0, true));
}

/// RFC 3848, RFC 6531 §4.3.
#[test]
fn with_protocol_reflects_the_session() {
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
