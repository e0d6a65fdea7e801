//! Adds messages to mailboxes: APPEND and REPLACE. RFC 9051 §6.3.12, RFC 3502, RFC 8508.

use super::error_reply::{Failure, expunged_reply, no_such_message_reply, read_only_reply, target_error_reply};
use super::handler::ImapHandler;
use crate::imap::{Append, Code, NewMessage, Replace, Reply};
use crate::mail::Message;
use crate::mda::{AppendMessage, Delivered};
use crate::sync::beside_others;

impl ImapHandler {
    /// Executes APPEND: adds all messages or none, and replies with APPENDUID (RFC 4315 §3). Replies NO if one is
    /// empty, and NO with TRYCREATE if the mailbox does not exist. RFC 9051 §6.3.12.
    pub(super) async fn append(&mut self, Append { mailbox, messages }: Append) -> Result<Reply, Failure> {
        if messages.iter().any(|message| message.message.is_empty()) {
            return Ok(cancelled_reply());
        }
        let messages = messages.into_iter().map(append_message).collect();
        match self.mailboxes.append(&self.account, &mailbox, messages).await {
            Ok(delivered) => {
                self.note_created(delivered.iter().map(|message| (message.uidvalidity, message.uid)));
                Ok(Reply::ok("APPEND completed").with(append_uid(&delivered)))
            }
            Err(error) => target_error_reply(error),
        }
    }

    /// Executes REPLACE: appends a message and removes the first one of `old`, atomically; reports the UID of the new
    /// message before the old one is expunged, RFC 8508 §3.3, §3.4. Replies NO if the mailbox is read-only, the message
    /// is empty, the old one was expunged, or the target does not exist; BAD if `old` names no message.
    pub(super) async fn replace(&mut self, Replace { old, mailbox, message }: Replace) -> Result<Reply, Failure> {
        let Some(selected) = &self.selected else { return Ok(no_such_message_reply()) };
        if selected.read_only {
            return Ok(read_only_reply());
        }
        if message.message.is_empty() {
            return Ok(cancelled_reply());
        }
        let place = selected.places(&old).and_then(|places| places.first().copied());
        let Some(place) = place else { return Ok(no_such_message_reply()) };
        let uid = selected.view.messages[place].uid;
        match selected.mailbox.replace(uid, &mailbox, append_message(message)).await {
            Ok(Some(delivered)) => {
                self.note_created([(delivered.uidvalidity, delivered.uid)]);
                self.note_removed(vec![uid]);
                self.conn.machine.out().note(&append_uid(&[delivered]), "Replacement message");
                self.with_modseq(Reply::ok("REPLACE completed"))
            }
            Ok(None) => Ok(expunged_reply()),
            Err(error) => target_error_reply(error),
        }
    }
}

/// The NO reply to an empty message, which cancels the whole command. RFC 3502 §6.3.11.
fn cancelled_reply() -> Reply {
    Reply::no("Empty message, APPEND cancelled")
}

/// Converts a message of APPEND to what [`crate::mda::Mailboxes::append`] takes: split after its leading trace fields,
/// with its flags and date.
fn append_message(message: NewMessage) -> AppendMessage {
    let NewMessage { flags, internal_date, message } = message;
    let message = beside_others(message.len(), || Message::new(message));
    AppendMessage { message, flags, received: internal_date }
}

/// The response code APPENDUID for messages added to one mailbox; UIDVALIDITY is 0 if there are none.
fn append_uid(delivered: &[Delivered]) -> Code {
    let validity = delivered.first().map_or(0, |first| first.uidvalidity);
    Code::AppendUid { validity, uids: delivered.iter().map(|message| message.uid).collect() }
}
