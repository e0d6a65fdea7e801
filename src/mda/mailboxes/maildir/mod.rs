//! Maildirs: the mailboxes of some accounts also lie in folders, where mutt, Dovecot and others may work on them.
//!
//! ```text
//!   sessions --> tables, the index: UIDs, flags, summaries     DATA/maildir/ann@a.test/cur, new, tmp      INBOX
//!                      |            ^                          DATA/maildir/ann@a.test/.Archive.2026/...
//!                      '-- Keeper --'------- files, names ------------'
//! ```
//!
//! The keeper brings each side what the other has: it knows what it last saw of every file, so it can tell who changed
//! something. The tables say what is acknowledged; a file is written and synced before it is noted there, so one that
//! is missing later was removed by somebody. UIDs come from the tables and are never given twice.
//!
//! | tables | noted | file | so |
//! |---|---|---|---|
//! | message | no | no | we write it |
//! | message | yes | the same flags as noted | if ours differ, we rename it |
//! | message | yes | other flags | somebody set them: we take them over |
//! | message | yes | no | somebody removed it: it is expunged |
//! | none | yes | any | we remove it |
//! | none | no | yes | somebody put it there: it gets a UID |

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

use super::{Error, Mailboxes};
use crate::net::Stop;

/// From one look at the folders to the next.
const PAUSE: Duration = Duration::from_millis(250);
/// What changed so shortly before a look may change once more without a new time on it.
const FRESH: Duration = Duration::from_millis(100);

/// Keeps tables and folders alike.
pub struct Keeper {
    mailboxes: Mailboxes,
    root: PathBuf,
    serves: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    commits: watch::Receiver<ChangedAccounts>,
    /// The last commit whose changes were looked at.
    commit_seen: u64,
    /// What both sides of each mailbox looked like when they were last found alike.
    seen: BTreeMap<i64, Seen>,
    /// What was logged of each file, folder or account that cannot be used: it is logged once.
    complaints: BTreeMap<String, String>,
}

/// The accounts that commits have changed since the start, each with the number of its last commit.
#[derive(Debug, Default)]
pub(super) struct ChangedAccounts {
    number: u64,
    last: BTreeMap<i64, u64>,
}

impl ChangedAccounts {
    /// One more commit.
    pub(super) fn note(&mut self, accounts: BTreeSet<i64>) {
        self.number += 1;
        self.last.extend(accounts.into_iter().map(|account| (account, self.number)));
    }

    fn since(&self, number: u64) -> BTreeSet<i64> {
        self.last.iter().filter(|(_, last)| number < **last).map(|(account, _)| *account).collect()
    }
}

/// More complaints are not remembered.
const MAX_COMPLAINTS: usize = 10_000;

/// The number of the last change in the tables, and when `new` and `cur` were last written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    modseq: u64,
    written: [SystemTime; 2],
}

impl Keeper {
    /// For the accounts that `serves` names, in the folder `maildir` beside the database. `None` when that is in memory.
    pub fn new(mailboxes: &Mailboxes, serves: impl Fn(&str) -> bool + Send + Sync + 'static) -> Option<Self> {
        let root = mailboxes.0.store.folder()?.join("maildir");
        let commits = mailboxes.0.commits.subscribe();
        let (serves, seen, complaints) = (Arc::new(serves), BTreeMap::new(), BTreeMap::new());
        Some(Self { mailboxes: mailboxes.clone(), root, serves, commits, commit_seen: 0, seen, complaints })
    }

    /// Works until `stop`. What fails is logged, and tried again at the next look.
    pub async fn keep(mut self, stop: Stop) {
        let mut all_due = Instant::now();
        loop {
            // What others do to files shows only to who looks; of our own changes we know in which accounts they are.
            let is_due = all_due <= Instant::now();
            let changed = self.changed();
            if let Err(error) = self.look_at(|account| is_due || changed.contains(&account)).await {
                tracing::error!(%error, "a Maildir cannot be kept");
            }
            if is_due {
                all_due = Instant::now() + PAUSE;
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Ok(()) = self.commits.changed() => {}
                () = sleep_until(all_due) => {}
            }
        }
        // What was acknowledged just before the stop is in the folders too.
        if let Err(error) = self.look().await {
            tracing::error!(%error, "a Maildir is not up to date; it will be at the next start");
        }
    }

    /// One look at all folders; afterwards each side has what the other had before.
    ///
    /// # Errors
    /// The store fails; a folder that cannot be used is only logged.
    pub async fn look(&mut self) -> Result<(), Error> {
        self.look_at(|_| true).await
    }

    /// One look at the folders of some accounts. One that cannot be kept does not stop the others.
    async fn look_at(&mut self, is_wanted: impl Fn(i64) -> bool) -> Result<(), Error> {
        let mut outcome = Ok(());
        for (account, key) in self.accounts()?.into_iter().filter(|(account, _)| is_wanted(*account)) {
            let root = self.root.join(names::account(&key));
            let found = match self.tree(account, &key, &root).await {
                Ok(Ok(())) => self.folders(account, &root).await,
                Ok(Err(why)) => {
                    self.complain(&root.display().to_string(), &why.to_string());
                    continue;
                }
                Err(error) => Err(error),
            };
            self.withdraw(&root.display().to_string());
            outcome = outcome.and(found);
        }
        outcome
    }

    /// The accounts in which something has changed since the last call.
    fn changed(&mut self) -> BTreeSet<i64> {
        let commits = self.commits.borrow_and_update();
        let changed = commits.since(self.commit_seen);
        self.commit_seen = commits.number;
        changed
    }

    /// Logs what cannot be used, once for each reason.
    fn complain(&mut self, about: &str, why: &str) {
        if self.complaints.get(about).is_some_and(|known| known == why) {
            return;
        }
        tracing::error!(why, "the Maildir passes over {about:?}");
        if self.complaints.len() < MAX_COMPLAINTS {
            self.complaints.insert(about.to_owned(), why.to_owned());
        }
    }

    /// It can be used again.
    fn withdraw(&mut self, about: &str) {
        self.complaints.remove(about);
    }

    fn accounts(&self) -> Result<Vec<(i64, String)>, Error> {
        let mut accounts = self.mailboxes.0.store.read(|connection| {
            let mut all = connection.prepare_cached("SELECT id, key FROM account ORDER BY id")?;
            all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<Vec<(i64, String)>, _>>()
        })?;
        accounts.retain(|(_, key)| (self.serves)(key));
        Ok(accounts)
    }
}

/// Work on files, away from the tasks of sessions.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Store(crate::store::Error::Closed))
}
