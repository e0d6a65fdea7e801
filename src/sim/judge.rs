//! What must hold in every run, whatever goes wrong: no scenario has to ask for it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::course::Course;
use super::outbox::Sent;
use super::tally::Notes;
use super::timeline::Happened;
use crate::host::Census;
use crate::mail::{Address, JourneyId};

/// Messages of one kind that a report names; the others are only counted.
const NAMED_MAX: usize = 20;

/// A promise that was broken, and the message that tells of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Which promise.
    pub promise: &'static str,
    /// The journey.
    pub journey: Option<JourneyId>,
    /// In a sentence.
    pub what: String,
}

/// The promise that nothing stays behind of what has come and gone.
pub(super) const NOTHING_LEAKS: &str = "nothing leaks";

/// What a run left behind.
pub(super) struct Evidence<'a> {
    pub(super) sent: &'a [Sent],
    pub(super) notes: &'a Notes,
    pub(super) census: &'a Census,
    pub(super) happened: &'a [Happened],
}

/// Copies by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fates {
    /// In the mailbox.
    pub delivered: u64,
    /// Given up, and the sender was told.
    pub bounced: u64,
    /// In a queue.
    pub waiting: u64,
    /// Nowhere. Always 0, or it is our fault.
    pub lost: u64,
    /// In the mailbox more than once.
    pub duplicates: u64,
}

/// Where the copies of each journey are.
struct Places {
    /// How often, by account.
    filed: BTreeMap<JourneyId, BTreeMap<String, u64>>,
    queued: BTreeMap<(JourneyId, Address), u64>,
}

impl Places {
    fn of(census: &Census) -> Self {
        let mut filed: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for (account, journey, count) in &census.filed {
            filed.entry(*journey).or_default().insert(account.clone(), *count);
        }
        let mut queued = BTreeMap::new();
        for (_, journey, address) in &census.queued {
            *queued.entry((*journey, address.clone())).or_default() += 1;
        }
        Self { filed, queued }
    }
}

impl Evidence<'_> {
    /// Judges; the messages of people count in the fates, reports do not.
    pub(super) fn judge(&self) -> (Fates, Vec<Violation>) {
        let (mut fates, mut violations, places) = (Fates::default(), Vec::new(), Places::of(self.census));
        for (journey, course) in &self.notes.courses {
            self.course(*journey, course, &places, &mut fates, &mut violations);
        }
        self.strangers(&places, &mut violations);
        self.accepted(&mut violations);
        if self.census.leaked != 0 {
            let what = format!("{} contents in the store have a wrong count of uses", self.census.leaked);
            violations.push(Violation { promise: NOTHING_LEAKS, journey: None, what });
        }
        let mut named: BTreeMap<&str, usize> = BTreeMap::new();
        violations.retain(|violation| {
            let count = named.entry(violation.promise).or_default();
            *count += 1;
            *count <= NAMED_MAX
        });
        (fates, violations)
    }

    fn course(
        &self,
        journey: JourneyId,
        course: &Course,
        places: &Places,
        fates: &mut Fates,
        violations: &mut Vec<Violation>,
    ) {
        let mut broken = |promise, what| violations.push(Violation { promise, journey: Some(journey), what });
        let excused = self.is_excused(course);
        let about = course.about.and_then(|about| self.notes.courses.get(&about));
        let is_about_report = about.is_some_and(|about| about.null_sender);
        let filed = places.filed.get(&journey);
        for (recipient, copy) in course.copies.iter().filter(|(_, copy)| !copy.is_led_on) {
            let filed = filed.and_then(|filed| filed.get(&recipient.key())).copied().unwrap_or(0);
            let queued = places.queued.get(&(journey, recipient.clone())).copied().unwrap_or(0);
            let told = || self.census.failures.contains(&(journey, recipient.clone()));
            // Who gives up on a report tells the postmaster at most; one that is killed right after leaves no event.
            let dropped = course.null_sender && (copy.failed != 0 || excused);
            let reported = dropped || copy.reports != 0 || told();
            let is_lost = filed == 0 && queued == 0 && !reported;
            if is_lost {
                broken("nothing is lost", format!("the copy for {recipient} is in no mailbox, no bounce and no queue"));
            }
            if is_about_report && !recipient.is_postmaster() {
                broken("no bounce for a null sender", format!("a report about a report was sent to {recipient}"));
            }
            if 1 < copy.reports && !excused {
                broken("one bounce for one failure", format!("{} reports about {recipient}", copy.reports));
            }
            if 1 < filed && !excused {
                let what = format!("{recipient} has it {filed} times, though no reply was lost");
                broken("duplicates only where a reply was lost", what);
            }
            if course.is_of_people() {
                fates.duplicates += filed.saturating_sub(1);
                fates.delivered += u64::from(filed != 0);
                fates.waiting += u64::from(filed == 0 && queued != 0);
                fates.bounced += u64::from(filed == 0 && queued == 0 && reported);
                fates.lost += u64::from(is_lost);
            }
        }
    }

    /// Whether SMTP could not keep it from arriving twice: a reply was lost, or a host forgot what it had just done.
    fn is_excused(&self, course: &Course) -> bool {
        let died = |host: &str, since| {
            let mut deaths = self.happened.iter().filter(|happened| happened.died.as_deref() == Some(host));
            deaths.any(|death| since <= death.from)
        };
        course.in_doubt || course.taken.iter().any(|(host, since)| died(host, *since))
    }

    /// Nobody has mail that was not for them.
    fn strangers(&self, places: &Places, violations: &mut Vec<Violation>) {
        for (journey, accounts) in &places.filed {
            let theirs = self.notes.courses.get(journey).map(Course::accounts).unwrap_or_default();
            for account in accounts.keys().filter(|account| !theirs.contains(*account)) {
                let what = format!("it is in the mailbox of {account}, to whom nobody sent it");
                violations.push(Violation { promise: "nobody gets others' mail", journey: Some(*journey), what });
            }
        }
    }

    /// What a provider took was heard of by the journal, or there would be nothing to judge.
    fn accepted(&self, violations: &mut Vec<Violation>) {
        for journey in self.sent.iter().flat_map(|sent| &sent.journeys) {
            if !self.notes.courses.contains_key(journey) {
                let what = "the sender's provider said 250, and no more was heard of it".to_owned();
                violations.push(Violation { promise: "nothing is lost", journey: Some(*journey), what });
            }
        }
    }
}
