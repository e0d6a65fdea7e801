//! Checks the invariants of every run, whatever the scenario: no message is lost, misdelivered or needlessly duplicated,
//! failures are reported once, and nothing leaks.

use std::collections::BTreeMap;

use serde::Serialize;

use super::metrics::Metrics;
use super::progress::JourneyState;
use super::senders::Sent;
use super::timeline::FaultInterval;
use crate::host::Inventory;
use crate::mail::{Address, JourneyId};

/// Violations of one invariant that the report lists; the others are dropped.
const MAX_LISTED: usize = 20;

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The invariant that was broken.
    pub promise: &'static str,
    /// The journey of the message, if one is affected.
    pub journey: Option<JourneyId>,
    /// What was found, in a sentence.
    pub what: String,
}

/// The invariant that no task or store entry remains of mail that is gone.
pub(super) const NOTHING_LEAKS: &str = "nothing leaks";

/// The state at the end of a run.
pub(super) struct Observations<'a> {
    pub(super) sent: &'a [Sent],
    pub(super) state: &'a Metrics,
    pub(super) inventory: &'a Inventory,
    pub(super) faults: &'a [FaultInterval],
}

/// Number of copies by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OutcomeCounts {
    /// Delivered to the mailbox.
    pub delivered: u64,
    /// Failed, with a report to the sender.
    pub bounced: u64,
    /// Still in a queue.
    pub waiting: u64,
    /// Neither in a mailbox nor in a queue, and not reported. Anything but 0 is a defect of this program.
    pub lost: u64,
    /// Additional copies in a mailbox.
    pub duplicates: u64,
}

/// Where the store holds the copies of each journey.
struct CopyLocations {
    /// Number of copies by account.
    filed: BTreeMap<JourneyId, BTreeMap<String, u64>>,
    queued: BTreeMap<(JourneyId, Address), u64>,
}

impl CopyLocations {
    /// Counts the copies of an inventory: those in mailboxes by journey and account, those in queues by journey and
    /// recipient.
    fn of(inventory: &Inventory) -> Self {
        let mut filed: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for (account, journey, count) in &inventory.filed {
            filed.entry(*journey).or_default().insert(account.clone(), *count);
        }
        let mut queued = BTreeMap::new();
        for (_, journey, address) in &inventory.queued {
            *queued.entry((*journey, address.clone())).or_default() += 1;
        }
        Self { filed, queued }
    }
}

impl Observations<'_> {
    /// Checks all invariants; at most [`MAX_LISTED`] violations of each are returned. The outcome counts cover user
    /// messages only, not reports.
    pub(super) fn check(&self) -> (OutcomeCounts, Vec<Violation>) {
        let (mut counts, mut violations, locations) =
            (OutcomeCounts::default(), Vec::new(), CopyLocations::of(self.inventory));
        for (journey, state) in &self.state.journeys {
            self.check_journey(*journey, state, &locations, &mut counts, &mut violations);
        }
        self.check_accounts(&locations, &mut violations);
        self.check_accepted(&mut violations);
        if self.inventory.refcount_errors != 0 {
            let what = format!("{} contents in the store have a wrong reference count", self.inventory.refcount_errors);
            violations.push(Violation { promise: NOTHING_LEAKS, journey: None, what });
        }
        let mut listed: BTreeMap<&str, usize> = BTreeMap::new();
        violations.retain(|violation| {
            let count = listed.entry(violation.promise).or_default();
            *count += 1;
            *count <= MAX_LISTED
        });
        (counts, violations)
    }

    /// Checks the copies of one journey; adds its violations, and the outcomes of a user message to the counts.
    fn check_journey(
        &self,
        journey: JourneyId,
        state: &JourneyState,
        locations: &CopyLocations,
        counts: &mut OutcomeCounts,
        violations: &mut Vec<Violation>,
    ) {
        let mut violated = |promise, what| violations.push(Violation { promise, journey: Some(journey), what });
        let excused = self.is_duplicate_excused(state);
        let about = state.about.and_then(|about| self.state.journeys.get(&about));
        let is_about_report = about.is_some_and(|about| about.null_sender);
        let filed = locations.filed.get(&journey);
        for (recipient, copy) in state.expected_copies() {
            let filed = filed.and_then(|filed| filed.get(&recipient.key())).copied().unwrap_or(0);
            let queued = locations.queued.get(&(journey, recipient.clone())).copied().unwrap_or(0);
            let in_report = || self.inventory.failures.contains(&(journey, recipient.clone()));
            // A failed report is reported to the postmaster at most; a host killed right after that leaves no event.
            let dropped = state.null_sender && (copy.failed != 0 || excused);
            let reported = dropped || copy.reports != 0 || in_report();
            let is_lost = filed == 0 && queued == 0 && !reported;
            if is_lost {
                violated(
                    "nothing is lost",
                    format!("the copy for {recipient} is in no mailbox, no bounce and no queue"),
                );
            }
            if is_about_report && !recipient.is_postmaster() {
                violated("no bounce for a null sender", format!("a report about a report was sent to {recipient}"));
            }
            if 1 < copy.reports && !excused {
                violated("one bounce per failure", format!("{} reports about {recipient}", copy.reports));
            }
            if 1 < filed && !excused {
                let what = format!("{filed} copies for {recipient}, though no reply was lost");
                violated("duplicates only where a reply was lost", what);
            }
            if state.is_user_message() {
                counts.duplicates += filed.saturating_sub(1);
                counts.delivered += u64::from(filed != 0);
                counts.waiting += u64::from(filed == 0 && queued != 0);
                counts.bounced += u64::from(filed == 0 && queued == 0 && reported);
                counts.lost += u64::from(is_lost);
            }
        }
    }

    /// Whether duplicates of a message, and of reports of it, are no violation, as SMTP cannot rule them out: a reply
    /// about it was lost, or a host that had accepted it was stopped afterwards.
    fn is_duplicate_excused(&self, state: &JourneyState) -> bool {
        let stopped = |host: &str, since| {
            let mut stops = self.faults.iter().filter(|fault| fault.stopped.as_deref() == Some(host));
            stops.any(|stop| since <= stop.from)
        };
        state.in_doubt || state.taken.iter().any(|(host, since)| stopped(host, *since))
    }

    /// Adds a violation for each account that holds a message which was not sent to it.
    fn check_accounts(&self, locations: &CopyLocations, violations: &mut Vec<Violation>) {
        for (journey, accounts) in &locations.filed {
            let expected = self.state.journeys.get(journey).map(JourneyState::accounts).unwrap_or_default();
            for account in accounts.keys().filter(|account| !expected.contains(*account)) {
                let what = format!("a copy is in the mailbox of {account}, who is not among the recipients");
                violations.push(Violation { promise: "nothing is misdelivered", journey: Some(*journey), what });
            }
        }
    }

    /// Adds a violation for each message that a provider accepted and that has no journey in the event log.
    fn check_accepted(&self, violations: &mut Vec<Violation>) {
        for journey in self.sent.iter().flat_map(|sent| &sent.journeys) {
            if !self.state.journeys.contains_key(journey) {
                let what = "the sender's provider replied 250, but there is no event of the message".to_owned();
                violations.push(Violation { promise: "nothing is lost", journey: Some(*journey), what });
            }
        }
    }
}
