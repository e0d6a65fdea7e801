//! All login methods, and the refusal of wrong credentials.

use super::*;
use crate::auth::{Mechanism, SaslClient, line};

#[test]
fn login_works_by_every_mechanism() {
    play_as_ann("C: a1 LOGOUT\nS: * BYE Logging out\nS: a1 OK LOGOUT completed");
    let plain = "AGFubgBzZWNyZXQ=";
    play(&format!("C: a AUTHENTICATE PLAIN {plain}\nS: a {WELCOME}"));
    play(&format!("C: a authenticate plain\nS: + \nC: {plain}\nS: a {WELCOME}"));
    play(&format!(
        "C: a AUTHENTICATE LOGIN\nS: + VXNlcm5hbWU6\nC: YW5u\nS: + UGFzc3dvcmQ6\nC: c2VjcmV0\nS: a {WELCOME}"
    ));
    play(&format!(
        "C: a LOGIN {{3}}\nS: + Ready for literal data\nC: ann {{6}}\nS: + Ready for literal data\nC: secret\nS: a {WELCOME}"
    ));
    play(&format!("C: a LOGIN {{3+}}\nC: ann \"secret\"\nS: a {WELCOME}"));
}

#[test]
fn login_with_wrong_password_three_times_closes_the_session() {
    play(
        "
        C: a1 LOGIN ann wrong
        S: a1 NO [AUTHENTICATIONFAILED] Authentication failed
        C: a2 LOGIN bob secret
        S: a2 NO [AUTHENTICATIONFAILED] Authentication failed
        C: a3 AUTHENTICATE PLAIN AGFubgB3cm9uZw==
        S: a3 NO [AUTHENTICATIONFAILED] Authentication failed
        S: * BYE Too many failed logins
    ",
    );
}

#[test]
fn authenticate_can_be_cancelled() {
    play(
        "
        C: a1 AUTHENTICATE LOGIN
        S: + VXNlcm5hbWU6
        C: *
        S: a1 BAD Authentication cancelled
        C: a2 AUTHENTICATE PLAIN ???
        S: a2 BAD Initial response is not base64
        C: a3 AUTHENTICATE GSSAPI
        S: a3 NO Unsupported mechanism
        C: a4 NOOP
        S: a4 OK NOOP completed
    ",
    );
}

#[test]
fn cleartext_login_when_disabled_needs_tls() {
    let config = SessionConfig { cleartext_login: false, ..config() };
    let before = "CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE STARTTLS AUTH=SCRAM-SHA-256 LOGINDISABLED";
    let after = "CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE AUTH=SCRAM-SHA-256 AUTH=PLAIN AUTH=LOGIN";
    play_with(
        &config,
        &format!(
            "
            S: * OK [{before}] mail.a.test ready
            C: a1 LOGIN ann secret
            S: a1 NO [PRIVACYREQUIRED] TLS required
            C: a2 AUTHENTICATE PLAIN
            S: a2 NO [PRIVACYREQUIRED] TLS required
            C: a3 STARTTLS
            S: a3 OK Begin TLS negotiation now
            C: a4 CAPABILITY
            S: * {after}
            S: a4 OK CAPABILITY completed
            C: a5 STARTTLS
            S: a5 BAD TLS already active
            C: a6 LOGIN ann secret
            S: a6 {WELCOME}
        "
        ),
    );
}

#[test]
fn starttls_discards_input_from_before_the_handshake() {
    let mut session = Session::new(config(), false);
    let mut output = Vec::new();
    run(&mut session, &mut output);
    session.receive(b"a1 STARTTLS\r\na2 LOGIN ann secret\r\n");
    run(&mut session, &mut output);
    assert!(String::from_utf8_lossy(&output).ends_with("a1 OK Begin TLS negotiation now\r\n"));
}

#[test]
fn transcript_contains_no_passwords_and_no_messages() {
    let transcript = format!(
        "{GREETING}
        C: a0 AUTHENTICATE PLAIN ====
        S: a0 BAD Initial response is not base64
        C: a1 LOGIN ann {{6+}}
        C: secret
        S: a1 {WELCOME}
        C: a2 APPEND INBOX {{10+}}
        C: hello
        C: you
        S: a2 OK [APPENDUID 7 8] appended"
    );
    let mut session = play_in_chunks(&config(), &transcript, 5);
    let transcript = session.take_transcript();
    // Long lines are cut.
    let lines: Vec<_> = transcript.lines().map(|(_, line)| line.split(" [CAPA").next().unwrap()).collect();
    assert_eq!(
        lines[1..],
        [
            "a0 AUTHENTICATE PLAIN ***",
            "a0 BAD Initial response is not base64",
            "a1 LOGIN ***",
            "a1 OK",
            "a2 APPEND INBOX {10+}",
            "(10 bytes of message data)",
            "",
            "a2 OK [APPENDUID 7 8] appended",
        ]
    );
}

#[test]
fn transcript_omits_secrets_in_invalid_commands() {
    for line in
        ["a  LOGIN ann secret", "AGFubgBzZWNyZXQ=", "x AGFubgBzZWNyZXQ=", "LOGIN ann secret", "a ID (\"secret\" NIL)"]
    {
        let mut session = Session::new(config(), false);
        session.receive(format!("{line}\r\n").as_bytes());
        run(&mut session, &mut Vec::new());
        let transcript = format!("{:?}", session.take_transcript());
        assert!(!transcript.contains("secret") && !transcript.contains("AGFub"), "{transcript}");
    }
}

#[test]
fn scram_authenticates_client_and_server() {
    for (password, expected) in [("secret", "a OK [CAPABILITY "), ("wrong", "a NO [AUTHENTICATIONFAILED] ")] {
        let mut session = Session::new(SessionConfig { cleartext_login: false, ..config() }, false);
        run(&mut session, &mut Vec::new());
        let mut claim = SaslClient::new(Mechanism::ScramSha256, "ann", password, "client");
        let initial = line::encode_initial(&claim.initial().unwrap());
        session.receive(format!("a AUTHENTICATE SCRAM-SHA-256 {initial}\r\n").as_bytes());
        let end = loop {
            let mut output = Vec::new();
            run(&mut session, &mut output);
            let output = String::from_utf8(output).unwrap();
            let Some(challenge) = output.strip_prefix("+ ") else { break output };
            let answer = claim.answer(&line::response(challenge.trim_end().as_bytes()).unwrap()).unwrap();
            session.receive(format!("{}\r\n", line::encode(&answer)).as_bytes());
        };
        assert!(end.starts_with(expected), "{end}");
        assert_eq!(claim.is_complete(), password == "secret");
    }
}

/// A web page can make a browser send this.
#[test]
fn http_request_closes_the_session_at_its_first_line() {
    play(
        "
        C: POST / HTTP/1.1
        C: Host: a.test
        C: a1 LOGIN ann secret
        S: * BYE This is no HTTP server
    ",
    );
    play_as_ann("C: GET / HTTP/1.1\nS: * BYE This is no HTTP server");
}
