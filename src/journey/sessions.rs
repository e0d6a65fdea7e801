//! The conversations at the doors of the world, those that go on and the latest that ended, bounded in number and memory.
//!
//! ```text
//!  connection ──▶ Recorder ──▶ open ── the last Recorder goes ──▶ ended ──▶ the oldest are dropped
//!                                └────────────────┬────────────────┘
//!                                            page, session
//! ```

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use jiff::Timestamp;
use tokio::sync::watch;

use super::Protocol;
use super::session::{Outcome, Recorder, Recording, Session};
use crate::mail::JourneyId;
use crate::sync::{beside_others, lock};
use crate::world::{Clock, Role, World};

/// Conversations that ended; beyond it, the oldest are dropped.
const MAX_SESSIONS: usize = 20_000;
/// The memory of all conversations: beyond it, the oldest that ended are dropped, and then nothing more is noted.
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// Search of conversations beside other tasks counts so many bytes for each.
const SEARCHED_BYTES: usize = 1024;

/// The conversations of a process. Cheap to clone.
#[derive(Clone)]
pub struct Sessions(Arc<Inner>);

struct Inner {
    clock: Clock,
    is_noting: bool,
    next_id: AtomicU64,
    bytes: AtomicUsize,
    kept: Mutex<Kept>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Kept {
    open: BTreeMap<u64, Weak<Recording>>,
    ended: BTreeMap<u64, Arc<Session>>,
    /// How many ended, in all and with each outcome.
    counts: BTreeMap<(Protocol, Option<Outcome>), u64>,
}

impl Kept {
    /// Drops the oldest conversation that ended, and returns its size in bytes; `None` if none has ended.
    fn drop_oldest(&mut self) -> Option<usize> {
        self.ended.pop_first().map(|(_, session)| session.memory_bytes())
    }
}

/// Which conversations are wanted; all that is given must hold.
#[derive(Clone, Debug, Default)]
pub struct SessionFilter {
    /// The protocol.
    pub protocol: Option<Protocol>,
    /// The host that answers.
    pub host: Option<String>,
    /// A part of the client's address, or of its name in EHLO.
    pub client: Option<String>,
    /// A part of the name with which it tried to log in.
    pub login: Option<String>,
    /// What became of it.
    pub outcome: Option<Outcome>,
    /// A message that was accepted or fetched.
    pub journey: Option<JourneyId>,
    /// Whether it goes on.
    pub open: Option<bool>,
    /// A part of what was said, or of the error at the end.
    pub text: Option<String>,
}

impl SessionFilter {
    /// Whether a conversation has all that the filter gives. Texts are compared without regard to the case of ASCII
    /// letters.
    fn matches(&self, session: &Session) -> bool {
        let has = |part: &Option<String>, texts: &[Option<&str>]| {
            let is_in = |part: &String| texts.iter().flatten().any(|text| contains(text, part));
            part.as_ref().is_none_or(is_in)
        };
        let client = session.client.to_string();
        self.protocol.is_none_or(|protocol| protocol == session.protocol)
            && self.host.as_ref().is_none_or(|host| *host == session.host)
            && self.outcome.is_none_or(|outcome| session.outcome.contains(&outcome))
            && self.journey.is_none_or(|journey| session.journeys.contains(&journey))
            && self.open.is_none_or(|open| open == session.ended.is_none())
            && has(&self.client, &[Some(&client), session.hello.as_deref()])
            && has(&self.login, &[session.login.as_deref()])
            && self.text.as_ref().is_none_or(|text| {
                session.dialogue.lines().any(|(_, line, _)| contains(line, text))
                    || session.error.as_ref().is_some_and(|error| contains(error, text))
            })
    }
}

/// Whether `part` is in `text`, without regard to the case of ASCII letters.
fn contains(text: &str, part: &str) -> bool {
    let (text, part) = (text.as_bytes(), part.as_bytes());
    part.is_empty() || text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}

/// Some conversations of a list.
#[derive(Debug)]
pub struct SessionPage {
    /// How many match.
    pub total: usize,
    /// Newest first.
    pub sessions: Vec<Arc<Session>>,
    /// What to ask for as `before` to get the next ones, if there are more.
    pub next: Option<u64>,
}

impl Sessions {
    /// An empty list, which notes conversations if `is_noting`.
    pub(super) fn new(clock: Clock, is_noting: bool) -> Self {
        // Numbers of an earlier process are lower: it had not so many as microseconds. JSON keeps 53 bits.
        let first = u64::try_from(clock.now().as_microsecond()).unwrap_or_default();
        Self(Arc::new(Inner {
            clock,
            is_noting,
            next_id: AtomicU64::new(first),
            bytes: AtomicUsize::new(0),
            kept: Mutex::default(),
            changes: watch::Sender::new(0),
        }))
    }

    /// Begins a conversation of a host with a client at this address, adds it to the open ones, and returns its
    /// recorder. If the client is an MTA, MDA or name server of the world, or nothing is noted, the recorder does
    /// nothing.
    pub fn begin(&self, world: &World, protocol: Protocol, host: &str, client: IpAddr) -> Recorder {
        let is_at_door = world.host_at(client).is_none_or(|host| matches!(host.role, Role::Mua));
        if !self.0.is_noting || !is_at_door {
            return Recorder::default();
        }
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        let session = Session::new(id, (protocol, host, client), self.now());
        let bytes = session.memory_bytes();
        let recording = Arc::new(Recording { sessions: self.clone(), id, session: Mutex::new(session) });
        lock(&self.0.kept).open.insert(id, Arc::downgrade(&recording));
        self.changed(0, bytes);
        Recorder::new(recording)
    }

    /// The time of the clock of the event log.
    pub(super) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Whether there is memory for more lines: all conversations take less than [`MAX_BYTES`].
    pub(super) fn has_room(&self) -> bool {
        self.0.bytes.load(Ordering::Relaxed) < MAX_BYTES
    }

    /// Accounts for a changed conversation, whose size was `before` and is `after`: drops the oldest ended ones if
    /// all are too large, and notifies [`Sessions::changes`].
    pub(super) fn changed(&self, before: usize, after: usize) {
        let total = self.0.bytes.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
        if MAX_BYTES <= total {
            self.make_room();
        }
        if self.0.changes.receiver_count() != 0 {
            self.0.changes.send_modify(|count| *count += 1);
        }
    }

    /// Drops the oldest conversations that ended, until all are below [`MAX_BYTES`], or none that ended is left.
    fn make_room(&self) {
        let mut kept = lock(&self.0.kept);
        while MAX_BYTES <= self.0.bytes.load(Ordering::Relaxed)
            && let Some(bytes) = kept.drop_oldest()
        {
            self.0.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Moves a conversation that ended from the open to the ended ones, counts it by its outcomes, and drops the oldest
    /// beyond [`MAX_SESSIONS`]. `before` was its size before the end.
    pub(super) fn close(&self, session: Session, before: usize) {
        let after = session.memory_bytes();
        {
            let mut kept = lock(&self.0.kept);
            kept.open.remove(&session.id);
            let outcomes = session.outcome.iter().copied().map(Some).chain([None]);
            outcomes.for_each(|outcome| *kept.counts.entry((session.protocol, outcome)).or_default() += 1);
            kept.ended.insert(session.id, Arc::new(session));
            if MAX_SESSIONS < kept.ended.len()
                && let Some(bytes) = kept.drop_oldest()
            {
                self.0.bytes.fetch_sub(bytes, Ordering::Relaxed);
            }
        }
        self.changed(before, after);
    }

    /// A receiver that is notified of each change of a conversation from now on; its value means nothing.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// How many conversations go on.
    pub fn open_count(&self) -> usize {
        lock(&self.0.kept).open.len()
    }

    /// How many conversations of each protocol ended since the start: with each outcome, and in all (`None`). Those
    /// that were dropped are counted, too.
    pub fn ended_counts(&self) -> BTreeMap<(Protocol, Option<Outcome>), u64> {
        lock(&self.0.kept).counts.clone()
    }

    /// The conversation with this number, as it is now; `None` if there is none, or it was dropped.
    pub fn session(&self, id: u64) -> Option<Arc<Session>> {
        let open = {
            let kept = lock(&self.0.kept);
            if let Some(ended) = kept.ended.get(&id) {
                return Some(ended.clone());
            }
            kept.open.get(&id)?.upgrade()
        };
        match open {
            Some(recording) => Some(Arc::new(lock(&recording.session).clone())),
            // It has ended meanwhile.
            None => lock(&self.0.kept).ended.get(&id).cloned(),
        }
    }

    /// Up to `limit` conversations that match the filter, with numbers below `before` ([`u64::MAX`] for the first
    /// page), newest first, and how many match with any number.
    pub fn page(&self, filter: &SessionFilter, before: u64, limit: usize) -> SessionPage {
        let mut ids: Vec<u64> = {
            let kept = lock(&self.0.kept);
            kept.open.keys().chain(kept.ended.keys()).copied().collect()
        };
        ids.sort_unstable();
        let (mut total, mut sessions) = (0, Vec::new());
        beside_others(ids.len() * SEARCHED_BYTES, || {
            let found = ids.iter().rev().filter_map(|id| self.session(*id));
            for session in found.filter(|session| filter.matches(session)) {
                total += 1;
                if session.id < before && sessions.len() <= limit {
                    sessions.push(session);
                }
            }
        });
        let has_more = limit < sessions.len();
        sessions.truncate(limit);
        let next = sessions.last().filter(|_| has_more).map(|session| session.id);
        SessionPage { total, sessions, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Side;

    fn sessions() -> (Sessions, World) {
        (Sessions::new(Clock::starting_at(Timestamp::UNIX_EPOCH), true), World::journey())
    }

    fn begin((sessions, world): &(Sessions, World), client: [u8; 4]) -> Recorder {
        sessions.begin(world, Protocol::Smtp, "mta-163", client.into())
    }

    fn all(sessions: &Sessions) -> Vec<Arc<Session>> {
        sessions.page(&SessionFilter::default(), u64::MAX, usize::MAX).sessions
    }

    #[tokio::test]
    async fn sessions_beyond_their_number_drop_the_oldest_that_ended() {
        let world = sessions();
        let open = begin(&world, [127, 0, 0, 1]);
        for _ in 0..MAX_SESSIONS + 3 {
            begin(&world, [127, 0, 0, 1]).end(Ok(()));
        }
        let (found, first) = (all(&world.0), open.id().unwrap());
        assert_eq!(found.len(), MAX_SESSIONS + 1);
        assert_eq!((found[MAX_SESSIONS].id, found[MAX_SESSIONS - 1].id), (first, first + 4));
        assert!(world.0.session(first + 1).is_none());
        assert_eq!((world.0.open_count(), found[0].ended.is_some(), found[MAX_SESSIONS].ended), (1, true, None));
    }

    #[tokio::test]
    async fn session_of_imap_that_ends_after_a_line_like_354_did_not_hang_up_in_data() {
        let (sessions, world) = sessions();
        for (protocol, outcome) in [(Protocol::Imap, Outcome::HungUp), (Protocol::Smtp, Outcome::HungUpInData)] {
            let recorder = sessions.begin(&world, protocol, "mta-163", [127, 0, 0, 1].into());
            recorder.note_lines(Side::Server, "354 OK NOOP completed");
            recorder.end(Err(&crate::net::Error::Closed));
            assert_eq!(all(&sessions)[0].outcome, [outcome]);
        }
    }

    #[tokio::test]
    async fn sessions_that_go_on_take_no_more_memory_than_all_may() {
        let world = sessions();
        let line = "x".repeat(299);
        let open: Vec<_> = (0..400).map(|_| begin(&world, [127, 0, 0, 1])).collect();
        for recorder in &open {
            (0..400).for_each(|_| recorder.note_lines(Side::Client, &line));
        }
        let bytes = world.0.0.bytes.load(Ordering::Relaxed);
        assert!((MAX_BYTES..MAX_BYTES + MAX_BYTES / 100).contains(&bytes), "{bytes}");
        let last = world.0.session(open[399].id().unwrap()).unwrap();
        assert_eq!(last.dialogue.lines().count(), 0);
        drop(open);
        // What ended makes room for what comes.
        let next = begin(&world, [127, 0, 0, 1]);
        next.note_lines(Side::Client, &line);
        assert_eq!(world.0.session(next.id().unwrap()).unwrap().dialogue.lines().count(), 1);
        let kept: usize = all(&world.0).iter().map(|session| session.memory_bytes()).sum();
        assert_eq!(world.0.0.bytes.load(Ordering::Relaxed), kept);
    }

    #[tokio::test]
    async fn sessions_are_found_by_what_they_are_and_page_by_page() {
        let world = sessions();
        for number in 0..5 {
            let recorder = begin(&world, [127, 0, 0, number]);
            recorder.hello(&format!("client{number}.test"));
            recorder.note_lines(Side::Server, if number < 3 { "450 4.2.0 Later" } else { "250 OK" });
            recorder.end(Ok(()));
        }
        // A host of the world is no client at a door, but a program of it that sends is.
        let host = world.1.hosts["mta-sina"].addresses[0];
        assert!(!world.0.begin(&world.1, Protocol::Smtp, "mta-163", host).is_noting());
        let mua = world.1.muas().next().unwrap().addresses[0];
        assert!(world.0.begin(&world.1, Protocol::Imap, "mda-163", mua).is_noting());
        let found = |filter: SessionFilter| world.0.page(&filter, u64::MAX, 10).sessions.len();
        let filter = SessionFilter::default();
        assert_eq!(found(SessionFilter { outcome: Some(Outcome::Refused), ..filter.clone() }), 3);
        assert_eq!(found(SessionFilter { outcome: Some(Outcome::BrokenOff), ..filter.clone() }), 1);
        assert_eq!(found(SessionFilter { client: Some("127.0.0.4".to_owned()), ..filter.clone() }), 1);
        assert_eq!(found(SessionFilter { client: Some("CLIENT4".to_owned()), ..filter.clone() }), 1);
        assert_eq!(found(SessionFilter { text: Some("later".to_owned()), ..filter.clone() }), 3);
        assert_eq!(found(SessionFilter { protocol: Some(Protocol::Imap), ..filter.clone() }), 1);
        assert_eq!(found(SessionFilter { host: Some("mta-163".to_owned()), ..filter.clone() }), 5);
        let page = world.0.page(&filter, u64::MAX, 4);
        let rest = world.0.page(&filter, page.next.unwrap(), 4);
        assert_eq!((page.total, page.sessions.len(), rest.sessions.len(), rest.next), (6, 4, 2, None));
        assert_eq!(rest.sessions[1].refusals[0].reply, "450 4.2.0 Later");
    }
}
