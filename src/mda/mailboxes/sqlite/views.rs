//! Reads a whole mailbox.

use std::sync::{Arc, Mutex};

use rusqlite::functions::{Aggregate, Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};

use crate::imap::{Flags, SystemFlags};
use crate::mda::mailboxes::{MessageMeta, Messages, Uid, View};
use crate::store::Error;
use crate::sync::lock;

/// The view, and the first recent UID.
pub(in crate::mda::mailboxes) fn view(connection: &Connection, mailbox: i64) -> Result<Option<(View, Uid)>, Error> {
    let moment = connection.unchecked_transaction()?;
    let sql = "SELECT uidvalidity, uidnext, modseq, recent FROM mailbox WHERE id = ?1";
    let state = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    let state = moment.prepare_cached(sql)?.query_row([mailbox], state).optional()?;
    let Some((uidvalidity, uidnext, modseq, recent)) = state else { return Ok(None) };
    let collected = Collect::default();
    moment.create_aggregate_function("collect", 9, FunctionFlags::SQLITE_UTF8, collected.clone())?;
    let sql = "SELECT collect(uid, flags, keywords, modseq, received, saved, size, content, email) FROM message
               WHERE mailbox = ?1";
    moment.query_row(sql, [mailbox], |_| Ok(()))?;
    let messages = std::mem::take(&mut *lock(&collected.0));
    Ok(Some((View { uidvalidity, uidnext, modseq, messages }, recent)))
}

/// The SQL function `collect(uid, flags, keywords, modseq, received, saved, size, content, email)`, which takes messages
/// where SQLite steps over them: to return each row from the statement takes as long again.
#[derive(Clone, Default)]
struct Collect(Arc<Mutex<Messages>>);

impl Aggregate<Messages, Option<i64>> for Collect {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<Messages> {
        Ok(Messages::default())
    }

    fn step(&self, row: &mut Context<'_>, messages: &mut Messages) -> rusqlite::Result<()> {
        messages.insert(MessageMeta {
            uid: row.get(0)?,
            flags: SystemFlags::from_bits(row.get(1)?),
            keywords: keywords(row.get_raw(2))?.into(),
            modseq: row.get(3)?,
            received: row.get(4)?,
            saved: row.get(5)?,
            size: row.get(6)?,
            content: row.get(7)?,
            email: row.get(8)?,
        });
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, messages: Option<Messages>) -> rusqlite::Result<Option<i64>> {
        *lock(&self.0) = messages.unwrap_or_default();
        Ok(None)
    }
}

/// A message from a row of `uid, flags, keywords, modseq, received, saved, size, content, email`.
pub(super) fn message(row: &Row<'_>) -> rusqlite::Result<MessageMeta> {
    Ok(MessageMeta {
        uid: row.get(0)?,
        flags: SystemFlags::from_bits(row.get(1)?),
        keywords: keywords(row.get_ref(2)?)?.into(),
        modseq: row.get(3)?,
        received: row.get(4)?,
        saved: row.get(5)?,
        size: row.get(6)?,
        content: row.get(7)?,
        email: row.get(8)?,
    })
}

/// Flags from their columns `flags, keywords`.
pub(super) fn flags(row: &Row<'_>, first: usize) -> rusqlite::Result<Flags> {
    Ok(Flags { system: SystemFlags::from_bits(row.get(first)?), keywords: keywords(row.get_ref(first + 1)?)? })
}

fn keywords(value: ValueRef<'_>) -> rusqlite::Result<Vec<String>> {
    // A keyword that is no atom could end a response early.
    let words = value.as_str()?.split_ascii_whitespace();
    Ok(words.filter(|word| Flags::is_keyword(word)).map(str::to_owned).collect())
}
