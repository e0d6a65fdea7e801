//! Works out the summaries and words of new entries, off the path of the reply.

use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep};

use super::summary::{Summary, Words};
use super::{Catalogue, Entry, sqlite};
use crate::mail::Message;
use crate::store::{Error, Transaction};
use crate::sync::beside_others;

/// Entries of one commit: the store's thread is not held up for long.
const BATCH: usize = 32;
/// Bytes of their words, of more than one entry.
const BATCH_BYTES: usize = 256 * 1024;
/// Delay after a failure, as on a full disk.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// How much longer than a batch took its successor waits, so that accepting mail has the machine.
const REST: u32 = 4;
/// New messages wait at least so long, so that a burst of them is not slowed down.
const INDEX_DELAY: Duration = Duration::from_millis(100);

impl Catalogue {
    /// Stores the summary and the words of all entries that have none yet; if another task is indexing, waits for that
    /// first.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub async fn index(&self) -> Result<(), Error> {
        let _only = self.indexing.lock().await;
        while self.index_batch(true).await? {}
        Ok(())
    }

    /// Indexes new entries now and whenever the catalogue has changed, until the future is dropped. A failure is
    /// logged, and retried after `RETRY_DELAY`.
    pub async fn keep_indexed(self) {
        let mut changes = self.changes();
        loop {
            if let Err(error) = self.index_gently().await {
                tracing::warn!(%error, "cannot index messages; retrying");
                sleep(RETRY_DELAY).await;
                continue;
            }
            if let Err(RecvError::Closed) = changes.recv().await {
                return;
            }
            sleep(INDEX_DELAY).await;
            changes = changes.resubscribe();
        }
    }

    /// Indexes all entries that are not indexed yet, batch by batch, in commits shared with other jobs; after each
    /// batch it sleeps `REST` times as long as the batch took.
    async fn index_gently(&self) -> Result<(), Error> {
        loop {
            let began = Instant::now();
            let only = self.indexing.lock().await;
            if !self.index_batch(false).await? {
                return Ok(());
            }
            drop(only);
            sleep(REST * began.elapsed()).await;
        }
    }

    /// Indexes the next entries, at most `BATCH`, and of more than one at most `BATCH_BYTES` of words: in the next
    /// commit if `is_awaited`, that is, if a caller waits for them, else in one with other jobs. Returns `false` if
    /// there were none. The caller holds the lock `indexing`.
    async fn index_batch(&self, is_awaited: bool) -> Result<bool, Error> {
        let entries = self.store.read(|connection| sqlite::unindexed(connection, BATCH))?;
        if entries.is_empty() {
            return Ok(false);
        }
        let mut bytes = 0;
        let fits = |(_, (_, words)): &(i64, (Summary, Words))| {
            let is_first = bytes == 0;
            bytes += words.len();
            is_first || bytes <= BATCH_BYTES
        };
        let indexed = entries.iter().map(|entry| (entry.number, self.summarise(entry)));
        let indexed: Vec<_> = indexed.take_while(fits).collect();
        let store = move |transaction: &Transaction<'_>| {
            indexed
                .iter()
                .try_for_each(|(number, (summary, words))| sqlite::insert_summary(transaction, *number, summary, words))
        };
        match is_awaited {
            true => self.store.write(store).await?,
            false => self.store.write_batched(store).await?,
        }
        Ok(true)
    }

    /// Returns the summary and the words of an entry; empty ones if its message cannot be read, or makes the parser
    /// fail, so that it counts as indexed, and is not tried again.
    fn summarise(&self, entry: &Entry) -> (Summary, Words) {
        let message: Result<Message, Error> = self.message(entry);
        let Ok(message) = message else { return Default::default() };
        beside_others(message.len(), || Summary::of(&message, &entry.reverse_path, &entry.recipients))
    }
}
