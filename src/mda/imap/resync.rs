//! Reports changes since the client last disconnected. RFC 7162 §3.1.4.1, §3.2.5, §3.2.6.

use super::error_reply::Failure;
use super::handler::ImapHandler;
use super::selected::Selected;
use crate::imap::{ChangedSince, Code, MessageSet, Numbers, Resync, SequenceSet};

impl ImapHandler {
    /// Enables CONDSTORE. If it was off and a mailbox is selected, writes HIGHESTMODSEQ of its view.
    pub(super) fn enable_condstore(&mut self) {
        let is_new = self.conn.machine.enable_condstore();
        if let Some(selected) = self.selected.as_ref().filter(|_| is_new) {
            let code = Code::HighestModSeq(selected.view.modseq);
            self.conn.machine.out().note(&code, "Highest modification sequence");
        }
    }

    /// Writes `VANISHED (EARLIER)` and changed flags since the modification sequence that the client knows, among the
    /// UIDs that it knows, after it has selected a mailbox; nothing if UIDVALIDITY is another. RFC 7162 §3.2.5.1.
    pub(super) fn resync(&mut self, known: &Resync) -> Result<(), Failure> {
        let Some(selected) = self.selected.as_ref().filter(|selected| selected.view.uidvalidity == known.uidvalidity)
        else {
            return Ok(());
        };
        let uids = match &known.known {
            Some(set) => set.resolve(selected.last_uid()),
            None => [1..=selected.view.uidnext.saturating_sub(1)].into_iter().collect(),
        };
        let expunged = vanished(selected, known.modseq, &uids)?;
        let out = self.conn.machine.out();
        if !expunged.is_empty() {
            out.vanished(&expunged, true);
        }
        let enabled = self.conn.machine.enabled();
        let changed = selected.view.messages.changed_after(known.modseq).map(|(_, message)| message);
        for message in changed.filter(|message| uids.contains(message.uid)) {
            selected.write_flags_of(self.conn.machine.out(), message.uid, true, enabled);
        }
        Ok(())
    }

    /// If FETCH has the modifier `VANISHED`, writes `VANISHED (EARLIER)` with those UIDs of the set that were expunged
    /// after its CHANGEDSINCE; nothing if there are none. RFC 7162 §3.2.6.
    pub(super) fn write_vanished(&mut self, set: &MessageSet, since: ChangedSince) -> Result<(), Failure> {
        let Some(selected) = self.selected.as_ref().filter(|_| since.vanished) else { return Ok(()) };
        let uids = match &set.set {
            SequenceSet::Saved => selected.saved.clone(),
            // `*` includes what vanished above the last message.
            set => set.resolve(selected.view.uidnext.saturating_sub(1)),
        };
        let expunged = vanished(selected, since.modseq, &uids)?;
        if !expunged.is_empty() {
            self.conn.machine.out().vanished(&expunged, true);
        }
        Ok(())
    }
}

/// Those of the `uids` that were expunged after this modification sequence, perhaps with some that never existed. Those
/// still in the view of the client are left out, and reported by later updates.
fn vanished(selected: &Selected, modseq: u64, uids: &Numbers) -> Result<Numbers, Failure> {
    let expunged = selected.mailbox.vanished_since(modseq, uids)?;
    Ok(expunged.into_iter().filter(|uid| selected.view.find(*uid).is_none()).collect())
}
