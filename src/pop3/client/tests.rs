use super::*;
use crate::mail::Letter;
use crate::pop3::server;
use crate::world::Dice;

fn setup(starttls: StartTls) -> Setup {
    Setup { user: "ann".to_owned(), password: "pw".to_owned(), starttls, message_octets_max: 1000, record: true }
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
            Next::Answer | Next::Read | Next::Close => return (sent, events),
        }
    }
    panic!("the client does not wait")
}

/// Plays `S:` and `C:` lines from the server's side, in chunks of all sizes; the events that came of it.
fn play(setup: &Setup, wishes: &[fn(&mut Session)], transcript: &str) -> Vec<Event> {
    let mut outcomes = [usize::MAX, 1, 2, 7].map(|chunk| {
        let (mut client, mut events) = (Session::new(setup.clone(), false), Vec::new());
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
fn a_maildrop_is_read_from_a_server_of_1996() {
    let events = play(
        &setup(StartTls::IfOffered),
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
fn commands_go_out_together_where_the_server_allows_it() {
    let events = play(
        &setup(StartTls::Never),
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
        S: -ERR no such message
        S: +OK
        ",
    );
    let refused = Event::Refused { command: "RETR 9".to_owned(), text: "no such message".to_owned() };
    let message = Event::Message { number: 1, bytes: Bytes::new() };
    let listing = Event::Listing(vec![entry(1, 2, Some("one"))]);
    assert_eq!(events, [Event::Ready, listing, message, refused, Event::Closed]);
}

#[test]
fn tls_comes_before_the_password() {
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
    assert_eq!(play(&setup(StartTls::IfOffered), &[], transcript), [Event::StartTls, Event::Ready]);
    let no_tls = "
        S: +OK
        C: CAPA
        S: +OK
        S: .
        ";
    assert_eq!(play(&setup(StartTls::Required), &[], no_tls), [Event::Failed(Failure::NoTls)]);
}

#[test]
fn a_refused_login_ends_politely() {
    let events = play(
        &setup(StartTls::Never),
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

#[test]
fn a_name_with_a_line_end_is_no_command() {
    let setup = Setup { user: "ann\r\nDELE 1".to_owned(), ..setup(StartTls::Never) };
    let events = play(&setup, &[], "S: +OK\nC: CAPA\nS: -ERR\nC: QUIT\n");
    assert!(matches!(events[..], [Event::LoginRefused(_)]));
}

#[test]
fn what_is_not_pop3_ends_the_session() {
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
        let events = play(&setup(StartTls::Never), &[|client| client.retrieve(1)], transcript);
        assert_eq!(events.last(), Some(&Event::Failed(failure)));
    }
}

#[test]
fn a_server_that_hangs_up_is_a_failure() {
    let mut client = Session::new(setup(StartTls::Never), false);
    client.receive(b"+OK\r\n");
    run(&mut client, &[]);
    client.receive(&[]);
    assert_eq!(run(&mut client, &[]).1, [Event::Failed(Failure::HungUp)]);
    assert!(matches!(client.next(), Next::Close));
}

#[test]
fn the_dialogue_keeps_no_secret() {
    let mut client = Session::new(setup(StartTls::Never), false);
    client.receive(b"+OK\r\n-ERR\r\n+OK\r\n+OK\r\n");
    run(&mut client, &[]);
    let lines = || client.dialogue().unwrap().lines();
    assert!(lines().any(|said| said == (Speaker::Client, "PASS ***")) && lines().all(|(_, line)| line != "PASS pw"));
}

#[test]
fn any_bytes_are_survived() {
    let words: [&[u8]; 8] = [b"+OK\r\n", b"-ERR x\r\n", b".\r\n", b"1 2\r\n", b"PIPELINING\r\n", b"\r", b"\n", b"."];
    let wishes: [fn(&mut Session); 4] =
        [Session::list, |client| client.retrieve(1), |client| client.delete(1), Session::quit];
    for seed in 0..200 {
        let dice = Dice::seeded(seed);
        let mut client = Session::new(setup(StartTls::IfOffered), false);
        for _ in 0..300 {
            run(&mut client, &wishes);
            match dice.below(5) {
                0 => client.receive(&[dice.draw() as u8]),
                _ => client.receive(words[dice.below(words.len() as u64) as usize]),
            }
        }
        client.receive(&[]);
        run(&mut client, &[]);
        assert!(matches!(client.next(), Next::Close));
    }
}

/// Both ends with no network between.
#[test]
fn client_and_server_understand_each_other() {
    let letter = Letter::new("Subject: x\r\n\r\n.\r\n..\r\nend without line end".into());
    let server_setup =
        server::Setup { host: "mda.test".to_owned(), starttls: true, nonce: "n".to_owned(), record: false };
    let mut host = server::Session::new(server_setup, false);
    let mut client = Session::new(setup(StartTls::Required), false);
    let wishes: [fn(&mut Session); 4] =
        [Session::list, |client| client.retrieve(1), |client| client.delete(1), Session::quit];
    let (mut events, mut deleted) = (Vec::new(), None);
    for _ in 0..100 {
        match host.next() {
            Next::Send(bytes) => client.receive(&bytes),
            Next::Event(server::Event::StartTls) => host.encrypted(),
            Next::Event(server::Event::Who(_)) => host.secret(Some("pw")),
            Next::Event(server::Event::Open { .. }) => {
                host.opened(Ok(vec![server::Entry { size: letter.len() as u64, uid: "7.1".to_owned() }]));
            }
            Next::Event(server::Event::Retrieve { .. }) => host.message(Ok(&letter)),
            Next::Event(server::Event::Update { deleted: marked }) => {
                deleted = Some(marked);
                host.updated(Ok(()));
            }
            Next::Answer | Next::Read => {
                let (sent, learned) = run(&mut client, &wishes);
                events.extend(learned);
                host.receive(sent.as_bytes());
            }
            Next::Close => break,
        }
    }
    events.extend(run(&mut client, &[]).1);
    assert_eq!(deleted, Some(vec![0]));
    let listing = Event::Listing(vec![entry(1, letter.len() as u64, Some("7.1"))]);
    let bytes = [letter.to_bytes().as_ref(), b"\r\n"].concat().into();
    let message = Event::Message { number: 1, bytes };
    assert_eq!(events, [Event::StartTls, Event::Ready, listing, message, Event::Deleted { number: 1 }, Event::Closed]);
}
