//! The catalogue: one entry for each message that entered the world at a door, from its `250` on, however many recipients
//! and copies it has.
//!
//! ```text
//!  SMTP, submission, reports ── mta::Queue ──┐ in the commit of the queue entry
//!                                            ├─▶ entry ──▶ indexer ──▶ words, summary
//!  APPEND, import ──────── mda::Mailboxes ───┘ in the commit of the copy
//!                                            ▲
//!  flags, copies, expunges of mailboxes ─────┘ in the commit of the change
//! ```
//!
//! An entry holds its content until it is deleted, or until the last of its copies is expunged. Words are indexed off the path
//! of the reply, and before a search looks for them.

mod indexer;
mod octets;
mod parts;
mod search;
mod sqlite;
mod summary;
mod thread;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::{Mutex, broadcast};

use crate::mail::{Address, JourneyId, Message, ReversePath};
use crate::store::{Error, Store};
pub use parts::{Part, Placement, parts};
pub use search::{Filter, Search, read_time};
pub use sqlite::{
    Expected, SCHEMA, append, expect_seen, expect_tags, find_expected, forget_address, insert, is_listed_only_under,
    list_under, remove, set_state, set_tags,
};
pub use summary::{Summary, SummaryAddress, addresses};

/// Changes that a slow receiver may be behind; one that is further behind gets an error for those that it missed.
const EVENT_BUFFER: usize = 1024;
/// Messages of a thread.
const MAX_THREAD: usize = 200;

/// A message that enters the world.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Its journey, whose id is that of the entry.
    pub journey: JourneyId,
    /// `MAIL FROM`.
    pub reverse_path: ReversePath,
    /// `RCPT TO`.
    pub recipients: Vec<Address>,
    /// The keys of the addresses under which it is listed.
    pub addresses: BTreeSet<String>,
    /// The user who sent it, if one logged in.
    pub login: Option<String>,
    /// The message as it was accepted.
    pub message: Message,
    /// When that was.
    pub arrived: Timestamp,
}

/// One message of the catalogue.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its number in the order of acceptance.
    pub number: i64,
    /// Its id, that of the journey.
    pub id: JourneyId,
    content: i64,
    trace: Bytes,
    /// When it was accepted.
    pub arrived: Timestamp,
    /// `MAIL FROM`.
    pub reverse_path: ReversePath,
    /// `RCPT TO`; empty for what was appended to a mailbox.
    pub recipients: Vec<Address>,
    /// The user who sent it, if one logged in.
    pub login: Option<String>,
    /// Size in bytes, as accepted.
    pub size: u64,
    /// Whether a copy lacks `\Seen`; without copies, whether it was never read over HTTP.
    pub is_unread: bool,
    /// The keywords of its copies, as tags, sorted.
    pub tags: Vec<String>,
    summary: Option<Summary>,
}

/// Some entries of a list or a search, newest first.
#[derive(Clone, Debug)]
pub struct Page {
    /// How many match.
    pub matches: u64,
    /// How many of these are unread.
    pub unread: u64,
    /// The entries of this page.
    pub entries: Vec<Entry>,
}

/// Which part of a list or a search.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Only entries with a lower number; [`i64::MAX`] for all.
    pub below: i64,
    /// How many of them to skip.
    pub skip: usize,
    /// The most entries.
    pub limit: usize,
}

/// Counts of a catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Messages that were ever accepted.
    pub accepted: u64,
    /// The bytes of those that are there.
    pub size: u64,
}

/// What a commit changed in the catalogue.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// New entries.
    pub added: BTreeSet<i64>,
    /// Entries with another read state or other tags.
    pub changed: BTreeSet<i64>,
    /// Entries that are gone.
    pub deleted: BTreeSet<JourneyId>,
}

impl Changes {
    /// Adds the changes of `other`.
    pub fn extend(&mut self, other: Self) {
        self.added.extend(other.added);
        self.changed.extend(other.changed);
        self.deleted.extend(other.deleted);
    }

    /// Returns whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.deleted.is_empty()
    }
}

/// The catalogue of a process. Cheap to clone.
#[derive(Clone)]
pub struct Catalogue {
    store: Store,
    changes: broadcast::Sender<Arc<Changes>>,
    /// One task at a time indexes.
    indexing: Arc<Mutex<()>>,
}

impl Catalogue {
    /// Opens the catalogue in a store that was opened with [`SCHEMA`] among its schemas.
    pub fn new(store: Store) -> Self {
        Self { store, changes: broadcast::Sender::new(EVENT_BUFFER), indexing: Arc::default() }
    }

    /// Sends what a commit changed to all receivers of [`Catalogue::changes`]; to be called after the commit. Nothing
    /// is sent if nothing changed.
    pub fn publish(&self, changes: Changes) {
        if !changes.is_empty() {
            // It fails only without readers.
            let _ = self.changes.send(Arc::new(changes));
        }
    }

    /// Returns a receiver of the changes that are published from now on. A receiver that is more than 1024 commits
    /// behind misses the oldest of them.
    pub fn changes(&self) -> broadcast::Receiver<Arc<Changes>> {
        self.changes.subscribe()
    }

    /// Returns the entries in the window that match, newest first, with the counts of all entries that match, those
    /// outside of the window included. New entries are indexed first if the search has words, or asks for attachments
    /// or inline parts.
    ///
    /// # Errors
    /// The store cannot be read, or words cannot be indexed.
    pub async fn page(&self, filter: &Filter, window: Window) -> Result<Page, Error> {
        if filter.search.has_summary_terms() {
            self.index().await?;
        }
        let (counts, entries) = self.store.read(|connection| {
            Ok::<_, Error>((sqlite::count(connection, filter)?, sqlite::page(connection, filter, window)?))
        })?;
        Ok(Page { matches: counts.0, unread: counts.1, entries })
    }

    /// Returns the newest entry that matches; `None` if there is none. New entries are indexed first if the search has
    /// words, or asks for attachments or inline parts.
    ///
    /// # Errors
    /// As for [`Catalogue::page`].
    pub async fn newest(&self, filter: &Filter) -> Result<Option<Entry>, Error> {
        if filter.search.has_summary_terms() {
            self.index().await?;
        }
        let window = Window { below: i64::MAX, skip: 0, limit: 1 };
        Ok(self.store.read(|connection| sqlite::page(connection, filter, window))?.pop())
    }

    /// Returns the numbers of the entries in the window that match, newest first. New entries are indexed first if the
    /// search has words, or asks for attachments or inline parts.
    ///
    /// # Errors
    /// As for [`Catalogue::page`].
    pub async fn numbers(&self, filter: &Filter, window: Window) -> Result<Vec<i64>, Error> {
        if filter.search.has_summary_terms() {
            self.index().await?;
        }
        self.store.read(|connection| sqlite::numbers(connection, filter, window))
    }

    /// Returns how many entries match, and how many of these are unread. Nothing is indexed first: a search for words,
    /// attachments or inline parts misses new entries.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn count(&self, filter: &Filter) -> Result<(u64, u64), Error> {
        self.store.read(|connection| sqlite::count(connection, filter))
    }

    /// Returns the entry with this id; `None` if there is none.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn find(&self, id: JourneyId) -> Result<Option<Entry>, Error> {
        self.store.read(|connection| sqlite::find(connection, id))
    }

    /// Returns the entry with this number; `None` if there is none.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn entry(&self, number: i64) -> Result<Option<Entry>, Error> {
        self.store.read(|connection| sqlite::entry(connection, number))
    }

    /// Returns the messages of the thread of an entry, itself among them, oldest first, at most 200; new entries are
    /// indexed first. Entries that were deleted are left out.
    ///
    /// # Errors
    /// The store cannot be read, or words cannot be indexed.
    pub async fn thread(&self, entry: &Entry) -> Result<Vec<Entry>, Error> {
        self.index().await?;
        self.store.read(|connection| sqlite::thread(connection, entry.number, MAX_THREAD))
    }

    /// Returns all tags in use, sorted without regard to case, each with the number of its entries; those that differ
    /// only in case are one.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn tags(&self) -> Result<Vec<(String, u64)>, Error> {
        self.store.read(sqlite::tags)
    }

    /// Returns how many messages were ever accepted, deleted ones included, and the bytes of those that are there.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn totals(&self) -> Result<Totals, Error> {
        self.store.read(sqlite::totals)
    }

    /// Returns the message of an entry: its trace lines, and its content, which is read from the store.
    ///
    /// # Errors
    /// It was deleted, or its content is damaged.
    pub fn message(&self, entry: &Entry) -> Result<Message, Error> {
        Ok(Message { trace: entry.trace.clone(), content: self.store.get(entry.content)? })
    }

    /// Returns the summary of an entry; if it was not indexed when the entry was read, computes it from the message,
    /// and does not store it.
    ///
    /// # Errors
    /// As for [`Catalogue::message`].
    pub fn summary(&self, entry: &Entry) -> Result<Summary, Error> {
        match &entry.summary {
            Some(summary) => Ok(summary.clone()),
            None => Ok(Summary::of(&self.message(entry)?, &entry.reverse_path, &entry.recipients).0),
        }
    }
}

#[cfg(test)]
mod tests;
