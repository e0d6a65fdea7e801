//! What holds for the session as a whole: its limits and its end.

use super::super::{Config, Session};
use super::{Stage, lmtp, play, smtp, submission};
use crate::net::{Machine, Next};
use crate::smtp::{BareLineEnds, Reply};

#[test]
fn owner_reply_421_closes_the_session() {
    play(
        smtp(),
        "
        S: 220 mx.b.test
        C: HELO a.test
        S: 250 mx.b.test greets a.test
        C: MAIL FROM:<>
        S: 250 2.0.0 OK
        C: RCPT TO:<later@b.test>
        S: 421 4.3.2 AUTH not allowed now
        S: (closes)
        ",
    );
    let mut session = Session::new(smtp(), &Reply::plain(554, "no"), "n".into());
    assert!(matches!(session.next(), Next::Send(bytes) if bytes == "554 no\r\n"));
    assert!(matches!(session.next(), Next::Close));
}

/// RFC 2920 §3.2.
#[test]
fn replies_to_pipelined_commands_are_sent_together() {
    let mut stage = Stage::new(smtp());
    stage.hear(b"EHLO a\r\n", usize::MAX);
    let before = stage.sends;
    stage.hear(b"MAIL FROM:<>\r\nRCPT TO:<b@b.test>\r\nRCPT TO:<no@b.test>\r\nDATA\r\n", usize::MAX);
    assert_eq!(stage.sends, before + 1);
    stage.hear(b"x\r\n.\r\n", usize::MAX);
    stage.said.clear();
    stage.hear(&b"HELP\r\n".repeat(100_000), 100_000);
    assert!(6 < stage.sends - before && stage.said.len() / (stage.sends - before) < 20_000, "however many they are");
}

#[test]
fn session_after_too_many_errors_closes_with_421() {
    let mut stage = Stage::new(smtp());
    stage.hear(&b"FOO\r\n".repeat(10), usize::MAX);
    assert_eq!(stage.said.matches("500 5.5.1").count(), 5);
    assert!(stage.said.ends_with("421 4.7.0 Too many errors\r\n") && stage.is_closed);
    let mut stage = Stage::new(smtp());
    stage.hear(&b"FOO\r\nFOO\r\nFOO\r\nNOOP\r\n".repeat(10), usize::MAX);
    assert!(!stage.is_closed && stage.said.ends_with("250 2.0.0 OK\r\n"), "only errors in a row count");
}

#[test]
fn lines_when_too_long_are_errors_and_when_endless_close_the_session() {
    let mut stage = Stage::new(smtp());
    stage.hear(&[&[b'x'; 5000][..], b"\r\nNOOP\r\n"].concat(), 999);
    assert!(stage.said.ends_with("500 5.5.2 Line too long\r\n250 2.0.0 OK\r\n"));
    stage.hear(&[b'x'; 1 << 20], 4096);
    assert!(stage.said.ends_with("421 4.7.0 Line too long, closing connection\r\n") && stage.is_closed);
}

/// RFC 5321 §3.8.
#[test]
fn shut_down_during_a_message_waits_for_its_end() {
    let mut stage = Stage::new(smtp());
    stage.turn();
    stage.session.shut_down();
    stage.turn();
    assert!(stage.said.ends_with("421 4.3.2 mx.b.test is shutting down, try again later\r\n") && stage.is_closed);

    let mut stage = Stage::new(smtp());
    stage.hear(b"HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<b@b.test>\r\nDATA\r\nhalf", usize::MAX);
    stage.session.shut_down();
    stage.turn();
    assert!(!stage.is_closed);
    stage.said.clear();
    stage.hear(b"\r\n.\r\nNOOP\r\n", usize::MAX);
    assert_eq!(stage.said, "250 2.0.0 OK\r\n421 4.3.2 mx.b.test is shutting down, try again later\r\n");
    assert_eq!((stage.arrived.len(), stage.is_closed), (1, true));
}

/// RFC 5321 §4.5.3.2.7.
#[test]
fn session_on_timeout_closes_with_421() {
    let mut stage = Stage::new(smtp());
    stage.turn();
    stage.session.on_timeout();
    stage.turn();
    assert!(stage.said.ends_with("421 4.4.2 Idle timeout\r\n") && stage.is_closed);
}

/// Pieces of commands and noise: no panic, no endless loop, no memory beyond the limits.
#[test]
fn session_with_random_bytes_does_not_panic() {
    let words: Vec<&[u8]> = "EHLO a\r\n|LHLO a\r\n|MAIL FROM:<> SIZE=9|MAIL FROM:<a@b>\r\n|RCPT TO:<b@b.test>\r\n|DATA\r\n|BDAT 5|BDAT 9 LAST\r\n|\
         .\r\n|\r|\n|\r\n|.|RSET\r\n|AUTH PLAIN |AUTH LOGIN\r\n|AGFubgBwdw==\r\n|*\r\n|STARTTLS\r\n|\0|\u{e9}|NOOP\r\n|=|+2B|<|>|\""
        .split('|')
        .map(str::as_bytes)
        .collect();
    let configs = [smtp(), lmtp(), Config { plain_login: true, ..submission() }];
    let mut rng: u64 = 1;
    for round in 0..600 {
        let config = Config { max_errors: 100, bare_line_ends: BareLineEnds::Keep, ..configs[round % 3].clone() };
        let mut stage = Stage::new(config);
        for _ in 0..60 {
            rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let word = words[(rng >> 33) as usize % words.len()];
            stage.hear(word, 1 + (rng >> 60) as usize);
        }
        assert!(stage.arrived.iter().all(|(_, data)| data.len() <= 1000));
    }
}
