//! The mailboxes of all accounts: a tree of names for each, and messages under unique ids that only grow.
//!
//! ```text
//! account ann@a.test                     tree.rs      create, delete, rename, subscribe
//!   INBOX      1 2 4 7                   list.rs      list, status
//!   Junk                                 file.rs      deliver, append: the way in
//!   Sent       1                         change.rs    flags, copy, move, expunge
//!   Archive                              view.rs      what a session sees of one mailbox, from shelf.rs
//!   Archive/2026                         maildrop.rs  what POP3 sees of it
//!                                        vanished.rs  what is no longer there
//!                                        index.rs     envelopes, structures, fields to search, in memory
//!                                        summaries.rs works out what these hold
//!                                        read.rs      whole letters; traces.rs has their trace lines at hand
//!                                        metadata.rs  annotations
//!                                        news.rs      what happens in the account, for who follows
//!                                        quota.rs     how much there may be
//!                                        maildir/     the same in folders, for other programs
//! ```
//!
//! The tables are the truth. Every change takes the next number of its mailbox, the modification sequence (RFC 7162
//! §3.1), and leaves it on what it changed; each commit brings its changes to the [`View`] in memory, if anybody looks.
//! A future here resolves when its change is durable and seen; sessions that wait at [`Mailbox::changes`] wake.

mod change;
mod error;
mod file;
mod index;
mod list;
mod maildir;
mod maildrop;
mod messages;
mod metadata;
mod name;
mod news;
mod quota;
mod read;
mod schema;
mod shelf;
mod sieve;
mod special_use;
mod summaries;
mod traces;
mod tree;
mod vanished;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};

use jiff::Timestamp;
use tokio::sync::watch;

use crate::store::{Disk, Store, Transaction};
use crate::world::Clock;
pub use change::Copied;
pub use error::Error;
pub use file::{Brought, Delivered};
pub use index::{Brief, Index};
pub use list::{Listed, Status};
pub use maildir::Keeper;
pub use maildrop::Maildrop;
pub use messages::Messages;
pub(super) use name::is_within;
pub use news::{Author, Heard, News, Reader};
use news::{Bulletin, Told};
use quota::Quotas;
pub use quota::Usage;
pub use schema::SCHEMA;
use shelf::Shelf;
pub use sieve::Sieve;
pub use special_use::SpecialUse;
pub use view::{Changes, Message, View};

/// The unique id of a message in its mailbox. RFC 9051 §2.3.1.1.
pub type Uid = u32;

/// All mailboxes of a process. Cheap to clone.
#[derive(Clone)]
pub struct Mailboxes(Arc<Inner>, Disk, Author);

struct Inner {
    store: Store,
    clock: Clock,
    /// Mailboxes that a session looks at, by id.
    open: Mutex<BTreeMap<i64, Weak<Shelf>>>,
    /// Accounts whose maildrop a POP3 session holds.
    held: Mutex<BTreeSet<String>>,
    /// Summaries in memory.
    blocks: Mutex<index::Blocks>,
    /// Trace lines in memory.
    traces: Mutex<traces::Traces>,
    /// Summaries that are worked out.
    summaries: summaries::Summaries,
    /// Accounts that may not hold everything.
    quotas: Mutex<Quotas>,
    /// What happens in accounts that somebody follows, by id.
    bulletins: Mutex<BTreeMap<i64, Weak<Bulletin>>>,
    /// How many have become somebody.
    authors: AtomicU64,
    /// Wakes after each change of a mailbox.
    commits: watch::Sender<maildir::ChangedAccounts>,
}

/// One mailbox, opened. It stays the same one under another name.
#[derive(Clone)]
pub struct Mailbox {
    mailboxes: Mailboxes,
    account: i64,
    shelf: Arc<Shelf>,
}

impl Mailboxes {
    /// The mailboxes in a store that was opened with our [`SCHEMA`].
    pub fn new(store: Store, clock: Clock) -> Self {
        let (open, held, blocks, traces, summaries, quotas, bulletins, authors, commits) = Default::default();
        let inner = Inner { store, clock, open, held, blocks, traces, summaries, quotas, bulletins, authors, commits };
        Self(Arc::new(inner), Disk::default(), Author::default())
    }

    /// The same mailboxes, as a host with this disk sees them.
    pub fn on(&self, disk: Disk) -> Self {
        Self(self.0.clone(), disk, self.2)
    }

    /// Opens a mailbox of an account.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn open(&self, account: &str, name: &str) -> Result<Mailbox, Error> {
        let name = name::canonical(name)?;
        let found = self.0.store.read(|connection| tree::find(connection, account, &name))?;
        let (account, id) = found.ok_or(Error::NoMailbox(name))?;
        let mut open = lock(&self.0.open);
        if let Some(shelf) = open.get(&id).and_then(Weak::upgrade) {
            return Ok(Mailbox { mailboxes: self.clone(), account, shelf });
        }
        let shelf = Arc::new(Shelf::new(id));
        open.retain(|_, shelf| 0 < shelf.strong_count());
        open.insert(id, Arc::downgrade(&shelf));
        Ok(Mailbox { mailboxes: self.clone(), account, shelf })
    }

    /// Runs a job in the next commit and waits until it is durable. A job that fails changes nothing.
    async fn write<T, F>(&self, job: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, Error> + Send + 'static,
    {
        self.change(move |transaction| Ok((job(transaction)?, Told::default()))).await
    }

    /// The same, with what the job changes in mailboxes: once it is durable, all who look see it, even if the caller
    /// waits no longer.
    async fn change<T, W, F>(&self, job: F) -> Result<T, Error>
    where
        T: Send + 'static,
        W: Into<Told> + Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<(T, W), Error> + Send + 'static,
    {
        let (refuse, refused) = mpsc::channel();
        let job = move |transaction: &Transaction<'_>| {
            job(transaction).map_err(|error| {
                // The receiver waits below, unless its task was dropped.
                let _ = refuse.send(error);
                rusqlite::Error::QueryReturnedNoRows
            })
        };
        let (inner, by) = (self.0.clone(), self.2);
        let tell = move |(value, told): (T, W)| {
            inner.tell(told.into(), by);
            value
        };
        let outcome = self.0.store.on(self.1.clone()).write_then(job, tell).await;
        match refused.try_recv() {
            Ok(error) => Err(error),
            Err(_) => Ok(outcome?),
        }
    }

    fn now(&self) -> i64 {
        self.0.clock.now().as_second()
    }
}

impl Mailbox {
    /// Follows the mailbox: the receiver wakes after every change, also one of our own. IDLE waits here.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shelf.modseq.subscribe()
    }

    /// The same under any name. RFC 8474 §4.
    pub fn id(&self) -> u64 {
        self.shelf.id as u64
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The spelling under which a mailbox of this name is kept; `None` when no mailbox can have it.
pub(super) fn canonical_name(name: &str) -> Option<String> {
    name::canonical(name).ok()
}

/// A date of our tables; what nobody of us wrote reads as the beginning of time.
fn date(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests;
