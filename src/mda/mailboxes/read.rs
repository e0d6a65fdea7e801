//! Messages out of the tables: whole letters, one or several by one read, and what they are made of.

use std::collections::BTreeMap;

use bytes::Bytes;
use rusqlite::{OptionalExtension, Row};

use super::{Error, Mailbox, Message, Uid, lock};
use crate::imap::Structure;
use crate::mail::Letter;
use crate::store;

impl Mailbox {
    /// A whole message; its content is shared with all who hold it.
    ///
    /// # Errors
    /// It is gone (`Ok(None)` says so) or cannot be read.
    pub fn letter(&self, uid: Uid) -> Result<Option<Letter>, Error> {
        Ok(self.letters(uid, uid)?.pop().map(|(_, letter)| letter))
    }

    /// Messages of a view, by ascending UID, out of memory if all are at hand. The caller bounds them.
    ///
    /// # Errors
    /// They cannot be read; those that are gone may be left out.
    pub fn letters_of<'a, I>(&self, messages: I) -> Result<Vec<(Uid, Letter)>, Error>
    where
        I: DoubleEndedIterator<Item = &'a Message> + Clone,
    {
        let messages: Vec<&Message> = messages.collect();
        let ids: Vec<i64> = messages.iter().map(|message| message.content).collect();
        let parts = self.traces(&messages)?.into_iter().zip(self.mailboxes.0.store.get_many(&ids)?);
        let mut letters = Vec::with_capacity(messages.len());
        for (message, (trace, content)) in messages.iter().zip(parts) {
            match (trace, content) {
                (Some(trace), Ok(content)) => letters.push((message.uid, Letter { trace, content })),
                (None, _) | (_, Err(store::Error::Missing(_))) => {}
                // A damaged one is an error for who asks for it first, and else ends the run.
                (_, Err(error)) if message.uid == messages[0].uid => return Err(error.into()),
                (_, Err(_)) => break,
            }
        }
        Ok(letters)
    }

    /// The trace lines of messages by ascending UID; `None` for those that are gone.
    fn traces(&self, messages: &[&Message]) -> Result<Vec<Option<Bytes>>, Error> {
        let traces = &self.mailboxes.0.traces;
        let at_hand = || {
            let traces = lock(traces);
            messages.iter().map(|message| traces.find(self.shelf.id, message.uid)).collect::<Vec<_>>()
        };
        let found = at_hand();
        let (Some(first), Some(last), false) = (messages.first(), messages.last(), found.iter().all(Option::is_some))
        else {
            return Ok(found);
        };
        let sql = "SELECT message.uid, trace.octets FROM message LEFT JOIN trace USING (mailbox, uid)
                   WHERE mailbox = ?1 AND message.uid BETWEEN ?2 AND ?3";
        let range = [self.shelf.id, first.uid.into(), last.uid.into()];
        let read: BTreeMap<Uid, Bytes> = self.mailboxes.0.store.read(|connection| {
            let mut find = connection.prepare_cached(sql)?;
            find.query_map(range, |row| Ok((row.get(0)?, trace(row)?)))?.collect()
        })?;
        let mut traces = lock(traces);
        read.iter().for_each(|(uid, trace)| traces.keep(self.shelf.id, *uid, trace));
        Ok(messages.iter().map(|message| read.get(&message.uid).cloned()).collect())
    }

    /// All messages with UIDs from one to another, in order. They are held in memory, so the caller bounds them.
    ///
    /// # Errors
    /// They cannot be read; those that are gone are left out.
    pub fn letters(&self, from: Uid, to: Uid) -> Result<Vec<(Uid, Letter)>, Error> {
        let sql = "SELECT message.uid, trace.octets, message.content FROM message
             LEFT JOIN trace USING (mailbox, uid)
             WHERE mailbox = ?1 AND message.uid BETWEEN ?2 AND ?3 ORDER BY message.uid";
        let range = [self.shelf.id, from.into(), to.into()];
        let store = &self.mailboxes.0.store;
        let found: Vec<(Uid, Bytes, i64)> = store.read(|connection| {
            let mut find = connection.prepare_cached(sql)?;
            find.query_map(range, |row| Ok((row.get(0)?, trace(row)?, row.get(2)?)))?.collect()
        })?;
        let mut traces = lock(&self.mailboxes.0.traces);
        found.iter().for_each(|(uid, trace, _)| traces.keep(self.shelf.id, *uid, trace));
        drop(traces);
        let letter = |(uid, trace, content)| match store.get(content) {
            Err(store::Error::Missing(_)) => None,
            content => Some(content.map(|content| (uid, Letter { trace, content })).map_err(Error::from)),
        };
        found.into_iter().filter_map(letter).collect()
    }

    /// What a message is made of; `None` when it is gone.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn structure(&self, uid: Uid) -> Result<Option<Structure>, Error> {
        let sql =
            "SELECT structure, content FROM message LEFT JOIN summary USING (content) WHERE mailbox = ?1 AND uid = ?2";
        let found: Option<(Option<Vec<u8>>, i64)> = self.mailboxes.0.store.read(|connection| {
            let found = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
            connection.prepare_cached(sql)?.query_row([self.shelf.id, uid.into()], found).optional()
        })?;
        let Some((kept, content)) = found else { return Ok(None) };
        match kept.and_then(|bytes| Structure::from_bytes(&bytes)) {
            Some(structure) => Ok(Some(structure)),
            None => {
                let summary = self.mailboxes.summary_of(content)?;
                Ok(summary.and_then(|summary| Structure::from_bytes(&summary.structure)))
            }
        }
    }
}

impl Mailbox {
    /// How the text of a message begins; `None` when it is gone. RFC 8970.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn preview(&self, uid: Uid) -> Result<Option<String>, Error> {
        let sql =
            "SELECT preview, content FROM message LEFT JOIN summary USING (content) WHERE mailbox = ?1 AND uid = ?2";
        let found: Option<(Option<String>, i64)> = self.mailboxes.0.store.read(|connection| {
            let found = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
            connection.prepare_cached(sql)?.query_row([self.shelf.id, uid.into()], found).optional()
        })?;
        match found {
            Some((Some(preview), _)) => Ok(Some(preview)),
            Some((None, content)) => Ok(self.mailboxes.summary_of(content)?.map(|summary| summary.preview.clone())),
            None => Ok(None),
        }
    }
}

fn trace(row: &Row<'_>) -> rusqlite::Result<Bytes> {
    Ok(row.get::<_, Option<Vec<u8>>>(1)?.map(Bytes::from).unwrap_or_default())
}
