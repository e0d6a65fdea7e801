//! SORT and THREAD. RFC 5256.

use std::cmp::Ordering;

use super::error_reply::Failure;
use super::handler::ImapHandler;
use super::search::last_change;
use crate::imap::sort::{Criterion, Sort, SortKey, SortKeys};
use crate::imap::thread::{Member, Thread, Threads};
use crate::imap::{Numbers, Reply};
use crate::sync::{Turn, beside_others};

/// What is looked at of a message, about.
const ROW_BYTES: usize = 256;

/// The sort keys of a message.
struct Row {
    number: u32,
    arrived: i64,
    size: u64,
    sort_keys: SortKeys,
}

impl Row {
    /// When the message was sent, in seconds since 1970; one without a date counts as sent when it arrived. RFC 5256
    /// §2.2.
    fn sent(&self) -> i64 {
        self.sort_keys.sent.unwrap_or(self.arrived)
    }

    /// Compares two messages by one key, in ascending order.
    fn compare(&self, by: SortKey, other: &Self) -> Ordering {
        match by {
            SortKey::Arrival => self.arrived.cmp(&other.arrived),
            SortKey::Date => self.sent().cmp(&other.sent()),
            SortKey::Size => self.size.cmp(&other.size),
            by => self.sort_keys.compare(by, &other.sort_keys),
        }
    }

    /// Compares two messages by all criteria in order, then by sequence number or UID. RFC 5256 §3 (SORT).
    fn compare_all(&self, criteria: &[Criterion], other: &Self) -> Ordering {
        let by = |criterion: &Criterion| {
            let order = self.compare(criterion.by, other);
            if criterion.reverse { order.reverse() } else { order }
        };
        let order = criteria.iter().map(by).find(|order| order.is_ne());
        order.unwrap_or_else(|| self.number.cmp(&other.number))
    }
}

impl ImapHandler {
    /// Executes SORT: writes the found messages in the order of the criteria, with the highest modification sequence if
    /// the key uses MODSEQ. Messages without a summary, since they are expunged or damaged, are left out.
    pub(super) async fn sort(&mut self, Sort { criteria, search }: &Sort) -> Result<Reply, Failure> {
        let uids = self.find(&search.key).await?;
        let mut rows = self.rows(&uids, search.uid).await?;
        beside_others(rows.len() * ROW_BYTES, || rows.sort_by(|one, other| one.compare_all(criteria, other)));
        let view = self.selected.as_ref().map(|selected| selected.view.clone());
        let modseq = view.filter(|_| search.key.uses_modseq()).and_then(|view| last_change(&view, None, &uids));
        let numbers: Vec<u32> = rows.iter().map(|row| row.number).collect();
        self.conn.machine.out().sort(&numbers, modseq);
        Ok(Reply::ok("SORT completed"))
    }

    /// Executes THREAD: writes the found messages as threads. Messages without a summary, since they are expunged or
    /// damaged, are left out.
    pub(super) async fn thread(&mut self, Thread { by, search }: &Thread) -> Result<Reply, Failure> {
        let uids = self.find(&search.key).await?;
        let rows = self.rows(&uids, search.uid).await?;
        let member = |row: Row| Member { number: row.number, sent: row.sent(), sort_keys: row.sort_keys };
        let out = self.conn.machine.out();
        beside_others(rows.len() * ROW_BYTES, || {
            out.thread(&Threads::of(rows.into_iter().map(member).collect(), *by));
        });
        Ok(Reply::ok("THREAD completed"))
    }

    /// The sort keys of the messages of the view with these UIDs, ascending, each with its UID if `by_uid`, else its
    /// sequence number; those without a summary, since they are expunged or damaged, are left out.
    async fn rows(&self, uids: &Numbers, by_uid: bool) -> Result<Vec<Row>, Failure> {
        let mut rows = Vec::new();
        let Some(selected) = &self.selected else { return Ok(rows) };
        let mut summaries = selected.mailbox.summaries();
        let mut turn = Turn::begin();
        for uid in uids.iter() {
            turn.pass_on().await;
            let Some(place) = selected.view.messages.place(uid) else { continue };
            let message = &selected.view.messages[place];
            let Some(summary) = summaries.find(message)? else { continue };
            rows.push(Row {
                number: if by_uid { uid } else { place as u32 + 1 },
                arrived: message.received,
                size: message.size,
                sort_keys: summary.sort_keys(),
            });
        }
        Ok(rows)
    }
}
