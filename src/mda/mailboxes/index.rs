//! What FETCH and SEARCH ask of many messages, in memory: their summaries, which were worked out once.
//!
//! ```text
//! Index --find(uid)--> block of 64 UIDs, by one read --> Brief: ENVELOPE, BODYSTRUCTURE, From ... Subject, Date
//! ```
//!
//! A message never changes but for its flags, which are not kept here; so a block serves until there is no more room.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::civil::Date;
use rusqlite::Row;

use super::{Error, Mailbox, Uid, lock};
use crate::imap::sort::{Standing, thread_of};
use crate::imap::{SEARCHED_FIELDS, Summary};

/// A block holds the summaries of `1 << BLOCK_BITS` UIDs.
const BLOCK_BITS: u32 = 6;
/// Blocks kept in memory, of all mailboxes, in octets.
const OCTETS_MAX: usize = 64 * 1024 * 1024;
/// A summary with more octets is in a block only if its message was asked for: a block holds one of them at most.
const LARGE_OCTETS: usize = 256 * 1024;
/// Pieces of a message's summary: envelope, body structure, fields, standing.
const PIECES: usize = 2 + SEARCHED_FIELDS.len() + 1;

/// What is known of one message without a look into it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Brief<'a> {
    /// See [`Summary::envelope`].
    pub envelope: &'a [u8],
    /// See [`Summary::body_structure`].
    pub body_structure: &'a [u8],
    /// See [`Summary::fields`].
    pub fields: [&'a [u8]; SEARCHED_FIELDS.len()],
    /// See [`Summary::sent`].
    pub sent: Option<Date>,
    /// [`Standing::to_bytes`].
    pub standing: &'a [u8],
    sent_at: Option<i64>,
}

impl Brief<'_> {
    /// The thread of a message with this email id. RFC 8474 §5.2.
    pub fn thread(&self, email: u64) -> u64 {
        thread_of(self.standing, email)
    }

    /// See [`Summary::standing`].
    pub fn standing(&self) -> Standing {
        Standing::from_bytes(self.standing, self.sent_at)
    }
}

/// Goes through a mailbox; best in the order of UIDs.
pub struct Index {
    mailbox: Mailbox,
    block: Option<Arc<Block>>,
}

/// A mailbox and the high bits of UIDs.
type Key = (i64, u32);

#[derive(Debug)]
struct Block {
    key: Key,
    /// By ascending UID.
    entries: Vec<Entry>,
    octets: Vec<u8>,
}

#[derive(Debug)]
struct Entry {
    uid: Uid,
    /// Where its pieces begin, and where the last one ends.
    bounds: [u32; PIECES + 1],
    sent: Option<Date>,
    sent_at: Option<i64>,
}

/// The blocks read last, oldest out first.
#[derive(Default)]
pub(super) struct Blocks {
    by_key: BTreeMap<Key, Arc<Block>>,
    order: VecDeque<Key>,
    octets: usize,
}

impl Mailbox {
    /// What was worked out for the messages.
    pub fn index(&self) -> Index {
        Index { mailbox: self.clone(), block: None }
    }
}

impl Index {
    /// What is known of a message; `None` when it is gone.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn find(&mut self, uid: Uid) -> Result<Option<Brief<'_>>, Error> {
        let key = (self.mailbox.shelf.id, uid >> BLOCK_BITS);
        let holds = |block: &Arc<Block>| block.key == key && block.place(uid).is_some();
        if !self.block.as_ref().is_some_and(holds) {
            let blocks = &self.mailbox.mailboxes.0.blocks;
            let kept = lock(blocks).by_key.get(&key).filter(|block| holds(block)).cloned();
            let block = match kept {
                Some(block) => block,
                None => {
                    let block = Arc::new(self.load(key, uid)?);
                    lock(blocks).keep(&block);
                    block
                }
            };
            self.block = Some(block);
        }
        Ok(self.block.as_deref().and_then(|block| block.brief(block.place(uid)?)))
    }

    /// The block with this message.
    fn load(&self, key: Key, wanted: Uid) -> Result<Block, Error> {
        let sql = "SELECT uid, message.content, sent, envelope, body_structure, sender, recipient, cc, bcc, subject,
                          standing, sent_at FROM message LEFT JOIN summary USING (content)
                   WHERE mailbox = ?1 AND uid BETWEEN ?2 AND ?3 AND (uid = ?4 OR envelope IS NULL OR standing IS NULL OR
                         length(envelope) + length(body_structure) + length(sender) + length(recipient) + length(cc)
                         + length(bcc) + length(subject) + length(standing) <= ?5)
                   ORDER BY uid";
        let first = i64::from(key.1 << BLOCK_BITS);
        let mut block = Block { key, entries: vec![], octets: vec![] };
        let mailboxes = &self.mailbox.mailboxes;
        let mut without = BTreeMap::new();
        mailboxes.0.store.read(|connection| {
            let mut find = connection.prepare_cached(sql)?;
            let last = first + (1 << BLOCK_BITS) - 1;
            let mut rows = find.query([key.0, first, last, i64::from(wanted), LARGE_OCTETS as i64])?;
            while let Some(row) = rows.next()? {
                if !block.add_row(row)? {
                    without.insert(row.get(0)?, row.get(1)?);
                }
            }
            Ok(())
        })?;
        for (uid, content) in without {
            if let Some(summary) = mailboxes.summary_of(content)?
                && (uid == wanted || octets(&summary) <= LARGE_OCTETS)
            {
                block.add(uid, &summary);
            }
        }
        block.entries.sort_unstable_by_key(|entry| entry.uid);
        Ok(block)
    }
}

impl Block {
    /// `false` when the row has no summary.
    fn add_row(&mut self, row: &Row<'_>) -> rusqlite::Result<bool> {
        let mut pieces: [&[u8]; PIECES] = [&[]; PIECES];
        for (at, piece) in pieces.iter_mut().enumerate() {
            let Some(octets) = row.get_ref(3 + at)?.as_blob_or_null()? else { return Ok(false) };
            *piece = octets;
        }
        let sent = row.get::<_, Option<i32>>(2)?.and_then(date_of_number);
        self.push(row.get(0)?, pieces, sent, row.get(3 + PIECES)?);
        Ok(true)
    }

    fn add(&mut self, uid: Uid, summary: &Summary) {
        let mut pieces: [&[u8]; PIECES] = [&[]; PIECES];
        (pieces[0], pieces[1]) = (&summary.envelope, &summary.body_structure);
        pieces[2..].iter_mut().zip(&summary.fields).for_each(|(piece, field)| *piece = field.as_bytes());
        let standing = summary.standing.to_bytes();
        pieces[PIECES - 1] = &standing;
        self.push(uid, pieces, summary.sent, summary.standing.sent);
    }

    fn push(&mut self, uid: Uid, pieces: [&[u8]; PIECES], sent: Option<Date>, sent_at: Option<i64>) {
        let mut bounds = [self.octets.len() as u32; PIECES + 1];
        for (at, piece) in pieces.into_iter().enumerate() {
            self.octets.extend_from_slice(piece);
            bounds[at + 1] = self.octets.len() as u32;
        }
        self.entries.push(Entry { uid, bounds, sent, sent_at });
    }

    fn place(&self, uid: Uid) -> Option<usize> {
        self.entries.binary_search_by_key(&uid, |entry| entry.uid).ok()
    }

    fn brief(&self, place: usize) -> Option<Brief<'_>> {
        let Entry { bounds, sent, sent_at, .. } = self.entries.get(place)?;
        let piece = |at: usize| &self.octets[bounds[at] as usize..bounds[at + 1] as usize];
        let fields = std::array::from_fn(|at| piece(2 + at));
        let standing = piece(PIECES - 1);
        Some(Brief { envelope: piece(0), body_structure: piece(1), fields, sent: *sent, standing, sent_at: *sent_at })
    }

    /// About how much memory it takes.
    fn weight(&self) -> usize {
        self.octets.len() + self.entries.len() * size_of::<Entry>() + size_of::<Self>()
    }
}

impl Blocks {
    #[cfg(test)]
    pub(super) fn octets(&self) -> usize {
        self.octets
    }

    fn keep(&mut self, block: &Arc<Block>) {
        self.octets += block.weight();
        match self.by_key.insert(block.key, block.clone()) {
            Some(older) => self.octets -= older.weight(),
            None => self.order.push_back(block.key),
        }
        while OCTETS_MAX < self.octets
            && let Some(oldest) = self.order.pop_front()
        {
            self.octets -= self.by_key.remove(&oldest).map_or(0, |block| block.weight());
        }
    }
}

/// About how many octets a summary has in a block.
fn octets(summary: &Summary) -> usize {
    let fields: usize = summary.fields.iter().map(String::len).sum();
    summary.envelope.len() + summary.body_structure.len() + fields
}

/// A day as the tables keep it: 20261231.
pub(super) fn number_of_date(date: Date) -> i32 {
    i32::from(date.year()) * 10_000 + i32::from(date.month()) * 100 + i32::from(date.day())
}

fn date_of_number(number: i32) -> Option<Date> {
    let part = |number: i32| number.unsigned_abs() as i8;
    Date::new((number / 10_000) as i16, part(number / 100 % 100), part(number % 100)).ok()
}
