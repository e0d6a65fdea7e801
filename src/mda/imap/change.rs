//! What changes mailboxes: APPEND, STORE, COPY, MOVE, EXPUNGE. RFC 9051 §6.3.12, §6.4.

use super::refusal::{Failure, gone, no_such_message, read_only, refusal_of_target};
use super::selected::Terms;
use super::visit::Visit;
use crate::imap::{Append, Code, Flags, MessageSet, Numbers, Reply, SequenceSet, StoreMode};
use crate::mail::Letter;
use crate::mda::{Copied, Delivered, Uid};

impl Visit {
    /// RFC 9051 §6.3.12; RFC 4315 §3 (APPENDUID).
    pub(super) async fn append(&mut self, append: Append) -> Result<Reply, Failure> {
        let Append { mailbox, flags, internal_date, message } = append;
        let letter = Letter::new(message);
        match self.mailboxes().append(&self.account, &mailbox, &letter, flags, internal_date).await {
            Ok(Delivered { uidvalidity, uid, .. }) => {
                Ok(Reply::ok("filed").with(Code::AppendUid { validity: uidvalidity, uid }))
            }
            Err(error) => refusal_of_target(error),
        }
    }

    /// RFC 9051 §6.4.6.
    pub(super) async fn store(
        &mut self,
        set: &MessageSet,
        mode: StoreMode,
        silent: bool,
        flags: Flags,
    ) -> Result<Reply, Failure> {
        let Some(selected) = &self.selected else { return Ok(no_such_message()) };
        if selected.read_only {
            return Ok(read_only());
        }
        let Some(places) = selected.places(set) else { return Ok(no_such_message()) };
        let (mailbox, uids) = (selected.mailbox.clone(), selected.uids(&places));
        if !uids.is_empty() {
            mailbox.store(uids.clone(), mode, flags).await?;
        }
        self.tell(&Terms { hold_expunges: true, quiet: &uids, ..Terms::default() });
        let Some(selected) = &self.selected else { return Ok(gone()) };
        let (lost, kept): (Vec<Uid>, Vec<Uid>) = uids.into_iter().partition(|uid| selected.is_gone(*uid));
        if !silent {
            for uid in kept {
                selected.tell_flags_of(self.conn.machine.out(), uid, set.uid);
            }
        }
        Ok(if lost.is_empty() { Reply::ok("stored") } else { gone() })
    }

    /// RFC 9051 §6.4.7, §6.4.8; RFC 4315 §3 (COPYUID).
    pub(super) async fn copy(&mut self, set: &MessageSet, target: &str, leave: bool) -> Result<Reply, Failure> {
        let Some(selected) = &self.selected else { return Ok(no_such_message()) };
        if leave && selected.read_only {
            return Ok(read_only());
        }
        let Some(places) = selected.places(set) else { return Ok(no_such_message()) };
        let uids = selected.uids(&places);
        let copied = match leave {
            false => selected.mailbox.copy_to(uids, target).await,
            true => selected.mailbox.move_to(uids, target).await,
        };
        let code = match copied {
            Ok(copied) => copy_uid(copied),
            Err(error) => return refusal_of_target(error),
        };
        match code {
            None => Ok(Reply::ok("there was nothing to do")),
            Some(code) if leave => {
                // RFC 9051 §6.4.8: where they are now is told before they go.
                self.conn.machine.out().note(&code, "moved");
                Ok(Reply::ok("done"))
            }
            Some(code) => Ok(Reply::ok("copied").with(code)),
        }
    }

    /// RFC 9051 §6.4.3, §6.4.9. The client is told of all that goes by what is told after each command.
    pub(super) async fn expunge(&mut self, only: Option<SequenceSet>) -> Result<Reply, Failure> {
        let Some(selected) = &self.selected else { return Ok(no_such_message()) };
        if selected.read_only {
            return Ok(read_only());
        }
        let only = only.map(|set| {
            let places = selected.places(&MessageSet { set, uid: true }).unwrap_or_default();
            selected.uids(&places)
        });
        selected.mailbox.expunge(only).await?;
        Ok(Reply::ok("expunged"))
    }
}

/// Nothing copied has no code: a set cannot be empty.
fn copy_uid(copied: Copied) -> Option<Code> {
    let Copied { uidvalidity, uids } = copied;
    let from: Numbers = uids.iter().map(|(from, _)| *from).collect();
    let to: Numbers = uids.iter().map(|(_, to)| *to).collect();
    (!uids.is_empty()).then_some(Code::CopyUid { validity: uidvalidity, from, to })
}
