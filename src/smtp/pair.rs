//! Both ends joined with nothing between: what one sends the other receives, in chunks of a chosen size.

use std::collections::VecDeque;

use bytes::Bytes;

use super::client::{self, Cause, Failure, NotSent, Outcome, Stage, Verdict};
use super::server::{self, Auth, Protocol, Tls};
use super::{BareLineEnds, Reply};
use crate::mail::{Body, Envelope, Message, Notify, Recipient, Return};
use crate::net::{Machine, Next};

/// Nothing here takes more steps.
const STEPS_MAX: usize = 2_000_000;

struct Pair {
    client: client::Session,
    server: server::Session,
    /// Letters still to be sent, first one first.
    messages: VecDeque<(Envelope, Message)>,
    /// The client logs in with this password.
    login: Option<&'static str>,
    /// What arrived.
    arrived: Vec<(Envelope, Bytes)>,
    outcomes: Vec<Outcome>,
    /// Everything else that the client learned.
    learned: Vec<client::Event>,
    /// The server's `with` words when messages arrived.
    with: Vec<String>,
    chunk: usize,
    /// An offer of the server that the client does not get to see.
    hidden: Option<&'static str>,
}

fn server() -> server::Config {
    server::Config { hostname: "mx.b.test".into(), ..server::Config::default() }
}

fn client() -> client::Config {
    client::Config { hello: "a.test".into(), ..client::Config::default() }
}

fn envelope(recipients: &[&str]) -> Envelope {
    Envelope {
        reverse_path: Some("ann@a.test".parse().unwrap()),
        recipients: recipients
            .iter()
            .map(|text| Recipient::from(text.parse::<crate::mail::Address>().unwrap()))
            .collect(),
        ..Envelope::default()
    }
}

fn to_message(message: impl Into<Bytes>) -> Message {
    Message::new(message.into())
}

impl Pair {
    fn new(client: client::Config, server: server::Config) -> Self {
        Self {
            client: client::Session::new(client),
            server: server::Session::new(server, &Reply::plain(220, "mx.b.test ESMTP"), "snonce".into()),
            messages: VecDeque::new(),
            login: None,
            arrived: Vec::new(),
            outcomes: Vec::new(),
            learned: Vec::new(),
            with: Vec::new(),
            chunk: 16 * 1024,
            hidden: None,
        }
    }

    fn with_message(mut self, envelope: Envelope, message: Message) -> Self {
        self.messages.push_back((envelope, message));
        self
    }

    /// Lets both talk until both have closed.
    fn run(mut self) -> Self {
        let (mut to_server, mut to_client) = (VecDeque::new(), VecDeque::new());
        for _ in 0..STEPS_MAX {
            let client_went_on = match self.client.next() {
                Next::Event(event) => self.client_event(event),
                next => pass(&mut self.client, next, &mut to_server, &mut to_client, self.chunk),
            };
            let server_went_on = match self.server.next() {
                Next::Event(event) => self.server_event(event),
                Next::Send(bytes) => {
                    to_client.extend(self.hide(&bytes));
                    true
                }
                next => pass(&mut self.server, next, &mut to_client, &mut to_server, self.chunk),
            };
            if client_went_on || server_went_on {
                continue;
            }
            match (self.client.next(), self.server.next()) {
                (Next::Close, Next::Close) => return self,
                (Next::Read, Next::Close) => self.client.receive(&[]),
                (Next::Close, Next::Read) => self.server.receive(&[]),
                stuck => panic!("they wait for each other: {stuck:?}"),
            }
        }
        panic!("they never stop talking");
    }

    fn client_event(&mut self, event: client::Event) -> bool {
        let wants_tls = self.client.extensions().starttls;
        match event {
            client::Event::Ready if wants_tls => self.client.starttls(),
            client::Event::StartTls => self.client.encrypted(),
            client::Event::Ready => match self.login.take() {
                Some(password) => self.client.authenticate("ann", password),
                None => self.send_next(),
            },
            client::Event::Sent(outcome) => {
                self.outcomes.push(outcome);
                self.send_next();
            }
            event @ client::Event::Failed(_) => self.learned.push(event),
            event => {
                self.learned.push(event);
                self.send_next();
            }
        }
        true
    }

    fn send_next(&mut self) {
        match self.messages.pop_front() {
            Some((envelope, message)) => self.client.send(envelope, &message),
            None => self.client.quit(),
        }
    }

    fn hide(&self, bytes: &[u8]) -> Vec<u8> {
        let text = String::from_utf8(bytes.to_vec()).expect("replies are UTF-8");
        self.hidden.map_or(text.clone(), |offer| text.replace(offer, "X-HIDDEN")).into_bytes()
    }

    /// Users named `no…` do not exist.
    fn server_event(&mut self, event: server::Event) -> bool {
        let ok = || Reply::new(250, (2, 0, 0), "ok");
        match event {
            server::Event::StartTls => self.server.encrypted("TLSv1.3".into()),
            server::Event::NeedSecret(user) => self.server.secret((user == "ann").then_some("pw")),
            server::Event::Rcpt(recipient) if recipient.address.local().starts_with("no") => {
                self.server.answer(Reply::new(550, (5, 1, 1), "no such user"));
            }
            server::Event::Message { envelope, message } => {
                self.with.push(self.server.with_protocol());
                let replies: Vec<_> = envelope.recipients.iter().map(later).collect();
                self.arrived.push((envelope, message.to_bytes()));
                match replies.len() {
                    1 => self.server.answer(replies[0].clone()),
                    _ if self.with.last().is_some_and(|with| with.contains("LMTP")) => {
                        self.server.answer_each(&replies)
                    }
                    _ => self.server.answer(ok()),
                }
            }
            _ => self.server.answer(ok()),
        }
        true
    }

    fn check_intact(self, message: &[u8]) -> Self {
        assert_eq!(self.learned, []);
        assert_eq!(self.arrived.len(), 1);
        assert_eq!(self.arrived[0].1.len(), message.len());
        assert!(self.arrived[0].1 == message, "the message has changed");
        self
    }
}

/// LMTP: users named `full…` have no room.
fn later(recipient: &Recipient) -> Reply {
    match recipient.address.local() {
        "full" => Reply::new(452, (4, 2, 2), "mailbox full"),
        _ => Reply::new(250, (2, 1, 5), "delivered"),
    }
}

/// What [`crate::net::Conn`] does; `false` when this end can do nothing.
fn pass<M: Machine>(
    machine: &mut M,
    next: Next<M::Event>,
    out: &mut VecDeque<u8>,
    input: &mut VecDeque<u8>,
    chunk: usize,
) -> bool {
    match next {
        Next::Send(bytes) => out.extend(bytes),
        Next::Read if !input.is_empty() => {
            let bytes: Vec<u8> = input.drain(..chunk.min(input.len())).collect();
            machine.receive(&bytes);
        }
        _ => return false,
    }
    true
}

fn accepted(outcome: &Outcome) -> Vec<bool> {
    outcome.verdicts.iter().map(|verdict| matches!(verdict, Verdict::Accepted(_))).collect()
}

#[test]
fn message_by_data_or_bdat_arrives_unchanged() {
    let long: Vec<u8> = (0..1 << 20).map(|at: u32| if at % 71 == 70 { b'.' } else { b'x' }).collect();
    let dots = ".\r\n..\r\n.a\r\n".repeat(1000);
    let mut mixed = b"Received: from x\r\n\tby y\r\nSubject: s\r\n\r\n".to_vec();
    mixed.extend_from_slice(&[long, b"\r\n.\r\n\0\r\n".to_vec()].concat());
    for message in [b"".to_vec(), b"\r\n".to_vec(), b".\r\n".to_vec(), dots.into_bytes(), mixed] {
        for chunk in [3, 16 * 1024] {
            for (lmtp, hidden) in [(false, None), (false, Some("CHUNKING")), (true, None), (true, Some("CHUNKING"))] {
                let protocol = if lmtp { Protocol::Lmtp } else { Protocol::Smtp };
                let mut pair = Pair::new(client::Config { lmtp, ..client() }, server::Config { protocol, ..server() });
                (pair.chunk, pair.hidden) = (chunk, hidden);
                pair.with_message(envelope(&["bob@b.test"]), to_message(message.clone())).run().check_intact(&message);
            }
        }
    }
}

/// RFC 3030 §3.
#[test]
fn binary_message_arrives_unchanged_or_is_refused() {
    let message: Vec<u8> = (0..=255_u8).chain(*b"\r\n.\r\n\n.\n\r.\r\0").cycle().take(100_000).collect();
    let sent = Envelope { body: Body::Binary, ..envelope(&["bob@b.test"]) };
    for lmtp in [false, true] {
        let protocol = if lmtp { Protocol::Lmtp } else { Protocol::Smtp };
        let pair = || Pair::new(client::Config { lmtp, ..client() }, server::Config { protocol, ..server() });
        let there = pair().with_message(sent.clone(), to_message(message.clone())).run().check_intact(&message);
        assert_eq!(there.arrived[0].0.body, Body::Binary);
        for hidden in ["CHUNKING", "BINARYMIME"] {
            let mut pair = pair();
            pair.hidden = Some(hidden);
            let pair = pair
                .with_message(sent.clone(), to_message(message.clone()))
                .with_message(sent.clone(), to_message("a\r\n"))
                .run();
            let [Verdict::NotSent(NotSent { status: (5, 6, 1), .. })] = &pair.outcomes[0].verdicts[..] else {
                panic!("{:?}", pair.outcomes[0]);
            };
            assert_eq!((pair.arrived.len(), pair.arrived[0].0.body), (1, Body::EightBit), "what is text can go on");
        }
    }
}

/// Every way to offer less, with the same result.
#[test]
fn message_when_server_lacks_extensions_arrives() {
    for hidden in ["PIPELINING", "CHUNKING", "BINARYMIME", "SIZE", "DSN", "ENHANCEDSTATUSCODES", "8BITMIME", "SMTPUTF8"]
    {
        let mut pair = Pair::new(client(), server());
        pair.hidden = Some(hidden);
        let pair = pair
            .with_message(envelope(&["bob@b.test", "nobody@b.test"]), to_message("a\r\n"))
            .with_message(envelope(&["no@b.test"]), to_message("b\r\n"))
            .with_message(envelope(&["bob@b.test"]), to_message("c\r\n"))
            .run();
        assert_eq!(pair.arrived.iter().map(|(_, data)| data.as_ref()).collect::<Vec<_>>(), [b"a\r\n", b"c\r\n"]);
        assert_eq!(
            pair.outcomes.iter().map(accepted).collect::<Vec<_>>(),
            [vec![true, false], vec![false], vec![true]]
        );
    }
}

#[test]
fn message_without_pipelining_and_chunking_arrives() {
    let mut pair = Pair::new(client(), server::Config { max_message_bytes: 10, ..server() });
    pair.hidden =
        Some("PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n250-DSN\r\n250-CHUNKING");
    let pair = pair
        .with_message(envelope(&["no@b.test"]), to_message("a\r\n"))
        .with_message(envelope(&["bob@b.test"]), to_message(".\r\n"));
    let pair = pair.run();
    assert_eq!(pair.arrived[0].1, ".\r\n");
    assert_eq!(pair.outcomes.iter().map(accepted).collect::<Vec<_>>(), [vec![false], vec![true]]);
}

/// RFC 2033 §4.2.
#[test]
fn lmtp_outcome_has_a_verdict_per_recipient() {
    let pair =
        Pair::new(client::Config { lmtp: true, ..client() }, server::Config { protocol: Protocol::Lmtp, ..server() })
            .with_message(envelope(&["bob@b.test", "no@b.test", "full@b.test", "cat@b.test"]), to_message("a\r\n"))
            .run();
    assert_eq!(accepted(&pair.outcomes[0]), [true, false, false, true]);
    assert!(matches!(&pair.outcomes[0].verdicts[1], Verdict::Refused { stage: Stage::Rcpt, .. }));
    assert!(
        matches!(&pair.outcomes[0].verdicts[2], Verdict::Refused { stage: Stage::Dot, reply } if reply.is_transient())
    );
    assert_eq!(pair.with, ["LMTP"]);
}

/// RFC 4954, RFC 3207, RFC 3848.
#[test]
fn login_under_tls_with_right_password_only_succeeds() {
    for nonce in [None, Some("cnonce".to_owned())] {
        for (password, with) in [("pw", vec!["ESMTPSA"]), ("wrong", vec![])] {
            let extensions = server::Config { tls: Tls::Offered, auth: Auth::Required, ..server() };
            let mut pair = Pair::new(client::Config { nonce: nonce.clone(), ..client() }, extensions);
            pair.login = Some(password);
            let pair = pair.with_message(envelope(&["bob@b.test"]), to_message("a\r\n")).run();
            assert_eq!(pair.with, with);
            assert_eq!(pair.learned.len(), if password == "pw" { 0 } else { 1 }, "{:?}", pair.learned);
        }
    }
}

/// RFC 3461, RFC 6152, RFC 6531.
#[test]
fn envelope_with_all_parameters_arrives_unchanged() {
    let recipient = Recipient {
        address: "\u{4f8b}@b.test".parse().unwrap(),
        notify: Some(Notify { success: true, failure: true, delay: false }),
        orcpt: Some("rfc822;bob+x@b.test".to_owned()),
    };
    let sent = Envelope {
        reverse_path: None,
        recipients: vec![recipient],
        body: Body::EightBit,
        smtputf8: true,
        ret: Some(Return::Headers),
        envid: Some("a b=c".to_owned()),
        require_tls: false,
    };
    let pair = Pair::new(client(), server())
        .with_message(sent.clone(), to_message("Subject: \u{4f8b}\r\n\r\n\u{e9}\r\n"))
        .run();
    assert_eq!(pair.arrived[0].0, sent);
    assert_eq!(pair.with, ["UTF8SMTP"]);
    let mut pair = Pair::new(client(), server());
    pair.hidden = Some("DSN");
    let pair = pair.with_message(sent, to_message("a\r\n")).run();
    assert_eq!((pair.arrived[0].0.ret, &pair.arrived[0].0.recipients[0].orcpt), (None, &None));
}

#[test]
fn message_when_peer_lacks_an_extension_is_not_sent() {
    for (hidden, sender, recipients, message, wanted) in [
        ("SMTPUTF8", "ann@a.test", ["\u{4f8b}@b.test", "bob@b.test"], "a\r\n", [Some((5, 6, 7)), None]),
        ("SMTPUTF8", "\u{e9}@a.test", ["bob@b.test", "cat@b.test"], "a\r\n", [Some((5, 6, 7)); 2]),
        ("8BITMIME", "ann@a.test", ["bob@b.test", "cat@b.test"], "\u{e9}\r\n", [Some((5, 6, 3)); 2]),
        ("NOTHING", "ann@a.test", ["bob@b.test", "cat@b.test"], "0123456789\r\n", [Some((5, 3, 4)); 2]),
        ("NOTHING", "ann@a.test", ["bob@b.test", "cat@b.test"], "a\n.\r\n", [Some((5, 6, 0)); 2]),
    ] {
        let mut pair = Pair::new(client(), server::Config { max_message_bytes: 10, ..server() });
        pair.hidden = Some(hidden);
        let envelope = Envelope { reverse_path: Some(sender.parse().unwrap()), ..envelope(&recipients) };
        let pair = pair.with_message(envelope, to_message(message)).run();
        for (verdict, wanted) in pair.outcomes[0].verdicts.iter().zip(wanted) {
            match (verdict, wanted) {
                (Verdict::Accepted(_), None) => {}
                (Verdict::NotSent(not_sent), Some(status)) => assert_eq!(not_sent.status, status),
                _ => panic!("{verdict:?} is not {wanted:?}"),
            }
        }
    }
}

/// RFC 6531 §3.2: what is ASCII but for its domains goes to a server from before SMTPUTF8, with those in A-labels.
#[test]
fn address_when_peer_lacks_smtputf8_is_sent_in_a_labels() {
    for (hidden, sender, recipient) in [
        ("SMTPUTF8", "ann@xn--bcher-kva.test", "bob@xn--efvx5o.test"),
        ("NOTHING", "ann@b\u{fc}cher.test", "bob@\u{65b0}\u{6d6a}.test"),
    ] {
        let mut pair = Pair::new(client(), server());
        pair.hidden = Some(hidden);
        let sent = Envelope {
            reverse_path: Some("ann@b\u{fc}cher.test".parse().unwrap()),
            smtputf8: true,
            ..envelope(&["bob@\u{65b0}\u{6d6a}.test"])
        };
        let pair = pair.with_message(sent, to_message("a\r\n")).run().check_intact(b"a\r\n");
        let (came, _) = &pair.arrived[0];
        let shown = (came.reverse_path.as_ref().unwrap().to_string(), came.recipients[0].address.to_string());
        assert_eq!(shown, (sender.to_owned(), recipient.to_owned()));
        assert_eq!(came.smtputf8, hidden == "NOTHING");
    }
}

/// Both ends may be told to let bad line ends through; the server still finds the right end.
#[test]
fn bare_line_ends_when_both_ends_keep_them_arrive() {
    let keep = BareLineEnds::Keep;
    for hidden in ["CHUNKING", "NOTHING"] {
        let message = b"a\n.\nb\r.\rc\n.\r\n";
        let mut pair = Pair::new(
            client::Config { bare_line_ends: keep, ..client() },
            server::Config { bare_line_ends: keep, ..server() },
        );
        pair.hidden = Some(hidden);
        pair.with_message(envelope(&["bob@b.test"]), to_message(&message[..])).run().check_intact(message);
    }
}

#[test]
fn bare_line_ends_when_one_end_normalizes_arrive_as_crlf() {
    let (message, mended) = (b"a\n.\nb\r.\rc\n.\r\n", b"a\r\n.\r\nb\r\n.\r\nc\r\n.\r\n");
    for hidden in ["CHUNKING", "NOTHING"] {
        for (ours, theirs) in
            [(BareLineEnds::Normalize, BareLineEnds::Refuse), (BareLineEnds::Keep, BareLineEnds::Normalize)]
        {
            let mut pair = Pair::new(
                client::Config { bare_line_ends: ours, ..client() },
                server::Config { bare_line_ends: theirs, ..server() },
            );
            pair.hidden = Some(hidden);
            pair.with_message(envelope(&["bob@b.test"]), to_message(&message[..])).run().check_intact(mended);
        }
    }
}

#[test]
fn message_with_many_recipients_is_sent_in_groups() {
    let names: Vec<String> =
        (0..230).map(|at| format!("{}{at}@b.test", if at % 3 == 0 { "no" } else { "u" })).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    // RFC 9422 §4.2: who knows the limit keeps to it, in several transactions; who does not hears 452.
    for (hidden, wanted, messages) in
        [("CHUNKING", 153, 3), ("NOTHING", 153, 3), ("PIPELINING", 153, 3), ("LIMITS", 100, 1)]
    {
        let mut pair = Pair::new(client(), server::Config { max_recipients: 100, ..server() });
        pair.hidden = Some(hidden);
        let pair = pair.with_message(envelope(&names), to_message("a\r\n")).run();
        assert_eq!(accepted(&pair.outcomes[0]).iter().filter(|is| **is).count(), wanted, "without {hidden}");
        assert_eq!(pair.arrived.len(), messages);
        assert_eq!(pair.arrived.iter().map(|(envelope, _)| envelope.recipients.len()).sum::<usize>(), wanted);
    }
}

#[test]
fn greeting_when_refused_ends_the_session() {
    let mut pair = Pair::new(client(), server());
    pair.server = server::Session::new(server(), &Reply::plain(554, "no mail here"), "n".into());
    let pair = pair.run();
    let failure =
        Failure { stage: Stage::Greeting, cause: Cause::Refused(Reply::plain(554, "no mail here")), verdicts: vec![] };
    assert_eq!(pair.learned, [client::Event::Failed(failure)]);
}
