//! Inserts messages into mailboxes: delivery and APPEND.

use std::sync::Arc;

use jiff::Timestamp;

use super::name::{INBOX, canonical};
use super::open_mailbox::Change;
use super::{Error, Mailbox, Mailboxes, Uid, quota, sqlite, tree};
use crate::imap::{Flags, Summary, without_binary};
use crate::mail::{Content, Message, has_long_header};
use crate::store::Transaction;
use crate::sync::beside_others;

/// Most keywords on one message.
const MAX_KEYWORDS: usize = 64;
/// Longest keyword, in bytes.
const MAX_KEYWORD_BYTES: usize = 128;

/// Where a message was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The mailbox.
    pub mailbox: String,
    /// Its UIDVALIDITY.
    pub uidvalidity: u32,
    /// The UID of the message.
    pub uid: Uid,
}

/// A message of APPEND.
#[derive(Clone, Debug)]
pub struct AppendMessage {
    /// The message.
    pub message: Message,
    /// Its flags.
    pub flags: Flags,
    /// The internal date; `None` for now.
    pub received: Option<Timestamp>,
}

/// A message to insert into a mailbox.
pub(super) struct MessageToInsert {
    pub(super) message: Message,
    pub(super) summary: Arc<Summary>,
    pub(super) flags: Flags,
    pub(super) received: i64,
    pub(super) saved: i64,
    pub(super) listing: Listing,
}

/// What the catalogue has to do with a message that is inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listing {
    /// Nothing.
    None,
    /// It is a copy of a message that entered the world before.
    Copy,
    /// It enters the world here, unless it is a copy.
    Entry,
}

impl Mailboxes {
    /// Delivers a message to an account, which is created if it does not exist: into the mailbox named by the address's
    /// detail (RFC 5233, case-insensitive) if that exists, else into INBOX. If the journey of the message was deleted
    /// meanwhile, the message is removed again in the same commit.
    ///
    /// # Errors
    /// The message exceeds the quota of the account, or it cannot be stored.
    pub async fn deliver(&self, account: &str, detail: Option<&str>, message: &Message) -> Result<Delivered, Error> {
        let (now, account) = (self.now(), account.to_owned());
        // A detail that is no valid mailbox name counts as one that does not exist.
        let detail = detail.and_then(|detail| canonical(detail).ok());
        let (new_message, quotas) = (self.new_message(message, Flags::default(), now), self.quotas());
        let job = move |transaction: &Transaction<'_>| {
            let account = tree::ensure_account(transaction, &account, now)?;
            let (mailbox, name) = destination(transaction, account, detail.as_deref())?;
            let (delivered, mut changes) = insert_message(transaction, mailbox, name, &new_message)?;
            if sqlite::is_deleted(transaction, &new_message)? {
                changes.push(sqlite::remove(transaction, mailbox, &[delivered.uid])?);
            }
            let inserted = (delivered, changes);
            quota::check(transaction, &quotas, account, &inserted.1)?;
            Ok(inserted)
        };
        self.change(job).await
    }

    /// Appends messages to the mailbox of an account key and a name, all of them or none. Returns where they are, in
    /// order. RFC 9051 §6.3.12, RFC 3502.
    ///
    /// # Errors
    /// The mailbox does not exist, a message has too many keywords or too long a header, the quota of the account is
    /// exceeded, or the messages cannot be stored.
    pub async fn append(
        &self,
        account: &str,
        mailbox: &str,
        messages: Vec<AppendMessage>,
    ) -> Result<Vec<Delivered>, Error> {
        let (name, account) = (canonical(mailbox)?, account.to_owned());
        let new_messages =
            messages.into_iter().map(|message| self.new_message_to_append(message)).collect::<Result<Vec<_>, _>>()?;
        let quotas = self.quotas();
        let job = move |transaction: &Transaction<'_>| {
            let Some((account, mailbox)) = sqlite::find(transaction, &account, &name)? else {
                return Err(Error::NoMailbox(name.clone()));
            };
            let (mut all, mut changes) = (vec![], vec![]);
            for new_message in &new_messages {
                let (inserted, more) = insert_message(transaction, mailbox, name.clone(), new_message)?;
                all.push(inserted);
                changes.extend(more);
            }
            quota::check(transaction, &quotas, account, &changes)?;
            Ok((all, changes))
        };
        self.change(job).await
    }

    /// A message of a client to insert, saved now, and received now unless the client gave a date; to the catalogue it
    /// is an entry. Refuses more than 64 keywords, too long or invalid ones, and a header that is too long.
    fn new_message_to_append(
        &self,
        AppendMessage { message, flags, received }: AppendMessage,
    ) -> Result<MessageToInsert, Error> {
        check_keywords(&flags)?;
        if has_long_header(message.content.bytes()) {
            return Err(Error::TooMany("bytes in the header"));
        }
        let now = self.now();
        let received = received.map_or(now, Timestamp::as_second);
        let listing = self.listing(Listing::Entry);
        Ok(MessageToInsert { saved: now, listing, ..self.new_message(&message, flags, received) })
    }

    /// A message to insert with these flags, with its binary parts in base64; `received`, in seconds since 1970, is
    /// also when it is saved. To the catalogue it is a copy.
    fn new_message(&self, message: &Message, flags: Flags, received: i64) -> MessageToInsert {
        let (message, summary) = self.without_binary(message.clone());
        MessageToInsert { message, summary, flags, received, saved: received, listing: self.listing(Listing::Copy) }
    }

    /// Returns the given listing if the mailboxes have a catalogue, else [`Listing::None`].
    pub(super) fn listing(&self, listing: Listing) -> Listing {
        if self.inner.catalogue.is_some() { listing } else { Listing::None }
    }

    /// The message as it is stored, with its summary: binary parts, as of BINARYMIME, become base64, because IMAP
    /// literals hold no NUL, and so that sizes agree with what is fetched; any other message is unchanged. RFC 9051
    /// §4.3.1, RFC 3516 §4.2.
    pub(super) fn without_binary(&self, message: Message) -> (Message, Arc<Summary>) {
        let summary = self.inner.summaries.of(&message.content);
        if !summary.has_binary {
            return (message, summary);
        }
        let bytes = message.content.bytes();
        let content = beside_others(bytes.len(), || Content::new(without_binary(bytes.clone())));
        let summary = self.inner.summaries.of(&content);
        (Message { content, ..message }, summary)
    }
}

impl Mailbox {
    /// Appends a message to a mailbox of the same account and removes the one with this UID from this mailbox,
    /// atomically. Returns where the new one is; `None` if the old one is already gone, and then nothing is appended.
    /// RFC 8508.
    ///
    /// # Errors
    /// As for [`Mailboxes::append`].
    pub async fn replace(&self, uid: Uid, mailbox: &str, message: AppendMessage) -> Result<Option<Delivered>, Error> {
        let (id, account, name) = (self.shared.id, self.account, canonical(mailbox)?);
        let quotas = self.mailboxes.quotas();
        let new_message = self.mailboxes.new_message_to_append(message)?;
        let job = move |transaction: &Transaction<'_>| {
            let target = sqlite::find_in(transaction, account, &name)?.ok_or(Error::NoMailbox(name.clone()))?;
            if !sqlite::exists(transaction, id, uid)? {
                return Ok((None, vec![]));
            }
            let (inserted, mut changes) = insert_message(transaction, target, name.clone(), &new_message)?;
            changes.push(sqlite::remove(transaction, id, &[uid])?);
            quota::check(transaction, &quotas, account, &changes)?;
            Ok((Some(inserted), changes))
        };
        self.mailboxes.change(job).await
    }
}

/// The id and stored name of the mailbox that a delivery goes into: the one named by the detail, in any case; INBOX,
/// which every account has, if there is no such mailbox or no detail.
fn destination(transaction: &Transaction<'_>, account: i64, detail: Option<&str>) -> Result<(i64, String), Error> {
    if let Some(detail) = detail
        && let Some(found) = sqlite::find_ignoring_case(transaction, account, detail)?
    {
        return Ok(found);
    }
    let inbox = sqlite::find_in(transaction, account, INBOX)?;
    Ok((inbox.ok_or_else(|| Error::NoMailbox(INBOX.to_owned()))?, INBOX.to_owned()))
}

/// Inserts a message into the mailbox with this id; returns where it was stored, `name` being the mailbox in this
/// result only, and the change.
pub(super) fn insert_message(
    transaction: &Transaction<'_>,
    mailbox: i64,
    name: String,
    new_message: &MessageToInsert,
) -> Result<(Delivered, Vec<Change>), Error> {
    let (uidvalidity, uid, change) = sqlite::insert(transaction, mailbox, new_message)?;
    Ok((Delivered { mailbox: name, uidvalidity, uid }, vec![change]))
}

/// Fails if the flags have more than 64 keywords, one longer than 128 bytes, or one that is no valid keyword.
pub(super) fn check_keywords(flags: &Flags) -> Result<(), Error> {
    if MAX_KEYWORDS < flags.keywords.len() || flags.keywords.iter().any(|word| MAX_KEYWORD_BYTES < word.len()) {
        return Err(Error::TooMany("keywords"));
    }
    if let Some(word) = flags.keywords.iter().find(|word| !Flags::is_keyword(word)) {
        return Err(Error::BadKeyword(word.clone()));
    }
    Ok(())
}
