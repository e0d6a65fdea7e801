//! Changes messages: STORE, COPY, MOVE, EXPUNGE. RFC 9051 §6.4.

use super::error_reply::{Failure, expunged_reply, no_such_message_reply, read_only_reply, target_error_reply};
use super::handler::ImapHandler;
use super::selected::UpdateOptions;
use crate::imap::{Code, MessageSet, Numbers, Reply, SequenceSet, Store};
use crate::mda::{Copied, Uid};

impl ImapHandler {
    /// Executes STORE, RFC 9051 §6.4.6: changes flags, except of messages changed after UNCHANGEDSINCE, which the reply
    /// names in MODIFIED (RFC 7162 §3.1.3). Reports pending changes of the mailbox, but no expunges, and unless silent
    /// the new flags. Replies NO if the mailbox is read-only or all named messages are expunged, BAD for a number
    /// without a message.
    pub(super) async fn store(&mut self, store: Store) -> Result<Reply, Failure> {
        let Store { set, mode, silent, unchanged_since, flags } = store;
        let Some(selected) = &self.selected else { return Ok(no_such_message_reply()) };
        if selected.read_only {
            return Ok(read_only_reply());
        }
        let Some(places) = selected.places(&set) else { return Ok(no_such_message_reply()) };
        let (mailbox, before, mut uids) = (selected.mailbox.clone(), selected.view.clone(), selected.uids(&places));
        let mut modified = vec![];
        if !uids.is_empty() {
            modified = mailbox.store_unchanged(uids.clone(), mode, flags.clone(), unchanged_since).await?;
            uids.retain(|uid| modified.binary_search(uid).is_err());
        }
        self.write_updates(&UpdateOptions {
            hold_expunges: true,
            reported_by_command: &uids,
            ..UpdateOptions::default()
        });
        let Some(selected) = &self.selected else { return Ok(expunged_reply()) };
        let (expunged, remaining): (Vec<Uid>, Vec<Uid>) =
            uids.into_iter().partition(|uid| selected.has_held_expunge(*uid));
        // RFC 2180 §4.2: what is left of the set was changed.
        let is_nothing_left = remaining.is_empty() && modified.is_empty() && !expunged.is_empty();
        let enabled = self.conn.machine.enabled();
        for uid in remaining {
            // RFC 9051 §6.4.6: changes by other sessions are reported nevertheless.
            let is_expected = || match (before.find(uid), selected.view.find(uid)) {
                (Some(before), Some(after)) => mode.apply(&before.all_flags(), &flags) == after.all_flags(),
                _ => true,
            };
            match silent && is_expected() {
                false => selected.write_flags_of(self.conn.machine.out(), uid, set.uid, enabled),
                true if enabled.condstore => selected.write_modseq_of(self.conn.machine.out(), uid),
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
        let reply = if is_nothing_left { expunged_reply() } else { Reply::ok("STORE completed") };
        Ok(if numbers.is_empty() { reply } else { reply.with(Code::Modified(numbers)) })
    }

    /// Returns this reply of a command that removed messages with HIGHESTMODSEQ added, if CONDSTORE is enabled, RFC
    /// 7162 §3.2.7, RFC 6851 §4.4: of the mailbox, as all its changes are reported before the reply; of the view, if
    /// the client excluded the changes of other sessions (RFC 5465 §6.1).
    pub(super) fn with_modseq(&self, reply: Reply) -> Result<Reply, Failure> {
        match &self.selected {
            Some(selected) if self.conn.machine.enabled().condstore => {
                let modseq =
                    if self.update_filter().messages { selected.mailbox.view()?.modseq } else { selected.view.modseq };
                Ok(reply.with(Code::HighestModSeq(modseq)))
            }
            _ => Ok(reply),
        }
    }

    /// Executes COPY, or MOVE if `remove_originals`; RFC 9051 §6.4.7, §6.4.8. COPYUID (RFC 4315 §3) is in the reply to
    /// COPY, and in a response before that to MOVE. Replies NO if all named messages are expunged, the target does not
    /// exist (TRYCREATE) or a MOVE is from a read-only mailbox; OK if the set names no message.
    pub(super) async fn copy(
        &mut self,
        set: &MessageSet,
        target: &str,
        remove_originals: bool,
    ) -> Result<Reply, Failure> {
        let Some(selected) = &self.selected else { return Ok(no_such_message_reply()) };
        if remove_originals && selected.read_only {
            return Ok(read_only_reply());
        }
        let Some(places) = selected.places(set) else { return Ok(no_such_message_reply()) };
        let uids = selected.uids(&places);
        let is_any_named = !uids.is_empty();
        let copied = match remove_originals {
            false => selected.mailbox.copy_to(uids, target).await,
            true => selected.mailbox.move_to(uids, target).await,
        };
        let code = match copied {
            Ok(copied) => {
                self.note_created(copied.uids.iter().map(|(_, to)| (copied.uidvalidity, *to)));
                if remove_originals {
                    self.note_removed(copied.uids.iter().map(|(from, _)| *from).collect());
                }
                copy_uid(copied)
            }
            Err(error) => return target_error_reply(error),
        };
        match code {
            // RFC 2180 §4.4.
            None if is_any_named => Ok(expunged_reply()),
            None => Ok(Reply::ok("No matching messages")),
            Some(code) if remove_originals => {
                // RFC 9051 §6.4.8: the new UIDs are reported before the messages are expunged.
                self.conn.machine.out().note(&code, "Moved messages");
                self.with_modseq(Reply::ok("MOVE completed"))
            }
            Some(code) => Ok(Reply::ok("COPY completed").with(code)),
        }
    }

    /// Executes EXPUNGE, or UID EXPUNGE of a set of UIDs: removes messages with `\Deleted`. RFC 9051 §6.4.3, §6.4.9.
    /// Replies NO if the mailbox is read-only. The updates that follow each command report the expunged messages.
    pub(super) async fn expunge(&mut self, only: Option<SequenceSet>) -> Result<Reply, Failure> {
        let Some(selected) = &self.selected else { return Ok(no_such_message_reply()) };
        if selected.read_only {
            return Ok(read_only_reply());
        }
        let only = only.map(|set| {
            let places = selected.places(&MessageSet { set, uid: true }).unwrap_or_default();
            selected.uids(&places)
        });
        let expunged = selected.mailbox.expunge(only).await?;
        let reply = Reply::ok("EXPUNGE completed");
        if expunged.is_empty() {
            return Ok(reply);
        }
        self.note_removed(expunged);
        self.with_modseq(reply)
    }

    /// Records UIDVALIDITY and UID of messages that the client has just created and so knows: NOTIFY sends no FETCH
    /// responses for them. Those of other mailboxes than the selected one are ignored.
    pub(super) fn note_created(&mut self, messages: impl IntoIterator<Item = (u32, Uid)>) {
        let Some(selected) = &mut self.selected else { return };
        let here = messages.into_iter().filter(|(validity, _)| *validity == selected.view.uidvalidity);
        selected.created.extend(here.map(|(_, uid)| uid));
    }

    /// Records that the client removed these messages, ascending, from the selected mailbox, in place of those recorded
    /// before: their expunges are reported even if NOTIFY excludes the selected mailbox.
    pub(super) fn note_removed(&mut self, uids: Vec<Uid>) {
        if let Some(selected) = &mut self.selected {
            selected.removed = uids;
        }
    }
}

/// The response code COPYUID of a copy; `None` if nothing was copied, because its sets cannot be empty.
fn copy_uid(copied: Copied) -> Option<Code> {
    let Copied { uidvalidity, uids } = copied;
    let from: Numbers = uids.iter().map(|(from, _)| *from).collect();
    let to: Numbers = uids.iter().map(|(_, to)| *to).collect();
    (!uids.is_empty()).then_some(Code::CopyUid { validity: uidvalidity, from, to })
}
