//! What a server takes on one connection, and what its owner lets begin.

use super::super::Config;
use super::{Stage, play, smtp};
use crate::net::{Machine, UploadBudget};

fn limited() -> Config {
    Config { max_transactions: Some(2), max_recipient_domains: Some(1), ..smtp() }
}

/// RFC 9422 §3, §4.
#[test]
fn ehlo_with_limits_announces_them() {
    play(
        limited(),
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
        S: 250 LIMITS RCPTMAX=3 MAILMAX=2 RCPTDOMAINMAX=1
        ",
    );
}

/// RFC 9422 §4.1, §4.3: both count over the whole connection, and MAIL counts whatever becomes of it.
#[test]
fn session_beyond_message_and_domain_limits_refuses() {
    play(
        limited(),
        "
        S: 220 mx.b.test
        C: HELO a.test
        S: 250 mx.b.test greets a.test
        C: MAIL FROM:<>
        C: RCPT TO:<no@c.test>
        C: RCPT TO:<bob@b.test>
        C: RCPT TO:<bob@c.test>
        C: RCPT TO:<cat@b.test>
        S: 250 2.0.0 OK
        S: 550 5.1.1 no such user
        S: 250 2.0.0 OK
        S: 452 4.5.3 Too many recipient domains on this connection
        S: 250 2.0.0 OK
        C: RSET
        C: MAIL FROM:<>
        C: RCPT TO:<bob@c.test>
        S: 250 2.0.0 OK
        S: 250 2.0.0 OK
        S: 452 4.5.3 Too many recipient domains on this connection
        C: RSET
        C: MAIL FROM:<>
        S: 250 2.0.0 OK
        S: 421 4.7.0 Too many messages on this connection
        S: (closes)
        ",
    );
}

/// RFC 5321 §4.1.1.4, RFC 3030 §2.
#[test]
fn owner_refusal_at_data_is_sent() {
    let arrived = play(
        smtp(),
        "
        S: 220 mx.b.test
        C: HELO a.test
        S: 250 mx.b.test greets a.test
        C: MAIL FROM:<stop@a.test>
        C: RCPT TO:<bob@b.test>
        C: DATA
        S: 250 2.0.0 OK
        S: 250 2.0.0 OK
        S: 451 4.7.1 not this one
        C: RSET
        C: MAIL FROM:<stop@a.test>
        C: RCPT TO:<bob@b.test>
        C: BDAT 4
        C+ QUIT
        S: 250 2.0.0 OK
        S: 250 2.0.0 OK
        S: 250 2.0.0 OK
        S: 451 4.7.1 not this one
        C: MAIL FROM:<ann@a.test>
        C: RCPT TO:<bob@b.test>
        C: BDAT 2
        C+ ab
        C: BDAT 1 LAST
        C+ c
        S: 250 2.0.0 OK
        S: 250 2.0.0 OK
        S: 250 2.0.0 2 bytes received
        S: 250 2.0.0 OK
        C: MAIL FROM:<gone@a.test>
        C: RCPT TO:<bob@b.test>
        C: DATA
        S: 250 2.0.0 OK
        S: 250 2.0.0 OK
        S: 421 4.3.2 AUTH not allowed now
        S: (closes)
        ",
    );
    assert_eq!((arrived.len(), arrived[0].1.as_ref()), (1, b"abc".as_slice()));
}

/// RFC 1870 §6.1 (3), RFC 5321 §4.2.2.
#[test]
fn session_without_memory_for_a_message_refuses_it_for_now() {
    let uploads = UploadBudget::new(60_000);
    let config = || Config { uploads: uploads.clone(), max_message_bytes: 1_000_000, ..smtp() };
    let line = "x".repeat(990);
    let message = format!("        C: {line}\n").repeat(90);
    let transcript = format!(
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
        S: 250-SIZE 1000000
        S: 250 LIMITS RCPTMAX=3
        C: MAIL FROM:<ann@a.test> SIZE=90000
        S: 452 4.3.1 Too many large messages at once, try again later
        C: MAIL FROM:<ann@a.test>
        C: RCPT TO:<bob@b.test>
        C: DATA
        S: 250 2.0.0 OK
        S: 250 2.0.0 OK
        S: 354 Start mail input; end with <CRLF>.<CRLF>
{message}
        C: .
        S: 452 4.3.1 Too many large messages at once, try again later
        C: MAIL FROM:<ann@a.test>
        C: RCPT TO:<bob@b.test>
        C: BDAT 5 LAST
        C+ small
        S: 250 2.0.0 OK
        S: 250 2.0.0 OK
        S: 250 2.0.0 OK
        "
    );
    let arrived = play(config(), &transcript);
    assert_eq!((arrived.len(), arrived[0].1.as_ref()), (1, b"small".as_slice()));
    assert!(uploads.has_room(60_000), "all of it is free again");
}

#[test]
fn session_with_a_header_without_end_refuses_the_message() {
    let config = Config { max_message_bytes: 10_000_000, ..smtp() };
    for (header_lines, reply) in [(1_000, "250 2.0.0 OK"), (1_060, "552 5.3.4 Header of the message too large")] {
        let mut stage = Stage::new(config.clone());
        stage.hear(b"HELO a.test\r\nMAIL FROM:<ann@a.test>\r\nRCPT TO:<bob@b.test>\r\nDATA\r\n", 1000);
        stage.said.clear();
        let header = format!("X-Long: {}\r\n", "x".repeat(982)).repeat(header_lines);
        stage.hear(format!("{header}\r\n{}\r\n.\r\n", "body\r\n".repeat(200_000)).as_bytes(), 60_000);
        assert_eq!(stage.said, format!("{reply}\r\n"), "{header_lines}");
    }
}

/// What completes a message is worked on beside other connections, and only that.
#[test]
fn completed_bytes_are_those_of_the_message_that_ends() {
    let begin = b"HELO a.test\r\nMAIL FROM:<ann@a.test>\r\nRCPT TO:<bob@b.test>\r\n";
    let mut stage = Stage::new(smtp());
    stage.hear(begin, 1000);
    assert_eq!(stage.session.completed_bytes(b"x\r\n.\r\n"), 0, "there is no message");
    stage.hear(b"DATA\r\n0123456789\r\n", 1000);
    for (input, bytes) in [("more\r\n", 0), ("a.\r\n", 0), ("more\r\n.\r\n", 12), (".\r\nQUIT\r\n", 12), ("\n", 12)] {
        assert_eq!(stage.session.completed_bytes(input.as_bytes()), bytes, "{input:?}");
    }
    let mut stage = Stage::new(smtp());
    stage.hear(begin, 1000);
    stage.hear(b"BDAT 10 LAST\r\n01234", 1000);
    assert_eq!((stage.session.completed_bytes(b"5678"), stage.session.completed_bytes(b"56789")), (0, 5));
}
