//! Maildir: the mailboxes of some accounts are also stored as folders, which mutt, Dovecot and others may read and
//! change.
//!
//! ```text
//!   sessions --> tables, the index: UIDs, flags, summaries     DATA/maildir/ann@a.test/cur, new, tmp      INBOX
//!                      |            ^                          DATA/maildir/ann@a.test/.Archive.2026/...
//!                      '-- MaildirSync --'------- file system ------------'
//! ```
//!
//! Changes are carried over in both directions. The last known state of every file is recorded, so it is clear which
//! side changed. The tables are authoritative; a file is written and synced before it is recorded, so a recorded file
//! that is missing later was removed by another program. UIDs come from the tables and are never reused.
//!
//! | tables | recorded | file | action |
//! |---|---|---|---|
//! | message | no | no | write the file |
//! | message | yes | the recorded flags | rename the file if the flags in the tables differ |
//! | message | yes | other flags | take over the flags of the file |
//! | message | yes | no | expunge the message |
//! | none | yes | any | remove the file |
//! | none | no | yes | add the message under a new UID |

mod files;
mod folder;
mod merge;
mod names;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::{Error, Mailboxes, sqlite};
use crate::net::Stop;
pub(super) use merge::KnownFile;
pub(super) use tree::KnownFolder;

/// The interval between two scans of the folders.
const SCAN_INTERVAL: Duration = Duration::from_millis(250);
/// A directory modified within this time before a scan is scanned again, because its mtime may not change with the next
/// write.
const RECENT_CHANGE: Duration = Duration::from_millis(100);

/// Synchronises mailboxes with Maildir folders.
pub struct MaildirSync {
    mailboxes: Mailboxes,
    root: PathBuf,
    serves: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    commits: watch::Receiver<ChangedAccounts>,
    /// The last commit whose changes were synchronised.
    last_commit: u64,
    /// The state of each mailbox when both sides were last equal.
    last_states: BTreeMap<i64, LastState>,
    /// The last logged error of each file, folder or account that cannot be synchronised.
    logged_errors: BTreeMap<String, String>,
}

/// The accounts changed by commits since the start, each with the number of its last commit.
#[derive(Debug, Default)]
pub(super) struct ChangedAccounts {
    number: u64,
    last: BTreeMap<i64, u64>,
}

impl ChangedAccounts {
    /// Records that a commit has changed these accounts, under the next number.
    pub(super) fn add_commit(&mut self, accounts: BTreeSet<i64>) {
        self.number += 1;
        self.last.extend(accounts.into_iter().map(|account| (account, self.number)));
    }

    /// The ids of the accounts that a commit with a higher number than this has changed.
    fn since(&self, number: u64) -> BTreeSet<i64> {
        self.last.iter().filter(|(_, last)| number < **last).map(|(account, _)| *account).collect()
    }
}

/// Most errors remembered as logged.
const MAX_LOGGED_ERRORS: usize = 10_000;

/// The modification sequence of the mailbox, and the modification times of `new` and `cur`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LastState {
    modseq: u64,
    written: [SystemTime; 2],
}

impl MaildirSync {
    /// Synchronises the accounts that `serves` accepts, in the folder `maildir` beside the database. `None` for a store
    /// in memory.
    pub fn new(mailboxes: &Mailboxes, serves: impl Fn(&str) -> bool + Send + Sync + 'static) -> Option<Self> {
        let root = mailboxes.store.folder()?.join("maildir");
        let commits = mailboxes.inner.commits.subscribe();
        let (serves, last_states, logged_errors) = (Arc::new(serves), BTreeMap::new(), BTreeMap::new());
        Some(Self { mailboxes: mailboxes.clone(), root, serves, commits, last_commit: 0, last_states, logged_errors })
    }

    /// Carries over changes when the tables change and at every scan of the folders, until `stop`, and once more then.
    /// Errors are logged, and the next scan tries again.
    pub async fn run(mut self, stop: Stop) {
        let mut next_scan = Instant::now();
        loop {
            // Changes of files are found only by scanning; for changes in the tables the accounts are known.
            let is_due = next_scan <= Instant::now();
            let changed = self.changed_accounts();
            if let Err(error) = self.sync_accounts(|account| is_due || changed.contains(&account)).await {
                tracing::error!(%error, "Maildir sync failed");
            }
            if is_due {
                next_scan = Instant::now() + SCAN_INTERVAL;
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Ok(()) = self.commits.changed() => {}
                () = sleep_until(next_scan) => {}
            }
        }
        // Changes acknowledged just before the stop are written too.
        if let Err(error) = self.sync_once().await {
            tracing::error!(%error, "last Maildir sync failed; it is repeated at the next start");
        }
    }

    /// Scans all folders once and carries over the changes of both sides.
    ///
    /// # Errors
    /// The store fails; an error of a folder is only logged.
    pub async fn sync_once(&mut self) -> Result<(), Error> {
        self.sync_accounts(|_| true).await
    }

    /// Scans the folders of the wanted accounts once. An error of one account does not stop the others; returns the
    /// first error of the store, errors of folders are only logged.
    async fn sync_accounts(&mut self, is_wanted: impl Fn(i64) -> bool) -> Result<(), Error> {
        let mut outcome = Ok(());
        for (account, key) in self.accounts()?.into_iter().filter(|(account, _)| is_wanted(*account)) {
            let root = self.root.join(names::account(&key));
            let synced = match self.sync_tree(account, &key, &root).await {
                Ok(Ok(())) => self.sync_folders(account, &root).await,
                Ok(Err(error)) => {
                    self.log_once(&root.display().to_string(), &error.to_string());
                    continue;
                }
                Err(error) => Err(error),
            };
            self.clear_logged(&root.display().to_string());
            outcome = outcome.and(synced);
        }
        outcome
    }

    /// The ids of the accounts that commits have changed since the last call.
    fn changed_accounts(&mut self) -> BTreeSet<i64> {
        let commits = self.commits.borrow_and_update();
        let changed = commits.since(self.last_commit);
        self.last_commit = commits.number;
        changed
    }

    /// Logs an error of a file, folder or mailbox, unless it is the last one logged under this name.
    fn log_once(&mut self, name: &str, error: &str) {
        if self.logged_errors.get(name).is_some_and(|logged| logged == error) {
            return;
        }
        tracing::error!(error, name, "Maildir sync failed");
        if self.logged_errors.len() < MAX_LOGGED_ERRORS {
            self.logged_errors.insert(name.to_owned(), error.to_owned());
        }
    }

    /// Forgets the error logged under this name, so that the same error is logged again.
    fn clear_logged(&mut self, name: &str) {
        self.logged_errors.remove(name);
    }

    /// Ids and keys of the accounts that are synchronised.
    fn accounts(&self) -> Result<Vec<(i64, String)>, Error> {
        let mut accounts = self.mailboxes.store.read(sqlite::accounts)?;
        accounts.retain(|(_, key)| (self.serves)(key));
        Ok(accounts)
    }
}

/// Runs work on files on a blocking thread and returns its result. Fails if the work panics or the process ends.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Store(crate::store::Error::Closed))
}
