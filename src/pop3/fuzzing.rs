//! Fuzz entry points for both sides of a POP3 session, used by `fuzz/` and by the tests of this file. They assert what
//! must hold for every input.
//!
//! Sessions take their settings from the first byte and the chunk size from the second.

use bytes::Bytes;

use super::{client, server};
use crate::mail::Message;
use crate::net::fuzzing::drive;

/// Messages in the maildrop of the server.
const MESSAGES: usize = 3;
/// Maximum response size of the client.
const MAX_RESPONSE_BYTES: usize = 500;

/// Feeds input from a client to a server session.
///
/// # Panics
/// If an invariant does not hold.
pub fn server(input: &[u8]) {
    let [settings, chunk, words @ ..] = input else { return };
    let is = |bit: u8| settings & (1 << bit) != 0;
    let config = server::Config {
        host: "b.test".to_owned(),
        starttls: is(0),
        nonce: "nonce".to_owned(),
        transcript: is(1),
        recorder: crate::journey::Recorder::default(),
    };
    let mut session = server::Session::new(config, is(2));
    let entries: Vec<_> = (0..MESSAGES).map(|at| server::Entry { size: 30, uid: format!("u{at}") }).collect();
    let message = Message::new(Bytes::from_static(b"Subject: s\r\n\r\n.\r\nline\r\n\xff"));
    drive(&mut session, words, usize::from(*chunk), |session, event| match event {
        server::Event::StartTls => session.encrypted(),
        server::Event::NeedSecret(user) => session.secret((user == "ann").then_some("pw")),
        server::Event::Open { user } => {
            assert_eq!(user, "ann", "only ann can authenticate");
            session.opened(if is(3) { Err(server::Refusal::InUse) } else { Ok(entries.clone()) });
        }
        server::Event::Retrieve { index, .. } => {
            assert!(index < MESSAGES);
            session.message(if is(4) { Err(server::Refusal::Gone) } else { Ok(&message) });
        }
        server::Event::Update { deleted } => {
            assert!(deleted.is_sorted_by(|one, next| one < next) && deleted.last().is_none_or(|last| *last < MESSAGES));
            session.updated(if is(5) { Err(server::Refusal::Temporary) } else { Ok(()) });
        }
    });
}

/// Feeds input from a server to a client session.
///
/// # Panics
/// As [`server()`].
pub fn client(input: &[u8]) {
    let [settings, chunk, words @ ..] = input else { return };
    let is = |bit: u8| settings & (1 << bit) != 0;
    let config = client::Config {
        user: "ann".to_owned(),
        password: "pw".to_owned(),
        starttls: match settings & 3 {
            0 => client::StartTls::Never,
            1 => client::StartTls::Required,
            _ => client::StartTls::IfOffered,
        },
        max_message_bytes: MAX_RESPONSE_BYTES,
        transcript: is(2),
    };
    drive(&mut client::Session::new(config, is(3)), words, usize::from(*chunk), |session, event| match event {
        client::Event::StartTls => session.encrypted(),
        client::Event::Ready => session.list(),
        client::Event::Listing(entries) => {
            entries.iter().take(MESSAGES).for_each(|entry| session.retrieve(entry.number));
            entries.iter().take(MESSAGES).for_each(|entry| session.delete(entry.number));
            session.quit();
        }
        client::Event::Message { bytes, .. } => assert!(bytes.len() <= MAX_RESPONSE_BYTES),
        // Without a list there is nothing to do.
        client::Event::Refused { command, .. } if command == "LIST" => session.quit(),
        _ => {}
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::fuzzing::run_random;

    #[test]
    fn server_with_random_input_keeps_its_invariants() {
        let words = "USER ann\r\n|PASS pw\r\n|USER ann\r\nPASS pw\r\n|USER bob\r\n|AUTH PLAIN AGFubgBwdw==\r\n|AUTH LOGIN\r\n|YW5u\r\n|\
            cHc=\r\n|*\r\n|STLS\r\n|CAPA\r\n|STAT\r\n|LIST\r\n|LIST 1\r\n|UIDL\r\n|UIDL 9\r\n|RETR 1\r\n|RETR 4294967297\r\n|\
            TOP 2 0\r\n|TOP 1 99999999999999999999\r\n|DELE 3\r\n|DELE 1\r\n|RSET\r\n|NOOP\r\n|QUIT\r\n|APOP ann 0\r\n|LANG *\r\n|UTF8\r\n|\
            \r\n|x";
        run_random("pop3 server", server, 5000, words);
    }

    #[test]
    fn client_when_list_is_refused_quits() {
        client(
            b"\xff\xf8+OK\r\n+OK\r\nSASL PLAIN\r\n(((((((((xx+OK\r\n+OK\n\rNS\nE2 u2\rRWAxxx\r\r\nxxxxxxx\
            xK\r\n+OK hi\r\n..\rxxxixxRR [Ixxxx+OK hiSASLK\r\n.OK\r\n.\r\n+OK\r\n-ERR [IN-USE] no\r\n+O\
            K\r\n+OK\r\n\r`S%\nRx+OK\r\n-ERR no\r\n-ER\r\nxxxxx(((((x",
        );
    }

    #[test]
    fn client_with_random_input_keeps_its_invariants() {
        let words = "+OK hi\r\n|+OK\r\n|+OK\r\n|+OK\r\n|-ERR no\r\n|-ERR [IN-USE] no\r\n|STLS\r\n|UIDL\r\n|USER\r\n|PIPELINING\r\n|SASL PLAIN\r\n|\
            .\r\n|.\r\n|..\r\n|+ \r\n|1 30\r\n|2 40\r\n|1 u1\r\n|2 u2\r\n|99999999999999999999 1\r\n|Subject: s\r\n|\r\n|x";
        run_random("pop3 client", client, 5000, words);
    }
}
