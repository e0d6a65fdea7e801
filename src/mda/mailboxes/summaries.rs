//! Summaries: worked out once for each content, behind the reply to who brought it.
//!
//! ```text
//! deliver, append ──▶ durable ──▶ reply
//!                        └─▶ waiting ──▶ worked out one by one ──▶ a commit for many
//! ```
//!
//! A reader who comes earlier, or after a crash in between, works out what is missing, and has it stored. A large message,
//! and every message where nobody [keeps](Mailboxes::keep_summaries) them, is stored with its summary.

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::params;
use tokio::sync::Notify;
use tokio::task::{spawn_blocking, yield_now};
use tokio::time::timeout;

use super::index::number_of_date;
use super::{Error, Mailboxes, lock};
use crate::imap::Summary;
use crate::mail::Content;
use crate::store::{self, Transaction};

/// So many share a commit, or those that come within [`PATIENCE`].
const MANY: usize = 32;
const PATIENCE: Duration = Duration::from_millis(5);
/// A content with more octets does not wait.
const OCTETS_MAX: usize = 32 << 10;
/// Nor does one that comes while so many wait.
const WAITING_MAX: usize = 256;
/// So many summaries are at hand for more recipients of the same message.
const FRESH_MAX: usize = 16;

/// What is at hand, and what is still to be done.
#[derive(Default)]
pub(super) struct Summaries {
    /// Worked out last.
    fresh: Mutex<VecDeque<(Content, Arc<Summary>)>>,
    waiting: Mutex<Waiting>,
    some: Notify,
    many: Notify,
}

#[derive(Default)]
struct Waiting {
    /// Somebody will do it.
    is_kept: bool,
    /// By the id of the content.
    lacking: BTreeMap<i64, Lacking>,
}

/// What the tables lack.
enum Lacking {
    /// The summary of this.
    Of(Content),
    /// This, which a reader has worked out.
    Summary(Arc<Summary>),
}

impl Summaries {
    /// What a content that comes alone has to be stored with, if its summary cannot wait.
    pub(super) fn at_once(&self, content: &Content) -> Option<Arc<Summary>> {
        let waiting = lock(&self.waiting);
        let may_wait = waiting.is_kept && content.bytes().len() <= OCTETS_MAX && waiting.lacking.len() < WAITING_MAX;
        drop(waiting);
        (!may_wait).then(|| self.of(content))
    }

    /// A content was stored without its summary.
    pub(super) fn lacks(&self, id: i64, content: &Content) {
        self.add(&mut lock(&self.waiting), id, Lacking::Of(content.clone()));
    }

    fn add(&self, waiting: &mut Waiting, id: i64, lacking: Lacking) {
        if !waiting.is_kept {
            // A reader will have it done.
            return;
        }
        waiting.lacking.insert(id, lacking);
        match waiting.lacking.len() {
            1 => self.some.notify_one(),
            MANY => self.many.notify_one(),
            _ => {}
        }
    }

    fn take(&self) -> BTreeMap<i64, Lacking> {
        std::mem::take(&mut lock(&self.waiting).lacking)
    }

    fn work_out(&self, lacking: Lacking) -> Arc<Summary> {
        match lacking {
            Lacking::Of(content) => self.of(&content),
            Lacking::Summary(summary) => summary,
        }
    }

    /// The summary of a content, which the next recipient of a message needs again.
    pub(super) fn of(&self, content: &Content) -> Arc<Summary> {
        let same = lock(&self.fresh).iter().find(|(known, _)| known == content).map(|(_, summary)| summary.clone());
        if let Some(summary) = same {
            return summary;
        }
        let summary = Arc::new(Summary::of(content));
        let mut fresh = lock(&self.fresh);
        fresh.truncate(FRESH_MAX - 1);
        fresh.push_front((content.clone(), summary.clone()));
        summary
    }
}

impl Mailboxes {
    /// Works out summaries, from now on behind who brings a message, and stores them, until `stop`.
    pub async fn keep_summaries(&self, stop: impl Future<Output = ()>) {
        let summaries = &self.0.summaries;
        let (kept, mut stop) = (Kept::new(summaries), pin!(stop));
        loop {
            let more = async {
                summaries.some.notified().await;
                let _ = timeout(PATIENCE, summaries.many.notified()).await;
            };
            tokio::select! { () = &mut stop => break, () = more => {} }
            self.store_summaries(summaries.take()).await;
        }
        let last = summaries.take();
        drop(kept);
        self.store_summaries(last).await;
    }

    async fn store_summaries(&self, lacking: BTreeMap<i64, Lacking>) {
        if lacking.is_empty() {
            return;
        }
        let mut rows = Vec::with_capacity(lacking.len());
        if lacking.len() < MANY {
            // Whoever brings so few waits for the disk meanwhile, with its thread.
            let inner = self.0.clone();
            let work_out = move |(id, lacking)| (id, inner.summaries.work_out(lacking));
            rows = spawn_blocking(|| lacking.into_iter().map(work_out).collect()).await.unwrap_or_default();
        } else {
            for (id, lacking) in lacking {
                rows.push((id, self.0.summaries.work_out(lacking)));
                yield_now().await;
            }
        }
        let job = move |transaction: &Transaction<'_>| {
            rows.iter().try_for_each(|(id, summary)| keep_summary(transaction, *id, summary, "REPLACE"))
        };
        if let Err(error) = self.0.store.write_soon(job).await {
            tracing::debug!(%error, "summaries are not stored; readers work them out");
        }
    }

    /// The summary of a content for which the tables have none, or one of an older version of ours. `None` when the content
    /// is gone.
    pub(super) fn summary_of(&self, id: i64) -> Result<Option<Arc<Summary>>, Error> {
        let content = match self.0.store.content(id) {
            Err(store::Error::Missing(_)) => return Ok(None),
            content => content?,
        };
        let summaries = &self.0.summaries;
        let summary = summaries.of(&content);
        let mut waiting = lock(&summaries.waiting);
        if waiting.lacking.len() < WAITING_MAX {
            summaries.add(&mut waiting, id, Lacking::Summary(summary.clone()));
        }
        Ok(Some(summary))
    }
}

/// Somebody keeps them, as long as this lives.
struct Kept<'a>(&'a Summaries);

impl<'a> Kept<'a> {
    fn new(summaries: &'a Summaries) -> Self {
        lock(&summaries.waiting).is_kept = true;
        Self(summaries)
    }
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        *lock(&self.0.waiting) = Waiting::default();
    }
}

/// Stores the summary of a content, unless that is gone. If it has one already, this is to `"IGNORE"` it or to `"REPLACE"` it.
pub(super) fn keep_summary(
    transaction: &Transaction<'_>,
    content: i64,
    summary: &Summary,
    again: &str,
) -> rusqlite::Result<()> {
    let Summary { envelope, body_structure, fields, sent, standing, preview, structure, grams } = summary;
    let sql = format!(
        "INSERT OR {again} INTO summary (content, envelope, body_structure, sender, recipient, cc, bcc, subject,
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
        grams.bytes(),
        standing.to_bytes(),
        standing.sent,
        preview,
    ];
    transaction.prepare_cached(&sql)?.execute(values).map(drop)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::sync::oneshot;

    use super::super::Brought;
    use super::super::tests::{ANN, deliver, letter, on_disk};
    use super::*;
    use crate::imap::Flags;
    use crate::store::tests::left_behind;

    fn stored(mailboxes: &Mailboxes) -> usize {
        let count = "SELECT count(*) FROM summary";
        mailboxes.0.store.read(|connection| connection.query_row(count, [], |row| row.get(0))).unwrap()
    }

    /// What is kept of the messages in an inbox is what belongs to them.
    fn check(mailboxes: &Mailboxes, texts: &[&str]) {
        let inbox = mailboxes.open(ANN, "INBOX").unwrap();
        let (mut index, view) = (inbox.index(), inbox.view().unwrap());
        assert_eq!(view.messages.len(), texts.len());
        for (message, text) in view.messages.iter().zip(texts) {
            let wanted = Summary::of(&letter(text).content);
            let brief = index.find(message.uid).unwrap().unwrap();
            assert_eq!((brief.envelope, brief.standing()), (wanted.envelope.as_slice(), wanted.standing));
            assert_eq!(inbox.preview(message.uid).unwrap(), Some(wanted.preview));
            assert_eq!(inbox.structure(message.uid).unwrap().unwrap().to_bytes(), wanted.structure);
        }
    }

    #[tokio::test]
    async fn summaries_come_behind_their_messages_and_readers_see_no_difference() {
        let folder = tempfile::tempdir().unwrap();
        let mailboxes = on_disk(folder.path());
        let content = |octets| Content::new(Bytes::from(vec![b'x'; octets]));
        assert!(mailboxes.0.summaries.at_once(&content(10)).is_some(), "nobody keeps them");
        let (stop, stopped) = oneshot::channel::<()>();
        let keeping = {
            let mailboxes = mailboxes.clone();
            tokio::spawn(async move { mailboxes.keep_summaries(async { drop(stopped.await) }).await })
        };
        yield_now().await;
        assert!(mailboxes.0.summaries.at_once(&content(10)).is_none());
        assert!(mailboxes.0.summaries.at_once(&content(OCTETS_MAX + 1)).is_some());
        let brought =
            ["one", "two"].map(|text| Brought { letter: letter(text), flags: Flags::default(), received: None });
        mailboxes.ensure_account(ANN).await.unwrap();
        mailboxes.append(ANN, "INBOX", brought.to_vec()).await.unwrap();
        assert_eq!(stored(&mailboxes), 2, "many at once do not wait");
        mailboxes.open(ANN, "INBOX").unwrap().remove(vec![1, 2]).await.unwrap();
        let texts: Vec<String> = (0..3 * MANY).map(|number| format!("text {number}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        deliver(&mailboxes, &texts).await;
        check(&mailboxes, &texts);
        while stored(&mailboxes) < texts.len() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(stop);
        keeping.await.unwrap();
        assert!(mailboxes.0.summaries.at_once(&content(10)).is_some());
        check(&on_disk(left_behind(folder.path()).path()), &texts);
        mailboxes.open(ANN, "INBOX").unwrap().remove((3..).take(texts.len()).collect()).await.unwrap();
        assert_eq!(stored(&mailboxes), 0);
    }

    #[tokio::test]
    async fn what_a_crash_has_left_without_is_worked_out_by_readers_and_what_is_gone_leaves_none() {
        let folder = tempfile::tempdir().unwrap();
        let mailboxes = on_disk(folder.path());
        deliver(&mailboxes, &["one", "two", "three"]).await;
        mailboxes.0.store.write(|transaction| transaction.execute("DELETE FROM summary", [])).await.unwrap();
        check(&mailboxes, &["one", "two", "three"]);
        assert_eq!(stored(&mailboxes), 0);
        let copy = left_behind(folder.path());
        let mailboxes = on_disk(copy.path());
        let (stop, stopped) = oneshot::channel::<()>();
        let mut keeping = Box::pin(mailboxes.keep_summaries(async { drop(stopped.await) }));
        assert!(futures_util::poll!(&mut keeping).is_pending());
        check(&mailboxes, &["one", "two", "three"]);
        mailboxes.open(ANN, "INBOX").unwrap().remove(vec![2]).await.unwrap();
        drop(stop);
        keeping.await;
        assert_eq!(stored(&mailboxes), 2);
    }

    #[tokio::test]
    async fn those_of_an_older_version_are_replaced_once_they_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let mailboxes = on_disk(folder.path());
        deliver(&mailboxes, &["one"]).await;
        let age = "UPDATE summary SET structure = x'7b7d', preview = NULL";
        mailboxes.0.store.write(move |transaction| transaction.execute(age, [])).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let mut keeping = Box::pin(mailboxes.keep_summaries(async { drop(stopped.await) }));
        assert!(futures_util::poll!(&mut keeping).is_pending());
        check(&mailboxes, &["one"]);
        drop(stop);
        keeping.await;
        let is_old = "SELECT count(*) FROM summary WHERE structure = x'7b7d' OR preview IS NULL";
        let old: i64 = mailboxes.0.store.read(|connection| connection.query_row(is_old, [], |row| row.get(0))).unwrap();
        assert_eq!((old, stored(&mailboxes)), (0, 1));
    }
}
