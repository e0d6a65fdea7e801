//! A round trip: sends messages through a running world, follows them, fetches them over POP3 and over IMAP, and
//! compares what came out with what went in.
//!
//! The same trip is made live by `postroad run` and in virtual time by tests.

mod compare;
mod fetch;
mod send;

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;

use crate::host::{self, Ground};
use crate::journey::{Audit, Event, Journal, Protocol, Story};
use crate::mail::{Address, Dialogue, JourneyId};
use crate::mua::{self, Source};

pub use compare::Arrival;

/// What to send, from whom, to whom.
#[derive(Clone, Debug)]
pub struct Plan {
    /// A user of the world.
    pub from: Address,
    /// A user of the world, or anybody elsewhere.
    pub to: Address,
    /// The messages.
    pub sources: Vec<Source>,
    /// How long all of them may take to arrive.
    pub patience: Duration,
}

/// How far the trip has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many are submitted.
    Submitted(usize),
    /// So many are in a mailbox, or given up.
    Settled(usize),
    /// So many are fetched by this protocol.
    Fetched(Protocol, usize),
}

/// One message's trip.
#[derive(Clone, Debug, Serialize)]
pub struct Letter {
    /// The file it came from.
    pub name: String,
    /// Octets sent.
    pub size: usize,
    /// Whether a lone CR or LF was made a line end before it was sent.
    pub mended: bool,
    /// Its journey, unless its provider refused it.
    pub journey: Option<JourneyId>,
    /// Why the provider refused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// What came out over POP3.
    pub pop3: Arrival,
    /// What came out over IMAP.
    pub imap: Arrival,
    /// Everything that happened to it.
    pub story: Option<Story>,
}

/// What the trip showed.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// From whom.
    pub from: Address,
    /// To whom.
    pub to: Address,
    /// When the first was submitted.
    pub began: Timestamp,
    /// The messages, in the order in which they were given.
    pub letters: Vec<Letter>,
    /// Messages in the maildrop that this trip did not send.
    pub strangers: usize,
    /// What the sender and the recipient said to their servers.
    #[serde(skip)]
    pub dialogues: Vec<(&'static str, Dialogue)>,
}

/// Why a trip could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The sender or the recipient could not talk to their servers.
    #[error(transparent)]
    Mua(#[from] mua::Error),
    /// The world has no place to send from.
    #[error(transparent)]
    Host(#[from] host::Error),
    /// A server of theirs is not to be found.
    #[error("{0}")]
    Lookup(String),
}

impl Letter {
    /// Whether it arrived, once and intact, by both protocols.
    pub fn is_intact(&self) -> bool {
        self.pop3 == Arrival::Intact
            && self.imap == Arrival::Intact
            && self.story.as_ref().is_some_and(Story::arrived_once)
    }

    /// From its submission to the mailbox.
    pub fn took(&self) -> Option<Duration> {
        let story = self.story.as_ref()?;
        let at = story.recipients.values().filter_map(|fate| match fate {
            crate::journey::Fate::Delivered { at, .. } => Some(*at),
            _ => None,
        });
        Duration::try_from(at.max()?.duration_since(story.began)).ok()
    }
}

impl Report {
    /// Tells the stories again, with what has been heard meanwhile.
    pub fn retell(&mut self, journal: &Journal) {
        let audit = Audit::of(journal.since(0));
        for letter in &mut self.letters {
            letter.story = letter.journey.and_then(|journey| audit.story(journey).cloned());
        }
    }

    /// Whether every message arrived, once and intact, by both protocols.
    pub fn is_intact(&self) -> bool {
        !self.letters.is_empty() && self.letters.iter().all(Letter::is_intact)
    }
}

/// Makes the trip.
///
/// # Errors
/// The provider cannot be reached or refuses the login, or so does the recipient's server. A message that is refused,
/// lost or changed is no error here, but stands in the report.
pub async fn travel(ground: &Ground, plan: Plan, progress: impl Fn(Progress)) -> Result<Report, Error> {
    let events = ground.journal.follow();
    let first = ground.journal.since(0).last().map_or(0, |event| event.seq) + 1;
    let began = ground.clock.now();
    let (submitted, sender) = send::all(ground, &plan, &progress).await?;
    let journeys: Vec<_> = submitted.iter().filter_map(|outcome| outcome.as_ref().ok().copied()).collect();
    let _ = timeout(plan.patience, settle(ground, first, events, &journeys, &progress)).await;
    let (pop3, popped) = fetch::pop3(ground, &plan.to, &progress).await?;
    let imap = fetch::imap(ground, &plan.to, &progress).await?;
    let audit = Audit::of(ground.journal.since(first));
    let (pop3, imap) = (compare::Pile::new(pop3), compare::Pile::new(imap));
    let strangers = pop3.strangers(&journeys);
    let letters = plan.sources.into_iter().zip(submitted).map(|(source, outcome)| {
        let journey = outcome.as_ref().ok().copied();
        Letter {
            size: source.message.len(),
            mended: source.mended,
            journey,
            refused: outcome.err(),
            pop3: pop3.compare(journey, &source.message),
            imap: imap.compare(journey, &source.message),
            story: journey.and_then(|journey| audit.story(journey).cloned()),
            name: source.name,
        }
    });
    let dialogues = vec![("sender", sender), ("recipient, POP3", popped)];
    Ok(Report { from: plan.from, to: plan.to, began, letters: letters.collect(), strangers, dialogues })
}

/// Waits until every journey has ended.
async fn settle(
    ground: &Ground,
    first: u64,
    mut events: broadcast::Receiver<Event>,
    journeys: &[JourneyId],
    progress: &impl Fn(Progress),
) {
    let mut audit = Audit::default();
    loop {
        let settled = journeys.iter().filter(|id| audit.story(**id).is_some_and(Story::is_settled)).count();
        progress(Progress::Settled(settled));
        if settled == journeys.len() {
            return;
        }
        match events.recv().await {
            Ok(event) => audit.note(event),
            // Too many at once: read them from the journal instead.
            Err(RecvError::Lagged(_)) => audit = Audit::of(ground.journal.since(first)),
            Err(RecvError::Closed) => return,
        }
    }
}

#[cfg(test)]
mod tests;
