//! The mailboxes of all accounts: a tree of names per account, and in each mailbox messages with ascending UIDs.
//!
//! ```text
//! account ann@a.test                     tree.rs      create, delete, rename, subscribe
//!   INBOX      1 2 4 7                   list.rs      list, status
//!   Junk                                 append.rs    delivery, APPEND
//!   Sent       1                         change.rs    flags, copy, move, expunge
//!   Archive                              view.rs      snapshot of one mailbox, from open_mailbox.rs
//!   Archive/2026                         maildrop.rs  the view of POP3
//!                                        entries.rs   the copies of an entry of the catalogue
//!                                        vanished.rs  UIDs of expunged messages
//!                                        counters.rs  counts of a mailbox, in its row
//!                                        memory.rs    what is kept in memory, within one budget
//!                                        summary_cache.rs  envelopes, structures, searched fields, by blocks
//!                                        header_cache.rs   the header fields that clients list, by blocks
//!                                        summaries.rs      computes both before a message is committed
//!                                        read.rs      whole messages
//!                                        metadata.rs  annotations
//!                                        account_feed.rs   events of the account, for sessions that subscribed
//!                                        quota.rs     limits of an account
//!                                        maildir/     synchronises with Maildir folders, for other programs
//!                                        sqlite/      the tables; all else here knows no SQL
//! ```
//!
//! The tables are authoritative. Every change takes the next modification sequence of its mailbox (RFC 7162 §3.1) and
//! stores it on the changed messages; each commit also updates the [`View`] of a mailbox that is in memory. A future
//! here resolves when its change is durable and visible; sessions that wait at [`Mailbox::changes`] wake.

mod account_feed;
mod append;
mod change;
mod counters;
mod entries;
mod error;
mod filed;
mod header_cache;
mod keywords;
mod list;
mod maildir;
mod maildrop;
mod memory;
mod messages;
mod metadata;
mod name;
mod open_mailbox;
mod quota;
mod read;
mod special_use;
mod sqlite;
mod summaries;
mod summary_cache;
mod text_filter;
mod tree;
mod vanished;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::watch;

use crate::catalogue::Catalogue;
use crate::mail::JourneyId;
use crate::store::{self, Store, Transaction};
use crate::world::Clock;
pub use account_feed::{AccountEvent, FeedReader, FeedUpdate, SessionId};
use account_feed::{AccountFeed, CommittedChanges};
pub use append::{AppendMessage, Delivered};
pub use change::Copied;
pub use counters::{Counters, Miscount};
pub use entries::CopyFilter;
pub use error::Error;
pub use filed::{FiledMessage, filed_after};
pub use header_cache::HeaderReader;
pub use keywords::Keywords;
pub use list::{Listed, Status};
pub use maildir::MaildirSync;
pub use maildrop::Maildrop;
pub use memory::MemoryUse;
pub use messages::Messages;
pub(super) use name::{INBOX, is_within};
use open_mailbox::OpenMailbox;
use quota::Quotas;
pub use quota::Usage;
pub use special_use::SpecialUse;
pub use sqlite::SCHEMA;
pub use summary_cache::{CachedSummary, SummaryReader};
pub use text_filter::TextFilter;
pub use view::{Changes, MessageMeta, View};

/// The unique id of a message in its mailbox. RFC 9051 §2.3.1.1.
pub type Uid = u32;

/// All mailboxes of a process. Cheap to clone.
#[derive(Clone)]
pub struct Mailboxes {
    inner: Arc<Inner>,
    /// The store as this host uses it.
    store: Store,
    /// The session that makes the changes.
    session: SessionId,
}

struct Inner {
    clock: Clock,
    /// Hears of changed entries.
    catalogue: Option<Catalogue>,
    /// Mailboxes that a session uses or the memory holds, by id.
    open: Mutex<BTreeMap<i64, Weak<OpenMailbox>>>,
    /// Accounts whose maildrop a POP3 session has locked.
    held: Mutex<BTreeSet<String>>,
    /// What is kept in memory.
    memory: Mutex<memory::MemoryCache>,
    /// Summaries computed last.
    summaries: summaries::Summaries,
    /// Accounts with a quota.
    quotas: Mutex<Quotas>,
    /// The feeds of accounts that a session follows, by id.
    feeds: Mutex<BTreeMap<i64, Weak<AccountFeed>>>,
    /// How many session ids were given out.
    sessions: AtomicU64,
    /// Wakes after each change of a mailbox.
    commits: watch::Sender<maildir::ChangedAccounts>,
}

/// A mailbox. It stays valid when the mailbox is renamed.
#[derive(Clone)]
pub struct Mailbox {
    mailboxes: Mailboxes,
    account: i64,
    shared: Arc<OpenMailbox>,
}

impl Mailboxes {
    /// The mailboxes in a store that was opened with our [`SCHEMA`].
    pub fn new(store: Store, clock: Clock) -> Self {
        Self::with_catalogue(store, clock, None)
    }

    /// The mailboxes in a store that was opened with our [`SCHEMA`]. With a catalogue in the same store, messages that
    /// clients append become entries of it, and delivered messages copies of the entries of their journeys.
    pub fn with_catalogue(store: Store, clock: Clock, catalogue: Option<Catalogue>) -> Self {
        let (open, held, memory, summaries, quotas, feeds, sessions, commits) = Default::default();
        let inner = Inner { clock, catalogue, open, held, memory, summaries, quotas, feeds, sessions, commits };
        Self { inner: Arc::new(inner), store, session: SessionId::default() }
    }

    /// The same mailboxes and session, used through another handle of the same store, such as one with disk faults.
    pub fn with_store(&self, store: Store) -> Self {
        Self { store, ..self.clone() }
    }

    /// The same mailboxes, through a handle of the store whose changes a full disk lets pass: for changes that free
    /// room on the disk, or lead to it.
    fn freeing(&self) -> Self {
        self.with_store(self.store.freeing())
    }

    /// Opens the mailbox of an account key and a name; reads no messages yet.
    ///
    /// # Errors
    /// No mailbox has this name, or the store cannot be read.
    pub fn open(&self, account: &str, name: &str) -> Result<Mailbox, Error> {
        let name = name::canonical(name).map_err(|_| Error::NoMailbox(name.to_owned()))?;
        let found = self.store.read(|connection| sqlite::find(connection, account, &name))?;
        let (account, id) = found.ok_or(Error::NoMailbox(name))?;
        Ok(self.by_id(account, id))
    }

    /// Runs a job in the next commit and waits until it is durable; returns its result. A job that fails changes
    /// nothing. Sessions, feeds and open mailboxes learn nothing of what the job changes.
    async fn write<T, F>(&self, job: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Fn(&Transaction<'_>) -> Result<T, Error> + Send + 'static,
    {
        self.change(move |transaction| Ok((job(transaction)?, CommittedChanges::default()))).await
    }

    /// Runs a job in the next commit and waits until it is durable; a job that fails changes nothing. The job also
    /// returns what it changed: once that is durable, all open mailboxes and the feeds of the accounts are updated,
    /// even if the caller no longer waits.
    async fn change<T, W, F>(&self, job: F) -> Result<T, Error>
    where
        T: Send + 'static,
        W: Into<CommittedChanges> + Send + 'static,
        F: Fn(&Transaction<'_>) -> Result<(T, W), Error> + Send + 'static,
    {
        let (inner, by) = (self.inner.clone(), self.session);
        let publish = move |(value, committed): (T, W)| {
            inner.apply_and_publish(committed.into(), by);
            value
        };
        self.store.write_with(job, publish).await
    }

    /// The time of the world, in seconds since 1970.
    fn now(&self) -> i64 {
        self.inner.clock.now().as_second()
    }
}

impl Mailbox {
    /// Follows the mailbox: the receiver wakes after every change, also those of this session. The value is the last
    /// modification sequence, or `u64::MAX` once the mailbox is deleted. IDLE waits here.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.modseq.subscribe()
    }

    /// The id of the mailbox, which a rename keeps. RFC 8474 §4.
    pub fn id(&self) -> u64 {
        self.shared.id as u64
    }
}

/// What all mailboxes of a store hold at one moment.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// Messages with a journey: account, journey, number of copies.
    pub filed: Vec<(String, JourneyId, u64)>,
    /// Contents of messages that begin with a null Return-Path.
    pub reports: Vec<i64>,
}

/// Reads what all mailboxes of a store hold: the messages with a journey, and the content ids of the messages that
/// begin with a null Return-Path. Journeys that cannot be read are left out.
///
/// # Errors
/// The store cannot be read.
pub fn inventory(store: &Store) -> Result<Inventory, store::Error> {
    store.read(sqlite::inventory)
}

/// The stored spelling of a mailbox name; `None` when the name is not allowed.
pub(super) fn canonical_name(name: &str) -> Option<String> {
    name::canonical(name).ok()
}

#[cfg(test)]
mod entry_tests;
#[cfg(test)]
mod tests;
