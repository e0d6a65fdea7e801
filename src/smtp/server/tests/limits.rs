//! What a server takes on one connection, and what its owner lets begin.

use super::super::Config;
use super::{play, smtp};

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
