//! Finds out which messages cannot hold a text, by filters that were worked out once.

use super::{Error, Mailbox, Uid};
use crate::imap::search::Wanted;

/// So many UIDs are looked at by one read.
const WINDOW: Uid = 1024;

/// Goes through a mailbox in the order of UIDs.
pub struct Sieve {
    mailbox: Mailbox,
    wanted: Vec<Wanted>,
    /// The UIDs that were looked at last, and those of them that may hold each text.
    window: std::ops::Range<Uid>,
    passed: Vec<Vec<Uid>>,
}

impl Mailbox {
    /// Looks for these texts. None is looked for that is too short for filters to tell anything of it.
    pub fn sieve(&self, texts: &[&str]) -> Sieve {
        let wanted: Vec<Wanted> = texts.iter().map(|text| Wanted::new(text)).collect();
        Sieve { mailbox: self.clone(), wanted, window: 0..0, passed: vec![] }
    }
}

impl Sieve {
    /// For each text in order: whether the message may hold it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn may_hold(&mut self, uid: Uid) -> Result<impl Iterator<Item = bool>, Error> {
        if !self.wanted.is_empty() && !self.window.contains(&uid) {
            self.look(uid)?;
        }
        Ok(self.passed.iter().map(move |passed| passed.binary_search(&uid).is_ok()))
    }

    fn look(&mut self, from: Uid) -> Result<(), Error> {
        let sql = "SELECT uid, grams, octets FROM message LEFT JOIN summary USING (content)
                   LEFT JOIN trace USING (mailbox, uid)
                   WHERE mailbox = ?1 AND uid BETWEEN ?2 AND ?3 ORDER BY uid";
        let until = from.saturating_add(WINDOW);
        let range = [self.mailbox.shelf.id, from.into(), i64::from(until) - 1];
        let mut passed = vec![vec![]; self.wanted.len()];
        self.mailbox.mailboxes.0.store.read(|connection| {
            let mut find = connection.prepare_cached(sql)?;
            let mut rows = find.query(range)?;
            while let Some(row) = rows.next()? {
                let grams = row.get_ref(1)?.as_blob_or_null()?;
                let trace = row.get_ref(2)?.as_blob_or_null()?.unwrap_or_default();
                for (wanted, passed) in self.wanted.iter().zip(&mut passed) {
                    // Without a filter yet, everything may be there.
                    let in_content = !wanted.is_selective() || grams.is_none_or(|grams| wanted.may_be_in(grams));
                    if in_content || wanted.may_be_in_trace(trace) {
                        passed.push(row.get(0)?);
                    }
                }
            }
            Ok(())
        })?;
        (self.window, self.passed) = (from..until, passed);
        Ok(())
    }
}
