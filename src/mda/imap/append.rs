//! What brings messages into mailboxes: APPEND and REPLACE. RFC 9051 §6.3.12, RFC 3502, RFC 8508.

use super::refusal::{Failure, gone, no_such_message, read_only, refusal_of_target};
use super::visit::Visit;
use crate::imap::{Append, Code, NewMessage, Replace, Reply, without_binary};
use crate::mail::Letter;
use crate::mda::{Brought, Delivered};

impl Visit {
    /// RFC 9051 §6.3.12; RFC 4315 §3 (APPENDUID).
    pub(super) async fn append(&mut self, Append { mailbox, messages }: Append) -> Result<Reply, Failure> {
        if messages.iter().any(|message| message.message.is_empty()) {
            return Ok(cancelled());
        }
        let messages = messages.into_iter().map(brought).collect();
        match self.mailboxes.append(&self.account, &mailbox, messages).await {
            Ok(delivered) => {
                self.made(delivered.iter().map(|filed| (filed.uidvalidity, filed.uid)));
                Ok(Reply::ok("filed").with(append_uid(&delivered)))
            }
            Err(error) => refusal_of_target(error),
        }
    }

    /// RFC 8508 §3.3, §3.4: where the new one is is told before the old one goes.
    pub(super) async fn replace(&mut self, Replace { old, mailbox, message }: Replace) -> Result<Reply, Failure> {
        let Some(selected) = &self.selected else { return Ok(no_such_message()) };
        if selected.read_only {
            return Ok(read_only());
        }
        if message.message.is_empty() {
            return Ok(cancelled());
        }
        let place = selected.places(&old).and_then(|places| places.first().copied());
        let Some(place) = place else { return Ok(no_such_message()) };
        let uid = selected.view.messages[place].uid;
        match selected.mailbox.replace(uid, &mailbox, brought(message)).await {
            Ok(Some(delivered)) => {
                self.made([(delivered.uidvalidity, delivered.uid)]);
                self.took(vec![uid]);
                self.conn.machine.out().note(&append_uid(&[delivered]), "is the new one");
                self.removed(Reply::ok("replaced"))
            }
            Ok(None) => Ok(gone()),
            Err(error) => refusal_of_target(error),
        }
    }
}

/// RFC 3502 §6.3.11: a message without octets takes all of them back.
fn cancelled() -> Reply {
    Reply::no("a message without octets is not filed, nor are the others")
}

fn brought(message: NewMessage) -> Brought {
    let NewMessage { flags, internal_date, message, is_binary } = message;
    let octets = if is_binary { without_binary(message) } else { message };
    Brought { letter: Letter::new(octets), flags, received: internal_date }
}

fn append_uid(delivered: &[Delivered]) -> Code {
    let validity = delivered.first().map_or(0, |first| first.uidvalidity);
    Code::AppendUid { validity, uids: delivered.iter().map(|message| message.uid).collect() }
}
