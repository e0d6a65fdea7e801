//! What a client knows of the mailbox it has selected, and how it is told what has changed since. RFC 9051 §5.2, §7.4.
//!
//! A session numbers messages by the view it was last told of. While a command speaks of sequence numbers, messages
//! that are gone stay in its view, so that no number shifts under the client's feet (RFC 9051 §7.5.1).

use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use crate::imap::{Enabled, Flags, MessageSet, Numbers, Out, SequenceSet, SystemFlags};
use crate::mda::{Error, Mailbox, Mailboxes, Message, Uid, View};

/// More keywords are not named in `FLAGS`.
const KEYWORDS_MAX: usize = 1_000;

/// A selected mailbox.
pub(super) struct Selected {
    pub(super) mailbox: Mailbox,
    /// `EXAMINE`.
    pub(super) read_only: bool,
    /// What the client knows.
    pub(super) view: Arc<View>,
    /// UIDs of messages that are `\Recent` in this session. RFC 3501 §2.3.2.
    recent: Numbers,
    /// UIDs of the last saved search, `$`. RFC 9051 §6.4.4.4.
    pub(super) saved: Numbers,
    /// UIDs of messages in the view that are gone, and of which the client may not be told yet.
    gone: BTreeSet<Uid>,
    /// Keywords that the client knows of.
    keywords: BTreeSet<String>,
    /// Whether messages have arrived that the next session shall not call recent.
    claims: bool,
    /// UIDs of messages that have arrived, of which more is to be told. RFC 5465 §5.2.
    pub(super) new: Vec<Uid>,
    /// UIDs of messages that the client has made itself, until it is told that they are there.
    pub(super) made: Vec<Uid>,
    /// UIDs of messages that the client has taken out itself, ascending, until it is told that they are gone.
    pub(super) taken: Vec<Uid>,
}

/// What the client is told, and what it knows already.
#[derive(Default)]
pub(super) struct Terms<'a> {
    /// Whether messages that are gone must stay for now.
    pub(super) hold_expunges: bool,
    /// UIDs of messages whose flags the command itself tells, ascending.
    pub(super) quiet: &'a [Uid],
    /// What the client has enabled.
    pub(super) enabled: Enabled,
    /// What it wants to hear of what others do.
    pub(super) wants: Wants,
}

/// What a client wants to hear of what others do. RFC 5465 §6.1.
#[derive(Clone, Copy)]
pub(super) struct Wants {
    /// That messages come and go. If not, the client sees those that were there.
    pub(super) messages: bool,
    /// That messages have other flags.
    pub(super) flags: bool,
    /// More of new messages than that they are there.
    pub(super) items: bool,
    /// Flags with UIDs. RFC 5465 §5.1.
    pub(super) uids: bool,
}

impl Default for Wants {
    /// Without NOTIFY.
    fn default() -> Self {
        Self { messages: true, flags: true, items: false, uids: false }
    }
}

impl Selected {
    /// Begins with what is there now; messages from `recent` on are new to all sessions.
    pub(super) fn new(mailbox: Mailbox, read_only: bool, view: Arc<View>, recent: Uid) -> Self {
        let mut selected = Self {
            mailbox,
            read_only,
            view: view.clone(),
            recent: Numbers::default(),
            saved: Numbers::default(),
            gone: BTreeSet::new(),
            keywords: BTreeSet::new(),
            claims: false,
            new: vec![],
            made: vec![],
            taken: vec![],
        };
        let first = view.messages.count_before(recent);
        view.messages.iter_from(first).for_each(|message| selected.recent.push(message.uid));
        selected.learn_keywords(view.messages.iter());
        selected
    }

    pub(super) fn is_recent(&self, uid: Uid) -> bool {
        self.recent.contains(uid)
    }

    /// Whether the client may not yet be told that the message is gone.
    pub(super) fn is_gone(&self, uid: Uid) -> bool {
        self.gone.contains(&uid)
    }

    /// The system flags and the keywords in use.
    pub(super) fn known_flags(&self) -> Flags {
        let system = SystemFlags::ALL.iter().fold(SystemFlags::NONE, |all, (flag, _)| all.with(*flag));
        Flags { system, keywords: self.keywords.iter().cloned().collect() }
    }

    /// How many messages are recent.
    pub(super) fn recent_count(&self) -> u32 {
        self.recent.ranges().iter().map(|range| self.between(range).len()).sum::<usize>() as u32
    }

    /// Whether there are keywords among these that the client has not heard of.
    fn learn_keywords<'a>(&mut self, messages: impl IntoIterator<Item = &'a Message>) -> bool {
        let before = self.keywords.len();
        for word in messages.into_iter().flat_map(|message| &message.flags.keywords) {
            if self.keywords.len() < KEYWORDS_MAX && !self.keywords.contains(word) {
                self.keywords.insert(word.clone());
            }
        }
        before < self.keywords.len()
    }

    /// Places in the view of the messages in a set, ascending. `None` when the client names a sequence number that no
    /// message has; a UID that no message has is passed over. RFC 9051 §6.4.9.
    pub(super) fn places(&self, set: &MessageSet) -> Option<Vec<usize>> {
        let count = self.view.messages.len() as u32;
        let by_uid = |numbers: &Numbers| numbers.ranges().iter().flat_map(|range| self.between(range)).collect();
        match (&set.set, set.uid) {
            (SequenceSet::Saved, _) => Some(by_uid(&self.saved)),
            (uids, true) => Some(by_uid(&uids.resolve(self.last_uid()))),
            (numbers, false) => {
                let numbers = numbers.resolve(count);
                let exists = numbers.last().is_some_and(|last| last <= count);
                exists.then(|| numbers.iter().map(|number| number as usize - 1).collect())
            }
        }
    }

    /// The places of the messages with these UIDs.
    fn between(&self, uids: &RangeInclusive<Uid>) -> Range<usize> {
        let messages = &self.view.messages;
        let after = uids.end().checked_add(1).map_or(messages.len(), |after| messages.count_before(after));
        messages.count_before(*uids.start())..after
    }

    pub(super) fn last_uid(&self) -> Uid {
        self.view.messages.last().map_or(0, |message| message.uid)
    }

    /// UIDs of the messages at these places.
    pub(super) fn uids(&self, places: &[usize]) -> Vec<Uid> {
        places.iter().map(|place| self.view.messages[*place].uid).collect()
    }

    /// Tells the client what has changed since it was last told.
    pub(super) fn tell(&mut self, out: &mut Out, terms: &Terms<'_>) -> Result<(), Error> {
        let new = self.mailbox.view()?;
        let old = self.view.clone();
        if new.modseq == old.modseq {
            return Ok(());
        }
        let mut changes = new.changes_since(&old);
        let taken = std::mem::take(&mut self.taken);
        let stays = |uid: &Uid| terms.hold_expunges || (!terms.wants.messages && taken.binary_search(uid).is_err());
        let (gone, told): (Vec<Uid>, Vec<Uid>) = changes.expunged.into_iter().partition(stays);
        let unseen = if terms.wants.messages { vec![] } else { std::mem::take(&mut changes.arrived) };
        tell_expunged(out, &old, &told, terms.enabled);
        self.view = match gone.is_empty() && unseen.is_empty() {
            true => new,
            false => Arc::new(held(&old, &new, &gone, &unseen)),
        };
        self.gone = gone.into_iter().collect();
        self.tell_arrived(out, &changes.arrived, terms);
        changes.changed.retain(|uid| terms.wants.flags || terms.quiet.binary_search(uid).is_ok());
        self.tell_flags(out, &changes.changed, terms);
        Ok(())
    }

    fn tell_arrived(&mut self, out: &mut Out, arrived: &[Uid], terms: &Terms<'_>) {
        let made = std::mem::take(&mut self.made);
        if arrived.is_empty() {
            return;
        }
        if terms.wants.items {
            self.new.extend(arrived.iter().filter(|uid| !made.contains(uid)));
        }
        out.exists(self.view.messages.len() as u32);
        if !terms.enabled.rev2 {
            arrived.iter().for_each(|uid| self.recent.push(*uid));
            self.claims |= !self.read_only;
            out.recent(self.recent_count());
        }
        let view = self.view.clone();
        if self.learn_keywords(arrived.iter().filter_map(|uid| view.find(*uid))) {
            out.flags(&self.known_flags());
        }
    }

    fn tell_flags(&mut self, out: &mut Out, changed: &[Uid], terms: &Terms<'_>) {
        let view = self.view.clone();
        if self.learn_keywords(changed.iter().filter_map(|uid| view.find(*uid))) {
            out.flags(&self.known_flags());
        }
        for uid in changed.iter().filter(|uid| terms.quiet.binary_search(uid).is_err()) {
            self.tell_flags_of(out, *uid, terms.enabled.qresync || terms.wants.uids, terms.enabled);
        }
    }

    /// `FETCH` with the flags of one message, and with its UID if the command speaks of UIDs. RFC 7162 §3.1: who wants to
    /// hear of modification sequences hears of them whenever flags have changed.
    pub(super) fn tell_flags_of(&self, out: &mut Out, uid: Uid, by_uid: bool, enabled: Enabled) {
        let Some(place) = self.view.messages.place(uid) else { return };
        let Message { flags: Flags { system, keywords }, modseq, .. } = &self.view.messages[place];
        let mut fetch = out.fetch(place as u32 + 1);
        if by_uid {
            fetch.uid(uid);
        }
        fetch.flags(*system, self.is_recent(uid), keywords);
        if enabled.condstore {
            fetch.modseq(*modseq);
        }
        fetch.end();
    }

    /// `FETCH` with the modification sequence alone, for who knows the flags. RFC 7162 §3.1.3.
    pub(super) fn tell_modseq_of(&self, out: &mut Out, uid: Uid, by_uid: bool) {
        let Some(place) = self.view.messages.place(uid) else { return };
        let mut fetch = out.fetch(place as u32 + 1);
        if by_uid {
            fetch.uid(uid);
        }
        fetch.modseq(self.view.messages[place].modseq);
        fetch.end();
    }

    /// The client leaves the mailbox: what it was told of is no longer recent to anybody.
    pub(super) async fn leave(self, mailboxes: &Mailboxes) {
        if self.claims
            && let Err(error) = mailboxes.claim_recent(&self.mailbox).await
        {
            // RFC 3501 §2.3.2 allows that two sessions are told.
            tracing::debug!(%error, "recent messages stay recent");
        }
    }
}

/// Each number counts with those before it already gone, so the highest goes first. RFC 9051 §7.5.1; RFC 7162 §3.2.10.
fn tell_expunged(out: &mut Out, old: &View, expunged: &[Uid], enabled: Enabled) {
    if enabled.qresync && !expunged.is_empty() {
        return out.vanished(&expunged.iter().copied().collect(), false);
    }
    for uid in expunged.iter().rev() {
        if let Some(place) = old.messages.place(*uid) {
            out.expunge(place as u32 + 1);
        }
    }
}

/// The new view with the messages that are gone still in it, and without those that are not told. It keeps the old
/// number, so that the difference is found when it may be told.
fn held(old: &View, new: &View, gone: &[Uid], unseen: &[Uid]) -> View {
    let mut messages = new.messages.clone();
    messages.remove(unseen);
    gone.iter().filter_map(|uid| old.find(*uid)).for_each(|message| messages.insert(message.clone()));
    View { modseq: old.modseq, messages, ..*new }
}
