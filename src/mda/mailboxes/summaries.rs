//! Summaries of contents: computed once, before a message is committed, and stored in the same commit.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use blake3::Hash;

use super::{Error, Mailboxes};
use crate::imap::Summary;
use crate::mail::Content;
use crate::store;
use crate::sync::{beside_others, lock};

/// Summaries kept in memory, for more recipients of the same message.
const RECENT_SUMMARIES: usize = 16;

/// The summaries computed last, by the hash of their content.
#[derive(Default)]
pub(super) struct Summaries(Mutex<VecDeque<(Hash, Arc<Summary>)>>);

impl Summaries {
    /// The summary of a content: one of the 16 computed last, or else computed now and kept for the next recipient.
    pub(super) fn of(&self, content: &Content) -> Arc<Summary> {
        let same = lock(&self.0).iter().find(|(known, _)| known == content.hash()).map(|(_, summary)| summary.clone());
        if let Some(summary) = same {
            return summary;
        }
        let summary = beside_others(content.bytes().len(), || Arc::new(Summary::of(content)));
        let mut recent = lock(&self.0);
        recent.truncate(RECENT_SUMMARIES - 1);
        recent.push_front((*content.hash(), summary.clone()));
        summary
    }
}

impl Mailboxes {
    /// The summary computed from the content with this id, for use where the stored one is lost or cannot be decoded;
    /// nothing is stored. `None` if the content is gone; fails if it is damaged.
    pub(super) fn summary_of(&self, id: i64) -> Result<Option<Arc<Summary>>, Error> {
        match self.store.get(id) {
            Err(store::Error::Missing(_)) => Ok(None),
            content => Ok(Some(self.inner.summaries.of(&content?))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sqlite::tests::{count, execute};
    use super::super::tests::{ANN, deliver, message, on_disk};
    use super::*;
    use crate::imap::KeptHeader;
    use crate::store::tests::copy_of_data_dir;

    /// What is kept of the messages in an inbox is what belongs to them.
    fn check(mailboxes: &Mailboxes, texts: &[&str], is_stored: bool) {
        let inbox = mailboxes.open(ANN, "INBOX").unwrap();
        let (mut index, view) = (inbox.summaries(), inbox.view().unwrap());
        assert_eq!(view.messages.len(), texts.len());
        for (meta, text) in view.messages.iter().zip(texts) {
            let wanted = Summary::of(&message(text).content);
            let cached = index.find(meta).unwrap().unwrap();
            assert_eq!((cached.envelope, cached.sort_keys()), (wanted.envelope.as_slice(), wanted.sort_keys));
            let (mut headers, kept) = (inbox.headers(), wanted.header.as_ref());
            let kept = kept.map(|kept| KeptHeader { bytes: kept.bytes.as_slice(), is_whole: kept.is_whole });
            assert_eq!(headers.find(meta).unwrap(), kept.filter(|_| is_stored));
            assert_eq!(inbox.preview(meta).unwrap(), Some(wanted.preview));
            assert_eq!(inbox.structure(meta).unwrap().unwrap().to_bytes(), wanted.structure);
        }
    }

    #[tokio::test]
    async fn summary_when_a_message_is_acknowledged_is_stored_and_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let mailboxes = on_disk(folder.path());
        deliver(&mailboxes, &["one", "two", "three"]).await;
        assert_eq!(count(&mailboxes, "summary"), 3);
        let copied = copy_of_data_dir(folder.path());
        let copy = on_disk(copied.path());
        assert_eq!(count(&copy, "summary"), 3);
        check(&copy, &["one", "two", "three"], true);
        mailboxes.open(ANN, "INBOX").unwrap().remove(vec![2]).await.unwrap();
        assert_eq!(count(&mailboxes, "summary"), 2);
    }

    #[tokio::test]
    async fn summary_when_its_row_is_lost_or_unreadable_is_computed_again() {
        let folder = tempfile::tempdir().unwrap();
        let mailboxes = on_disk(folder.path());
        deliver(&mailboxes, &["one", "two"]).await;
        execute(&mailboxes, "DELETE FROM summary WHERE content = (SELECT min(content) FROM summary)").await;
        execute(&mailboxes, "UPDATE summary SET structure = x'7b7d', preview = NULL, header = NULL").await;
        check(&mailboxes, &["one", "two"], false);
        // That there is no header is known now, too.
        execute(&mailboxes, "DROP TABLE summary").await;
        let inbox = mailboxes.open(ANN, "INBOX").unwrap();
        inbox.view().unwrap().messages.iter().for_each(|meta| assert_eq!(inbox.headers().find(meta).unwrap(), None));
    }
}
