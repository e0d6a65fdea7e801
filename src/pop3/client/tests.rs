use super::*;
use crate::mail::Message;
use crate::pop3::server;
use crate::world::Rng;

fn config(starttls: StartTls) -> Config {
    Config { user: "ann".to_owned(), password: "pw".to_owned(), starttls, max_message_bytes: 1000, transcript: true }
}

/// Runs the client until it waits; what it sent and what it told its owner, who asks `wishes` once it is logged in.
fn run(client: &mut Session, wishes: &[fn(&mut Session)]) -> (String, Vec<Event>) {
    let (mut sent, mut events) = (String::new(), Vec::new());
    for _ in 0..10_000 {
        match client.next() {
            Next::Send(bytes) => sent += &String::from_utf8_lossy(&bytes),
            Next::Event(event) => {
                match event {
                    Event::StartTls => client.encrypted(),
                    Event::Ready => wishes.iter().for_each(|wish| wish(client)),
                    _ => {}
                }
                events.push(event);
            }
            Next::AwaitOwner | Next::Read | Next::Close => return (sent, events),
        }
    }
    panic!("the client does not wait")
}

/// Plays `S:` and `C:` lines from the server's side, in chunks of all sizes; the events that came of it.
fn play(config: &Config, wishes: &[fn(&mut Session)], transcript: &str) -> Vec<Event> {
    let mut outcomes = [usize::MAX, 1, 2, 7].map(|chunk| {
        let (mut client, mut events) = (Session::new(config.clone(), false), Vec::new());
        let (mut said, mut sent) = (String::new(), String::new());
        for line in transcript.lines().map(str::trim).filter(|line| !line.is_empty()).chain(["C: (end)"]) {
            let (who, text) = line.split_at(2);
            let text = format!("{}\r\n", text.strip_prefix(' ').unwrap_or(text));
            if who == "S:" {
                assert_eq!(sent, "", "the client says no more before: {line}");
                said += &text;
                continue;
            }
            for bytes in std::mem::take(&mut said).as_bytes().chunks(chunk) {
                client.receive(bytes);
                let (more, learned) = run(&mut client, wishes);
                sent += &more;
                events.extend(learned);
            }
            if text != "(end)\r\n" {
                sent = sent.strip_prefix(text.as_str()).unwrap_or_else(|| panic!("{text:?}, not {sent:?}")).to_owned();
            }
        }
        assert_eq!(sent, "");
        events
    });
    assert!(outcomes.iter().all(|events| *events == outcomes[3]), "{outcomes:?}");
    std::mem::take(&mut outcomes[0])
}

fn entry(number: usize, size: u64, uid: Option<&str>) -> Entry {
    Entry { number, size, uid: uid.map(str::to_owned) }
}

#[test]
fn client_with_server_without_capa_reads_the_maildrop() {
    let events = play(
        &config(StartTls::IfOffered),
        &[Session::list, |client| client.retrieve(1), |client| client.delete(1), Session::quit],
        "
        S: +OK <1@x>
        C: CAPA
        S: -ERR what?
        C: USER ann
        S: +OK
        C: PASS pw
        S: +OK 2 messages
        C: UIDL
        S: -ERR what?
        C: LIST
        S: +OK
        S: 1 13 more
        S: 2 5
        S: .
        C: RETR 1
        S: +OK
        S: a: b
        S:
        S: ..c
        S: .
        C: DELE 1
        S: +OK
        C: QUIT
        S: +OK
        ",
    );
    assert_eq!(
        events,
        [
            Event::Ready,
            Event::Listing(vec![entry(1, 13, None), entry(2, 5, None)]),
            Event::Message { number: 1, bytes: "a: b\r\n\r\n.c\r\n".into() },
            Event::Deleted { number: 1 },
            Event::Closed,
        ]
    );
}

#[test]
fn client_when_server_offers_pipelining_sends_commands_together() {
    let events = play(
        &config(StartTls::Never),
        &[Session::list, |client| client.retrieve(1), |client| client.retrieve(9), Session::quit],
        "
        S: +OK
        C: CAPA
        S: +OK
        S: Pipelining
        S: SASL SCRAM-SHA-256 PLAIN
        S: UIDL
        S: STLS
        S: .
        C: AUTH PLAIN AGFubgBwdw==
        S: +OK
        C: UIDL
        C: LIST
        C: RETR 1
        C: RETR 9
        C: QUIT
        S: +OK
        S: 1 one
        S: .
        S: +OK
        S: 1 2
        S: .
        S: +OK
        S: .
        S: -ERR No such message
        S: +OK
        ",
    );
    let refused = Event::Refused { command: "RETR 9".to_owned(), text: "No such message".to_owned() };
    let message = Event::Message { number: 1, bytes: Bytes::new() };
    let listing = Event::Listing(vec![entry(1, 2, Some("one"))]);
    assert_eq!(events, [Event::Ready, listing, message, refused, Event::Closed]);
}

#[test]
fn client_when_tls_is_required_starts_it_before_login() {
    let transcript = "
        S: +OK
        C: CAPA
        S: +OK
        S: STLS
        S: USER
        S: .
        C: STLS
        S: +OK
        C: CAPA
        S: +OK
        S: USER
        S: .
        C: USER ann
        S: +OK
        C: PASS pw
        S: +OK
        ";
    assert_eq!(play(&config(StartTls::IfOffered), &[], transcript), [Event::StartTls, Event::Ready]);
    let no_tls = "
        S: +OK
        C: CAPA
        S: +OK
        S: .
        ";
    assert_eq!(play(&config(StartTls::Required), &[], no_tls), [Event::Failed(Failure::NoTls)]);
}

#[test]
fn client_when_login_is_refused_sends_quit() {
    let events = play(
        &config(StartTls::Never),
        &[],
        "
        S: +OK
        C: CAPA
        S: -ERR
        C: USER ann
        S: -ERR [AUTH] go away
        C: QUIT
        S: +OK
        ",
    );
    assert_eq!(events, [Event::LoginRefused("[AUTH] go away".to_owned())]);
}

/// RFC 6856 §2: a server may refuse messages with a header in UTF-8 to others.
#[test]
fn client_when_server_offers_utf8_uses_it_before_the_login() {
    for reply in ["+OK", "-ERR no"] {
        let transcript = format!(
            "S: +OK\nC: CAPA\nS: +OK\nS: UTF8 USER\nS: .\nC: UTF8\nS: {reply}\nC: USER ann\nS: +OK\nC: PASS pw\nS: +OK\n"
        );
        assert_eq!(play(&config(StartTls::Never), &[], &transcript), [Event::Ready]);
    }
}

#[test]
fn client_when_user_has_a_line_end_does_not_send_it() {
    let config = Config { user: "ann\r\nDELE 1".to_owned(), ..config(StartTls::Never) };
    let events = play(&config, &[], "S: +OK\nC: CAPA\nS: -ERR\nC: QUIT\n");
    assert!(matches!(events[..], [Event::LoginRefused(_)]));
}

#[test]
fn client_when_reply_is_invalid_fails() {
    let large = format!(
        "S: +OK\nC: CAPA\nS: -ERR\nC: USER ann\nS: +OK\nC: PASS pw\nS: +OK\nC: RETR 1\nS: +OK\n{}",
        "S: 0123456789\n".repeat(90)
    );
    let long = format!("S: {}", "x".repeat(2000));
    for (transcript, failure) in [
        ("S: 220 smtp.test ESMTP", Failure::Violation("a reply is neither +OK nor -ERR")),
        (long.as_str(), Failure::Violation("a status line without end")),
        ("S: -ERR closed", Failure::Refused { stage: "the connection", text: "closed".to_owned() }),
        (&large, Failure::TooLarge(1000)),
    ] {
        let events = play(&config(StartTls::Never), &[|client| client.retrieve(1)], transcript);
        assert_eq!(events.last(), Some(&Event::Failed(failure)));
    }
}

#[test]
fn client_when_server_closes_fails() {
    let mut client = Session::new(config(StartTls::Never), false);
    client.receive(b"+OK\r\n");
    run(&mut client, &[]);
    client.receive(&[]);
    assert_eq!(run(&mut client, &[]).1, [Event::Failed(Failure::Closed)]);
    assert!(matches!(client.next(), Next::Close));
}

#[test]
fn transcript_contains_no_secrets() {
    let mut client = Session::new(config(StartTls::Never), false);
    client.receive(b"+OK\r\n-ERR\r\n+OK\r\n+OK\r\n");
    run(&mut client, &[]);
    let lines = || client.transcript().unwrap().lines();
    assert!(lines().any(|said| said == (Side::Client, "PASS ***")) && lines().all(|(_, line)| line != "PASS pw"));
}

#[test]
fn session_with_random_bytes_does_not_panic() {
    let words: [&[u8]; 8] = [b"+OK\r\n", b"-ERR x\r\n", b".\r\n", b"1 2\r\n", b"PIPELINING\r\n", b"\r", b"\n", b"."];
    let wishes: [fn(&mut Session); 4] =
        [Session::list, |client| client.retrieve(1), |client| client.delete(1), Session::quit];
    for seed in 0..200 {
        let rng = Rng::seeded(seed);
        let mut client = Session::new(config(StartTls::IfOffered), false);
        for _ in 0..300 {
            run(&mut client, &wishes);
            match rng.below(5) {
                0 => client.receive(&[rng.next_u64() as u8]),
                _ => client.receive(words[rng.below(words.len() as u64) as usize]),
            }
        }
        client.receive(&[]);
        run(&mut client, &[]);
        assert!(matches!(client.next(), Next::Close));
    }
}

/// Both ends with no network between.
#[test]
fn client_with_our_server_completes_a_session() {
    let message = Message::new("Subject: x\r\n\r\n.\r\n..\r\nend without line end".into());
    let server_setup = server::Config {
        host: "mda.test".to_owned(),
        starttls: true,
        nonce: "n".to_owned(),
        transcript: false,
        recorder: crate::journey::Recorder::default(),
    };
    let mut host = server::Session::new(server_setup, false);
    let mut client = Session::new(config(StartTls::Required), false);
    let wishes: [fn(&mut Session); 4] =
        [Session::list, |client| client.retrieve(1), |client| client.delete(1), Session::quit];
    let (mut events, mut deleted) = (Vec::new(), None);
    for _ in 0..100 {
        match host.next() {
            Next::Send(bytes) => client.receive(&bytes),
            Next::Event(server::Event::StartTls) => host.encrypted(),
            Next::Event(server::Event::NeedSecret(_)) => host.secret(Some("pw")),
            Next::Event(server::Event::Open { .. }) => {
                host.opened(Ok(vec![server::Entry { size: message.len() as u64, uid: "7.1".to_owned() }]));
            }
            Next::Event(server::Event::Retrieve { .. }) => host.message(Ok(&message)),
            Next::Event(server::Event::Update { deleted: marked }) => {
                deleted = Some(marked);
                host.updated(Ok(()));
            }
            Next::AwaitOwner | Next::Read => {
                let (sent, learned) = run(&mut client, &wishes);
                events.extend(learned);
                host.receive(sent.as_bytes());
            }
            Next::Close => break,
        }
    }
    events.extend(run(&mut client, &[]).1);
    assert_eq!(deleted, Some(vec![0]));
    let listing = Event::Listing(vec![entry(1, message.len() as u64, Some("7.1"))]);
    let bytes = [message.to_bytes().as_ref(), b"\r\n"].concat().into();
    let message = Event::Message { number: 1, bytes };
    assert_eq!(events, [Event::StartTls, Event::Ready, listing, message, Event::Deleted { number: 1 }, Event::Closed]);
}
