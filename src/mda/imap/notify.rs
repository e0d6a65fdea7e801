//! NOTIFY: unsolicited updates of the account as they happen. RFC 5465.
//!
//! ```text
//! commit --> FeedReader --write_events--> LIST, METADATA, STATUS     of the event groups
//!       '--> Selected --write_updates--> EXISTS, EXPUNGE, FETCH        of the selected mailbox
//! ```
//!
//! If the client asked for no events of the selected mailbox, its view changes only by its own commands.

use std::collections::BTreeSet;

use super::error_reply::Failure;
use super::fetch::{FLUSH_BYTES, FetchOptions, Sources};
use super::handler::ImapHandler;
use super::selected::{UpdateFilter, UpdateOptions};
use crate::imap::{Attribute, Code, EventGroup, Events, Filter, ListEntry, Notify, Reply, StatusItem};
use crate::mda::{AccountEvent, Error, FeedUpdate, Listed, canonical_name, is_within};
use crate::sync::Turn;

/// Most mailbox names of one NOTIFY. RFC 5465 §3.1.
const MAX_NAMES: usize = 1_000;

impl ImapHandler {
    /// Executes NOTIFY; `None` is NOTIFY NONE, which writes nothing. Else writes the pending events and changes of the
    /// selected mailbox first, then the STATUS of mailboxes if asked for. Replies NO with NOTIFICATIONOVERFLOW for more
    /// than 1000 names; then the old setting stays. RFC 5465 §3.1.
    pub(super) async fn set_notify(&mut self, notify: Option<Notify>) -> Result<Reply, Failure> {
        let overflow = Code::Word("NOTIFICATIONOVERFLOW");
        let Some(mut notify) = notify else {
            self.notify = Some(Notify::default());
            return Ok(Reply::ok("NOTIFY NONE completed"));
        };
        if MAX_NAMES < notify.groups.iter().map(|group| group.filter.names().len()).sum() {
            return Ok(Reply::no("Too many mailboxes").with(overflow));
        }
        notify.groups.iter_mut().for_each(|group| canonicalise_names(&mut group.filter));
        self.write_events();
        // All changes of the selected mailbox are reported now, as by NOOP, whatever is reported later.
        self.notify = None;
        self.write_updates(&UpdateOptions::default());
        if notify.status {
            self.write_all_status(&notify).await?;
        }
        self.notify = Some(notify);
        Ok(Reply::ok("NOTIFY completed"))
    }

    /// Writes `STATUS` of every mailbox for whose messages or flags this NOTIFY asks events, except the selected one:
    /// NOTIFY SET STATUS. Flushes long output on the way.
    async fn write_all_status(&mut self, notify: &Notify) -> Result<(), Failure> {
        let mut turn = Turn::begin();
        for listed in self.mailboxes.list(&self.account)? {
            turn.pass_on().await;
            let Events { messages, flags, .. } = events_of(notify, &listed);
            self.write_status_of(&listed, &status_items(messages, flags, messages || flags));
            if FLUSH_BYTES <= self.conn.machine.out().len() {
                self.conn.flush().await?;
            }
        }
        Ok(())
    }

    /// Which changes of the selected mailbox by other sessions are reported: without NOTIFY those of messages and
    /// flags; with NOTIFY what it asks for, or none if it does not name the selected mailbox.
    pub(super) fn update_filter(&self) -> UpdateFilter {
        match self.notify.as_ref().map(|notify| &notify.selected) {
            None => UpdateFilter::default(),
            Some(None) => UpdateFilter { messages: false, flags: false, items: false, uids: true },
            Some(Some(selected)) => {
                UpdateFilter { messages: true, flags: selected.flags, items: !selected.items.is_empty(), uids: true }
            }
        }
    }

    /// Whether expunges that happen between commands stay unreported until a command allows them: with
    /// SELECTED-DELAYED, except in IDLE. RFC 5465 §6.1.2.
    pub(super) fn holds_expunges(&self) -> bool {
        let selected = self.notify.as_ref().and_then(|notify| notify.selected.as_ref());
        selected.is_some_and(|selected| selected.delayed) && !self.conn.machine.is_idling()
    }

    /// Writes what other sessions have changed in the account since the last call: with NOTIFY the events that it asks
    /// for, without NOTIFY changed annotations if METADATA is enabled. If events were lost, a client with NOTIFY gets
    /// NOTIFICATIONOVERFLOW, and NOTIFY NONE is set. Logs an error of the store.
    pub(super) fn write_events(&mut self) {
        let update = self.reader.read();
        if update == FeedUpdate::default() {
            return;
        }
        let outcome = match self.notify.take() {
            None => {
                self.write_metadata_events(&update);
                return;
            }
            // RFC 5465 §5.8.
            Some(_) if update.missed => {
                let code = Code::Word("NOTIFICATIONOVERFLOW");
                self.conn.machine.out().note(&code, "Too many events, notifications are off");
                self.notify = Some(Notify::default());
                return;
            }
            Some(notify) => {
                let outcome = self.write_notify_events(&notify, &update);
                self.notify = Some(notify);
                outcome
            }
        };
        if let Err(error) = outcome {
            tracing::error!(%error, account = self.account, "cannot send NOTIFY updates");
        }
    }

    /// Writes `METADATA` for changed annotations, if the client has enabled METADATA; for a session without NOTIFY.
    /// RFC 5464 §4.4.2.
    fn write_metadata_events(&mut self, update: &FeedUpdate) {
        if !self.conn.machine.enabled().metadata {
            return;
        }
        for event in &update.events {
            if let AccountEvent::Annotated { mailbox, entries } = event.as_ref() {
                self.conn.machine.out().annotated(mailbox.as_deref().unwrap_or_default(), entries);
            }
        }
    }

    /// Writes `LIST`, `METADATA` and `STATUS` for those events of other sessions that the client asked for. A created
    /// or deleted name is listed with its parent, each once.
    fn write_notify_events(&mut self, notify: &Notify, update: &FeedUpdate) -> Result<(), Error> {
        let all = self.mailboxes.list(&self.account)?;
        let mut reported_names = BTreeSet::new();
        for event in &update.events {
            match event.as_ref() {
                AccountEvent::Named { name, old_name: Some(old_name) } => {
                    let found = find_name(&all, name);
                    if events_of(notify, &found).names || events_of(notify, &find_name(&all, old_name)).names {
                        self.write_name(&found, Some(old_name));
                    }
                }
                AccountEvent::Named { name, old_name: None } => {
                    for name in [parent(name), Some(name)].into_iter().flatten() {
                        let found = find_name(&all, name);
                        if events_of(notify, &found).names && reported_names.insert(name) {
                            self.write_name(&found, None);
                        }
                    }
                }
                AccountEvent::Subscribed(name) => {
                    let found = find_name(&all, name);
                    // A name that is no longer subscribed was subscribed when the event happened. RFC 5465 §6.4.
                    let before = Listed { subscribed: true, ..found.clone() };
                    if events_of(notify, &before).subscriptions {
                        self.write_name(&found, None);
                    }
                }
                AccountEvent::Annotated { mailbox, entries } => {
                    let requested = match mailbox {
                        Some(name) => events_of(notify, &find_name(&all, name)).metadata,
                        None => notify.groups.iter().any(|group| group.events.server_metadata),
                    };
                    if requested {
                        self.conn.machine.out().annotated(mailbox.as_deref().unwrap_or_default(), entries);
                    }
                }
            }
        }
        for listed in &all {
            let Some(id) = listed.id() else { continue };
            let Events { messages, flags, .. } = events_of(notify, listed);
            let counted = messages && update.counted.binary_search(&id).is_ok();
            let flagged = flags && update.flagged.binary_search(&id).is_ok();
            self.write_status_of(listed, &status_items(counted, flagged, false));
        }
        Ok(())
    }

    /// Writes `LIST` with all attributes of a name, and with `old_name`, the one before a rename. RFC 5465 §5.4, §5.5.
    fn write_name(&mut self, listed: &Listed, old_name: Option<&str>) {
        let attributes = super::tree::attributes(listed, Attribute::NonExistent, true);
        let entry = ListEntry { old_name, ..super::tree::list_entry(&attributes, &listed.name) };
        self.conn.machine.out().list(&entry);
    }

    /// Writes `STATUS` with these items, and with CONDSTORE also HIGHESTMODSEQ; nothing for the selected mailbox, a
    /// name without a mailbox, or no items. RFC 5465 §5.1, §5.2, §5.3.
    fn write_status_of(&mut self, listed: &Listed, items: &[StatusItem]) {
        let selected = self.selected.as_ref().map(|selected| selected.mailbox.id());
        let Some(status) = listed.status.filter(|status| !items.is_empty() && Some(status.id) != selected) else {
            return;
        };
        let mut items = items.to_vec();
        if self.conn.machine.enabled().condstore && !items.contains(&StatusItem::HighestModSeq) {
            items.push(StatusItem::HighestModSeq);
        }
        self.write_status(&listed.name, &items, &status);
    }

    /// Whether FETCH responses for messages added to the selected mailbox are pending, as NOTIFY asked for them.
    pub(super) fn has_new_messages(&self) -> bool {
        self.selected.as_ref().is_some_and(|selected| !selected.new.is_empty())
    }

    /// Writes the FETCH responses that NOTIFY asks for, for messages added to the selected mailbox, until the output is
    /// long; the others stay pending. They do not set `\Seen`. If NOTIFY no longer asks for them, none stay pending. A
    /// message that cannot be read is logged and left out. RFC 5465 §5.2.
    pub(super) fn write_new_messages(&mut self) {
        let Some(selected) = &mut self.selected else { return };
        let uids = std::mem::take(&mut selected.new);
        let items = self.notify.as_ref().and_then(|notify| notify.selected.as_ref()).map(|selected| &selected.items);
        let Some(items) = items else { return };
        let places: Vec<usize> = uids.iter().filter_map(|uid| selected.view.messages.place(*uid)).collect();
        let mut sources = Sources::of(&selected.mailbox, items);
        let enabled = self.conn.machine.enabled();
        let options = FetchOptions { items, seen_now: &[], is_unsolicited: true, enabled };
        for at in 0..places.len() {
            if FLUSH_BYTES <= self.conn.machine.out().len() {
                selected.new = places[at..].iter().map(|place| selected.view.messages[*place].uid).collect();
                return;
            }
            match sources.next(selected, &places[at..]) {
                // One that was expunged is reported by the next update.
                Ok(source) if source.answers_any(items) => {
                    source.write(self.conn.machine.out(), selected, places[at], &options);
                }
                Ok(_) => {}
                Err(error) => tracing::error!(%error, account = self.account, "cannot read a new message"),
            }
        }
    }
}

/// Replaces the mailbox names of a filter by their stored spelling; removes those that are not allowed. RFC 5465 §3.1.
fn canonicalise_names(filter: &mut Filter) {
    if let Filter::Subtree(names) | Filter::Mailboxes(names) = filter {
        *names = names.iter().filter_map(|name| canonical_name(name)).collect();
    }
}

/// The events to report for a name: those of all groups that cover it, but none if one of these groups has no events,
/// which excludes the mailbox. RFC 5465 §6, §8.
fn events_of(notify: &Notify, listed: &Listed) -> Events {
    let matching = notify.groups.iter().filter(|group| matches(&group.filter, listed));
    let mut all = Events::NONE;
    for EventGroup { events, .. } in matching {
        if *events == Events::NONE {
            return Events::NONE;
        }
        all = all.with(*events);
    }
    all
}

/// Whether the filter of an event group covers a name.
fn matches(filter: &Filter, listed: &Listed) -> bool {
    match filter {
        Filter::Personal => true,
        Filter::Subscribed => listed.subscribed,
        Filter::Subtree(tops) => tops.iter().any(|top| is_within(&listed.name, top)),
        Filter::Mailboxes(names) => names.contains(&listed.name),
    }
}

/// The entry of this name in `all`, which must be sorted by name; if it is not there, a new entry without a mailbox,
/// children or subscription.
fn find_name(all: &[Listed], name: &str) -> Listed {
    let found = all.binary_search_by(|listed| listed.name.as_str().cmp(name)).ok().map(|at| all[at].clone());
    found.unwrap_or_else(|| Listed {
        name: name.to_owned(),
        status: None,
        has_children: false,
        subscribed: false,
        special_uses: vec![],
    })
}

/// The parent of a mailbox, whose child attributes may have changed; `None` at the top level. RFC 5465 §5.4.
fn parent(name: &str) -> Option<&str> {
    name.rsplit_once(super::tree::DELIMITER).map(|(parent, _)| parent)
}

/// The STATUS items to report: `counted` after changes of messages, `flagged` after changes of flags, `first` adds
/// UIDVALIDITY for the initial report. RFC 5465 §3.1, §5.1, §5.2, §5.3. UNSEEN is part of the message counts.
fn status_items(counted: bool, flagged: bool, first: bool) -> Vec<StatusItem> {
    [
        (counted, StatusItem::Messages),
        (counted, StatusItem::UidNext),
        (flagged || first, StatusItem::UidValidity),
        (counted || flagged, StatusItem::Unseen),
        (flagged, StatusItem::HighestModSeq),
    ]
    .into_iter()
    .filter_map(|(is_reported, item)| is_reported.then_some(item))
    .collect()
}
