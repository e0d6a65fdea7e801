//! Transcripts. `C:` is a line of the client, `C+` one without its line end, `S:` a line of the server; the last
//! `S: (closes)` says that the session is over. `\r`, `\n` and `\0` stand for themselves.

use bytes::Bytes;

use super::super::{BareLineEnds, Reply};
use super::{Auth, Config, Event, Protocol, Session, Tls};
use crate::mail::{Envelope, Speaker};
use crate::net::{Machine, Next};

fn smtp() -> Config {
    Config { hostname: "mx.b.test".into(), size_max: 1000, recipients_max: 3, errors_max: 5, ..Config::default() }
}

fn submission() -> Config {
    Config { protocol: Protocol::Submission, tls: Tls::Offered, auth: Auth::Required, ..smtp() }
}

fn lmtp() -> Config {
    Config { protocol: Protocol::Lmtp, ..smtp() }
}

/// A session with an owner who knows `ann` by `pw`, has no mailbox for `no…` and no time for `later…`.
struct Stage {
    session: Session,
    said: String,
    sends: usize,
    arrived: Vec<(Envelope, Bytes)>,
    is_closed: bool,
}

impl Stage {
    fn new(config: Config) -> Self {
        let session = Session::new(config, &Reply::plain(220, "mx.b.test"), "nonce".into());
        Self { session, said: String::new(), sends: 0, arrived: Vec::new(), is_closed: false }
    }

    /// Lets the session do all it can.
    fn turn(&mut self) {
        loop {
            match self.session.next() {
                Next::Send(bytes) => {
                    self.sends += 1;
                    self.said.push_str(std::str::from_utf8(&bytes).unwrap());
                }
                Next::Event(event) => self.decide(event),
                Next::Answer => panic!("everything is answered"),
                Next::Read => return,
                Next::Close => {
                    self.is_closed = true;
                    return;
                }
            }
        }
    }

    fn decide(&mut self, event: Event) {
        let ok = Reply::new(250, (2, 0, 0), "ok");
        match event {
            Event::StartTls => self.session.encrypted("TLS".into()),
            Event::Who(user) => self.session.secret((user == "ann").then_some("pw")),
            Event::Verify(_) => self.session.answer(Reply::new(252, (2, 1, 5), "perhaps")),
            Event::Rcpt(recipient) => self.session.answer(match recipient.address.local() {
                local if local.starts_with("no") => Reply::new(550, (5, 1, 1), "no such user"),
                local if local.starts_with("later") => Reply::new(421, (4, 3, 2), "not now"),
                _ => ok,
            }),
            Event::Message { envelope, data } => {
                let recipients = envelope.recipients.iter();
                let replies: Vec<_> =
                    recipients.map(|to| Reply::new(250, (2, 1, 5), &format!("{} has it", to.address))).collect();
                self.arrived.push((envelope, data));
                match self.session.with_protocol().contains("LMTP") {
                    true => self.session.answer_each(&replies),
                    false => self.session.answer(ok),
                }
            }
            Event::Hello { .. } | Event::Mail { .. } => self.session.answer(ok),
        }
    }

    fn hear(&mut self, bytes: &[u8], chunk: usize) {
        self.turn();
        for part in bytes.chunks(chunk) {
            if self.is_closed {
                return;
            }
            self.session.receive(part);
            self.turn();
        }
    }
}

fn unescape(line: &str) -> String {
    line.replace("\\r", "\r").replace("\\n", "\n").replace("\\0", "\0")
}

/// What the client says up to its next wait, and what it must read then.
fn turns(transcript: &str) -> Vec<(Vec<u8>, String)> {
    let mut turns = vec![(Vec::new(), String::new())];
    for line in transcript.lines().map(str::trim_start).filter(|line| !line.is_empty()) {
        let (speaker, text) = line.split_at(2);
        let text = unescape(text.strip_prefix(' ').unwrap_or(text));
        match speaker {
            "S:" => turns.last_mut().unwrap().1.push_str(&format!("{text}\r\n")),
            _ => {
                if !turns.last().unwrap().1.is_empty() {
                    turns.push((Vec::new(), String::new()));
                }
                let end = if speaker == "C:" { "\r\n" } else { "" };
                turns.last_mut().unwrap().0.extend_from_slice(format!("{text}{end}").as_bytes());
            }
        }
    }
    turns
}

/// Plays a conversation byte by byte, in odd chunks, turn by turn and, where the client may, all at once.
fn play(config: Config, transcript: &str) -> Vec<(Envelope, Bytes)> {
    let turns = turns(transcript);
    let mut arrived = Vec::new();
    for chunk in [1, 2, 7, usize::MAX] {
        let mut stage = Stage::new(config.clone());
        for (client, server) in &turns {
            stage.hear(client, chunk);
            let closes = if stage.is_closed { "(closes)\r\n" } else { "" };
            let said = std::mem::take(&mut stage.said) + closes;
            assert_eq!(said, *server, "to {:?} in chunks of {chunk}", String::from_utf8_lossy(client));
        }
        arrived = stage.arrived;
    }
    if !transcript.contains("STARTTLS") {
        let mut stage = Stage::new(config);
        let (client, server): (Vec<_>, Vec<_>) = turns.into_iter().unzip();
        stage.hear(&client.concat(), usize::MAX);
        assert_eq!(stage.said, server.concat().replace("(closes)\r\n", ""), "all at once (RFC 2920)");
    }
    arrived
}

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
        S: 250-HELP
        S: 250-SIZE 1000
        S: 250 STARTTLS
        C: AUTH PLAIN AGFubgBwdw==
        S: 538 5.7.11 log in only under TLS
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
        S: 250-HELP
        S: 250-SIZE 1000
        S: 250 AUTH SCRAM-SHA-256 PLAIN LOGIN
        C: STARTTLS
        S: 503 5.5.1 TLS is active already
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
        S: 250-HELP
        S: 250-SIZE 1000
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
        S: 250-HELP
        S: 250 SIZE 1000
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
fn the_owner_may_send_the_client_away() {
    play(
        smtp(),
        "
        S: 220 mx.b.test
        C: HELO a.test
        S: 250 mx.b.test greets a.test
        C: MAIL FROM:<>
        S: 250 2.0.0 ok
        C: RCPT TO:<later@b.test>
        S: 421 4.3.2 not now
        S: (closes)
        ",
    );
    let mut session = Session::new(smtp(), &Reply::plain(554, "no"), "n".into());
    assert!(matches!(session.next(), Next::Send(bytes) if bytes == "554 no\r\n"));
    assert!(matches!(session.next(), Next::Close));
}

/// RFC 2920 §3.2.
#[test]
fn replies_to_pipelined_commands_leave_together() {
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
fn too_many_mistakes_end_the_session() {
    let mut stage = Stage::new(smtp());
    stage.hear(&b"FOO\r\n".repeat(10), usize::MAX);
    assert_eq!(stage.said.matches("500 5.5.1").count(), 5);
    assert!(stage.said.ends_with("421 4.7.0 too many mistakes\r\n") && stage.is_closed);
}

#[test]
fn lines_too_long_are_a_mistake_and_lines_without_end_the_last_one() {
    let mut stage = Stage::new(smtp());
    stage.hear(&[&[b'x'; 5000][..], b"\r\nNOOP\r\n"].concat(), 999);
    assert!(stage.said.ends_with("500 5.5.2 that line is too long\r\n250 2.0.0 ok\r\n"));
    stage.hear(&[b'x'; 1 << 20], 4096);
    assert!(stage.said.ends_with("421 4.7.0 that line has no end\r\n") && stage.is_closed);
}

/// RFC 5321 §3.8.
#[test]
fn a_house_that_closes_says_so_between_commands_but_lets_a_message_finish() {
    let mut stage = Stage::new(smtp());
    stage.turn();
    stage.session.stop();
    stage.turn();
    assert!(stage.said.ends_with("421 4.3.2 mx.b.test closes, try again later\r\n") && stage.is_closed);

    let mut stage = Stage::new(smtp());
    stage.hear(b"HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<b@b.test>\r\nDATA\r\nhalf", usize::MAX);
    stage.session.stop();
    stage.turn();
    assert!(!stage.is_closed);
    stage.said.clear();
    stage.hear(b"\r\n.\r\nNOOP\r\n", usize::MAX);
    assert_eq!(stage.said, "250 2.0.0 ok\r\n421 4.3.2 mx.b.test closes, try again later\r\n");
    assert_eq!((stage.arrived.len(), stage.is_closed), (1, true));
}

/// RFC 5321 §4.5.3.2.7.
#[test]
fn a_silent_client_is_told_before_it_is_let_go() {
    let mut stage = Stage::new(smtp());
    stage.turn();
    stage.session.expire();
    stage.turn();
    assert!(stage.said.ends_with("421 4.4.2 nothing came for too long\r\n") && stage.is_closed);
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

#[test]
fn the_record_shows_no_secret_and_no_message() {
    let config = Config { auth: Auth::Offered, plain_login: true, dialogue: true, ..smtp() };
    let mut stage = Stage::new(config);
    stage.hear(b"EHLO a\r\nAUTH PLAIN AGFubgBubw==\r\nauth  plain x y\r\nAUTH LOGIN\r\nYW5u\r\ncHc=\r\n", 3);
    stage.hear(b"MAIL FROM:<>\r\nRCPT TO:<b@b.test>\r\nDATA\r\nhidden\r\n.\r\n", 3);
    let lines = stage.session.take_dialogue().lines;
    let client: Vec<_> =
        lines.iter().filter(|(who, _)| *who == Speaker::Client).map(|(_, line)| line.as_str()).collect();
    let wanted = [
        "EHLO a",
        "AUTH PLAIN ****",
        "auth plain ****",
        "AUTH LOGIN",
        "****",
        "****",
        "MAIL FROM:<>",
        "RCPT TO:<b@b.test>",
        "DATA",
        "(8 octets of message)",
    ];
    assert_eq!(client, wanted);
    assert!(lines.iter().any(|(who, line)| *who == Speaker::Server && line == "235 2.7.0 welcome"));
    assert_eq!(stage.session.take_dialogue().lines, []);
}

/// Pieces of commands and noise: no panic, no endless loop, no memory beyond the limits.
#[test]
fn random_bytes_do_no_harm() {
    let words: Vec<&[u8]> = "EHLO a\r\n|LHLO a\r\n|MAIL FROM:<> SIZE=9|MAIL FROM:<a@b>\r\n|RCPT TO:<b@b.test>\r\n|DATA\r\n|BDAT 5|BDAT 9 LAST\r\n|\
         .\r\n|\r|\n|\r\n|.|RSET\r\n|AUTH PLAIN |AUTH LOGIN\r\n|AGFubgBwdw==\r\n|*\r\n|STARTTLS\r\n|\0|\u{e9}|NOOP\r\n|=|+2B|<|>|\""
        .split('|')
        .map(str::as_bytes)
        .collect();
    let configs = [smtp(), lmtp(), Config { plain_login: true, ..submission() }];
    let mut dice: u64 = 1;
    for round in 0..600 {
        let config = Config { errors_max: 100, bare_line_ends: BareLineEnds::Keep, ..configs[round % 3].clone() };
        let mut stage = Stage::new(config);
        for _ in 0..60 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let word = words[(dice >> 33) as usize % words.len()];
            stage.hear(word, 1 + (dice >> 60) as usize);
        }
        assert!(stage.arrived.iter().all(|(_, data)| data.len() <= 1000));
    }
}
