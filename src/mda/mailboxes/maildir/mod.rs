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

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::sleep;

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
    commits: watch::Receiver<u64>,
    /// What both sides of each mailbox looked like when they were last found alike.
    seen: BTreeMap<i64, Seen>,
}

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
        let (serves, seen) = (Arc::new(serves), BTreeMap::new());
        Some(Self { mailboxes: mailboxes.clone(), root, serves, commits, seen })
    }

    /// Works until `stop`. What fails is logged, and tried again at the next look.
    pub async fn keep(mut self, stop: Stop) {
        loop {
            if let Err(error) = self.look().await {
                tracing::error!(%error, "a Maildir cannot be kept");
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Ok(()) = self.commits.changed() => {}
                () = sleep(PAUSE) => {}
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
        self.commits.mark_unchanged();
        for (account, key) in self.accounts()? {
            let root = self.root.join(names::account(&key));
            match self.tree(account, &key, &root).await? {
                Ok(()) => self.folders(account, &root).await?,
                Err(why) => tracing::error!(%why, account = key, folder = %root.display(), "a Maildir cannot be used"),
            }
        }
        Ok(())
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
