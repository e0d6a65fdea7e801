//! The way in: delivery and APPEND.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::name::{INBOX, canonical};
use super::{Error, Mailboxes, Uid, tree};
use crate::imap::Flags;
use crate::mail::Letter;
use crate::store::content;

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

/// A message on its way into a mailbox.
struct Arrival {
    letter: Letter,
    flags: Flags,
    received: i64,
    saved: i64,
}

impl Mailboxes {
    /// Files a letter for an account, which is made if it is new: into the mailbox named by the address's detail
    /// (RFC 5233), in any case, if there is one, else into INBOX.
    ///
    /// # Errors
    /// It is not stored.
    pub async fn deliver(&self, account: &str, detail: Option<&str>, letter: &Letter) -> Result<Delivered, Error> {
        let (now, account) = (self.now(), account.to_owned());
        // A detail that is no name of a mailbox is one that does not exist.
        let detail = detail.and_then(|detail| canonical(detail).ok());
        let arrival = Arrival { letter: letter.clone(), flags: Flags::default(), received: now, saved: now };
        let job = move |transaction: &Transaction<'_>| {
            let account = tree::ensure_account(transaction, &account, now)?;
            let (mailbox, name) = destination(transaction, account, detail.as_deref())?;
            file(transaction, mailbox, name, &arrival)
        };
        self.finish(self.write(job).await?, letter)
    }

    /// Files a message that a client brings. RFC 9051 §6.3.12.
    ///
    /// # Errors
    /// There is no such mailbox, there are too many keywords, or it is not stored.
    pub async fn append(
        &self,
        account: &str,
        mailbox: &str,
        letter: &Letter,
        flags: Flags,
        received: Option<Timestamp>,
    ) -> Result<Delivered, Error> {
        check(&flags)?;
        let (now, name, account) = (self.now(), canonical(mailbox)?, account.to_owned());
        let received = received.map_or(now, Timestamp::as_second);
        let arrival = Arrival { letter: letter.clone(), flags, received, saved: now };
        let job = move |transaction: &Transaction<'_>| match tree::find(transaction, &account, &name)? {
            Some((_, mailbox)) => file(transaction, mailbox, name, &arrival),
            None => Err(Error::NoMailbox(name)),
        };
        self.finish(self.write(job).await?, letter)
    }

    /// The same letter, with the content that is at hand already where there is one.
    pub fn share(&self, letter: Letter) -> Letter {
        Letter { content: self.0.store.share(letter.content), ..letter }
    }

    fn finish(&self, filed: Filed, letter: &Letter) -> Result<Delivered, Error> {
        self.0.store.remember(filed.content, &letter.content);
        self.wake(filed.mailbox, filed.modseq);
        Ok(filed.delivered)
    }
}

struct Filed {
    delivered: Delivered,
    mailbox: i64,
    modseq: u64,
    content: i64,
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

fn file(transaction: &Transaction<'_>, mailbox: i64, name: String, arrival: &Arrival) -> Result<Filed, Error> {
    let Arrival { letter, flags, received, saved } = arrival;
    let content = content::put(transaction, &letter.content)?;
    let slot = Slot::take(transaction, mailbox, 1)?;
    let journey = letter.journey().map(|journey| journey.to_string());
    let sql = "INSERT INTO message
               (mailbox, uid, content, trace, flags, keywords, modseq, received, saved, size, journey)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    transaction.prepare_cached(sql)?.execute(params![
        mailbox,
        slot.uid,
        content,
        letter.trace.as_ref(),
        flags.system.bits(),
        flags.keywords.join(" "),
        slot.modseq,
        received,
        saved,
        letter.len(),
        journey,
    ])?;
    let delivered = Delivered { mailbox: name, uidvalidity: slot.uidvalidity, uid: slot.uid };
    Ok(Filed { delivered, mailbox, modseq: slot.modseq, content })
}

/// UIDs taken for messages that come into a mailbox, and the number of that change.
pub(super) struct Slot {
    pub(super) uidvalidity: u32,
    /// The first of them.
    pub(super) uid: Uid,
    pub(super) modseq: u64,
}

impl Slot {
    /// Takes the next UIDs, which nobody gets again. Since there is one writer, they ascend in the order of commits.
    pub(super) fn take(transaction: &Transaction<'_>, mailbox: i64, count: u32) -> Result<Self, Error> {
        let sql = "UPDATE mailbox SET uidnext = uidnext + ?2, modseq = modseq + 1 WHERE id = ?1
                   RETURNING uidvalidity, uidnext - ?2, modseq";
        let slot = transaction.prepare_cached(sql)?.query_row(params![mailbox, count], |row| {
            Ok(Self { uidvalidity: row.get(0)?, uid: row.get(1)?, modseq: row.get(2)? })
        })?;
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
