//! Sending clients: each submits its messages one after the other, and retries until its provider accepts or refuses
//! them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::host::RunningWorld;
use crate::mail::{Address, Body, Envelope, JourneyId, Message, QueueId};
use crate::mua::{ClientContext, Error, Login, Security, Server, Submitter, Verdict};
use crate::sync::lock;
use crate::world::port;

/// How long a connection stays open for the next message.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// The delay after the first failure; each further failure doubles it.
const RETRY_DELAY: Duration = Duration::from_secs(60);
/// The longest delay between two attempts.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(1800);

/// A message to be submitted.
#[derive(Clone, Debug)]
pub(super) struct ComposedMessage {
    pub(super) from: Address,
    pub(super) to: Vec<Address>,
    pub(super) message: Bytes,
}

/// The outcome of a message at the sender's provider.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// The journeys it started: several if it was sent again, since a reply of the provider was lost or some recipients
    /// were refused for now.
    pub(super) journeys: Vec<JourneyId>,
    /// The reply with which the provider refused it for good, for a recipient at least.
    pub(super) refused: Option<String>,
    /// Attempts without a final reply.
    pub(super) unknown: u32,
}

impl Sent {
    /// Whether the provider refused the message for good, for all recipients.
    pub(super) fn is_refused(&self) -> bool {
        self.refused.is_some() && self.journeys.is_empty()
    }
}

/// All messages of a run and their outcomes. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct SentLog(Arc<Mutex<SentLogState>>);

#[derive(Default)]
struct SentLogState {
    sent: Vec<Sent>,
    /// Messages that no provider has accepted or refused.
    pending: usize,
}

impl SentLog {
    /// Adds a message that is posted now, and counts it as pending; returns its index, for [`Self::record`].
    fn add(&self) -> usize {
        let mut log = self.lock();
        log.pending += 1;
        log.sent.push(Sent { journeys: Vec::new(), refused: None, unknown: 0 });
        log.sent.len() - 1
    }

    /// Adds the outcome of one attempt to the message with this index, which is no longer pending if no recipients
    /// remain.
    fn record(&self, index: usize, outcome: &Outcome) {
        let mut log = self.lock();
        let Some(sent) = log.sent.get_mut(index) else { return };
        sent.journeys.extend(outcome.journey);
        sent.refused = outcome.refused.clone().or(sent.refused.take());
        sent.unknown += u32::from(outcome.is_unknown);
        if outcome.remaining.is_empty() {
            log.pending -= 1;
        }
    }

    /// Number of messages that no provider has accepted or refused yet.
    pub(super) fn pending(&self) -> usize {
        self.lock().pending
    }

    /// Number of messages posted so far.
    pub(super) fn len(&self) -> usize {
        self.lock().sent.len()
    }

    /// Removes all messages and returns them, in the order in which they were posted.
    pub(super) fn take(&self) -> Vec<Sent> {
        std::mem::take(&mut self.lock().sent)
    }

    /// Locks the messages.
    fn lock(&self) -> MutexGuard<'_, SentLogState> {
        lock(&self.0)
    }
}

/// The outcome of one attempt to submit a message.
#[derive(Default)]
struct Outcome {
    /// The journey that it started, if the provider's reply named one.
    journey: Option<JourneyId>,
    /// The reply with which the provider refused a recipient for good.
    refused: Option<String>,
    /// The connection broke: the provider may have accepted it.
    is_unknown: bool,
    /// The recipients for whom the provider neither accepted nor refused it, and to whom it is sent again.
    remaining: Vec<Address>,
}

/// All sending clients of a run.
pub(super) struct Senders {
    running: Arc<RunningWorld>,
    sent_log: SentLog,
    /// Shared by all senders, so that TLS sessions are resumed.
    context: ClientContext,
    channels: Mutex<BTreeMap<Address, mpsc::UnboundedSender<(usize, ComposedMessage)>>>,
}

impl Senders {
    /// Senders whose clients connect from the first MUA host, and which add their messages to `sent_log`.
    ///
    /// # Errors
    /// The world has no MUA.
    pub(super) fn new(running: Arc<RunningWorld>, sent_log: SentLog) -> Result<Self, crate::host::Error> {
        let (context, _) = running.env.client_context()?;
        Ok(Self { running, sent_log, context, channels: Mutex::default() })
    }

    /// Queues a message at its sender, whose client is started by its first message.
    pub(super) fn post(&self, message: ComposedMessage) {
        let index = self.sent_log.add();
        let mut channels = lock(&self.channels);
        let channel = channels.entry(message.from.clone()).or_insert_with(|| {
            let (sender, receiver) = mpsc::unbounded_channel();
            let (running, sent_log, context) = (self.running.clone(), self.sent_log.clone(), self.context.clone());
            let client = Sender { running, sent_log, context };
            tokio::spawn(client.run(message.from.clone(), receiver));
            sender
        });
        // The receiver lives as long as this map.
        let _ = channel.send((index, message));
    }
}

struct Sender {
    running: Arc<RunningWorld>,
    sent_log: SentLog,
    context: ClientContext,
}

impl Sender {
    /// Submits the messages of the queue, one after the other; the connection is closed when none comes for a while.
    async fn run(self, user: Address, mut queue: mpsc::UnboundedReceiver<(usize, ComposedMessage)>) {
        let mut connection: Option<Submitter> = None;
        loop {
            let next = match connection.take() {
                Some(open) => match timeout(IDLE_TIMEOUT, queue.recv()).await {
                    Ok(next) => {
                        connection = Some(open);
                        next
                    }
                    Err(_) => {
                        open.quit().await;
                        continue;
                    }
                },
                None => queue.recv().await,
            };
            let Some((index, message)) = next else { return };
            self.submit(&user, &mut connection, index, &message).await;
        }
    }

    /// Tries until the provider accepts or refuses the message for each recipient, with growing delays, and records the
    /// outcome of each attempt.
    async fn submit(
        &self,
        user: &Address,
        connection: &mut Option<Submitter>,
        index: usize,
        message: &ComposedMessage,
    ) {
        let mut delay = RETRY_DELAY;
        let mut recipients = message.to.clone();
        loop {
            let outcome = self.attempt(user, connection, message, recipients).await;
            self.sent_log.record(index, &outcome);
            if outcome.remaining.is_empty() {
                return;
            }
            recipients = outcome.remaining;
            sleep(delay).await;
            delay = (delay * 2).min(MAX_RETRY_DELAY);
        }
    }

    /// Submits the message once to these recipients, over the open connection or a new one, which stays open only if
    /// there are verdicts. If the connection fails, all recipients remain.
    async fn attempt(
        &self,
        user: &Address,
        connection: &mut Option<Submitter>,
        message: &ComposedMessage,
        recipients: Vec<Address>,
    ) -> Outcome {
        let open = match connection.take() {
            Some(open) => Some(open),
            None => self.connect(user).await,
        };
        let Some(mut open) = open else { return Outcome { remaining: recipients, ..Outcome::default() } };
        let envelope = Envelope {
            reverse_path: Some(message.from.clone()),
            recipients: recipients.iter().cloned().map(Into::into).collect(),
            body: Body::of(&message.message),
            ..Envelope::default()
        };
        match open.submit(envelope, &Message::new(message.message.clone())).await {
            Ok(verdicts) => {
                *connection = Some(open);
                outcome_of(recipients, verdicts)
            }
            // After an error reply, the provider does not have the message; after a broken connection, it may.
            Err(error) => {
                let is_unknown = !matches!(error, Error::Refused { .. });
                Outcome { is_unknown, remaining: recipients, ..Outcome::default() }
            }
        }
    }

    /// Connects to the submission port with TLS of the first MX of the user's domain, and logs in; `None` if that
    /// fails.
    async fn connect(&self, user: &Address) -> Option<Submitter> {
        let world = &self.running.env.world;
        let provider = world.domain(user.domain())?.mx.first()?;
        let host = world.hosts.get(provider)?;
        let addresses = host.addresses.iter().map(|ip| SocketAddr::new(*ip, port::SUBMISSIONS)).collect();
        let server = Server { name: host.fqdn.clone(), addresses, security: Security::Immediate };
        let password = world.secret(&user.to_string())?.1.to_owned();
        Submitter::connect(&self.context, &server, Some(&Login { user: user.to_string(), password })).await.ok()
    }
}

/// Makes the outcome of a transaction with these recipients, whose verdicts are in the same order. Recipients that were
/// refused for now remain in it; of several final refusals the last counts.
fn outcome_of(recipients: Vec<Address>, verdicts: Vec<Verdict>) -> Outcome {
    let mut outcome = Outcome::default();
    for (recipient, verdict) in recipients.into_iter().zip(verdicts) {
        match verdict {
            Verdict::Accepted(reply) => {
                let text = reply.to_string();
                let id = text.split_ascii_whitespace().find_map(|word| word.parse::<QueueId>().ok());
                outcome.journey = id.map(|id| id.journey);
            }
            Verdict::Refused { reply, .. } if reply.is_permanent() => outcome.refused = Some(reply.to_string()),
            Verdict::NotSent(not_sent) if not_sent.is_permanent() => outcome.refused = Some(not_sent.to_string()),
            Verdict::Refused { .. } | Verdict::NotSent(_) => outcome.remaining.push(recipient),
        }
    }
    outcome
}
