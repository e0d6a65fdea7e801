//! NOTIFY: what happens in the account, told as it happens. RFC 5465.
//!
//! ```text
//! commit --> Reader --tell_news--> LIST, METADATA, STATUS     of what the groups of events name
//!       '--> Selected --tell--> EXISTS, EXPUNGE, FETCH        of the selected mailbox
//! ```
//!
//! Who asks for nothing of the selected mailbox sees it as it was then: nothing comes or goes but by its own hand.

use std::collections::BTreeSet;

use super::fetch::{PIECE_OCTETS, Sources, Wanted};
use super::refusal::Failure;
use super::selected::{Terms, Wants};
use super::visit::Visit;
use crate::imap::{Attribute, Code, EventGroup, Events, Filter, ListEntry, Notify, Reply, StatusItem};
use crate::mda::{Error, Heard, Listed, News, canonical_name, is_within};

/// More names are too much to compare with. RFC 5465 §3.1.
const NAMES_MAX: usize = 1_000;

impl Visit {
    /// RFC 5465 §3.1.
    pub(super) async fn set_notify(&mut self, notify: Option<Notify>) -> Result<Reply, Failure> {
        let overflow = Code::Word("NOTIFICATIONOVERFLOW");
        let Some(mut notify) = notify else {
            self.notify = Some(Notify::default());
            return Ok(Reply::ok("you hear of nothing from now on"));
        };
        if NAMES_MAX < notify.groups.iter().map(|group| group.filter.names().len()).sum() {
            return Ok(Reply::no("these are too many mailboxes").with(overflow));
        }
        notify.groups.iter_mut().for_each(|group| spell(&mut group.filter));
        self.tell_news();
        // All of the selected mailbox is told now, as NOOP would tell it, whatever is told of it later.
        self.notify = None;
        self.tell(&Terms::default());
        if notify.status {
            self.tell_all_status(&notify).await?;
        }
        self.notify = Some(notify);
        Ok(Reply::ok("you hear of it from now on"))
    }

    async fn tell_all_status(&mut self, notify: &Notify) -> Result<(), Failure> {
        for listed in self.mailboxes.list(&self.account)? {
            let Events { messages, flags, .. } = events_of(notify, &listed);
            self.tell_status_of(&listed, &status_items(messages, flags, messages || flags))?;
            if PIECE_OCTETS <= self.conn.machine.out().len() {
                self.conn.flush().await?;
            }
        }
        Ok(())
    }

    /// What of the selected mailbox is told.
    pub(super) fn wants(&self) -> Wants {
        match self.notify.as_ref().map(|notify| &notify.selected) {
            None => Wants::default(),
            Some(None) => Wants { messages: false, flags: false, items: false, uids: true },
            Some(Some(selected)) => {
                Wants { messages: true, flags: selected.flags, items: !selected.items.is_empty(), uids: true }
            }
        }
    }

    /// Whether what goes waits for a command that allows it. RFC 5465 §6.1.2.
    pub(super) fn holds_expunges(&self) -> bool {
        let selected = self.notify.as_ref().and_then(|notify| notify.selected.as_ref());
        selected.is_some_and(|selected| selected.delayed) && !self.conn.machine.is_idling()
    }

    /// Tells what others have done in the account since this was last called.
    pub(super) fn tell_news(&mut self) {
        let heard = self.reader.read();
        if heard == Heard::default() {
            return;
        }
        let told = match self.notify.take() {
            None => {
                self.tell_enabled(&heard);
                return;
            }
            // RFC 5465 §5.8.
            Some(_) if heard.missed => {
                let code = Code::Word("NOTIFICATIONOVERFLOW");
                self.conn.machine.out().note(&code, "too much has happened; from now on you hear of nothing");
                self.notify = Some(Notify::default());
                return;
            }
            Some(notify) => {
                let told = self.tell_heard(&notify, &heard);
                self.notify = Some(notify);
                told
            }
        };
        if let Err(error) = told {
            tracing::error!(%error, account = self.account, "what has happened cannot be told");
        }
    }

    /// Without NOTIFY, who has enabled METADATA is told of that. RFC 5464 §4.4.2.
    fn tell_enabled(&mut self, heard: &Heard) {
        if !self.conn.machine.enabled().metadata {
            return;
        }
        for news in &heard.news {
            if let News::Annotated { mailbox, entries } = news.as_ref() {
                self.conn.machine.out().annotated(mailbox.as_deref().unwrap_or_default(), entries);
            }
        }
    }

    fn tell_heard(&mut self, notify: &Notify, heard: &Heard) -> Result<(), Error> {
        let all = self.mailboxes.list(&self.account)?;
        let mut names_told = BTreeSet::new();
        for news in &heard.news {
            match news.as_ref() {
                News::Named { name, was: Some(was) } => {
                    let found = find(&all, name);
                    if events_of(notify, &found).names || events_of(notify, &find(&all, was)).names {
                        self.tell_name(&found, Some(was));
                    }
                }
                News::Named { name, was: None } => {
                    for name in [parent(name), Some(name)].into_iter().flatten() {
                        let found = find(&all, name);
                        if events_of(notify, &found).names && names_told.insert(name) {
                            self.tell_name(&found, None);
                        }
                    }
                }
                News::Subscribed(name) => {
                    let found = find(&all, name);
                    // A name that is no longer subscribed was when it happened. RFC 5465 §6.4.
                    let before = Listed { subscribed: true, ..found.clone() };
                    if events_of(notify, &before).subscriptions {
                        self.tell_name(&found, None);
                    }
                }
                News::Annotated { mailbox, entries } => {
                    let wanted = match mailbox {
                        Some(name) => events_of(notify, &find(&all, name)).metadata,
                        None => notify.groups.iter().any(|group| group.events.server_metadata),
                    };
                    if wanted {
                        self.conn.machine.out().annotated(mailbox.as_deref().unwrap_or_default(), entries);
                    }
                }
            }
        }
        for listed in &all {
            let Some(id) = listed.id else { continue };
            let Events { messages, flags, .. } = events_of(notify, listed);
            let counted = messages && heard.counted.binary_search(&id).is_ok();
            let flagged = flags && heard.flagged.binary_search(&id).is_ok();
            self.tell_status_of(listed, &status_items(counted, flagged, false))?;
        }
        Ok(())
    }

    /// `LIST` with all that is known of a name. RFC 5465 §5.4, §5.5.
    fn tell_name(&mut self, listed: &Listed, old_name: Option<&str>) {
        let attributes = super::tree::attributes(listed, Attribute::NonExistent, true);
        let entry = ListEntry { old_name, ..super::tree::entry(&attributes, &listed.name) };
        self.conn.machine.out().list(&entry);
    }

    /// `STATUS` of a mailbox that is not selected. RFC 5465 §5.1, §5.2, §5.3.
    fn tell_status_of(&mut self, listed: &Listed, items: &[StatusItem]) -> Result<(), Error> {
        let selected = self.selected.as_ref().map(|selected| selected.mailbox.id());
        if items.is_empty() || listed.id.is_none() || listed.id == selected {
            return Ok(());
        }
        let mut items = items.to_vec();
        if self.conn.machine.enabled().condstore && !items.contains(&StatusItem::HighestModSeq) {
            items.push(StatusItem::HighestModSeq);
        }
        if let Some(status) = self.status_if_there(&listed.name)? {
            self.tell_status(&listed.name, &items, &status);
        }
        Ok(())
    }

    /// Whether there are messages of which more is to be told than that they are there.
    pub(super) fn has_new(&self) -> bool {
        self.selected.as_ref().is_some_and(|selected| !selected.new.is_empty())
    }

    /// Tells of new messages what the client wants to know, of as many as are sent at once. Nobody reads them, so none
    /// gets `\Seen`. RFC 5465 §5.2.
    pub(super) fn tell_new(&mut self) {
        let items = self.notify.as_ref().and_then(|notify| notify.selected.as_ref()).map(|selected| &selected.items);
        let (Some(items), Some(selected)) = (items, &mut self.selected) else { return };
        let uids = std::mem::take(&mut selected.new);
        let places: Vec<usize> = uids.iter().filter_map(|uid| selected.view.messages.place(*uid)).collect();
        let mut sources = Sources::of(&selected.mailbox, items);
        let wanted = Wanted { items, seen_now: &[], enabled: self.conn.machine.enabled() };
        for at in 0..places.len() {
            if PIECE_OCTETS <= self.conn.machine.out().len() {
                selected.new = places[at..].iter().map(|place| selected.view.messages[*place].uid).collect();
                return;
            }
            match sources.next(selected, &places[at..]) {
                Ok(Some(message)) => drop(message.tell(self.conn.machine.out(), selected, places[at], &wanted)),
                // It is gone already, which is told next.
                Ok(None) => {}
                Err(error) => tracing::error!(%error, account = self.account, "a new message cannot be read"),
            }
        }
    }
}

/// Names as the mailboxes spell them. One that no mailbox can have is passed over. RFC 5465 §3.1.
fn spell(filter: &mut Filter) {
    if let Filter::Subtree(names) | Filter::Mailboxes(names) = filter {
        *names = names.iter().filter_map(|name| canonical_name(name)).collect();
    }
}

/// What is told of a name. Several groups add up, but who wants nothing of a mailbox is told nothing. RFC 5465 §6, §8.
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

fn matches(filter: &Filter, listed: &Listed) -> bool {
    match filter {
        Filter::Personal => true,
        Filter::Subscribed => listed.subscribed,
        Filter::Subtree(tops) => tops.iter().any(|top| is_within(&listed.name, top)),
        Filter::Mailboxes(names) => names.contains(&listed.name),
    }
}

/// What is known of a name, all of which stand in order.
fn find(all: &[Listed], name: &str) -> Listed {
    let found = all.binary_search_by(|listed| listed.name.as_str().cmp(name)).ok().map(|at| all[at].clone());
    found.unwrap_or_else(|| Listed {
        name: name.to_owned(),
        id: None,
        has_children: false,
        subscribed: false,
        special_uses: vec![],
    })
}

/// The mailbox that a mailbox is directly below: it may have its first child now, or none any more. RFC 5465 §5.4.
fn parent(name: &str) -> Option<&str> {
    name.rsplit_once(super::tree::DELIMITER).map(|(parent, _)| parent)
}

/// What to tell of a mailbox where messages came or went, or have other flags; `first` for who knows nothing yet.
/// RFC 5465 §3.1, §5.1, §5.2, §5.3. Who counts messages counts those without `\Seen` too.
fn status_items(counted: bool, flagged: bool, first: bool) -> Vec<StatusItem> {
    [
        (counted, StatusItem::Messages),
        (counted, StatusItem::UidNext),
        (flagged || first, StatusItem::UidValidity),
        (counted || flagged, StatusItem::Unseen),
        (flagged, StatusItem::HighestModSeq),
    ]
    .into_iter()
    .filter_map(|(is_told, item)| is_told.then_some(item))
    .collect()
}
