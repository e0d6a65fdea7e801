//! A round trip: sends messages through a running world, follows them, fetches them over POP3 and over IMAP, and
//! compares what came out with what went in.
//!
//! `postroad run` does this live, and tests in virtual time.

mod compare;
mod fetch;
mod send;

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::time::timeout;

use crate::host::{self, Environment};
use crate::journey::{EventLog, Journey, JourneyState, Protocol, Subscription};
use crate::mail::{Address, JourneyId, Transcript};
use crate::mua::{self, Source};

pub use compare::Comparison;
use fetch::Fetched;

/// Messages to send, with sender and recipient.
#[derive(Clone, Debug)]
pub struct Plan {
    /// A user of the world.
    pub from: Address,
    /// A user of the world, or any address in `elsewhere`.
    pub to: Address,
    /// The messages.
    pub sources: Vec<Source>,
    /// How long to wait until all of them have arrived.
    pub timeout: Duration,
}

/// The progress of a round trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// This many messages are submitted.
    Submitted(usize),
    /// This many messages are delivered, or have failed.
    Settled(usize),
    /// This many messages are fetched by this protocol.
    Fetched(Protocol, usize),
}

/// The result for one message.
#[derive(Clone, Debug, Serialize)]
pub struct MessageReport {
    /// The file it came from.
    pub name: String,
    /// Bytes sent.
    pub size: usize,
    /// Whether a lone CR or LF was replaced by a line end before it was sent.
    pub normalized: bool,
    /// Its journey, unless its provider refused it.
    pub journey: Option<JourneyId>,
    /// Why the provider refused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// The comparison of the copy fetched over POP3.
    pub pop3: Comparison,
    /// The comparison of the copy fetched over IMAP.
    pub imap: Comparison,
    /// Its journey, with all events.
    pub history: Option<Journey>,
}

/// The result of a round trip.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The sender.
    pub from: Address,
    /// The recipient.
    pub to: Address,
    /// When the first message was submitted.
    pub began: Timestamp,
    /// The messages, in the order of the plan.
    pub messages: Vec<MessageReport>,
    /// Messages in the maildrop that were not sent by this round trip.
    pub unrelated: usize,
    /// Why no messages were fetched: the recipient has no mailbox, or its server refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unfetched: Option<String>,
    /// The transcripts of the sender and the recipient with their servers.
    #[serde(skip)]
    pub transcripts: Transcripts,
}

/// What the clients of a round trip and their servers said.
#[derive(Clone, Debug, Default)]
pub struct Transcripts {
    /// The sender, on all connections.
    pub sender: Transcript,
    /// The recipient over POP3.
    pub pop3: Transcript,
    /// The recipient over IMAP.
    pub imap: Transcript,
}

/// Why a round trip failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The sender or the recipient could not use their server.
    #[error(transparent)]
    Mua(#[from] mua::Error),
    /// The world has no host to send from.
    #[error(transparent)]
    Host(#[from] host::Error),
    /// A server was not found.
    #[error("{0}")]
    Lookup(String),
    /// No host accepts mail from the sender.
    #[error("no MTA of this world accepts mail from {0}")]
    NoProvider(Address),
    /// The recipient has no mailbox.
    #[error("{0} has no mailbox in this world")]
    NoMailbox(Address),
}

impl MessageReport {
    /// Whether the message arrived exactly once, as its journey says, and its copies fetched over POP3 and over IMAP
    /// are intact.
    pub fn is_intact(&self) -> bool {
        self.pop3 == Comparison::Intact
            && self.imap == Comparison::Intact
            && self.history.as_ref().is_some_and(|history| history.arrived_once())
    }

    /// The time from the submission of the message to its last delivery to a mailbox; recipients without a delivery do
    /// not count. `None` if it was delivered to none, or its journey is not known.
    pub fn took(&self) -> Option<Duration> {
        let history = self.history.as_ref()?;
        let at = history.recipients.values().filter_map(|status| match status {
            crate::journey::RecipientStatus::Delivered { at, .. } => Some(*at),
            _ => None,
        });
        Duration::try_from(at.max()?.duration_since(history.began)).ok()
    }
}

impl Report {
    /// Reads the journeys of all messages anew from the event log; one that it does not know any more is `None` then.
    pub fn refresh(&mut self, event_log: &EventLog) {
        for message in &mut self.messages {
            message.history = message.journey.and_then(|journey| history(event_log, journey));
        }
    }

    /// Whether every message [is intact](MessageReport::is_intact), and there is at least one.
    pub fn is_intact(&self) -> bool {
        !self.messages.is_empty() && self.messages.iter().all(MessageReport::is_intact)
    }
}

/// Runs a round trip: submits all messages, waits until they have arrived or failed, or left the world for an address
/// outside of it, or for the timeout of the plan, fetches the mail of the recipient by both protocols, and compares.
/// `progress` is called as it goes on.
///
/// # Errors
/// The world has no MUA or no MTA for the sender, or the sender's server cannot be reached or refuses the login.
/// Messages that are refused, lost or changed are not errors, but are listed in the report, which also says why none
/// were fetched.
pub async fn run(env: &Environment, plan: Plan, progress: impl Fn(Progress)) -> Result<Report, Error> {
    let events = env.event_log.subscribe_from_now();
    let began = env.clock.now();
    let (submitted, sender) = send::all(env, &plan, &progress).await?;
    let journeys: Vec<_> = submitted.iter().filter_map(|outcome| outcome.as_ref().ok().copied()).collect();
    // What left the world may come back, but not to an address outside of it.
    let has_ended = if env.world.accepts(&plan.to) { JourneyState::has_ended } else { JourneyState::is_settled };
    let _ = timeout(plan.timeout, wait_until(has_ended, &env.event_log, events, &journeys, &progress)).await;
    let (fetched, unfetched) = match fetch::all(env, &plan.to, &progress).await {
        Ok(fetched) => (fetched, None),
        // The journeys show what became of the messages.
        Err(error) => (Fetched::default(), Some(error.to_string())),
    };
    let ((pop3, popped), (imap, fetched)) = (fetched.pop3, fetched.imap);
    let (pop3, imap) = (compare::ReceivedCopies::new(pop3), compare::ReceivedCopies::over_imap(imap));
    let unrelated = pop3.unrelated(&journeys);
    let messages = plan.sources.into_iter().zip(submitted).map(|(source, outcome)| {
        let journey = outcome.as_ref().ok().copied();
        MessageReport {
            size: source.message.len(),
            normalized: source.normalized,
            journey,
            refused: outcome.err(),
            pop3: pop3.compare(journey, &source.message),
            imap: imap.compare(journey, &source.message),
            history: journey.and_then(|journey| history(&env.event_log, journey)),
            name: source.name,
        }
    });
    let messages = messages.collect();
    let transcripts = Transcripts { sender, pop3: popped, imap: fetched };
    Ok(Report { from: plan.from, to: plan.to, began, messages, unrelated, unfetched, transcripts })
}

/// A journey with its events so far; `None` if it is not known, or cannot be read, which is logged.
fn history(event_log: &EventLog, journey: JourneyId) -> Option<Journey> {
    let found = event_log.journey(journey);
    found.inspect_err(|error| tracing::error!(%error, %journey, "cannot read a journey")).ok().flatten()
}

/// Waits until `has_ended` holds for each of these journeys, for as long as that takes. Calls `progress` with the
/// number of those that have ended at the start, and after each batch of `events`, which says for which journeys the
/// state is read anew.
async fn wait_until(
    has_ended: fn(&JourneyState) -> bool,
    event_log: &EventLog,
    mut events: Subscription,
    journeys: &[JourneyId],
    progress: &impl Fn(Progress),
) {
    let mut open: BTreeSet<_> = journeys.iter().copied().collect();
    let mut changed = open.clone();
    loop {
        let is_over =
            |journey: &JourneyId| event_log.journey_state(*journey).ok().flatten().as_ref().is_some_and(has_ended);
        open.retain(|journey| !changed.contains(journey) || !is_over(journey));
        progress(Progress::Settled(journeys.len() - open.len()));
        if open.is_empty() {
            return;
        }
        changed = match events.next().await {
            Ok(events) => events.iter().map(|event| event.journey).collect(),
            Err(_) => open.clone(),
        };
    }
}

#[cfg(test)]
mod tests;
