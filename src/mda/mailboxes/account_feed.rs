//! Events of an account for sessions that follow more than the selected mailbox: which mailboxes, names, subscriptions
//! and annotations have changed. RFC 5465 §5.
//!
//! ```text
//! commit 17 --> AccountFeed of the account --> changed   mailbox 3: messages 17, flags 9     one entry per mailbox
//!                                      '--> events    15 a created   16 b subscribed       the oldest are dropped
//! ```
//!
//! Readers know up to which commit they have read, and their session id: a session does not receive its own changes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::watch;

use super::open_mailbox::{Change, ChangeKind};
use super::{Error, Inner, Mailboxes, sqlite};
use crate::catalogue;
use crate::sync::lock;

/// Events kept per account, in bytes: more than one command can cause.
const MAX_RETAINED_BYTES: usize = 128 * 1024;

/// The session that made a change, so that it is not notified of it. Deliveries have no originator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionId(u64);

/// An event of an account other than a change of messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountEvent {
    /// A mailbox was created, deleted or renamed.
    Named {
        /// Its name.
        name: String,
        /// The name before a rename.
        old_name: Option<String>,
    },
    /// A name was subscribed or unsubscribed.
    Subscribed(String),
    /// Annotations were set or removed. RFC 5464 §4.4.2.
    Annotated {
        /// The mailbox; `None` for the account itself.
        mailbox: Option<String>,
        /// The names of the changed entries.
        entries: Vec<String>,
    },
}

/// Everything one commit changed.
#[derive(Default)]
pub(super) struct CommittedChanges {
    pub(super) changes: Vec<Change>,
    /// Events with the id of their account.
    pub(super) events: Vec<(i64, AccountEvent)>,
    /// Changes of the catalogue, besides those of mailboxes.
    pub(super) entries: catalogue::Changes,
}

impl From<Vec<Change>> for CommittedChanges {
    /// Changes of mailboxes only, without other events.
    fn from(changes: Vec<Change>) -> Self {
        Self { changes, ..Self::default() }
    }
}

impl CommittedChanges {
    /// Events of the account with this id for mailboxes that were created or deleted, by their names; without changes
    /// of messages.
    pub(super) fn names(account: i64, names: impl IntoIterator<Item = String>) -> Self {
        let events = names.into_iter().map(|name| (account, AccountEvent::Named { name, old_name: None })).collect();
        Self { events, ..Self::default() }
    }
}

/// The events of one account, kept as long as a session reads them.
#[derive(Debug)]
pub(super) struct AccountFeed {
    state: Mutex<State>,
    last: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    changed: BTreeMap<i64, MailboxMarks>,
    events: VecDeque<(u64, SessionId, Arc<AccountEvent>)>,
    bytes: usize,
    /// Events up to this number may have been dropped.
    dropped: u64,
}

/// When a mailbox last changed.
#[derive(Debug, Default)]
struct MailboxMarks {
    /// Messages were added or expunged.
    messages: ChangeMark,
    flags: ChangeMark,
}

/// The number of the last change, the session that made it, and the last change of another session.
#[derive(Debug, Default)]
struct ChangeMark {
    last: u64,
    by: SessionId,
    other: u64,
}

impl ChangeMark {
    /// Records that the session `by` made the change with this number, the highest so far.
    fn put(&mut self, number: u64, by: SessionId) {
        if by != self.by {
            (self.by, self.other) = (by, self.last);
        }
        self.last = number;
    }

    /// The number of the last change that the session `reader` did not make; 0 if there is none.
    fn last_to(&self, reader: SessionId) -> u64 {
        if self.by == reader { self.other } else { self.last }
    }
}

impl AccountFeed {
    fn new() -> Self {
        Self { state: Mutex::default(), last: watch::Sender::new(0) }
    }

    /// Runs `put` with the state and the number of the new change, one more than that of the last, then wakes the
    /// readers.
    fn put(&self, put: impl FnOnce(&mut State, u64)) {
        let mut state = lock(&self.state);
        state.last += 1;
        let number = state.last;
        put(&mut state, number);
        drop(state);
        self.last.send_replace(number);
    }
}

impl State {
    /// Marks the mailbox of a change with this number, made by the session `by`, as changed, unless the change is
    /// empty; forgets a deleted mailbox.
    fn change(&mut self, change: &Change, number: u64, by: SessionId) {
        let marks = self.changed.entry(change.mailbox).or_default();
        match &change.kind {
            ChangeKind::Added(messages) if !messages.is_empty() => marks.messages.put(number, by),
            ChangeKind::Expunged(uids) if !uids.is_empty() => marks.messages.put(number, by),
            ChangeKind::Flagged(changed) if !changed.is_empty() => marks.flags.put(number, by),
            ChangeKind::Added(_) | ChangeKind::Expunged(_) | ChangeKind::Flagged(_) => {}
            ChangeKind::Gone => drop(self.changed.remove(&change.mailbox)),
        }
    }

    /// Appends an event with this number, caused by the session `by`; drops the oldest events beyond
    /// [`MAX_RETAINED_BYTES`], and notes up to which number, so that readers know what they missed.
    fn add(&mut self, events: AccountEvent, number: u64, by: SessionId) {
        self.bytes += event_bytes(&events);
        self.events.push_back((number, by, events.into()));
        while MAX_RETAINED_BYTES < self.bytes
            && let Some((number, _, events)) = self.events.pop_front()
        {
            self.bytes -= event_bytes(&events);
            self.dropped = number;
        }
    }
}

/// About the memory that an event takes in the feed, in bytes.
fn event_bytes(event: &AccountEvent) -> usize {
    let names = match event {
        AccountEvent::Named { name, old_name } => name.len() + old_name.as_ref().map_or(0, String::len),
        AccountEvent::Subscribed(name) => name.len(),
        AccountEvent::Annotated { mailbox, entries } => {
            mailbox.as_ref().map_or(0, String::len) + entries.iter().map(|entry| entry.len() + 24).sum::<usize>()
        }
    };
    names + 128
}

/// Reads the events of an account.
#[derive(Debug)]
pub struct FeedReader {
    feed: Arc<AccountFeed>,
    read: u64,
    session: SessionId,
}

/// What other sessions have changed since the last read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct FeedUpdate {
    /// Ids of mailboxes where messages were added or expunged.
    pub counted: Vec<u64>,
    /// Ids of mailboxes where flags were changed.
    pub flagged: Vec<u64>,
    /// Other events, in order.
    pub events: Vec<Arc<AccountEvent>>,
    /// Whether the oldest events were dropped before they were read.
    pub missed: bool,
}

impl FeedReader {
    /// A receiver of the number of the last change of the account, which wakes after every change from now on, also
    /// those of this session, which [`Self::read`] leaves out.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.feed.last.subscribe()
    }

    /// Takes what other sessions have changed in the account since the last call, or since [`Mailboxes::follow`]: empty
    /// if nothing; [`FeedUpdate::missed`] if the oldest events were dropped before.
    pub fn read(&mut self) -> FeedUpdate {
        let state = lock(&self.feed.state);
        let (read, session) = (self.read, self.session);
        let changed_by_others = |mark: fn(&MailboxMarks) -> &ChangeMark| {
            let is_new = move |(_, marks): &(&i64, &MailboxMarks)| read < mark(marks).last_to(session);
            state.changed.iter().filter(is_new).map(|(mailbox, _)| *mailbox as u64).collect()
        };
        let first = state.events.partition_point(|(number, ..)| *number <= read);
        let events = state.events.range(first..).filter(|(_, by, _)| *by != session).map(|(.., events)| events.clone());
        let update = FeedUpdate {
            counted: changed_by_others(|marks| &marks.messages),
            flagged: changed_by_others(|marks| &marks.flags),
            events: events.collect(),
            missed: read < state.dropped,
        };
        self.read = state.last;
        update
    }
}

impl Mailboxes {
    /// The same mailboxes for a new session, with a session id of its own: changes made through this handle are not
    /// reported to its own [`FeedReader`].
    pub fn for_session(&self) -> Self {
        let session = SessionId(self.inner.sessions.fetch_add(1, Ordering::Relaxed) + 1);
        Self { session, ..self.clone() }
    }

    /// A reader of what other sessions than that of this handle change in the account with this key, from now on.
    ///
    /// # Errors
    /// The account does not exist, or the store cannot be read.
    pub fn follow(&self, account: &str) -> Result<FeedReader, Error> {
        let found = self.store.read(|connection| sqlite::find_account(connection, account))?;
        let id = found.ok_or_else(|| Error::NoMailbox(account.to_owned()))?;
        let mut feeds = lock(&self.inner.feeds);
        let feed = match feeds.get(&id).and_then(Weak::upgrade) {
            Some(feed) => feed,
            None => {
                let feed = Arc::new(AccountFeed::new());
                feeds.retain(|_, feed| 0 < feed.strong_count());
                feeds.insert(id, Arc::downgrade(&feed));
                feed
            }
        };
        let read = lock(&feed.state).last;
        Ok(FeedReader { feed, read, session: self.session })
    }
}

impl Inner {
    /// Adds what a commit changed to the feeds of its accounts, as made by the session `by`, whose reader leaves it
    /// out; nothing for accounts that no session follows.
    pub(super) fn publish(&self, committed: &CommittedChanges, by: SessionId) {
        let feeds = lock(&self.feeds);
        if feeds.is_empty() {
            return;
        }
        let of = |account: &i64| feeds.get(account).and_then(Weak::upgrade);
        for change in &committed.changes {
            if let Some(feed) = of(&change.account) {
                feed.put(|state, number| state.change(change, number, by));
            }
        }
        for (account, events) in &committed.events {
            if let Some(feed) = of(account) {
                feed.put(|state, number| state.add(events.clone(), number, by));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::imap::{Flags, StoreMode, SystemFlags};
    use crate::mail::Message;
    use crate::mda::SCHEMA;
    use crate::store::Store;
    use crate::world::Clock;

    const ANN: &str = "ann@a.test";

    async fn mailboxes() -> Mailboxes {
        let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
        let mailboxes = Mailboxes::new(Store::in_memory(&[SCHEMA]).unwrap(), clock);
        mailboxes.ensure_account(ANN).await.unwrap();
        mailboxes
    }

    fn named(name: &str, old_name: Option<&str>) -> AccountEvent {
        AccountEvent::Named { name: name.to_owned(), old_name: old_name.map(str::to_owned) }
    }

    #[tokio::test]
    async fn feed_reader_receives_only_changes_of_other_sessions() {
        let all = mailboxes().await;
        let (one, two) = (all.for_session(), all.for_session());
        let (mut first, mut second) = (one.follow(ANN).unwrap(), two.follow(ANN).unwrap());
        let message = Message::new(Bytes::from_static(b"Subject: x\r\n\r\n"));
        let seen = Flags { system: SystemFlags::SEEN, keywords: vec![] };
        all.deliver(ANN, None, &message).await.unwrap();
        one.open(ANN, "INBOX").unwrap().store(vec![1], StoreMode::Add, seen.clone()).await.unwrap();
        one.create(ANN, "a/b").await.unwrap();
        two.rename(ANN, "a", "c").await.unwrap();
        one.subscribe(ANN, "c", true).await.unwrap();
        one.subscribe(ANN, "c", true).await.unwrap();
        let update = first.read();
        assert_eq!((&update.counted[..], &update.flagged[..]), (&[1][..], &[][..]));
        assert_eq!(update.events.iter().map(|events| (**events).clone()).collect::<Vec<_>>(), [named("c", Some("a"))]);
        let update = second.read();
        assert_eq!((&update.counted[..], &update.flagged[..]), (&[1][..], &[1][..]));
        let events = [named("a", None), named("a/b", None), AccountEvent::Subscribed("c".to_owned())];
        assert_eq!(update.events.iter().map(|events| (**events).clone()).collect::<Vec<_>>(), events);
        // A change of one session does not hide an earlier change of another.
        one.open(ANN, "INBOX").unwrap().store(vec![1], StoreMode::Remove, seen).await.unwrap();
        all.deliver(ANN, None, &message).await.unwrap();
        one.open(ANN, "INBOX").unwrap().remove(vec![1]).await.unwrap();
        assert_eq!(first.read(), FeedUpdate { counted: vec![1], ..FeedUpdate::default() });
        assert_eq!(second.read(), FeedUpdate { counted: vec![1], flagged: vec![1], ..FeedUpdate::default() });
        assert_eq!((first.read(), second.read()), (FeedUpdate::default(), FeedUpdate::default()));
    }

    #[tokio::test]
    async fn feed_skips_commands_without_effect_and_deleted_mailboxes() {
        let all = mailboxes().await;
        let mut reader = all.for_session().follow(ANN).unwrap();
        let flags = Flags { system: SystemFlags::SEEN, keywords: vec![] };
        let sent = all.open(ANN, "Sent").unwrap();
        sent.store(vec![1, 2], StoreMode::Add, flags).await.unwrap();
        assert_eq!(sent.expunge(None).await.unwrap(), Vec::<u32>::new());
        all.create_for("bob@a.test", "not of ann", &[]).await.unwrap();
        assert_eq!(reader.read(), FeedUpdate::default());
        all.append(ANN, "Sent", vec![]).await.unwrap();
        let message = Message::new(Bytes::from_static(b"Subject: x\r\n\r\n"));
        all.deliver(ANN, Some("sent"), &message).await.unwrap();
        all.delete(ANN, "Sent").await.unwrap();
        let update = reader.read();
        assert_eq!((update.counted.len(), update.events.len()), (0, 1));
    }

    #[tokio::test]
    async fn feed_reader_that_falls_behind_loses_the_oldest_events_and_is_told_so() {
        let all = mailboxes().await;
        let mut reader = all.for_session().follow(ANN).unwrap();
        let name = "x".repeat(200);
        for _ in 0..MAX_RETAINED_BYTES / 328 {
            all.subscribe(ANN, &name, true).await.unwrap();
            all.subscribe(ANN, &name, false).await.unwrap();
        }
        let update = reader.read();
        assert!(update.missed && update.events.len() == MAX_RETAINED_BYTES / 328, "{}", update.events.len());
        all.subscribe(ANN, &name, true).await.unwrap();
        let update = reader.read();
        assert!(!update.missed && update.events.len() == 1);
    }
}
