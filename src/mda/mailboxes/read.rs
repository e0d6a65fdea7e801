//! Reads messages from the tables: whole messages, one or several per query, and their structure.

use bytes::Bytes;

use super::{Error, Mailbox, MessageMeta, Uid, sqlite};
use crate::imap::Structure;
use crate::mail::Message;
use crate::store;
use crate::sync::lock;

impl Mailbox {
    /// A whole message; its content is shared, not copied.
    ///
    /// # Errors
    /// The message was expunged (`Ok(None)`), or cannot be read.
    pub fn message(&self, uid: Uid) -> Result<Option<Message>, Error> {
        Ok(self.messages(uid, uid)?.pop().map(|(_, to_message)| to_message))
    }

    /// Messages of a view, by ascending UID; from memory if all are cached. The caller limits their size.
    ///
    /// # Errors
    /// They cannot be read; expunged ones may be left out.
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

    /// The trace lines of messages by ascending UID; `None` for expunged ones.
    fn traces(&self, messages: &[&MessageMeta]) -> Result<Vec<Option<Bytes>>, Error> {
        let traces = &self.mailboxes.inner.trace_cache;
        let cached = || {
            let traces = lock(traces);
            messages.iter().map(|message| traces.find(self.shared.id, message.uid)).collect::<Vec<_>>()
        };
        let found = cached();
        let (Some(first), Some(last), false) = (messages.first(), messages.last(), found.iter().all(Option::is_some))
        else {
            return Ok(found);
        };
        let range = (first.uid, last.uid);
        let read = self.mailboxes.store.read(|it| sqlite::traces(it, self.shared.id, range.0, range.1))?;
        let mut traces = lock(traces);
        read.iter().for_each(|(uid, trace)| traces.insert(self.shared.id, *uid, trace));
        Ok(messages.iter().map(|message| read.get(&message.uid).cloned()).collect())
    }

    /// All messages in a range of UIDs, in order. They are held in memory, so the caller limits their size.
    ///
    /// # Errors
    /// They cannot be read; expunged ones are left out.
    pub fn messages(&self, from: Uid, to: Uid) -> Result<Vec<(Uid, Message)>, Error> {
        let store = &self.mailboxes.store;
        let found = store.read(|connection| sqlite::messages(connection, self.shared.id, from, to))?;
        let mut traces = lock(&self.mailboxes.inner.trace_cache);
        found.iter().for_each(|(uid, trace, _)| traces.insert(self.shared.id, *uid, trace));
        drop(traces);
        let to_message = |(uid, trace, content)| match store.get(content) {
            Err(store::Error::Missing(_)) => None,
            content => Some(content.map(|content| (uid, Message { trace, content })).map_err(Error::from)),
        };
        found.into_iter().filter_map(to_message).collect()
    }

    /// The MIME structure of a message; `None` if it was expunged.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn structure(&self, uid: Uid) -> Result<Option<Structure>, Error> {
        let found = self.mailboxes.store.read(|connection| sqlite::structure(connection, self.shared.id, uid))?;
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
    /// The beginning of the text of a message; `None` if it was expunged. RFC 8970.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn preview(&self, uid: Uid) -> Result<Option<String>, Error> {
        let found = self.mailboxes.store.read(|connection| sqlite::preview(connection, self.shared.id, uid))?;
        match found {
            Some((Some(preview), _)) => Ok(Some(preview)),
            Some((None, content)) => Ok(self.mailboxes.summary_of(content)?.map(|summary| summary.preview.clone())),
            None => Ok(None),
        }
    }
}
