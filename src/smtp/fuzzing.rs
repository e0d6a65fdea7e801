//! Fuzz entry points, one for each parser of peer input, used by `fuzz/` and by the tests of this file. They assert
//! what must hold for every input.
//!
//! Sessions take their settings from the first byte and the chunk size from the second.

use bytes::Bytes;

use super::command::Command;
use super::reply::Replies;
use super::{BareLineEnds, Reply, client, server};
use crate::mail::{Address, DeliveryReport, Envelope, Message};
use crate::net::fuzzing::drive;

/// Maximum message size of the server.
const MAX_MESSAGE_BYTES: usize = 500;
/// Maximum number of recipients of the server.
const MAX_RECIPIENTS: usize = 3;

/// Feeds input from a client to a server session.
///
/// # Panics
/// If an invariant does not hold.
pub fn server(input: &[u8]) {
    let [settings, chunk, words @ ..] = input else { return };
    let greeting = Reply::plain(220, "b.test");
    let mut session = server::Session::new(server_config(*settings), &greeting, "nonce".to_owned());
    drive(&mut session, words, usize::from(*chunk), decide);
}

fn server_config(settings: u8) -> server::Config {
    let is = |bit: u8| settings & (1 << bit) != 0;
    server::Config {
        hostname: "b.test".to_owned(),
        protocol: match settings & 3 {
            0 | 1 => server::Protocol::Smtp,
            2 => server::Protocol::Submission,
            _ => server::Protocol::Lmtp,
        },
        max_message_bytes: MAX_MESSAGE_BYTES as u64,
        max_recipients: MAX_RECIPIENTS,
        max_errors: 100,
        tls: if is(2) { server::Tls::Offered } else { server::Tls::Active("TLS".to_owned()) },
        auth: if is(3) { server::Auth::Offered } else { server::Auth::Off },
        plain_login: is(4),
        bare_line_ends: rule(settings),
        ..server::Config::default()
    }
}

fn rule(settings: u8) -> BareLineEnds {
    match settings >> 5 & 3 {
        0 => BareLineEnds::Keep,
        1 => BareLineEnds::Normalize,
        _ => BareLineEnds::Refuse,
    }
}

/// Answers the events of a server session: the only user is `ann` with password `pw`, and recipients `no…` are refused.
fn decide(session: &mut server::Session, event: server::Event) {
    let ok = Reply::new(250, (2, 0, 0), "ok");
    match event {
        server::Event::StartTls => session.encrypted("TLS".to_owned()),
        server::Event::NeedSecret(user) => session.secret((user == "ann").then_some("pw")),
        server::Event::Rcpt(recipient) if recipient.address.local().starts_with("no") => {
            session.answer(Reply::new(550, (5, 1, 1), "no such user"));
        }
        server::Event::Message { envelope, message } => {
            // Normalized line ends may double the size.
            assert!(
                message.len() <= 2 * MAX_MESSAGE_BYTES && (1..=MAX_RECIPIENTS).contains(&envelope.recipients.len())
            );
            match session.with_protocol().contains("LMTP") {
                true => session.answer_each(&vec![ok; envelope.recipients.len()]),
                false => session.answer(ok),
            }
        }
        _ => session.answer(ok),
    }
}

/// Feeds input from a server to a client session.
///
/// # Panics
/// As [`server()`].
pub fn client(input: &[u8]) {
    let [settings, chunk, words @ ..] = input else { return };
    let is = |bit: u8| settings & (1 << bit) != 0;
    let config = client::Config {
        hello: "a.test".to_owned(),
        lmtp: is(0),
        nonce: is(1).then(|| "nonce".to_owned()),
        force_8bit: is(2),
        bare_line_ends: rule(*settings),
        transcript: is(7),
        ..client::Config::default()
    };
    let (mut wants_tls, mut wants_login, mut messages) = (is(3), is(4), 3);
    drive(&mut client::Session::new(config), words, usize::from(*chunk), |session, event| match event {
        client::Event::Failed(_) => {}
        client::Event::StartTls => session.encrypted(),
        _ if std::mem::take(&mut wants_tls) => session.starttls(),
        _ if std::mem::take(&mut wants_login) => session.authenticate("ann", "pw"),
        _ if messages == 0 => session.quit(),
        _ => {
            messages -= 1;
            session.send(envelope(), &Message::new(Bytes::from_static(b"Subject: s\r\n\r\n.\r\n\xff\n")));
        }
    });
}

fn envelope() -> Envelope {
    let recipients = ["bob@b.test", "cat@b.test", "\u{4f8b}@c.test"];
    let recipients = recipients.iter().filter_map(|text| text.parse::<Address>().ok()).map(Into::into);
    Envelope { recipients: recipients.collect(), ..Envelope::default() }
}

/// Parses a command, which must parse to the same command when written.
///
/// # Panics
/// As [`server()`].
pub fn command(input: &[u8]) {
    match Command::parse(input) {
        // The text of VRFY is free, and the client never sends it.
        Ok(Command::Vrfy(_)) | Err(_) => {}
        Ok(command) => {
            let written = command.to_string();
            assert_eq!(Command::parse(written.as_bytes()), Ok(command), "{written}");
        }
    }
}

/// Parses reply lines; each reply must parse to the same reply when written.
///
/// # Panics
/// As [`server()`].
pub fn reply(input: &[u8]) {
    let mut reader = Replies::default();
    for line in input.split(|byte| *byte == b'\n') {
        match reader.line(line) {
            Ok(Some(reply)) => check_written(&reply),
            Ok(None) => {}
            Err(_) => return,
        }
    }
}

/// Asserts that the reply, when written, parses to the same reply.
fn check_written(reply: &Reply) {
    let written = reply.to_string();
    let mut reader = Replies::default();
    let read = written.split("\r\n").map(|line| reader.line(line.as_bytes())).last();
    assert_eq!(read, Some(Ok(Some(reply.clone()))), "{written}");
}

/// Parses a delivery report.
///
/// # Panics
/// As [`server()`].
pub fn dsn(input: &[u8]) {
    if let Some(report) = DeliveryReport::read(input) {
        assert!(!report.recipients.is_empty());
    }
}

/// Parses an address, which must parse to the same address when written.
///
/// # Panics
/// As [`server()`].
pub fn address(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(address) = text.parse::<Address>() {
        let written = address.to_string();
        let read = written.parse::<Address>().expect("what was written is an address");
        assert_eq!((read.to_string(), &read), (written, &address));
        assert!(read.key().len() <= 64 * 3 + 1 + 255, "{text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::fuzzing::run_random;

    #[test]
    fn reply_with_long_line_and_code_parses_to_the_same_when_written() {
        reply([b"554-5.6.0 \n554 ", [0xa4; 200].as_slice()].concat().as_slice());
    }

    #[test]
    fn server_with_random_input_keeps_its_invariants() {
        let words = "EHLO a\r\n|HELO a\r\n|LHLO a\r\n|MAIL FROM:<>|MAIL FROM:<ann@a.test>|RCPT TO:<b@b.test>|RCPT TO:<no@b.test>|\
            \r\n|\r\n|\r\n| SIZE=9| BODY=BINARYMIME| BODY=8BITMIME| SMTPUTF8| RET=FULL| ENVID=a+2B| NOTIFY=NEVER|DATA\r\n|\
            BDAT 5\r\n|BDAT 9 LAST\r\n|BDAT 501 LAST\r\n|.\r\n|RSET\r\n|AUTH PLAIN AGFubgBwdw==\r\n|AUTH LOGIN\r\n|YW5u\r\n|\
            cHc=\r\n|AUTH SCRAM-SHA-256 biwsbj1hbm4scj14\r\n|*\r\n|STARTTLS\r\n|VRFY ann\r\n|HELP\r\n|QUIT\r\n|x";
        run_random("server", server, 3000, words);
    }

    #[test]
    fn client_with_random_input_keeps_its_invariants() {
        let words = "220 hi\r\n|250 ok\r\n|250 ok\r\n|250 ok\r\n|250-b\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n|\
            250-CHUNKING\r\n|250-BINARYMIME\r\n|250-SIZE 9\r\n|250-AUTH PLAIN SCRAM-SHA-256\r\n|250 STARTTLS\r\n|354 go\r\n|\
            334 YQ==\r\n|334 \r\n|235 yes\r\n|421 bye\r\n|450 4.2.0 wait\r\n|550 5.1.1 no\r\n|221 bye\r\n|2|5|-|\r\n";
        run_random("client", client, 3000, words);
    }

    #[test]
    fn command_with_random_input_parses_to_the_same_when_written() {
        let words = "EHLO |MAIL FROM:<>|MAIL FROM:<> ENVID=|MAIL FROM:|RCPT TO:<a@b.test> ORCPT=utf-8;|RCPT TO:|VRFY |AUTH |BDAT |<a@b.test>|<>|<\"a b\"@c.test>|a| | SIZE=1| BODY=7BIT| SMTPUTF8|\
            RET=HDRS| ENVID=|+2B|+C3+A9|\u{e9}| NOTIFY=SUCCESS,DELAY| ORCPT=rfc822;|=|9| LAST|@x.test:";
        run_random("command", command, 20_000, words);
    }

    #[test]
    fn reply_with_random_input_parses_to_the_same_when_written() {
        let words = "250|250-|250 |550-5.1.1 |550 5.1.2 |2.0.0 |5.001.0 x|\n|\r|text| |\u{e9}|\u{85}|-";
        run_random("reply", reply, 20_000, words);
    }

    #[test]
    fn dsn_with_random_input_keeps_its_invariants() {
        let words = "Content-Type: multipart/report; boundary=b\r\n\r\n|--b\r\n|Content-Type: message/delivery-status\r\n\r\n|\
            Final-Recipient: rfc822; b@b.test\r\n|Action: failed\r\n|Status: 5.1.1\r\n|Reporting-MTA: dns; a\r\n\r\n|\r\n| |\
            X-Postroad-Journey: 1\r\n|Content-Type: text/rfc822-headers\r\n\r\n|Message-ID: <1@a>\r\n|--b--\r\n|=|;|5.";
        run_random("dsn", dsn, 5000, words);
    }

    #[test]
    fn address_with_random_input_parses_to_the_same_when_written() {
        let words = "a|B|.|@|@|a.test|\"|\\|\\\"|[|]|[127.0.0.1]|[IPv6:|::1]|\u{fc}|\u{4f8b}|\u{3002}|xn--|xn--bcher-kva|-|+| |\u{ff41}";
        run_random("address", address, 50_000, words);
    }
}
