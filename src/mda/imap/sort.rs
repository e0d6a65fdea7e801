//! SORT and THREAD. RFC 5256.

use std::cmp::Ordering;

use super::refusal::Failure;
use super::search::last_change;
use super::visit::Visit;
use crate::imap::sort::{By, Criterion, Sort, Standing};
use crate::imap::thread::{Member, Thread, Threads};
use crate::imap::{Numbers, Reply};

/// A message to sort.
struct Row {
    number: u32,
    arrived: i64,
    size: u64,
    standing: Standing,
}

impl Row {
    /// RFC 5256 §2.2: without a date it was sent when it came.
    fn sent(&self) -> i64 {
        self.standing.sent.unwrap_or(self.arrived)
    }

    fn compare(&self, by: By, other: &Self) -> Ordering {
        match by {
            By::Arrival => self.arrived.cmp(&other.arrived),
            By::Date => self.sent().cmp(&other.sent()),
            By::Size => self.size.cmp(&other.size),
            by => self.standing.compare(by, &other.standing),
        }
    }

    /// By all criteria in turn, and where they find no difference by sequence number. RFC 5256 §3 (SORT).
    fn compare_all(&self, criteria: &[Criterion], other: &Self) -> Ordering {
        let by = |criterion: &Criterion| {
            let order = self.compare(criterion.by, other);
            if criterion.reverse { order.reverse() } else { order }
        };
        let decided = criteria.iter().map(by).find(|order| order.is_ne());
        decided.unwrap_or_else(|| self.number.cmp(&other.number))
    }
}

impl Visit {
    pub(super) async fn sort(&mut self, Sort { criteria, search }: &Sort) -> Result<Reply, Failure> {
        let uids = self.find(&search.key).await?;
        let mut rows = self.rows(&uids, search.uid).await?;
        rows.sort_by(|one, other| one.compare_all(criteria, other));
        let view = self.selected.as_ref().map(|selected| selected.view.clone());
        let modseq = view.filter(|_| search.key.asks_modseq()).and_then(|view| last_change(&view, None, &uids));
        let numbers: Vec<u32> = rows.iter().map(|row| row.number).collect();
        self.conn.machine.out().sort(&numbers, modseq);
        Ok(Reply::ok("sorted"))
    }

    pub(super) async fn thread(&mut self, Thread { by, search }: &Thread) -> Result<Reply, Failure> {
        let uids = self.find(&search.key).await?;
        let rows = self.rows(&uids, search.uid).await?;
        let members =
            rows.into_iter().map(|row| Member { number: row.number, sent: row.sent(), standing: row.standing });
        let threads = Threads::of(members.collect(), *by);
        self.conn.machine.out().thread(&threads);
        Ok(Reply::ok("threaded"))
    }

    /// What is compared of messages; those that are gone are left out.
    async fn rows(&self, uids: &Numbers, by_uid: bool) -> Result<Vec<Row>, Failure> {
        let mut rows = Vec::new();
        let Some(selected) = &self.selected else { return Ok(rows) };
        let mut index = selected.mailbox.index();
        for uid in uids.iter() {
            tokio::task::consume_budget().await;
            let Some(place) = selected.view.messages.place(uid) else { continue };
            let Some(brief) = index.find(uid)? else { continue };
            let message = &selected.view.messages[place];
            rows.push(Row {
                number: if by_uid { uid } else { place as u32 + 1 },
                arrived: message.received.as_second(),
                size: message.size,
                standing: brief.standing(),
            });
        }
        Ok(rows)
    }
}
