//! The driver with a policy that refuses `no…` at RCPT and cannot store messages for `full…`.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::{Client, Config, Policy, Protocol, Resources, Server, storage_failure};
use super::{lmtp, smtp};
use crate::mail::{Envelope, Message, Recipient, ReversePath};
use crate::net::{Authority, Net, Service, Stop, TlsAcceptor, UploadBudget};
use crate::smtp::Reply;
use crate::smtp::reply_faults::{FaultPoint, ReplyFault, ReplyFaults, Rule};
use crate::world::{Clock, Rng};

#[derive(Clone)]
struct Store {
    config: Config,
    tls: TlsAcceptor,
    clock: Clock,
    rng: Rng,
    uploads: UploadBudget,
    /// The recipients of each stored message.
    stored: Arc<Mutex<Vec<String>>>,
}

impl Policy for Store {
    fn resources(&self) -> Resources<'_> {
        let Self { tls, uploads, clock, rng, .. } = self;
        Resources { fqdn: "mx.b.test", tls, uploads, clock: *clock, rng }
    }

    fn config(&self) -> Config {
        self.config.clone()
    }

    fn rcpt(&mut self, _: Client<'_>, _: &ReversePath, recipient: &Recipient) -> Reply {
        match recipient.address.local().starts_with("no") {
            true => Reply::new(550, (5, 1, 1), "Nobody"),
            false => Reply::new(250, (2, 1, 5), "OK"),
        }
    }

    async fn message(&mut self, _: Client<'_>, envelope: Envelope, _: Message) -> Vec<Reply> {
        let names: Vec<_> = envelope.recipients.iter().map(|recipient| recipient.address.local().to_owned()).collect();
        let (full, stored): (Vec<_>, Vec<_>) = names.iter().cloned().partition(|name| name.starts_with("full"));
        self.stored.lock().unwrap().push(stored.join(" "));
        match self.config.protocol {
            Protocol::Lmtp => {
                let reply =
                    |name| if full.contains(name) { storage_failure(true) } else { Reply::plain(250, "Stored") };
                names.iter().map(reply).collect()
            }
            _ => vec![Reply::plain(250, "Queued")],
        }
    }
}

/// What the server replies to a message for these recipients from RCPT on, in codes, and what is stored.
async fn send(config: Config, recipients: &[&str], fault: Option<(FaultPoint, &str, ReplyFault)>) -> (String, String) {
    let (clock, rng) = (Clock::starting_at(jiff::Timestamp::UNIX_EPOCH), Rng::seeded(1));
    let authority = Authority::seeded("test", clock, rng.clone()).unwrap();
    let tls = authority.issue(&["mx.b.test".to_owned()]).unwrap().into();
    let faults = ReplyFaults::default();
    if let Some((point, address_suffix, fault)) = fault {
        faults.inject(Rule {
            point,
            address_suffix: address_suffix.to_owned(),
            probability: 1.0,
            fault,
            rng: rng.clone(),
        });
    }
    let hello = if config.protocol == Protocol::Lmtp { "LHLO a" } else { "EHLO a" };
    let policy = Store { config, tls, clock, rng, uploads: UploadBudget::default(), stored: Arc::default() };
    let stored = policy.stored.clone();
    let (net, server) = (Net::memory(Arc::new(|_, _| Duration::ZERO)), IpAddr::from([192, 0, 2, 1]));
    let mut listener = net.interface(&[server]).listen(25).await.unwrap().remove(0);
    let caller = net.interface(&[[192, 0, 2, 2].into()]);
    let (client, stream) = tokio::join!(caller.connect(SocketAddr::new(server, 25)), listener.accept());
    tokio::spawn(Server::new(policy, faults).serve_connection(stream.unwrap(), Stop::new()));
    let mut client = client.unwrap();
    let recipients: String = recipients.iter().map(|name| format!("RCPT TO:<{name}@b.test>\r\n")).collect();
    let talk = format!("{hello}\r\nMAIL FROM:<me@a.test>\r\n{recipients}DATA\r\nx\r\n.\r\nQUIT\r\n");
    client.write_all(talk.as_bytes()).await.unwrap();
    let mut said = String::new();
    client.read_to_string(&mut said).await.unwrap();
    let last_lines = said.lines().filter(|line| line.as_bytes().get(3) == Some(&b' '));
    let codes: Vec<_> = last_lines.skip(3).map(|line| &line[..3]).collect();
    let stored = stored.lock().unwrap().join(", ");
    (codes.join(" "), stored)
}

#[tokio::test(start_paused = true)]
async fn driver_without_faults_replies_what_the_policy_decides() {
    let said = |codes: &str, stored: &str| (codes.to_owned(), stored.to_owned());
    assert_eq!(send(smtp(), &["a", "no", "c"], None).await, said("250 550 250 354 250 221", "a c"));
    assert_eq!(send(lmtp(), &["a", "full", "c"], None).await, said("250 250 250 354 250 452 250 221", "a c"));
}

/// RFC 2033 §4.2: over LMTP a fault is of one recipient, over SMTP of the message.
#[tokio::test(start_paused = true)]
async fn driver_with_a_fault_at_the_message_overrides_replies_of_its_recipients_only() {
    let later = || ReplyFault::Say(Reply::new(451, (4, 3, 0), "Later"));
    let all = ["a", "b", "full"];
    for (config, point, about, codes, stored) in [
        (lmtp(), FaultPoint::Data, "b@b.test", "250 250 250 354 250 451 452 221", "a"),
        (lmtp(), FaultPoint::Data, "", "250 250 250 354 451 451 451 221", ""),
        (lmtp(), FaultPoint::Stored, "", "250 250 250 354 451 451 452 221", "a b"),
        (smtp(), FaultPoint::Data, "me@a.test", "250 250 250 354 451 221", ""),
        (smtp(), FaultPoint::Stored, "", "250 250 250 354 451 221", "a b"),
        (smtp(), FaultPoint::Rcpt, "b@b.test", "250 451 250 354 250 221", "a"),
    ] {
        let protocol = config.protocol;
        let seen = send(config, &all, Some((point, about, later()))).await;
        assert_eq!(seen, (codes.to_owned(), stored.to_owned()), "{protocol:?} {point:?} {about}");
    }
}

#[tokio::test(start_paused = true)]
async fn driver_with_a_hang_up_after_storing_sends_no_reply() {
    for config in [smtp(), lmtp()] {
        let seen = send(config, &["a"], Some((FaultPoint::Stored, "", ReplyFault::HangUp))).await;
        // The replies to pipelined commands before it were not sent yet.
        assert_eq!(seen, (String::new(), "a".to_owned()));
    }
}
