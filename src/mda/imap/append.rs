//! Adds messages to mailboxes: APPEND and REPLACE. RFC 9051 §6.3.12, RFC 3502, RFC 8508.

use super::error_reply::{Failure, expunged_reply, no_such_message_reply, read_only_reply, target_error_reply};
use super::handler::ImapHandler;
use crate::imap::{Append, Code, NewMessage, Replace, Reply};
use crate::mail::Message;
use crate::mda::{AppendMessage, Delivered};
use crate::sync::beside_others;

impl ImapHandler {
    /// APPEND. RFC 9051 §6.3.12; RFC 4315 §3 (APPENDUID).
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

    /// REPLACE. RFC 8508 §3.3, §3.4: the UID of the new message is reported before the old one is expunged.
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

/// RFC 3502 §6.3.11: an empty message cancels the whole command.
fn cancelled_reply() -> Reply {
    Reply::no("Empty message, APPEND cancelled")
}

/// The message as the mailboxes take it, split after its leading trace fields.
fn append_message(message: NewMessage) -> AppendMessage {
    let NewMessage { flags, internal_date, message } = message;
    let message = beside_others(message.len(), || Message::new(message));
    AppendMessage { message, flags, received: internal_date }
}

/// APPENDUID for messages of one mailbox.
fn append_uid(delivered: &[Delivered]) -> Code {
    let validity = delivered.first().map_or(0, |first| first.uidvalidity);
    Code::AppendUid { validity, uids: delivered.iter().map(|message| message.uid).collect() }
}
