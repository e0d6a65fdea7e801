//! Reads messages from the tables: whole messages, one or several per query, and their structure.

use bytes::Bytes;

use super::{Error, Mailbox, MessageMeta, Uid, sqlite};
use crate::imap::Structure;
use crate::mail::Message;
use crate::store;
use crate::sync::lock;

impl Mailbox {
    /// A whole message; its content is shared, not copied. `None` if it was expunged.
    ///
    /// # Errors
    /// The message is damaged, or the store cannot be read.
    pub fn message(&self, uid: Uid) -> Result<Option<Message>, Error> {
        Ok(self.messages(uid, uid)?.pop().map(|(_, to_message)| to_message))
    }

    /// Whole messages of a view, given by ascending UID; the caller limits their size. Expunged ones are left out,
    /// unless their trace lines are in memory and their content is stored. A damaged one that is not the first ends the
    /// list.
    ///
    /// # Errors
    /// The first one is damaged, or the store cannot be read.
    pub fn messages_of<'a, I>(&self, messages: I) -> Result<Vec<(Uid, Message)>, Error>
    where
        I: DoubleEndedIterator<Item = &'a MessageMeta> + Clone,
    {
        let messages: Vec<&MessageMeta> = messages.collect();
        let ids: Vec<i64> = messages.iter().map(|message| message.content).collect();
        let parts = self.traces(&messages)?.into_iter().zip(self.mailboxes.store.get_many(&ids)?);
        let mut found = Vec::with_capacity(messages.len());
        for (message, (trace, content)) in messages.iter().zip(parts) {
            match (trace, content) {
                (Some(trace), Ok(content)) => found.push((message.uid, Message { trace, content })),
                (None, _) | (_, Err(store::Error::Missing(_))) => {}
                // A damaged message is an error for a caller that asks for it first, and else ends the run.
                (_, Err(error)) if message.uid == messages[0].uid => return Err(error.into()),
                (_, Err(_)) => break,
            }
        }
        Ok(found)
    }

    /// The trace fields of messages by ascending UID, in their order: from memory, or else read and kept there; empty
    /// where a message has none. `None` for expunged ones that are not in memory.
    pub(super) fn traces(&self, messages: &[&MessageMeta]) -> Result<Vec<Option<Bytes>>, Error> {
        let memory = &self.mailboxes.inner.memory;
        let mut found: Vec<Option<Bytes>> = {
            let mut memory = lock(memory);
            messages.iter().map(|message| memory.trace(self.shared.id, message.uid)).collect()
        };
        let (Some(first), Some(last), false) = (messages.first(), messages.last(), found.iter().all(Option::is_some))
        else {
            return Ok(found);
        };
        let range = (first.uid, last.uid);
        let mut read = self.mailboxes.store.read(|it| sqlite::traces(it, self.shared.id, range.0, range.1))?;
        let mut memory = lock(memory);
        read.iter().for_each(|(uid, trace)| memory.insert_trace(self.shared.id, *uid, trace));
        for (found, message) in found.iter_mut().zip(messages).filter(|(found, _)| found.is_none()) {
            *found = read.remove(&message.uid);
        }
        Ok(found)
    }

    /// All whole messages from UID `from` to `to`, both included, in order; expunged ones are left out. They are held
    /// in memory, so the caller limits their size.
    ///
    /// # Errors
    /// One of them is damaged, or the store cannot be read.
    pub fn messages(&self, from: Uid, to: Uid) -> Result<Vec<(Uid, Message)>, Error> {
        let store = &self.mailboxes.store;
        let found = store.read(|connection| sqlite::messages(connection, self.shared.id, from, to))?;
        let mut memory = lock(&self.mailboxes.inner.memory);
        found.iter().for_each(|(uid, trace, _)| memory.insert_trace(self.shared.id, *uid, trace));
        drop(memory);
        let to_message = |(uid, trace, content)| match store.get(content) {
            Err(store::Error::Missing(_)) => None,
            content => Some(content.map(|content| (uid, Message { trace, content })).map_err(Error::from)),
        };
        found.into_iter().filter_map(to_message).collect()
    }

    /// The MIME structure of a message, as stored, or computed if that is lost; `None` if it was expunged and its
    /// content is gone.
    ///
    /// # Errors
    /// The structure must be computed and the content is damaged, or the store cannot be read.
    pub fn structure(&self, message: &MessageMeta) -> Result<Option<Structure>, Error> {
        let content = message.content;
        let found = self.mailboxes.store.read(|connection| sqlite::structure(connection, content))?;
        match found.and_then(|bytes| Structure::from_bytes(&bytes)) {
            Some(structure) => Ok(Some(structure)),
            None => {
                let summary = self.mailboxes.summary_of(content)?;
                Ok(summary.and_then(|summary| Structure::from_bytes(&summary.structure)))
            }
        }
    }

    /// The beginning of the text of a message, as PREVIEW returns it, as stored, or computed if that is lost; `None` if
    /// it was expunged and its content is gone. RFC 8970.
    ///
    /// # Errors
    /// The preview must be computed and the content is damaged, or the store cannot be read.
    pub fn preview(&self, message: &MessageMeta) -> Result<Option<String>, Error> {
        let content = message.content;
        match self.mailboxes.store.read(|connection| sqlite::preview(connection, content))? {
            Some(preview) => Ok(Some(preview)),
            None => Ok(self.mailboxes.summary_of(content)?.map(|summary| summary.preview.clone())),
        }
    }
}
