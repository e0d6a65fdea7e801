//! The client's view of the selected mailbox, and the updates that bring it up to date. RFC 9051 §5.2, §7.4.
//!
//! Sequence numbers refer to the view that was last reported. While a command uses sequence numbers, expunged messages
//! stay in the view, so that no number changes its meaning (RFC 9051 §7.5.1).

use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use crate::imap::{Enabled, Flags, MessageSet, Numbers, ResponseBuffer, SequenceSet, SystemFlags};
use crate::mda::{Error, Mailbox, MessageMeta, Uid, View};

/// Most keywords listed in `FLAGS`.
const MAX_KEYWORDS: usize = 1_000;

/// A selected mailbox.
pub(super) struct Selected {
    pub(super) mailbox: Mailbox,
    /// Whether it was opened by `EXAMINE`.
    pub(super) read_only: bool,
    /// What was last reported to the client.
    pub(super) view: Arc<View>,
    /// UIDs that are `\Recent` in this session. RFC 3501 §2.3.2.
    recent: Numbers,
    /// The saved search result, `$`. RFC 9051 §6.4.4.4.
    pub(super) saved: Numbers,
    /// UIDs in the view that were expunged, but not yet reported.
    held_expunges: BTreeSet<Uid>,
    /// Keywords that were reported.
    keywords: BTreeSet<String>,
    /// Whether messages are recent in this session, so that they must not be in the next one.
    has_claimed: bool,
    /// UIDs of added messages whose FETCH responses are pending. RFC 5465 §5.2.
    pub(super) new: Vec<Uid>,
    /// UIDs of messages that the client created itself, until they are reported.
    pub(super) created: Vec<Uid>,
    /// UIDs of messages that the client removed itself, ascending, until they are reported.
    pub(super) removed: Vec<Uid>,
}

/// Options of an update.
#[derive(Default)]
pub(super) struct UpdateOptions<'a> {
    /// Whether expunged messages must stay in the view for now.
    pub(super) hold_expunges: bool,
    /// UIDs whose flags the command itself reports, ascending.
    pub(super) reported_by_command: &'a [Uid],
    /// The extensions that the client has enabled.
    pub(super) enabled: Enabled,
    /// Which changes by other sessions are reported.
    pub(super) filter: UpdateFilter,
}

/// Which changes by other sessions a client wants. RFC 5465 §6.1.
#[derive(Clone, Copy)]
pub(super) struct UpdateFilter {
    /// Additions and expunges. If `false`, the view keeps its messages.
    pub(super) messages: bool,
    /// Changes of flags.
    pub(super) flags: bool,
    /// FETCH responses for new messages.
    pub(super) items: bool,
    /// UIDs in FETCH responses with flags. RFC 5465 §5.1.
    pub(super) uids: bool,
}

impl Default for UpdateFilter {
    /// The filter without NOTIFY.
    fn default() -> Self {
        Self { messages: true, flags: true, items: false, uids: false }
    }
}

impl Selected {
    /// Starts with this view. The messages of it that no session has claimed are recent; in IMAP4rev2 none is.
    pub(super) fn new(mailbox: Mailbox, read_only: bool, view: Arc<View>, rev2: bool) -> Self {
        let mut selected = Self {
            mailbox,
            read_only,
            view: view.clone(),
            recent: Numbers::default(),
            saved: Numbers::default(),
            held_expunges: BTreeSet::new(),
            keywords: view.messages.keywords().into_iter().take(MAX_KEYWORDS).map(str::to_owned).collect(),
            has_claimed: false,
            new: vec![],
            created: vec![],
            removed: vec![],
        };
        if !rev2 {
            let first = view.messages.count_before(selected.first_recent());
            view.messages.iter_from(first).for_each(|message| selected.recent.push(message.uid));
        }
        selected
    }

    /// The UID from which on messages of the view are recent in this session. After SELECT, claims them, so that they
    /// are recent in no other session; after EXAMINE, claims nothing. RFC 3501 §2.3.2.
    fn first_recent(&mut self) -> Uid {
        if self.read_only {
            return self.mailbox.recent_from();
        }
        let first = self.mailbox.claim_recent(&self.view);
        self.has_claimed |= first < self.view.uidnext;
        first
    }

    /// Whether the message is `\Recent` in this session.
    pub(super) fn is_recent(&self, uid: Uid) -> bool {
        self.recent.contains(uid)
    }

    /// Whether the last update ([`Self::write_updates`]) found the message expunged and held this back, so that it is
    /// still in the view; expunges since then are not known.
    pub(super) fn has_held_expunge(&self, uid: Uid) -> bool {
        self.held_expunges.contains(&uid)
    }

    /// All system flags, and the keywords that were reported to the client.
    pub(super) fn known_flags(&self) -> Flags {
        let system = SystemFlags::ALL.iter().fold(SystemFlags::NONE, |all, (flag, _)| all.with(*flag));
        Flags { system, keywords: self.keywords.iter().cloned().collect() }
    }

    /// The number of messages of the view that are `\Recent` in this session.
    pub(super) fn recent_count(&self) -> u32 {
        self.recent.ranges().iter().map(|range| self.between(range).len()).sum::<usize>() as u32
    }

    /// Adds the keywords of these messages to those reported to the client, up to 1000; returns whether any was new, so
    /// that `FLAGS` must be written.
    fn add_keywords<'a>(&mut self, messages: impl IntoIterator<Item = &'a MessageMeta>) -> bool {
        let before = self.keywords.len();
        for word in messages.into_iter().flat_map(|message| message.keywords.iter()) {
            if self.keywords.len() < MAX_KEYWORDS && !self.keywords.contains(word) {
                self.keywords.insert(word.clone());
            }
        }
        before < self.keywords.len()
    }

    /// The places, from 0, of the messages in a set, ascending. `None` if a sequence number does not exist; UIDs that
    /// do not exist are ignored. RFC 9051 §6.4.9.
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

    /// The places, from 0, of the messages in a set that changed after the modification sequence `since`, ascending.
    /// `None` if a sequence number does not exist; UIDs that do not exist are ignored.
    pub(super) fn changed_places(&self, set: &MessageSet, since: u64) -> Option<Vec<usize>> {
        let count = self.view.messages.len() as u32;
        let (numbers, by_uid) = match (&set.set, set.uid) {
            (SequenceSet::Saved, _) => (self.saved.clone(), true),
            (uids, true) => (uids.resolve(self.last_uid()), true),
            (numbers, false) => (numbers.resolve(count), false),
        };
        if !by_uid && numbers.last().is_none_or(|last| count < last) {
            return None;
        }
        let changed = self.view.messages.changed_after(since);
        let is_in = |(place, message): &(usize, &MessageMeta)| {
            numbers.contains(if by_uid { message.uid } else { *place as u32 + 1 })
        };
        Some(changed.filter(is_in).map(|(place, _)| place).collect())
    }

    /// The places, from 0, of the messages of the view whose UIDs are in this range.
    fn between(&self, uids: &RangeInclusive<Uid>) -> Range<usize> {
        let messages = &self.view.messages;
        let after = uids.end().checked_add(1).map_or(messages.len(), |after| messages.count_before(after));
        messages.count_before(*uids.start())..after
    }

    /// The highest UID of the view; 0 if it is empty.
    pub(super) fn last_uid(&self) -> Uid {
        self.view.messages.last().map_or(0, |message| message.uid)
    }

    /// The UIDs of the messages at these places, from 0, which must exist; in the order given.
    pub(super) fn uids(&self, places: &[usize]) -> Vec<Uid> {
        places.iter().map(|place| self.view.messages[*place].uid).collect()
    }

    /// Writes the changes of the mailbox since the last update, without flags that the filter excludes or the command
    /// reports; the view then has all changes, but held expunges stay in it, and additions that the filter excludes
    /// stay out of it, until a later update. Fails if the mailbox was deleted or cannot be read.
    pub(super) fn write_updates(&mut self, out: &mut ResponseBuffer, options: &UpdateOptions<'_>) -> Result<(), Error> {
        let new = self.mailbox.view()?;
        let old = self.view.clone();
        if new.modseq == old.modseq {
            return Ok(());
        }
        let mut changes = new.changes_since(&old);
        let removed = std::mem::take(&mut self.removed);
        let is_held =
            |uid: &Uid| options.hold_expunges || (!options.filter.messages && removed.binary_search(uid).is_err());
        let (held_expunges, reported): (Vec<Uid>, Vec<Uid>) = changes.expunged.into_iter().partition(is_held);
        let unseen = if options.filter.messages { vec![] } else { std::mem::take(&mut changes.arrived) };
        write_expunged(out, &old, &reported, options.enabled);
        self.view = match held_expunges.is_empty() && unseen.is_empty() {
            true => new,
            false => Arc::new(held_view(&old, &new, &held_expunges, &unseen)),
        };
        self.held_expunges = held_expunges.into_iter().collect();
        self.write_arrived(out, &changes.arrived, options);
        changes.changed.retain(|uid| options.filter.flags || options.reported_by_command.binary_search(uid).is_ok());
        self.write_flags(out, &changes.changed, options);
        Ok(())
    }

    /// Reports messages added to the view: `EXISTS`, `RECENT` except in IMAP4rev2, and `FLAGS` if there are new
    /// keywords. If the filter asks for items, their FETCH responses become pending, except of messages that the client
    /// created itself. Forgets which these were.
    fn write_arrived(&mut self, out: &mut ResponseBuffer, arrived: &[Uid], options: &UpdateOptions<'_>) {
        let created = std::mem::take(&mut self.created);
        if arrived.is_empty() {
            return;
        }
        if options.filter.items {
            self.new.extend(arrived.iter().filter(|uid| !created.contains(uid)));
        }
        out.exists(self.view.messages.len() as u32);
        if !options.enabled.rev2 {
            let first = self.first_recent();
            arrived.iter().filter(|uid| first <= **uid).for_each(|uid| self.recent.push(*uid));
            out.recent(self.recent_count());
        }
        let view = self.view.clone();
        if self.add_keywords(arrived.iter().filter_map(|uid| view.find(*uid))) {
            out.flags(&self.known_flags());
        }
    }

    /// Writes `FETCH` with the flags of changed messages, except those that the command reports itself; before that,
    /// `FLAGS` if there are new keywords.
    fn write_flags(&mut self, out: &mut ResponseBuffer, changed: &[Uid], options: &UpdateOptions<'_>) {
        let view = self.view.clone();
        if self.add_keywords(changed.iter().filter_map(|uid| view.find(*uid))) {
            out.flags(&self.known_flags());
        }
        for uid in changed.iter().filter(|uid| options.reported_by_command.binary_search(uid).is_err()) {
            self.write_flags_of(out, *uid, options.filter.uids, options.enabled);
        }
    }

    /// Writes `FETCH` with the flags of one message, and with its UID if `by_uid`; nothing if the message is not in the
    /// view. With CONDSTORE, UID and MODSEQ are always included: RFC 7162 §3.1, §3.2.4.
    pub(super) fn write_flags_of(&self, out: &mut ResponseBuffer, uid: Uid, by_uid: bool, enabled: Enabled) {
        let Some(place) = self.view.messages.place(uid) else { return };
        let MessageMeta { flags, keywords, modseq, .. } = &self.view.messages[place];
        let mut fetch = out.fetch(place as u32 + 1);
        if by_uid || enabled.condstore {
            fetch.uid(uid);
        }
        fetch.flags(*flags, self.is_recent(uid), keywords);
        if enabled.condstore {
            fetch.modseq(*modseq);
        }
        fetch.end();
    }

    /// Writes `FETCH` with UID and MODSEQ only, for a silent STORE; nothing if the message is not in the view. RFC 7162
    /// §3.1.3, §3.2.4.
    pub(super) fn write_modseq_of(&self, out: &mut ResponseBuffer, uid: Uid) {
        let Some(place) = self.view.messages.place(uid) else { return };
        let mut fetch = out.fetch(place as u32 + 1);
        fetch.uid(uid);
        fetch.modseq(self.view.messages[place].modseq);
        fetch.end();
    }

    /// Closes the mailbox: if this session has claimed recent messages, stores the claim, so that these are not recent
    /// after the next start. An error is only logged.
    pub(super) async fn close(self) {
        if self.has_claimed
            && let Err(error) = self.mailbox.record_recent().await
        {
            // As after a crash: RFC 3501 §2.3.2 allows that a session at another start sees a message as recent.
            tracing::debug!(%error, "cannot clear \\Recent");
        }
    }
}

/// Writes the expunged UIDs, ascending: one `VANISHED` with QRESYNC, else an `EXPUNGE` for each with its number in the
/// `old` view, the highest first, since each number counts without the messages expunged before it. RFC 9051 §7.5.1;
/// RFC 7162 §3.2.10.
fn write_expunged(out: &mut ResponseBuffer, old: &View, expunged: &[Uid], enabled: Enabled) {
    if enabled.qresync && !expunged.is_empty() {
        return out.vanished(&expunged.iter().copied().collect(), false);
    }
    for uid in expunged.iter().rev() {
        if let Some(place) = old.messages.place(*uid) {
            out.expunge(place as u32 + 1);
        }
    }
}

/// The `new` view, still with the held expunged messages as they are in `old`, and without the added ones that are not
/// reported (`unseen`). It keeps the old modification sequence, so that the next update finds the difference.
fn held_view(old: &View, new: &View, held_expunges: &[Uid], unseen: &[Uid]) -> View {
    let mut messages = new.messages.clone();
    messages.remove(unseen);
    held_expunges.iter().filter_map(|uid| old.find(*uid)).for_each(|message| messages.insert(message.clone()));
    View { modseq: old.modseq, messages, ..*new }
}
