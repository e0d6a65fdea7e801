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
//!                                        read.rs      whole letters
//!                                        metadata.rs  annotations
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
mod quota;
mod read;
mod schema;
mod shelf;
mod sieve;
mod special_use;
mod tree;
mod vanished;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};

use jiff::Timestamp;
use tokio::sync::{broadcast, watch};

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
pub use metadata::{Annotated, Annotator};
use quota::Quotas;
pub use quota::Usage;
pub use schema::SCHEMA;
use shelf::{Change, Shelf};
pub use sieve::Sieve;
pub use special_use::SpecialUse;
pub use view::{Changes, Message, View};

/// The unique id of a message in its mailbox. RFC 9051 §2.3.1.1.
pub type Uid = u32;

/// All mailboxes of a process. Cheap to clone.
#[derive(Clone)]
pub struct Mailboxes(Arc<Inner>, Disk);

struct Inner {
    store: Store,
    clock: Clock,
    /// Mailboxes that a session looks at, by id.
    open: Mutex<BTreeMap<i64, Weak<Shelf>>>,
    /// Accounts whose maildrop a POP3 session holds.
    held: Mutex<BTreeSet<String>>,
    /// Summaries in memory.
    blocks: Mutex<index::Blocks>,
    /// Summaries worked out last.
    fresh: Mutex<file::Fresh>,
    /// Accounts that may not hold everything.
    quotas: Mutex<Quotas>,
    /// What was changed of annotations, and who may have done it.
    annotated: broadcast::Sender<Arc<Annotated>>,
    annotators: AtomicU64,
    /// Wakes after each change of a mailbox.
    commits: watch::Sender<u64>,
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
        let (open, held, blocks, fresh, quotas, commits) = Default::default();
        let (annotated, annotators) = (broadcast::Sender::new(metadata::ANNOTATED_MAX), AtomicU64::default());
        let inner = Inner { store, clock, open, held, blocks, fresh, quotas, annotated, annotators, commits };
        Self(Arc::new(inner), Disk::default())
    }

    /// The same mailboxes, as a host with this disk sees them.
    pub fn on(&self, disk: Disk) -> Self {
        Self(self.0.clone(), disk)
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
        self.change(move |transaction| Ok((job(transaction)?, vec![]))).await
    }

    /// The same, with what the job changes in mailboxes: once it is durable, all who look see it, even if the caller
    /// waits no longer.
    async fn change<T, F>(&self, job: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<(T, Vec<Change>), Error> + Send + 'static,
    {
        let (refuse, refused) = mpsc::channel();
        let job = move |transaction: &Transaction<'_>| {
            job(transaction).map_err(|error| {
                // The receiver waits below, unless its task was dropped.
                let _ = refuse.send(error);
                rusqlite::Error::QueryReturnedNoRows
            })
        };
        let inner = self.0.clone();
        let tell = move |(value, changes)| {
            inner.tell(changes);
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

/// A date of our tables; what nobody of us wrote reads as the beginning of time.
fn date(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests;
