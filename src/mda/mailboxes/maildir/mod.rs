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

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::sleep;

use super::{Error, Mailboxes};
use crate::net::Stop;

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
    commits: watch::Receiver<u64>,
    /// The state of each mailbox when both sides were last equal.
    last_states: BTreeMap<i64, LastState>,
}

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
        let root = mailboxes.0.store.folder()?.join("maildir");
        let commits = mailboxes.0.commits.subscribe();
        let (serves, last_states) = (Arc::new(serves), BTreeMap::new());
        Some(Self { mailboxes: mailboxes.clone(), root, serves, commits, last_states })
    }

    /// Runs until `stop`. Errors are logged, and the next scan tries again.
    pub async fn run(mut self, stop: Stop) {
        loop {
            if let Err(error) = self.sync_once().await {
                tracing::error!(%error, "Maildir sync failed");
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Ok(()) = self.commits.changed() => {}
                () = sleep(SCAN_INTERVAL) => {}
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
        self.commits.mark_unchanged();
        for (account, key) in self.accounts()? {
            let root = self.root.join(names::account(&key));
            match self.tree(account, &key, &root).await? {
                Ok(()) => self.folders(account, &root).await?,
                Err(error) => tracing::error!(%error, account = key, folder = %root.display(), "Maildir sync failed"),
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

/// Runs work on files on a blocking thread.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Store(crate::store::Error::Closed))
}
