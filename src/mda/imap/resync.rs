//! What has changed since a client was here last. RFC 7162 §3.1.4.1, §3.2.5, §3.2.6.

use super::refusal::Failure;
use super::selected::Selected;
use super::visit::Visit;
use crate::imap::{ChangedSince, Code, MessageSet, Numbers, Resync, SequenceSet};

impl Visit {
    /// The first time that a client asks for modification sequences in a selected mailbox, it is told where they stand.
    pub(super) fn begin_modseqs(&mut self) {
        let is_new = self.conn.machine.enable_condstore();
        if let Some(selected) = self.selected.as_ref().filter(|_| is_new) {
            let code = Code::HighestModSeq(selected.view.modseq);
            self.conn.machine.out().note(&code, "is the last change");
        }
    }

    /// Brings a client up to date that has just selected its mailbox. RFC 7162 §3.2.5.1.
    pub(super) fn resync(&mut self, known: &Resync) -> Result<(), Failure> {
        let Some(selected) = self.selected.as_ref().filter(|selected| selected.view.uidvalidity == known.uidvalidity)
        else {
            return Ok(());
        };
        let uids = match &known.known {
            Some(set) => set.resolve(selected.last_uid()),
            None => [1..=selected.view.uidnext.saturating_sub(1)].into_iter().collect(),
        };
        let gone = vanished(selected, known.modseq, &uids)?;
        let out = self.conn.machine.out();
        if !gone.is_empty() {
            out.vanished(&gone, true);
        }
        let enabled = self.conn.machine.enabled();
        let changed = selected.view.messages.iter().filter(|message| known.modseq < message.modseq);
        for message in changed.filter(|message| uids.contains(message.uid)) {
            selected.tell_flags_of(self.conn.machine.out(), message.uid, true, enabled);
        }
        Ok(())
    }

    /// Of the messages at these places those that have changed; with `VANISHED` the client is told what is gone.
    pub(super) fn changed(
        &mut self,
        set: &MessageSet,
        mut places: Vec<usize>,
        since: ChangedSince,
    ) -> Result<Vec<usize>, Failure> {
        let Some(selected) = &self.selected else { return Ok(places) };
        places.retain(|place| since.modseq < selected.view.messages[*place].modseq);
        if since.vanished {
            let uids = match &set.set {
                SequenceSet::Saved => selected.saved.clone(),
                set => set.resolve(selected.last_uid()),
            };
            let gone = vanished(selected, since.modseq, &uids)?;
            if !gone.is_empty() {
                self.conn.machine.out().vanished(&gone, true);
            }
        }
        Ok(places)
    }
}

/// UIDs among these that went after a change. What the client still counts is told when it may be.
fn vanished(selected: &Selected, modseq: u64, uids: &Numbers) -> Result<Numbers, Failure> {
    let gone = selected.mailbox.vanished_since(modseq, uids)?;
    Ok(gone.into_iter().filter(|uid| selected.view.find(*uid).is_none()).collect())
}
