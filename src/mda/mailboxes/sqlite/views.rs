//! Reads a whole mailbox.

use std::sync::{Arc, Mutex};

use rusqlite::functions::{Aggregate, Context, FunctionFlags};
use rusqlite::types::{FromSql, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row};

use crate::imap::{Flags, SystemFlags};
use crate::mda::mailboxes::messages::MessagesBuilder;
use crate::mda::mailboxes::{MessageMeta, Messages, Uid, View};
use crate::store::Error;
use crate::sync::lock;

/// Mailboxes with so many messages are read by [`collect`]. For fewer it costs more than it saves: SQLite prepares the
/// statements of the connection again for a function that changed.
const COLLECT_FROM_MESSAGES: u64 = 1_000;

/// SQL for when a message was added to its mailbox.
pub(super) const SAVED: &str = "ifnull(CAST(origin AS INTEGER), received)";

/// The view of a mailbox, and the UID from which on its messages are recent; `None` if the mailbox does not exist.
pub(in crate::mda::mailboxes) fn view(connection: &Connection, mailbox: i64) -> Result<Option<(View, Uid)>, Error> {
    let moment = connection.unchecked_transaction()?;
    let sql = "SELECT uidvalidity, uidnext, modseq, recent, messages FROM mailbox WHERE id = ?1";
    let state = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get::<_, u64>(4)?));
    let state = moment.prepare_cached(sql)?.query_row([mailbox], state).optional()?;
    let Some((uidvalidity, uidnext, modseq, recent, count)) = state else { return Ok(None) };
    let read = if count < COLLECT_FROM_MESSAGES { rows } else { collect };
    let messages = read(&moment, mailbox)?;
    Ok(Some((View { uidvalidity, uidnext, modseq, messages }, recent)))
}

/// The messages of a mailbox, from the rows that a statement returns, for [`view`] of a small mailbox; none if the
/// mailbox does not exist.
pub(super) fn rows(connection: &Connection, mailbox: i64) -> rusqlite::Result<Messages> {
    let sql = "SELECT uid, flags, keywords, modseq, received, size, content, origin FROM message
               WHERE mailbox = ?1 ORDER BY uid";
    let read = |row: &Row<'_>| message(mailbox, |column| row.get_ref(column));
    connection.prepare_cached(sql)?.query_map([mailbox], read)?.collect()
}

/// As [`rows`], for a large mailbox: the messages are gathered by the SQL function `collect`, faster than returned as
/// rows.
pub(super) fn collect(connection: &Connection, mailbox: i64) -> rusqlite::Result<Messages> {
    let collect = Collect { mailbox, messages: Arc::default() };
    let messages = collect.messages.clone();
    connection.create_aggregate_function("collect", 8, FunctionFlags::SQLITE_UTF8, collect)?;
    let sql = "SELECT collect(uid, flags, keywords, modseq, received, size, content, origin) FROM message
               WHERE mailbox = ?1";
    connection.query_row(sql, [mailbox], |_| Ok(()))?;
    let mut collected = lock(&messages);
    Ok(std::mem::take(&mut *collected))
}

/// The SQL function `collect`, which takes messages from the columns of [`message`] where SQLite steps over them: to
/// return each row from the statement takes as long again.
struct Collect {
    mailbox: i64,
    messages: Arc<Mutex<Messages>>,
}

impl Aggregate<MessagesBuilder, Option<i64>> for Collect {
    /// Begins with no messages.
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<MessagesBuilder> {
        Ok(MessagesBuilder::default())
    }

    /// Adds the message of a row.
    fn step(&self, row: &mut Context<'_>, messages: &mut MessagesBuilder) -> rusqlite::Result<()> {
        messages.push(message(self.mailbox, |column| Ok(row.get_raw(column)))?);
        Ok(())
    }

    /// Hands the messages over to [`collect`]; the SQL result is NULL.
    fn finalize(&self, _: &mut Context<'_>, messages: Option<MessagesBuilder>) -> rusqlite::Result<Option<i64>> {
        *lock(&self.messages) = messages.unwrap_or_default().finish();
        Ok(None)
    }
}

/// A message of a mailbox from its columns `uid, flags, keywords, modseq, received, size, content, origin`. Without an
/// `origin` that can be parsed, it was saved when it was received, and its email id is its own.
pub(super) fn message<'a>(
    mailbox: i64,
    column: impl Fn(usize) -> rusqlite::Result<ValueRef<'a>>,
) -> rusqlite::Result<MessageMeta> {
    let (uid, received) = (u32::column_result(column(0)?)?, i64::column_result(column(4)?)?);
    let (saved, email) = match column(7)?.as_str_or_null()? {
        None => (received, own_email_id(mailbox, uid)),
        Some(origin) => parse_origin(origin).unwrap_or((received, own_email_id(mailbox, uid))),
    };
    Ok(MessageMeta {
        uid,
        flags: SystemFlags::from_bits(FromSql::column_result(column(1)?)?),
        keywords: keywords(column(2)?)?.into(),
        modseq: FromSql::column_result(column(3)?)?,
        received,
        saved,
        size: FromSql::column_result(column(5)?)?,
        content: FromSql::column_result(column(6)?)?,
        email,
    })
}

/// The email id of a message that is no copy, from its mailbox and UID. RFC 8474 §5.1.
pub(super) fn own_email_id(mailbox: i64, uid: Uid) -> u64 {
    (mailbox as u64) << 32 | u64::from(uid)
}

/// When a message was added to its mailbox, in seconds since 1970, and its email id, from the column `origin`; `None`
/// if it cannot be parsed.
fn parse_origin(origin: &str) -> Option<(i64, u64)> {
    let (saved, email) = origin.split_once(' ')?;
    Some((saved.parse().ok()?, email.parse().ok()?))
}

/// Flags from two columns of a row: `flags` at index `first`, and `keywords` after it.
pub(super) fn flags(row: &Row<'_>, first: usize) -> rusqlite::Result<Flags> {
    Ok(Flags { system: SystemFlags::from_bits(row.get(first)?), keywords: keywords(row.get_ref(first + 1)?)? })
}

/// Keywords from the value of their column, NULL for none. Words that are no valid keyword are left out.
fn keywords(value: ValueRef<'_>) -> rusqlite::Result<Vec<String>> {
    let Some(words) = value.as_str_or_null()? else { return Ok(Vec::new()) };
    // A keyword that is no atom could end a response early.
    let words = words.split_ascii_whitespace();
    Ok(words.filter(|word| Flags::is_keyword(word)).map(str::to_owned).collect())
}
