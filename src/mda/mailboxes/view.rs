//! What a session sees of one mailbox: an immutable list, shared by all sessions, and how two of them differ.

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row};

use super::{Error, Mailbox, Uid, date, lock};
use crate::imap::{Flags, SystemFlags};
use crate::mail::Letter;

/// The messages of a mailbox at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// UIDs are worth something only together with this. RFC 9051 §2.3.1.1.
    pub uidvalidity: u32,
    /// What the next message gets, at least.
    pub uidnext: Uid,
    /// The number of the last change. RFC 7162 §3.1.2.
    pub modseq: u64,
    /// Messages by ascending UID; the sequence number of a message is its place, from 1.
    pub messages: Vec<Message>,
}

/// What is known of a message without its bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Its unique id.
    pub uid: Uid,
    /// Its flags.
    pub flags: Flags,
    /// The number of its last change.
    pub modseq: u64,
    /// When it arrived, the internal date. RFC 9051 §2.3.3.
    pub received: Timestamp,
    /// Octets, trace lines included. RFC 9051 §2.3.4.
    pub size: u64,
}

/// How a newer view differs from an older one, by UID, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// No longer there.
    pub expunged: Vec<Uid>,
    /// Not there before.
    pub arrived: Vec<Uid>,
    /// There, with other flags.
    pub changed: Vec<Uid>,
}

impl View {
    /// The message with this UID.
    pub fn find(&self, uid: Uid) -> Option<&Message> {
        self.messages.binary_search_by_key(&uid, |message| message.uid).ok().map(|at| &self.messages[at])
    }

    /// What happened since `older`, a view of the same mailbox.
    pub fn changes_since(&self, older: &Self) -> Changes {
        let mut changes = Changes::default();
        if self.modseq == older.modseq {
            return changes;
        }
        let (mut before, mut now) = (older.messages.iter().peekable(), self.messages.iter().peekable());
        loop {
            match (before.peek(), now.peek()) {
                (Some(old), Some(new)) if old.uid == new.uid => {
                    if old.modseq != new.modseq {
                        changes.changed.push(new.uid);
                    }
                    before.next();
                    now.next();
                }
                (Some(old), new) if new.is_none_or(|new| old.uid < new.uid) => {
                    changes.expunged.push(old.uid);
                    before.next();
                }
                (_, Some(new)) => {
                    changes.arrived.push(new.uid);
                    now.next();
                }
                (Some(_), None) | (None, None) => return changes,
            }
        }
    }
}

impl Mailbox {
    /// The mailbox as it is now. Cheap when nothing has changed.
    ///
    /// # Errors
    /// It was deleted, or the store cannot be read.
    pub fn view(&self) -> Result<Arc<View>, Error> {
        let mut view = lock(&self.shelf.view);
        let news = self.mailboxes.0.store.read(|connection| News::since(connection, self.shelf.id, view.modseq))?;
        let Some(news) = news else { return Err(Error::NoMailbox("here any more".to_owned())) };
        if news.modseq != view.modseq {
            news.apply(Arc::make_mut(&mut view));
        }
        Ok(view.clone())
    }

    /// A whole message; its content is shared with all who hold it.
    ///
    /// # Errors
    /// It is gone (`Ok(None)` says so) or cannot be read.
    pub fn letter(&self, uid: Uid) -> Result<Option<Letter>, Error> {
        let store = &self.mailboxes.0.store;
        let sql = "SELECT trace, content FROM message WHERE mailbox = ?1 AND uid = ?2";
        let found = store.read(|connection| {
            let mut find = connection.prepare_cached(sql)?;
            find.query_row([self.shelf.id, uid.into()], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?))).optional()
        })?;
        let Some((trace, content)) = found else { return Ok(None) };
        Ok(Some(Letter { trace: trace.into(), content: store.content(content)? }))
    }

    /// The structure kept with a message, in the form in which [`Mailbox::keep_structure`] got it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn structure(&self, uid: Uid) -> Result<Option<Vec<u8>>, Error> {
        let sql = "SELECT structure FROM message WHERE mailbox = ?1 AND uid = ?2";
        let found = self.mailboxes.0.store.read(|connection| {
            connection.prepare_cached(sql)?.query_row([self.shelf.id, uid.into()], |row| row.get(0)).optional()
        })?;
        Ok(found.flatten())
    }

    /// Keeps the structure of a message, so that it is worked out once.
    ///
    /// # Errors
    /// It could not be stored; nothing is lost by that but time.
    pub async fn keep_structure(&self, uid: Uid, structure: Vec<u8>) -> Result<(), Error> {
        let id = self.shelf.id;
        let sql = "UPDATE message SET structure = ?3 WHERE mailbox = ?1 AND uid = ?2";
        let job = move |transaction: &rusqlite::Transaction<'_>| {
            transaction.prepare_cached(sql)?.execute(rusqlite::params![id, uid, structure])?;
            Ok(())
        };
        self.mailboxes.write(job).await
    }
}

/// What is newer than a view.
struct News {
    uidvalidity: u32,
    uidnext: Uid,
    modseq: u64,
    /// New and changed messages, by ascending UID.
    messages: Vec<Message>,
    expunged: Vec<Uid>,
}

impl News {
    /// All that changed after `modseq`, as of one moment; `None` when there is no such mailbox.
    fn since(connection: &Connection, mailbox: i64, modseq: u64) -> rusqlite::Result<Option<Self>> {
        let moment = connection.unchecked_transaction()?;
        let sql = "SELECT uidvalidity, uidnext, modseq FROM mailbox WHERE id = ?1";
        let state = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let state = moment.prepare_cached(sql)?.query_row([mailbox], state).optional()?;
        let Some((uidvalidity, uidnext, newest)) = state else { return Ok(None) };
        let (mut messages, mut expunged) = (vec![], vec![]);
        if newest != modseq {
            let known = [mailbox, modseq.cast_signed()];
            let sql = "SELECT uid, flags, keywords, modseq, received, size FROM message
                       WHERE mailbox = ?1 AND modseq > ?2 ORDER BY uid";
            messages = moment.prepare_cached(sql)?.query_map(known, message)?.collect::<Result<_, _>>()?;
            let sql = "SELECT uid FROM expunged WHERE mailbox = ?1 AND modseq > ?2 ORDER BY uid";
            expunged = moment.prepare_cached(sql)?.query_map(known, |row| row.get(0))?.collect::<Result<_, _>>()?;
        }
        Ok(Some(Self { uidvalidity, uidnext, modseq: newest, messages, expunged }))
    }

    fn apply(self, view: &mut View) {
        let Self { uidvalidity, uidnext, modseq, messages, expunged } = self;
        view.messages.retain(|message| expunged.binary_search(&message.uid).is_err());
        for message in messages {
            match view.messages.binary_search_by_key(&message.uid, |message| message.uid) {
                Ok(at) => view.messages[at] = message,
                // New messages come last, so this seldom moves any.
                Err(at) => view.messages.insert(at, message),
            }
        }
        (view.uidvalidity, view.uidnext, view.modseq) = (uidvalidity, uidnext, modseq);
    }
}

fn message(row: &Row<'_>) -> rusqlite::Result<Message> {
    Ok(Message {
        uid: row.get(0)?,
        flags: flags(row.get(1)?, row.get_ref(2)?.as_str()?),
        modseq: row.get(3)?,
        received: date(row.get(4)?),
        size: row.get(5)?,
    })
}

/// Flags as the tables keep them.
pub(super) fn flags(system: u8, keywords: &str) -> Flags {
    let keywords = keywords.split_ascii_whitespace().map(str::to_owned).collect();
    Flags { system: SystemFlags::from_bits(system), keywords }
}
