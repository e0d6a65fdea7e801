//! Rules out messages that cannot contain a text, by precomputed filters.

use super::{Error, Mailbox, Uid, sqlite};
use crate::imap::search::TrigramQuery;

/// UIDs covered by one query.
const WINDOW: Uid = 1024;

/// Checks the messages of a mailbox in the order of UIDs.
pub struct TextFilter {
    mailbox: Mailbox,
    queries: Vec<TrigramQuery>,
    /// The UIDs of the last query, and for each text those that may contain it.
    window: std::ops::Range<Uid>,
    passed: Vec<Vec<Uid>>,
}

impl Mailbox {
    /// A filter for these texts; one that is too short for trigrams passes every message.
    pub fn text_filter(&self, texts: &[impl AsRef<str>]) -> TextFilter {
        let queries: Vec<TrigramQuery> = texts.iter().map(|text| TrigramQuery::new(text.as_ref())).collect();
        TextFilter { mailbox: self.clone(), queries, window: 0..0, passed: vec![] }
    }
}

impl TextFilter {
    /// For each text, in order, whether the message may contain it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn may_hold(&mut self, uid: Uid) -> Result<impl Iterator<Item = bool>, Error> {
        if !self.queries.is_empty() && !self.window.contains(&uid) {
            self.load(uid)?;
        }
        Ok(self.passed.iter().map(move |passed| passed.binary_search(&uid).is_ok()))
    }

    fn load(&mut self, from: Uid) -> Result<(), Error> {
        let uids = from..from.saturating_add(WINDOW);
        let mut passed = vec![vec![]; self.queries.len()];
        let visit = |uid, trigrams: Option<&[u8]>, trace: &[u8]| {
            for (query, passed) in self.queries.iter().zip(&mut passed) {
                // Without a stored filter, any text may be in the content.
                let in_content = !query.is_selective() || trigrams.is_none_or(|trigrams| query.may_be_in(trigrams));
                if in_content || query.may_be_in_trace(trace) {
                    passed.push(uid);
                }
            }
        };
        let (store, id) = (&self.mailbox.mailboxes.store, self.mailbox.shared.id);
        store.read(|connection| sqlite::visit_text_filters(connection, id, uids.clone(), visit))?;
        (self.window, self.passed) = (uids, passed);
        Ok(())
    }
}
