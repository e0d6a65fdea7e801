//! Summaries of contents: computed once, before a message is committed, and stored in the same commit.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use rusqlite::params;

use super::summary_cache::number_of_date;
use super::{Error, Mailboxes};
use crate::imap::Summary;
use crate::mail::Content;
use crate::store::{self, Transaction};
use crate::sync::{beside_others, lock};

/// Summaries kept in memory, for more recipients of the same message.
const RECENT_SUMMARIES: usize = 16;

/// The summaries computed last.
#[derive(Default)]
pub(super) struct Summaries(Mutex<VecDeque<(Content, Arc<Summary>)>>);

impl Summaries {
    /// The summary of a content, which the next recipient of a message needs again.
    pub(super) fn of(&self, content: &Content) -> Arc<Summary> {
        let same = lock(&self.0).iter().find(|(known, _)| known == content).map(|(_, summary)| summary.clone());
        if let Some(summary) = same {
            return summary;
        }
        let summary = beside_others(content.bytes().len(), || Arc::new(Summary::of(content)));
        let mut recent = lock(&self.0);
        recent.truncate(RECENT_SUMMARIES - 1);
        recent.push_front((content.clone(), summary.clone()));
        summary
    }
}

impl Mailboxes {
    /// The summary of a content whose row lacks it or cannot be decoded. `None` when the content is gone.
    pub(super) fn summary_of(&self, id: i64) -> Result<Option<Arc<Summary>>, Error> {
        match self.0.store.get(id) {
            Err(store::Error::Missing(_)) => Ok(None),
            content => Ok(Some(self.0.summaries.of(&content?))),
        }
    }
}

/// Stores the summary of a content, unless it has one.
pub(super) fn insert_summary(transaction: &Transaction<'_>, content: i64, summary: &Summary) -> rusqlite::Result<()> {
    let Summary { envelope, body_structure, fields, sent, sort_keys, preview, structure, trigrams } = summary;
    let sql = "INSERT OR IGNORE INTO summary (content, envelope, body_structure, sender, recipient, cc, bcc, subject,
               sent, structure, grams, standing, sent_at, preview)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
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
    transaction.prepare_cached(sql)?.execute(values).map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ANN, deliver, message, on_disk};
    use super::*;
    use crate::store::tests::copy_of_data_dir;

    fn stored(mailboxes: &Mailboxes) -> usize {
        let count = "SELECT count(*) FROM summary";
        mailboxes.0.store.read(|connection| connection.query_row(count, [], |row| row.get(0))).unwrap()
    }

    async fn execute(mailboxes: &Mailboxes, sql: &'static str) {
        let job = move |transaction: &Transaction<'_>| Ok::<_, store::Error>(transaction.execute(sql, [])?);
        mailboxes.0.store.write(job).await.unwrap();
    }

    /// What is kept of the messages in an inbox is what belongs to them.
    fn check(mailboxes: &Mailboxes, texts: &[&str]) {
        let inbox = mailboxes.open(ANN, "INBOX").unwrap();
        let (mut index, view) = (inbox.summaries(), inbox.view().unwrap());
        assert_eq!(view.messages.len(), texts.len());
        for (meta, text) in view.messages.iter().zip(texts) {
            let wanted = Summary::of(&message(text).content);
            let cached = index.find(meta.uid).unwrap().unwrap();
            assert_eq!((cached.envelope, cached.sort_keys()), (wanted.envelope.as_slice(), wanted.sort_keys));
            assert_eq!(inbox.preview(meta.uid).unwrap(), Some(wanted.preview));
            assert_eq!(inbox.structure(meta.uid).unwrap().unwrap().to_bytes(), wanted.structure);
        }
    }

    #[tokio::test]
    async fn summary_when_a_message_is_acknowledged_is_stored_and_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let mailboxes = on_disk(folder.path());
        deliver(&mailboxes, &["one", "two", "three"]).await;
        assert_eq!(stored(&mailboxes), 3);
        let copied = copy_of_data_dir(folder.path());
        let copy = on_disk(copied.path());
        assert_eq!(stored(&copy), 3);
        check(&copy, &["one", "two", "three"]);
        mailboxes.open(ANN, "INBOX").unwrap().remove(vec![2]).await.unwrap();
        assert_eq!(stored(&mailboxes), 2);
    }

    #[tokio::test]
    async fn summary_when_its_row_is_lost_or_unreadable_is_computed_again() {
        let folder = tempfile::tempdir().unwrap();
        let mailboxes = on_disk(folder.path());
        deliver(&mailboxes, &["one", "two"]).await;
        execute(&mailboxes, "DELETE FROM summary WHERE content = (SELECT min(content) FROM summary)").await;
        execute(&mailboxes, "UPDATE summary SET structure = x'7b7d', preview = NULL").await;
        check(&mailboxes, &["one", "two"]);
    }
}
