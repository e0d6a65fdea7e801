//! The way in: delivery and APPEND.

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

use super::change::remove;
use super::name::{INBOX, canonical};
use super::quota::Usage;
use super::shelf::{Change, What};
use super::summaries::insert_summary;
use super::{Error, Mailbox, Mailboxes, Message, Uid, date, quota, tree};
use crate::imap::{Flags, Summary};
use crate::mail::Letter;
use crate::store::{Transaction, content};

/// More keywords on one message are refused.
const KEYWORDS_MAX: usize = 64;
/// Longer keywords are refused, in octets.
const KEYWORD_OCTETS_MAX: usize = 128;

/// Where a message was filed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The mailbox.
    pub mailbox: String,
    /// Its UIDVALIDITY.
    pub uidvalidity: u32,
    /// The message there.
    pub uid: Uid,
}

/// A message that a client brings.
#[derive(Clone, Debug)]
pub struct Brought {
    /// The message.
    pub letter: Letter,
    /// With which flags.
    pub flags: Flags,
    /// When it arrived; `None` for now.
    pub received: Option<Timestamp>,
}

/// A message on its way into a mailbox.
pub(super) struct Arrival {
    pub(super) letter: Letter,
    pub(super) summary: Arc<Summary>,
    pub(super) flags: Flags,
    pub(super) received: i64,
    pub(super) saved: i64,
}

impl Mailboxes {
    /// Files a letter for an account, which is made if it is new: into the mailbox named by the address's detail
    /// (RFC 5233), in any case, if there is one, else into INBOX.
    ///
    /// # Errors
    /// It is more than the account's quota allows, or it is not stored.
    pub async fn deliver(&self, account: &str, detail: Option<&str>, letter: &Letter) -> Result<Delivered, Error> {
        let (now, account) = (self.now(), account.to_owned());
        // A detail that is no name of a mailbox is one that does not exist.
        let detail = detail.and_then(|detail| canonical(detail).ok());
        let (arrival, quotas) = (self.arrival(letter, Flags::default(), now), self.quotas());
        let job = move |transaction: &Transaction<'_>| {
            let account = tree::ensure_account(transaction, &account, now)?;
            let (mailbox, name) = destination(transaction, account, detail.as_deref())?;
            let filed = file(transaction, mailbox, name, &arrival)?;
            quota::check(transaction, &quotas, account, &filed.1)?;
            Ok(filed)
        };
        self.change(job).await
    }

    /// Files messages that a client brings, all of them or none. RFC 9051 §6.3.12, RFC 3502.
    ///
    /// # Errors
    /// There is no such mailbox, there are too many keywords, it is more than the account's quota allows, or nothing is
    /// stored.
    pub async fn append(&self, account: &str, mailbox: &str, messages: Vec<Brought>) -> Result<Vec<Delivered>, Error> {
        let (name, account) = (canonical(mailbox)?, account.to_owned());
        let arrivals = messages.into_iter().map(|message| self.brought(message)).collect::<Result<Vec<_>, _>>()?;
        let quotas = self.quotas();
        let job = move |transaction: &Transaction<'_>| {
            let Some((account, mailbox)) = tree::find(transaction, &account, &name)? else {
                return Err(Error::NoMailbox(name));
            };
            let (mut all, mut changes) = (vec![], vec![]);
            for arrival in &arrivals {
                let (filed, more) = file(transaction, mailbox, name.clone(), arrival)?;
                all.push(filed);
                changes.extend(more);
            }
            quota::check(transaction, &quotas, account, &changes)?;
            Ok((all, changes))
        };
        self.change(job).await
    }

    /// Refuses flags that could grow without bound.
    fn brought(&self, Brought { letter, flags, received }: Brought) -> Result<Arrival, Error> {
        check(&flags)?;
        let now = self.now();
        let received = received.map_or(now, Timestamp::as_second);
        Ok(Arrival { saved: now, ..self.arrival(&letter, flags, received) })
    }

    fn arrival(&self, letter: &Letter, flags: Flags, received: i64) -> Arrival {
        let summary = self.0.summaries.of(&letter.content);
        Arrival { letter: letter.clone(), summary, flags, received, saved: received }
    }
}

impl Mailbox {
    /// Files a message in a mailbox of the account, and removes one from this mailbox, at one moment. `None` when that one
    /// is gone already; then nothing is filed. RFC 8508.
    ///
    /// # Errors
    /// As for [`Mailboxes::append`].
    pub async fn replace(&self, uid: Uid, mailbox: &str, message: Brought) -> Result<Option<Delivered>, Error> {
        let (id, account, name) = (self.shelf.id, self.account, canonical(mailbox)?);
        let quotas = self.mailboxes.quotas();
        let arrival = self.mailboxes.brought(message)?;
        let job = move |transaction: &Transaction<'_>| {
            let target = tree::find_in(transaction, account, &name)?.ok_or(Error::NoMailbox(name.clone()))?;
            let sql = "SELECT 1 FROM message WHERE mailbox = ?1 AND uid = ?2";
            if !transaction.prepare_cached(sql)?.exists(params![id, uid])? {
                return Ok((None, vec![]));
            }
            let (filed, mut changes) = file(transaction, target, name, &arrival)?;
            changes.push(remove(transaction, id, &[uid])?);
            quota::check(transaction, &quotas, account, &changes)?;
            Ok((Some(filed), changes))
        };
        self.mailboxes.change(job).await
    }
}

/// The mailbox for a detail, else INBOX, which every account has.
fn destination(transaction: &Transaction<'_>, account: i64, detail: Option<&str>) -> Result<(i64, String), Error> {
    if let Some(detail) = detail {
        let sql = "SELECT id, name FROM mailbox WHERE account = ?1 AND name = ?2 COLLATE NOCASE
                   ORDER BY name = ?2 DESC, name LIMIT 1";
        let found = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let found = transaction.prepare_cached(sql)?.query_row(params![account, detail], found).optional()?;
        if let Some(found) = found {
            return Ok(found);
        }
    }
    let inbox = tree::find_in(transaction, account, INBOX)?;
    Ok((inbox.ok_or_else(|| Error::NoMailbox(INBOX.to_owned()))?, INBOX.to_owned()))
}

pub(super) fn file(
    transaction: &Transaction<'_>,
    mailbox: i64,
    name: String,
    arrival: &Arrival,
) -> Result<(Delivered, Vec<Change>), Error> {
    let Arrival { letter, summary, flags, received, saved } = arrival;
    let (content, _) = content::put(transaction, &letter.content)?;
    insert_summary(transaction, content, summary)?;
    let Slot { account, uidvalidity, uid, modseq } =
        Slot::take(transaction, mailbox, Usage { octets: letter.len() as u64, messages: 1 })?;
    if !letter.trace.is_empty() {
        let journey = letter.journey().map(|journey| journey.to_string());
        let sql = "INSERT INTO trace (mailbox, uid, octets, journey) VALUES (?1, ?2, ?3, ?4)";
        transaction.prepare_cached(sql)?.execute(params![mailbox, uid, letter.trace.as_ref(), journey])?;
    }
    let message = Message {
        uid,
        flags: flags.clone(),
        modseq,
        received: date(*received),
        saved: date(*saved),
        size: letter.len() as u64,
        content,
        email: (mailbox as u64) << 32 | u64::from(uid),
    };
    insert(transaction, mailbox, &message)?;
    let delivered = Delivered { mailbox: name, uidvalidity, uid };
    let change = Change { account, mailbox, modseq, what: What::Arrived(vec![message]) };
    Ok((delivered, vec![change]))
}

/// The row of a message.
pub(super) fn insert(transaction: &Transaction<'_>, mailbox: i64, message: &Message) -> rusqlite::Result<()> {
    let Message { uid, flags, modseq, received, saved, size, content, email } = message;
    let sql = "INSERT INTO message (mailbox, uid, content, flags, keywords, modseq, received, saved, size, email)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let (received, saved) = (received.as_second(), saved.as_second());
    let (bits, keywords) = (flags.system.bits(), flags.keywords.join(" "));
    let values = params![mailbox, uid, content, bits, keywords, modseq, received, saved, size, email];
    transaction.prepare_cached(sql)?.execute(values).map(drop)
}

/// UIDs taken for messages that come into a mailbox, and the number of that change.
pub(super) struct Slot {
    pub(super) account: i64,
    pub(super) uidvalidity: u32,
    /// The first of them.
    pub(super) uid: Uid,
    pub(super) modseq: u64,
}

impl Slot {
    /// Takes the next UIDs, which nobody gets again, and counts what comes. Since there is one writer, UIDs ascend in the
    /// order of commits.
    pub(super) fn take(transaction: &Transaction<'_>, mailbox: i64, comes: Usage) -> Result<Self, Error> {
        // RETURNING would cost a table of its own each time.
        let sql = "SELECT account, uidvalidity, uidnext, modseq + 1 FROM mailbox WHERE id = ?1";
        let slot = transaction.prepare_cached(sql)?.query_row([mailbox], |row| {
            Ok(Self { account: row.get(0)?, uidvalidity: row.get(1)?, uid: row.get(2)?, modseq: row.get(3)? })
        })?;
        let sql =
            "UPDATE mailbox SET uidnext = uidnext + ?2, modseq = ?3, messages = messages + ?2, octets = octets + ?4
                   WHERE id = ?1";
        transaction.prepare_cached(sql)?.execute(params![mailbox, comes.messages, slot.modseq, comes.octets])?;
        Ok(slot)
    }
}

/// Refuses flags that could grow without bound.
pub(super) fn check(flags: &Flags) -> Result<(), Error> {
    if KEYWORDS_MAX < flags.keywords.len() || flags.keywords.iter().any(|word| KEYWORD_OCTETS_MAX < word.len()) {
        return Err(Error::TooMany("keywords"));
    }
    Ok(())
}
