//! SMTP smuggling: whatever stands where the end of a message is expected, the session finds the one true end, or none.
//! RFC 5321 §2.3.8, §4.1.1.4.

use super::super::Config;
use super::{Stage, lmtp, smtp};
use crate::mail::has_bare_line_end;
use crate::smtp::BareLineEnds;

/// Line ends as somebody somewhere understands them.
const ENDS: [&str; 8] = ["\r\n", "\n", "\r", "\r\r\n", "\n\r", "\n\n", "\r\0\n", ""];
/// What stands on the line that may be the end.
const DOTS: [&str; 5] = [".", "..", " .", ". ", "\0."];
/// A whole transaction that must not be taken for one.
const SMUGGLED: &str = "MAIL FROM:<evil@a.test>\r\nRCPT TO:<victim@b.test>\r\nDATA\r\nevil\r\n.\r\n";

#[test]
fn message_with_any_mix_of_line_ends_and_dots_cannot_smuggle_another() {
    for rule in [BareLineEnds::Refuse, BareLineEnds::Normalize, BareLineEnds::Keep] {
        for (before, dot, after) in mixes() {
            let odd = format!("innocent{before}{dot}{after}");
            let is_true_end = odd.ends_with("\r\n.\r\n");
            let is_refused = rule == BareLineEnds::Refuse && has_bare_line_end(odd.as_bytes());
            let stage = play(rule, &odd);
            let shown = format!("{odd:?} {rule:?}\n{}", stage.said);
            let is_evil: Vec<_> = stage.arrived.iter().map(|(envelope, _)| envelope.reverse_path.is_some()).collect();
            let wanted: Vec<_> =
                [(!is_refused).then_some(false), is_true_end.then_some(true)].into_iter().flatten().collect();
            assert_eq!(is_evil, wanted, "{shown}");
            assert_eq!(stage.said.contains("554 5.6.0"), is_refused, "{shown}");
        }
    }
}

fn mixes() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let ends = || ENDS.into_iter();
    ends().flat_map(move |before| DOTS.into_iter().flat_map(move |dot| ends().map(move |after| (before, dot, after))))
}

/// A message of the null sender with something odd in the middle, and the smuggled transaction behind that.
fn play(rule: BareLineEnds, odd: &str) -> Stage {
    let mut stage = Stage::new(Config { bare_line_ends: rule, max_errors: 50, ..smtp() });
    stage.hear(b"HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<bob@b.test>\r\nDATA\r\n", usize::MAX);
    stage.hear(format!("{odd}{SMUGGLED}").as_bytes(), 5);
    stage
}

/// A web page can make a browser send this.
#[test]
fn http_request_closes_the_session_at_its_first_line() {
    for request in ["POST / HTTP/1.1", "GET /x HTTP/1.0", "OPTIONS * HTTP/1.1", "CONNECT a.test:25 HTTP/1.1"] {
        let transcript = format!(
            "
            S: 220 mx.b.test
            C: {request}
            C: Host: a.test
            C: EHLO a.test
            C: MAIL FROM:<ann@a.test>
            C: RCPT TO:<bob@b.test>
            S: 221 2.7.0 This is no HTTP server, closing connection
            S: (closes)
            "
        );
        assert!(super::play(smtp(), &transcript).is_empty());
        assert!(super::play(lmtp(), &transcript).is_empty());
    }
    // In a message it is text.
    let arrived = super::play(
        smtp(),
        "
        S: 220 mx.b.test
        C: HELO a.test
        S: 250 mx.b.test greets a.test
        C: MAIL FROM:<ann@a.test>
        C: RCPT TO:<bob@b.test>
        C: DATA
        S: 250 2.0.0 OK
        S: 250 2.0.0 OK
        S: 354 Start mail input; end with <CRLF>.<CRLF>
        C: GET / HTTP/1.1
        C: .
        S: 250 2.0.0 OK
        ",
    );
    assert_eq!(arrived[0].1, "GET / HTTP/1.1\r\n");
}
