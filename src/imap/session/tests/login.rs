//! Who is it: each way in, and what keeps others out.

use super::*;
use crate::auth::{Claim, Mechanism, line};

#[test]
fn a_user_logs_in_by_each_way() {
    play_as_ann("C: a1 LOGOUT\nS: * BYE until next time\nS: a1 OK goodbye");
    let plain = "AGFubgBzZWNyZXQ=";
    play(&format!("C: a AUTHENTICATE PLAIN {plain}\nS: a {WELCOME}"));
    play(&format!("C: a authenticate plain\nS: + \nC: {plain}\nS: a {WELCOME}"));
    play(&format!(
        "C: a AUTHENTICATE LOGIN\nS: + VXNlcm5hbWU6\nC: YW5u\nS: + UGFzc3dvcmQ6\nC: c2VjcmV0\nS: a {WELCOME}"
    ));
    play(&format!("C: a LOGIN {{3}}\nS: + go ahead\nC: ann {{6}}\nS: + go ahead\nC: secret\nS: a {WELCOME}"));
    play(&format!("C: a LOGIN {{3+}}\nC: ann \"secret\"\nS: a {WELCOME}"));
}

#[test]
fn a_wrong_password_is_refused_three_times() {
    play(
        "
        C: a1 LOGIN ann wrong
        S: a1 NO [AUTHENTICATIONFAILED] the name or the password is wrong
        C: a2 LOGIN bob secret
        S: a2 NO [AUTHENTICATIONFAILED] the name or the password is wrong
        C: a3 AUTHENTICATE PLAIN AGFubgB3cm9uZw==
        S: a3 NO [AUTHENTICATIONFAILED] the name or the password is wrong
        S: * BYE too many failed logins
    ",
    );
}

#[test]
fn an_exchange_can_be_given_up() {
    play(
        "
        C: a1 AUTHENTICATE LOGIN
        S: + VXNlcm5hbWU6
        C: *
        S: a1 BAD login cancelled
        C: a2 AUTHENTICATE PLAIN ???
        S: a2 BAD the initial response is not base64
        C: a3 AUTHENTICATE GSSAPI
        S: a3 NO no such mechanism
        C: a4 NOOP
        S: a4 OK nothing new
    ",
    );
}

#[test]
fn passwords_wait_for_tls_where_the_host_wants_it() {
    let setup = Setup { cleartext_login: false, ..setup() };
    let before = "CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE STARTTLS AUTH=SCRAM-SHA-256 LOGINDISABLED";
    let after = "CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE AUTH=SCRAM-SHA-256 AUTH=PLAIN AUTH=LOGIN";
    play_with(
        &setup,
        &format!(
            "
            S: * OK [{before}] mail.a.test ready
            C: a1 LOGIN ann secret
            S: a1 NO [PRIVACYREQUIRED] start TLS first
            C: a2 AUTHENTICATE PLAIN
            S: a2 NO [PRIVACYREQUIRED] start TLS first
            C: a3 STARTTLS
            S: a3 OK begin TLS
            C: a4 CAPABILITY
            S: * {after}
            S: a4 OK that is all
            C: a5 STARTTLS
            S: a5 BAD TLS is active already
            C: a6 LOGIN ann secret
            S: a6 {WELCOME}
        "
        ),
    );
}

#[test]
fn what_was_said_before_the_handshake_does_not_count_after_it() {
    let mut session = Session::new(setup(), false);
    let mut said = Vec::new();
    run(&mut session, &mut said);
    session.receive(b"a1 STARTTLS\r\na2 LOGIN ann secret\r\n");
    run(&mut session, &mut said);
    assert!(String::from_utf8_lossy(&said).ends_with("a1 OK begin TLS\r\n"));
}

#[test]
fn the_dialogue_has_neither_passwords_nor_messages() {
    let transcript = format!(
        "{GREETING}
        C: a0 AUTHENTICATE PLAIN ====
        S: a0 BAD the initial response is not base64
        C: a1 LOGIN ann {{6+}}
        C: secret
        S: a1 {WELCOME}
        C: a2 APPEND INBOX {{10+}}
        C: hello
        C: you
        S: a2 OK [APPENDUID 7 8] appended"
    );
    let mut session = play_in_chunks(&setup(), &transcript, 5);
    let dialogue = session.take_dialogue();
    // Long lines end early.
    let lines: Vec<_> = dialogue.lines().map(|(_, line)| line.split(" [CAPA").next().unwrap()).collect();
    assert_eq!(
        lines[1..],
        [
            "a0 AUTHENTICATE PLAIN",
            "a0 BAD the initial response is not base64",
            "a1 LOGIN ***",
            "a1 OK",
            "a2 APPEND INBOX {10+}",
            "(10 octets of message)",
            "",
            "a2 OK [APPENDUID 7 8] appended",
        ]
    );
}

#[test]
fn a_secret_out_of_place_does_not_enter_the_dialogue() {
    for line in
        ["a  LOGIN ann secret", "AGFubgBzZWNyZXQ=", "x AGFubgBzZWNyZXQ=", "LOGIN ann secret", "a ID (\"secret\" NIL)"]
    {
        let mut session = Session::new(setup(), false);
        session.receive(format!("{line}\r\n").as_bytes());
        run(&mut session, &mut Vec::new());
        let dialogue = format!("{:?}", session.take_dialogue());
        assert!(!dialogue.contains("secret") && !dialogue.contains("AGFub"), "{dialogue}");
    }
}

#[test]
fn scram_proves_both_ends() {
    for (password, wanted) in [("secret", "a OK [CAPABILITY "), ("wrong", "a NO [AUTHENTICATIONFAILED] ")] {
        let mut session = Session::new(Setup { cleartext_login: false, ..setup() }, false);
        run(&mut session, &mut Vec::new());
        let mut claim = Claim::new(Mechanism::ScramSha256, "ann", password, "client");
        let initial = line::encode_initial(&claim.initial().unwrap());
        session.receive(format!("a AUTHENTICATE SCRAM-SHA-256 {initial}\r\n").as_bytes());
        let end = loop {
            let mut said = Vec::new();
            run(&mut session, &mut said);
            let said = String::from_utf8(said).unwrap();
            let Some(challenge) = said.strip_prefix("+ ") else { break said };
            let answer = claim.answer(&line::response(challenge.trim_end().as_bytes()).unwrap()).unwrap();
            session.receive(format!("{}\r\n", line::encode(&answer)).as_bytes());
        };
        assert!(end.starts_with(wanted), "{end}");
        assert_eq!(claim.is_complete(), password == "secret");
    }
}
