//! Computes summaries, once per content, after the reply to the client.
//!
//! ```text
//! deliver, append ──▶ durable ──▶ reply
//!                        └─▶ waiting ──▶ computed one by one ──▶ one commit for batch_ready
//! ```
//!
//! A reader that needs a summary earlier, or after a crash in between, computes it and queues it to be stored. A large
//! message is stored together with its summary, and so is every message while no worker
//! [runs](Mailboxes::store_missing_summaries).

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::params;
use tokio::sync::Notify;
use tokio::task::{spawn_blocking, yield_now};
use tokio::time::timeout;

use super::summary_cache::number_of_date;
use super::{Error, Mailboxes, lock};
use crate::imap::Summary;
use crate::mail::Content;
use crate::store::{self, Transaction};

/// A commit stores this batch_ready summaries, or those queued within [`BATCH_DELAY`].
const BATCH_COUNT: usize = 32;
const BATCH_DELAY: Duration = Duration::from_millis(5);
/// Summaries of larger contents are computed before the reply.
const MAX_BYTES: usize = 32 << 10;
/// So are all summaries while the backlog is this long.
const MAX_WAITING: usize = 256;
/// Recent summaries kept in memory for further recipients of the same message.
const RECENT_SUMMARIES: usize = 16;

/// Recently computed summaries, and those still to be computed.
#[derive(Default)]
pub(super) struct SummaryQueue {
    /// The most recently computed, newest first.
    recent: Mutex<VecDeque<(Content, Arc<Summary>)>>,
    waiting: Mutex<Waiting>,
    not_empty: Notify,
    batch_ready: Notify,
}

#[derive(Default)]
struct Waiting {
    /// Whether a worker runs.
    has_worker: bool,
    /// By the id of the content.
    missing: BTreeMap<i64, Missing>,
}

/// A missing row of the summary table.
enum Missing {
    /// The summary of this content, still to be computed.
    Of(Content),
    /// A summary that a reader computed.
    Summary(Arc<Summary>),
}

impl SummaryQueue {
    /// The summary with which a single content is to be stored, if it cannot be computed later.
    pub(super) fn compute_now(&self, content: &Content) -> Option<Arc<Summary>> {
        let waiting = lock(&self.waiting);
        let may_wait = waiting.has_worker && content.bytes().len() <= MAX_BYTES && waiting.missing.len() < MAX_WAITING;
        drop(waiting);
        (!may_wait).then(|| self.of(content))
    }

    /// Queues a content that was stored without its summary.
    pub(super) fn mark_missing(&self, id: i64, content: &Content) {
        self.add(&mut lock(&self.waiting), id, Missing::Of(content.clone()));
    }

    fn add(&self, waiting: &mut Waiting, id: i64, missing: Missing) {
        if !waiting.has_worker {
            // The first reader computes it.
            return;
        }
        waiting.missing.insert(id, missing);
        match waiting.missing.len() {
            1 => self.not_empty.notify_one(),
            BATCH_COUNT => self.batch_ready.notify_one(),
            _ => {}
        }
    }

    fn take(&self) -> BTreeMap<i64, Missing> {
        std::mem::take(&mut lock(&self.waiting).missing)
    }

    fn compute(&self, missing: Missing) -> Arc<Summary> {
        match missing {
            Missing::Of(content) => self.of(&content),
            Missing::Summary(summary) => summary,
        }
    }

    /// The summary of a content; recent ones are kept for the next recipient of the same message.
    pub(super) fn of(&self, content: &Content) -> Arc<Summary> {
        let same = lock(&self.recent).iter().find(|(known, _)| known == content).map(|(_, summary)| summary.clone());
        if let Some(summary) = same {
            return summary;
        }
        let summary = Arc::new(Summary::of(content));
        let mut recent = lock(&self.recent);
        recent.truncate(RECENT_SUMMARIES - 1);
        recent.push_front((content.clone(), summary.clone()));
        summary
    }
}

impl Mailboxes {
    /// Computes and stores queued summaries until `stop`; meanwhile deliveries leave their summaries to this worker.
    pub async fn store_missing_summaries(&self, stop: impl Future<Output = ()>) {
        let summaries = &self.0.summary_queue;
        let (kept, mut stop) = (WorkerGuard::new(summaries), pin!(stop));
        loop {
            let more = async {
                summaries.not_empty.notified().await;
                let _ = timeout(BATCH_DELAY, summaries.batch_ready.notified()).await;
            };
            tokio::select! { () = &mut stop => break, () = more => {} }
            self.store_summaries(summaries.take()).await;
        }
        let last = summaries.take();
        drop(kept);
        self.store_summaries(last).await;
    }

    async fn store_summaries(&self, missing: BTreeMap<i64, Missing>) {
        if missing.is_empty() {
            return;
        }
        let mut rows = Vec::with_capacity(missing.len());
        if missing.len() < BATCH_COUNT {
            // With so few messages their sender waits for the disk meanwhile; a blocking thread does not delay it.
            let inner = self.0.clone();
            let compute = move |(id, missing)| (id, inner.summary_queue.compute(missing));
            rows = spawn_blocking(|| missing.into_iter().map(compute).collect()).await.unwrap_or_default();
        } else {
            for (id, missing) in missing {
                rows.push((id, self.0.summary_queue.compute(missing)));
                yield_now().await;
            }
        }
        let job = move |transaction: &Transaction<'_>| {
            rows.iter().try_for_each(|(id, summary)| store_summary(transaction, *id, summary, "REPLACE"))
        };
        if let Err(error) = self.0.store.write_soon(job).await {
            tracing::debug!(%error, "cannot store summaries; readers will compute them");
        }
    }

    /// The summary of a content that has none in the tables, or one of an older version. `None` if the content was
    /// deleted.
    pub(super) fn summary_of(&self, id: i64) -> Result<Option<Arc<Summary>>, Error> {
        let content = match self.0.store.content(id) {
            Err(store::Error::Missing(_)) => return Ok(None),
            content => content?,
        };
        let summaries = &self.0.summary_queue;
        let summary = summaries.of(&content);
        let mut waiting = lock(&summaries.waiting);
        if waiting.missing.len() < MAX_WAITING {
            summaries.add(&mut waiting, id, Missing::Summary(summary.clone()));
        }
        Ok(Some(summary))
    }
}

/// Marks the worker as running as long as it lives.
struct WorkerGuard<'a>(&'a SummaryQueue);

impl<'a> WorkerGuard<'a> {
    fn new(summaries: &'a SummaryQueue) -> Self {
        lock(&summaries.waiting).has_worker = true;
        Self(summaries)
    }
}

impl Drop for WorkerGuard<'_> {
    fn drop(&mut self) {
        *lock(&self.0.waiting) = Waiting::default();
    }
}

/// Stores the summary of a content, unless the content was deleted. `on_conflict` is `"IGNORE"` or `"REPLACE"`.
pub(super) fn store_summary(
    transaction: &Transaction<'_>,
    content: i64,
    summary: &Summary,
    on_conflict: &str,
) -> rusqlite::Result<()> {
    let Summary { envelope, body_structure, fields, sent, sort_keys, preview, structure, trigrams } = summary;
    let sql = format!(
        "INSERT OR {on_conflict} INTO summary (content, envelope, body_structure, sender, recipient, cc, bcc, subject,
               sent, structure, grams, standing, sent_at, preview)
               SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14
               WHERE EXISTS (SELECT 1 FROM content WHERE id = ?1)"
    );
    let [sender, recipient, cc, bcc, subject] = fields.each_ref().map(String::as_bytes);
    let sent = sent.map(number_of_date);
    let values = params![
        content,
        envelope,
        body_structure,
        sender,
        recipient,
        cc,
        bcc,
        subject,
        sent,
        structure,
        trigrams.bytes(),
        sort_keys.to_bytes(),
        sort_keys.sent,
        preview,
    ];
    transaction.prepare_cached(&sql)?.execute(values).map(drop)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::sync::oneshot;

    use super::super::AppendMessage;
    use super::super::tests::{ANN, deliver, message, on_disk};
    use super::*;
    use crate::imap::Flags;
    use crate::store::tests::left_behind;

    fn stored(mailboxes: &Mailboxes) -> usize {
        let count = "SELECT count(*) FROM summary";
        mailboxes.0.store.read(|connection| connection.query_row(count, [], |row| row.get(0))).unwrap()
    }

    /// The summaries of the inbox are those of these messages.
    fn check(mailboxes: &Mailboxes, texts: &[&str]) {
        let inbox = mailboxes.open(ANN, "INBOX").unwrap();
        let (mut summaries, view) = (inbox.summaries(), inbox.view().unwrap());
        assert_eq!(view.messages.len(), texts.len());
        for (meta, text) in view.messages.iter().zip(texts) {
            let wanted = Summary::of(&message(text).content);
            let cached = summaries.find(meta.uid).unwrap().unwrap();
            assert_eq!((cached.envelope, cached.sort_keys()), (wanted.envelope.as_slice(), wanted.sort_keys));
            assert_eq!(inbox.preview(meta.uid).unwrap(), Some(wanted.preview));
            assert_eq!(inbox.structure(meta.uid).unwrap().unwrap().to_bytes(), wanted.structure);
        }
    }

    #[tokio::test]
    async fn summary_queue_stores_summaries_after_delivery_and_readers_see_no_difference() {
        let folder = tempfile::tempdir().unwrap();
        let mailboxes = on_disk(folder.path());
        let content = |bytes| Content::new(Bytes::from(vec![b'x'; bytes]));
        assert!(mailboxes.0.summary_queue.compute_now(&content(10)).is_some(), "no worker runs");
        let (stop, stopped) = oneshot::channel::<()>();
        let worker = {
            let mailboxes = mailboxes.clone();
            tokio::spawn(async move { mailboxes.store_missing_summaries(async { drop(stopped.await) }).await })
        };
        yield_now().await;
        assert!(mailboxes.0.summary_queue.compute_now(&content(10)).is_none());
        assert!(mailboxes.0.summary_queue.compute_now(&content(MAX_BYTES + 1)).is_some());
        let appended = ["one", "two"].map(|text| AppendMessage {
            message: message(text),
            flags: Flags::default(),
            received: None,
        });
        mailboxes.ensure_account(ANN).await.unwrap();
        mailboxes.append(ANN, "INBOX", appended.to_vec()).await.unwrap();
        assert_eq!(stored(&mailboxes), 2, "several messages are stored with their summaries");
        mailboxes.open(ANN, "INBOX").unwrap().remove(vec![1, 2]).await.unwrap();
        let texts: Vec<String> = (0..3 * BATCH_COUNT).map(|number| format!("text {number}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        deliver(&mailboxes, &texts).await;
        check(&mailboxes, &texts);
        while stored(&mailboxes) < texts.len() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(stop);
        worker.await.unwrap();
        assert!(mailboxes.0.summary_queue.compute_now(&content(10)).is_some());
        check(&on_disk(left_behind(folder.path()).path()), &texts);
        mailboxes.open(ANN, "INBOX").unwrap().remove((3..).take(texts.len()).collect()).await.unwrap();
        assert_eq!(stored(&mailboxes), 0);
    }

    #[tokio::test]
    async fn summary_missing_after_a_crash_is_computed_by_readers_and_none_is_stored_for_deleted_contents() {
        let folder = tempfile::tempdir().unwrap();
        let mailboxes = on_disk(folder.path());
        deliver(&mailboxes, &["one", "two", "three"]).await;
        mailboxes.0.store.write(|transaction| transaction.execute("DELETE FROM summary", [])).await.unwrap();
        check(&mailboxes, &["one", "two", "three"]);
        assert_eq!(stored(&mailboxes), 0);
        let copy = left_behind(folder.path());
        let mailboxes = on_disk(copy.path());
        let (stop, stopped) = oneshot::channel::<()>();
        let mut worker = Box::pin(mailboxes.store_missing_summaries(async { drop(stopped.await) }));
        assert!(futures_util::poll!(&mut worker).is_pending());
        check(&mailboxes, &["one", "two", "three"]);
        mailboxes.open(ANN, "INBOX").unwrap().remove(vec![2]).await.unwrap();
        drop(stop);
        worker.await;
        assert_eq!(stored(&mailboxes), 2);
    }

    #[tokio::test]
    async fn summary_of_an_older_version_is_replaced_when_read() {
        let folder = tempfile::tempdir().unwrap();
        let mailboxes = on_disk(folder.path());
        deliver(&mailboxes, &["one"]).await;
        let age = "UPDATE summary SET structure = x'7b7d', preview = NULL";
        mailboxes.0.store.write(move |transaction| transaction.execute(age, [])).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let mut worker = Box::pin(mailboxes.store_missing_summaries(async { drop(stopped.await) }));
        assert!(futures_util::poll!(&mut worker).is_pending());
        check(&mailboxes, &["one"]);
        drop(stop);
        worker.await;
        let is_old = "SELECT count(*) FROM summary WHERE structure = x'7b7d' OR preview IS NULL";
        let old: i64 = mailboxes.0.store.read(|connection| connection.query_row(is_old, [], |row| row.get(0))).unwrap();
        assert_eq!((old, stored(&mailboxes)), (0, 1));
    }
}
