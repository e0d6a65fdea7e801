//! What changes messages: STORE, COPY, MOVE, EXPUNGE. RFC 9051 §6.4.

use super::refusal::{Failure, gone, no_such_message, read_only, refusal_of_target};
use super::selected::Terms;
use super::visit::Visit;
use crate::imap::{Code, MessageSet, Numbers, Reply, SequenceSet, Store};
use crate::mda::{Copied, Uid};

impl Visit {
    /// RFC 9051 §6.4.6.
    pub(super) async fn store(&mut self, store: Store) -> Result<Reply, Failure> {
        let Store { set, mode, silent, unchanged_since, flags } = store;
        let Some(selected) = &self.selected else { return Ok(no_such_message()) };
        if selected.read_only {
            return Ok(read_only());
        }
        let Some(places) = selected.places(&set) else { return Ok(no_such_message()) };
        let (mailbox, mut uids) = (selected.mailbox.clone(), selected.uids(&places));
        let mut modified = vec![];
        if !uids.is_empty() {
            modified = mailbox.store_unchanged(uids.clone(), mode, flags, unchanged_since).await?;
            uids.retain(|uid| modified.binary_search(uid).is_err());
        }
        self.tell(&Terms { hold_expunges: true, quiet: &uids, ..Terms::default() });
        let Some(selected) = &self.selected else { return Ok(gone()) };
        let (lost, kept): (Vec<Uid>, Vec<Uid>) = uids.into_iter().partition(|uid| selected.is_gone(*uid));
        let enabled = self.conn.machine.enabled();
        for uid in kept {
            match silent {
                false => selected.tell_flags_of(self.conn.machine.out(), uid, set.uid, enabled),
                true if enabled.condstore => selected.tell_modseq_of(self.conn.machine.out(), uid, set.uid),
                true => {}
            }
        }
        // RFC 7162 §3.1.3.
        let numbers: Numbers = match set.uid {
            true => modified.into_iter().collect(),
            false => {
                modified.iter().filter_map(|uid| selected.view.messages.place(*uid)).map(|at| at as u32 + 1).collect()
            }
        };
        let reply = if lost.is_empty() { Reply::ok("stored") } else { gone() };
        Ok(if numbers.is_empty() { reply } else { reply.with(Code::Modified(numbers)) })
    }

    /// RFC 7162 §3.2.7, RFC 6851 §4.4: who has removed messages learns which change that was. All up to it is told
    /// before the reply; who does not want to hear of all that others do (RFC 5465 §6.1) does not get further.
    pub(super) fn removed(&self, reply: Reply) -> Result<Reply, Failure> {
        match &self.selected {
            Some(selected) if self.conn.machine.enabled().condstore => {
                let modseq = if self.wants().messages { selected.mailbox.view()?.modseq } else { selected.view.modseq };
                Ok(reply.with(Code::HighestModSeq(modseq)))
            }
            _ => Ok(reply),
        }
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
            Ok(copied) => {
                self.made(copied.uids.iter().map(|(_, to)| (copied.uidvalidity, *to)));
                if leave {
                    self.took(copied.uids.iter().map(|(from, _)| *from).collect());
                }
                copy_uid(copied)
            }
            Err(error) => return refusal_of_target(error),
        };
        match code {
            None => Ok(Reply::ok("there was nothing to do")),
            Some(code) if leave => {
                // RFC 9051 §6.4.8: where they are now is told before they go.
                self.conn.machine.out().note(&code, "moved");
                self.removed(Reply::ok("done"))
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
        let expunged = selected.mailbox.expunge(only).await?;
        let reply = Reply::ok("expunged");
        if expunged.is_empty() {
            return Ok(reply);
        }
        self.took(expunged);
        self.removed(reply)
    }

    /// The client knows of messages that it has made: UIDVALIDITY of their mailbox, and their UIDs.
    pub(super) fn made(&mut self, messages: impl IntoIterator<Item = (u32, Uid)>) {
        let Some(selected) = &mut self.selected else { return };
        let here = messages.into_iter().filter(|(validity, _)| *validity == selected.view.uidvalidity);
        selected.made.extend(here.map(|(_, uid)| uid));
    }

    /// The client has taken these messages, ascending, out of the selected mailbox, and is told when they are gone.
    pub(super) fn took(&mut self, uids: Vec<Uid>) {
        if let Some(selected) = &mut self.selected {
            selected.taken = uids;
        }
    }
}

/// Nothing copied has no code: a set cannot be empty.
fn copy_uid(copied: Copied) -> Option<Code> {
    let Copied { uidvalidity, uids } = copied;
    let from: Numbers = uids.iter().map(|(from, _)| *from).collect();
    let to: Numbers = uids.iter().map(|(_, to)| *to).collect();
    (!uids.is_empty()).then_some(Code::CopyUid { validity: uidvalidity, from, to })
}
