//! What a sender's program does: it submits what is written, one after the other, and tries again until its provider
//! takes it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::host::Running;
use crate::mail::{Address, Body, Envelope, JourneyId, Letter, QueueId};
use crate::mua::{Desk, Error, Login, Security, Server, Submitter, Verdict};
use crate::world::port;

/// An open connection waits so long for the next message.
const IDLE: Duration = Duration::from_secs(20);
/// The wait after a failure; doubled each time.
const WAIT: Duration = Duration::from_secs(60);
/// It never grows beyond this.
const WAIT_MAX: Duration = Duration::from_secs(1800);

/// A message that somebody wrote.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) from: Address,
    pub(super) to: Vec<Address>,
    pub(super) message: Bytes,
}

/// What became of it at the sender's provider.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// The journeys on which it went: several, when the provider's word was lost and it was sent again.
    pub(super) journeys: Vec<JourneyId>,
    /// Why the provider refused it for good.
    pub(super) refused: Option<String>,
    /// Attempts whose outcome the sender never heard.
    pub(super) doubts: u32,
}

/// Everything that was written. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Ledger(Arc<Mutex<Book>>);

#[derive(Default)]
struct Book {
    sent: Vec<Sent>,
    /// Not yet with a provider.
    pending: usize,
}

impl Ledger {
    fn open(&self) -> usize {
        let mut book = self.book();
        book.pending += 1;
        book.sent.push(Sent { journeys: Vec::new(), refused: None, doubts: 0 });
        book.sent.len() - 1
    }

    fn note(&self, place: usize, outcome: &Outcome) {
        let mut book = self.book();
        let Some(sent) = book.sent.get_mut(place) else { return };
        match outcome {
            Outcome::Taken(journey) => sent.journeys.extend(*journey),
            Outcome::Refused(why) => sent.refused = Some(why.clone()),
            Outcome::InDoubt => sent.doubts += 1,
            Outcome::Later => {}
        }
        if outcome.is_final() {
            book.pending -= 1;
        }
    }

    /// Messages that no provider has taken or refused yet.
    pub(super) fn pending(&self) -> usize {
        self.book().pending
    }

    pub(super) fn len(&self) -> usize {
        self.book().sent.len()
    }

    pub(super) fn take(&self) -> Vec<Sent> {
        std::mem::take(&mut self.book().sent)
    }

    /// A panic elsewhere does not make the book wrong: each change to it is whole.
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Outcome {
    /// The provider has it, under this journey if it said one.
    Taken(Option<JourneyId>),
    /// The provider will never take it.
    Refused(String),
    /// It may have it.
    InDoubt,
    /// It does not have it now.
    Later,
}

impl Outcome {
    fn is_final(&self) -> bool {
        matches!(self, Self::Taken(_) | Self::Refused(_))
    }
}

/// The outboxes of all senders.
pub(super) struct Outboxes {
    running: Arc<Running>,
    ledger: Ledger,
    /// Where all sit: its TLS sessions are resumed.
    desk: Desk,
    boxes: Mutex<BTreeMap<Address, mpsc::UnboundedSender<(usize, Written)>>>,
}

impl Outboxes {
    /// # Errors
    /// The world has no MUA.
    pub(super) fn new(running: Arc<Running>, ledger: Ledger) -> Result<Self, crate::host::Error> {
        let (desk, _) = running.ground.desk()?;
        Ok(Self { running, ledger, desk, boxes: Mutex::default() })
    }

    /// Puts a message into its sender's outbox.
    pub(super) fn post(&self, written: Written) {
        let place = self.ledger.open();
        let mut boxes = self.boxes.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = boxes.entry(written.from.clone()).or_insert_with(|| {
            let (sender, receiver) = mpsc::unbounded_channel();
            let (running, ledger, desk) = (self.running.clone(), self.ledger.clone(), self.desk.clone());
            let outbox = Outbox { running, ledger, desk };
            tokio::spawn(outbox.work(written.from.clone(), receiver));
            sender
        });
        // The receiver lives as long as this table.
        let _ = sender.send((place, written));
    }
}

struct Outbox {
    running: Arc<Running>,
    ledger: Ledger,
    desk: Desk,
}

impl Outbox {
    async fn work(self, user: Address, mut waiting: mpsc::UnboundedReceiver<(usize, Written)>) {
        let mut line: Option<Submitter> = None;
        loop {
            let next = match line.take() {
                Some(open) => match timeout(IDLE, waiting.recv()).await {
                    Ok(next) => {
                        line = Some(open);
                        next
                    }
                    Err(_) => {
                        open.quit().await;
                        continue;
                    }
                },
                None => waiting.recv().await,
            };
            let Some((place, written)) = next else { return };
            self.submit(&user, &mut line, place, &written).await;
        }
    }

    /// Until the provider takes or refuses it.
    async fn submit(&self, user: &Address, line: &mut Option<Submitter>, place: usize, written: &Written) {
        let mut wait = WAIT;
        loop {
            let outcome = self.attempt(user, line, written).await;
            self.ledger.note(place, &outcome);
            if outcome.is_final() {
                return;
            }
            sleep(wait).await;
            wait = (wait * 2).min(WAIT_MAX);
        }
    }

    async fn attempt(&self, user: &Address, line: &mut Option<Submitter>, written: &Written) -> Outcome {
        let open = match line.take() {
            Some(open) => Some(open),
            None => self.connect(user).await,
        };
        let Some(mut open) = open else { return Outcome::Later };
        let envelope = Envelope {
            reverse_path: Some(written.from.clone()),
            recipients: written.to.iter().cloned().map(Into::into).collect(),
            body: Body::of(&written.message),
            ..Envelope::default()
        };
        match open.submit(envelope, &Letter::new(written.message.clone())).await {
            Ok(verdicts) => {
                *line = Some(open);
                verdict(verdicts)
            }
            // A reply says for sure that the message was not taken; a broken connection does not.
            Err(Error::Refused { .. }) => Outcome::Later,
            Err(_) => Outcome::InDoubt,
        }
    }

    async fn connect(&self, user: &Address) -> Option<Submitter> {
        let world = &self.running.ground.world;
        let provider = world.domain(user.domain())?.mx.first()?;
        let host = world.hosts.get(provider)?;
        let addresses = host.addresses.iter().map(|ip| SocketAddr::new(*ip, port::SUBMISSIONS)).collect();
        let server = Server { name: host.fqdn.clone(), addresses, security: Security::Immediate };
        let password = world.secret(&user.to_string())?.1.to_owned();
        Submitter::connect(&self.desk, &server, Some(&Login { user: user.to_string(), password })).await.ok()
    }
}

/// Refused means that no recipient was taken; a recipient that is refused beside others is told in the verdicts.
fn verdict(verdicts: Vec<Verdict>) -> Outcome {
    let mut outcome = Outcome::Later;
    for verdict in verdicts {
        match verdict {
            Verdict::Accepted(reply) => {
                let words = reply.to_string();
                let id = words.split_ascii_whitespace().find_map(|word| word.parse::<QueueId>().ok());
                return Outcome::Taken(id.map(|id| id.journey));
            }
            Verdict::Refused { reply, .. } if reply.is_permanent() => outcome = Outcome::Refused(reply.to_string()),
            Verdict::Refused { .. } => {}
        }
    }
    outcome
}
