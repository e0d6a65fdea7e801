//! Changes of entries, in the jobs of the modules whose messages they are of.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, params};

use super::query::{COLUMNS, Row, read};
use crate::catalogue::summary::{Summary, Words};
use crate::catalogue::thread::ThreadKey;
use crate::catalogue::{Arrival, Entry};
use crate::mail::{JourneyId, Message};
use crate::store::{Error, Transaction, content};

/// The entry that a copy of a message belongs to, and the flags that its copies are to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Its number.
    pub number: i64,
    /// Whether they are `\Seen`.
    pub seen: bool,
    /// Keywords.
    pub keywords: Vec<String>,
}

/// Adds an entry, with a use of its content, and lists it under its addresses; returns its number. If there is an entry
/// of the same journey, that stays as it is, and its number is returned.
///
/// # Errors
/// SQLite refuses.
pub fn insert(transaction: &Transaction<'_>, arrival: &Arrival) -> Result<i64, Error> {
    let Arrival { journey, reverse_path, recipients, addresses, login, message, arrived } = arrival;
    let (content, _) = content::put(transaction, &message.content)?;
    let sql = "INSERT OR IGNORE INTO entry (journey, content, trace, arrived, reverse_path, recipients, login, addresses, size)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let added = transaction.prepare_cached(sql)?.execute(params![
        journey.to_bits(),
        content,
        message.trace.as_ref(),
        arrived.as_millisecond(),
        reverse_path.as_ref().map(ToString::to_string),
        json(recipients),
        login,
        json(addresses),
        message.len(),
    ])?;
    if added == 0 {
        content::release(transaction, content)?;
        return entry_number(transaction, *journey)?.ok_or(Error::Missing(content));
    }
    let number = transaction.last_insert_rowid();
    addresses.iter().try_for_each(|address| insert_address(transaction, number, address).map(drop))?;
    Ok(number)
}

/// Returns the value as JSON; an empty string if it cannot be serialized.
fn json(texts: impl serde::Serialize) -> String {
    serde_json::to_string(&texts).unwrap_or_default()
}

/// Lists an entry under an address in the index only, not in the list that the entry has; returns whether it is new
/// there.
fn insert_address(transaction: &Transaction<'_>, number: i64, address: &str) -> rusqlite::Result<bool> {
    let sql = "INSERT OR IGNORE INTO entry_address (address, entry) VALUES (?1, ?2)";
    Ok(transaction.prepare_cached(sql)?.execute(params![address, number])? == 1)
}

/// Returns the addresses under which an entry is listed, from the list that the entry has; none if it does not exist.
fn addresses(connection: &Connection, number: i64) -> rusqlite::Result<BTreeSet<String>> {
    let sql = "SELECT addresses FROM entry WHERE number = ?1";
    let found = connection.prepare_cached(sql)?.query_row([number], |row| row.get::<_, String>(0)).optional()?;
    Ok(found.and_then(|found| serde_json::from_str(&found).ok()).unwrap_or_default())
}

/// Replaces the list of addresses that the entry has; the index is not changed.
fn set_addresses(transaction: &Transaction<'_>, number: i64, addresses: &BTreeSet<String>) -> rusqlite::Result<()> {
    let sql = "UPDATE entry SET addresses = ?2 WHERE number = ?1";
    transaction.prepare_cached(sql)?.execute(params![number, json(addresses)]).map(drop)
}

/// Adds an entry for a message that a client put into a mailbox, listed under `address`; if there is an entry of the
/// message's journey, lists that under `address` instead. `seed` is unique, and makes the id of a message without a
/// journey. Returns the number of the entry, and whether it is new.
///
/// # Errors
/// SQLite refuses.
pub fn append(
    transaction: &Transaction<'_>,
    message: &Message,
    address: &str,
    arrived: jiff::Timestamp,
    seed: u64,
) -> Result<(i64, bool), Error> {
    let known = message.journey();
    if let Some(journey) = known
        && let Some(number) = entry_number(transaction, journey)?
    {
        list_under(transaction, number, address)?;
        return Ok((number, false));
    }
    let mut journey = known;
    for attempt in 0_u64.. {
        let hash = blake3::hash([seed.to_le_bytes(), attempt.to_le_bytes()].as_flattened());
        let random = hash.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let candidate = *journey.get_or_insert(JourneyId::from_random(random));
        if entry_number(transaction, candidate)?.is_none() {
            break;
        }
        journey = None;
    }
    let arrival = Arrival {
        journey: journey.unwrap_or(JourneyId::from_random(seed)),
        reverse_path: None,
        recipients: Vec::new(),
        addresses: [address.to_owned()].into(),
        login: None,
        message: message.clone(),
        arrived,
    };
    Ok((insert(transaction, &arrival)?, true))
}

/// Returns the number of the entry of a journey; `None` if there is none.
fn entry_number(connection: &Connection, journey: JourneyId) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT number FROM entry WHERE journey = ?1";
    connection.prepare_cached(sql)?.query_row([journey.to_bits()], |row| row.get(0)).optional()
}

/// Returns the entry that a copy of the message of a journey belongs to, and the flags that the copy is to have, as set
/// by [`expect_seen`] and [`expect_tags`]; `None` without such an entry.
///
/// # Errors
/// SQLite refuses.
pub fn find_expected(transaction: &Transaction<'_>, journey: JourneyId) -> Result<Option<Expected>, Error> {
    let sql = "SELECT number, seen, tags FROM entry WHERE journey = ?1";
    let found = transaction.prepare_cached(sql)?.query_row([journey.to_bits()], |row| {
        let keywords = row.get_ref(2)?.as_str()?.split_ascii_whitespace().map(str::to_owned).collect();
        Ok(Expected { number: row.get(0)?, seen: row.get(1)?, keywords })
    });
    Ok(found.optional()?)
}

/// Lists an entry under one more address, in the index and in the entry; nothing changes if it is listed already.
///
/// # Errors
/// SQLite refuses.
pub fn list_under(transaction: &Transaction<'_>, number: i64, address: &str) -> Result<(), Error> {
    if insert_address(transaction, number, address)? {
        let mut addresses = addresses(transaction, number)?;
        addresses.insert(address.to_owned());
        set_addresses(transaction, number, &addresses)?;
    }
    Ok(())
}

/// Whether an entry is listed under no other address than this. Also `true` if it does not exist.
///
/// # Errors
/// SQLite refuses.
pub fn is_listed_only_under(transaction: &Transaction<'_>, number: i64, address: &str) -> Result<bool, Error> {
    Ok(addresses(transaction, number)?.iter().all(|listed| listed == address))
}

/// Lists an entry under an address no longer. If that was the last one, removes the entry, as [`remove`] does, and
/// returns its id; else `None`.
///
/// # Errors
/// SQLite refuses.
pub fn forget_address(transaction: &Transaction<'_>, number: i64, address: &str) -> Result<Option<JourneyId>, Error> {
    let mut addresses = addresses(transaction, number)?;
    addresses.remove(address);
    if addresses.is_empty() {
        return remove(transaction, number);
    }
    delete_address(transaction, number, address)?;
    set_addresses(transaction, number, &addresses)?;
    Ok(None)
}

/// Removes an entry from an address in the index only, not from the list that the entry has.
fn delete_address(transaction: &Transaction<'_>, number: i64, address: &str) -> rusqlite::Result<()> {
    let sql = "DELETE FROM entry_address WHERE address = ?1 AND entry = ?2";
    transaction.prepare_cached(sql)?.execute(params![address, number]).map(drop)
}

/// Sets the read state of an entry, and replaces its tags, as worked out from its copies; the flags of copies that are
/// still to come are not changed.
///
/// # Errors
/// SQLite refuses.
pub fn set_state<'a>(
    transaction: &Transaction<'_>,
    number: i64,
    is_unread: bool,
    tags: impl IntoIterator<Item = &'a str>,
) -> Result<(), Error> {
    let sql = "UPDATE entry SET unread = ?2 WHERE number = ?1 AND unread <> ?2";
    transaction.prepare_cached(sql)?.execute(params![number, is_unread])?;
    set_tags(transaction, number, tags)
}

/// Replaces the tags of an entry, which must exist; of those that differ only in case, the first is kept. The keywords
/// of its copies, also of those still to come, are not changed.
///
/// # Errors
/// SQLite refuses.
pub fn set_tags<'a>(
    transaction: &Transaction<'_>,
    number: i64,
    tags: impl IntoIterator<Item = &'a str>,
) -> Result<(), Error> {
    transaction.prepare_cached("DELETE FROM entry_tag WHERE entry = ?1")?.execute([number])?;
    let mut insert = transaction.prepare_cached("INSERT OR IGNORE INTO entry_tag VALUES (?1, ?2)")?;
    for tag in tags {
        insert.execute(params![number, tag])?;
    }
    Ok(())
}

/// Sets whether copies of an entry that are still to come are `\Seen`, and marks the entry itself as read or unread. If
/// it has copies, the caller must then call [`set_state`], since their flags count.
///
/// # Errors
/// SQLite refuses.
pub fn expect_seen(transaction: &Transaction<'_>, number: i64, seen: bool) -> Result<(), Error> {
    let sql = "UPDATE entry SET seen = ?2, unread = NOT ?2 WHERE number = ?1";
    transaction.prepare_cached(sql)?.execute(params![number, seen])?;
    Ok(())
}

/// Sets the keywords of the copies of an entry that are still to come; the tags of the entry itself are not changed.
///
/// # Errors
/// SQLite refuses.
pub fn expect_tags(transaction: &Transaction<'_>, number: i64, keywords: &[String]) -> Result<(), Error> {
    let sql = "UPDATE entry SET tags = ?2 WHERE number = ?1";
    transaction.prepare_cached(sql)?.execute(params![number, keywords.join(" ")])?;
    Ok(())
}

/// Deletes an entry, with its addresses, tags, summary, words and thread keys, and a use of its content; returns its
/// id, or `None` if it was not there.
///
/// # Errors
/// SQLite refuses.
pub fn remove(transaction: &Transaction<'_>, number: i64) -> Result<Option<JourneyId>, Error> {
    let sql = "SELECT journey, content FROM entry WHERE number = ?1";
    let found = transaction.prepare_cached(sql)?.query_row([number], |row| Ok((row.get(0)?, row.get(1)?)));
    let Some((journey, content)) = found.optional()? else { return Ok(None) };
    for address in addresses(transaction, number)? {
        delete_address(transaction, number, &address)?;
    }
    for sql in [
        "DELETE FROM entry WHERE number = ?1",
        "DELETE FROM entry_tag WHERE entry = ?1",
        "DELETE FROM entry_summary WHERE entry = ?1",
        "DELETE FROM entry_text WHERE rowid = ?1",
        "DELETE FROM entry_thread WHERE entry = ?1",
    ] {
        transaction.prepare_cached(sql)?.execute([number])?;
    }
    content::release(transaction, content)?;
    Ok(Some(JourneyId::from_random(journey)))
}

/// Returns up to `limit` entries after the last one with a summary, in the order of acceptance, which is the order of
/// indexing.
pub(in crate::catalogue) fn unindexed(connection: &Connection, limit: usize) -> Result<Vec<Entry>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM entry e LEFT JOIN entry_summary s ON s.entry = e.number
         WHERE ifnull((SELECT max(entry) FROM entry_summary), 0) < e.number ORDER BY e.number LIMIT ?1"
    );
    let mut query = connection.prepare_cached(&sql)?;
    let rows = query.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], Row::of)?;
    rows.map(|row| read(connection, row?)).collect()
}

/// Stores the summary, the words and the thread keys of an entry; nothing changes if it was deleted meanwhile, or has a
/// summary already.
pub(in crate::catalogue) fn insert_summary(
    transaction: &Transaction<'_>,
    number: i64,
    summary: &Summary,
    Words { columns, threads }: &Words,
) -> Result<(), Error> {
    let sql = "INSERT OR IGNORE INTO entry_summary SELECT number, ?2, ?3, ?4 FROM entry WHERE number = ?1";
    let json = serde_json::to_string(summary).unwrap_or_default();
    let values = params![number, json, summary.attachments, summary.inlines];
    if transaction.prepare_cached(sql)?.execute(values)? == 0 {
        return Ok(());
    }
    let sql = "INSERT INTO entry_text (rowid, sender, recipient, cc, bcc, reply_to, subject, message_id, body)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let [sender, recipient, cc, bcc, reply_to, subject, message_id, body] = columns;
    let values = params![number, sender, recipient, cc, bcc, reply_to, subject, message_id, body];
    transaction.prepare_cached(sql)?.execute(values)?;
    let mut insert = transaction.prepare_cached("INSERT OR IGNORE INTO entry_thread VALUES (?1, ?2, ?3)")?;
    for ThreadKey { hash, is_weak } in threads {
        insert.execute(params![hash, number, is_weak])?;
    }
    Ok(())
}
