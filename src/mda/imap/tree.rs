//! The tree of mailboxes: CREATE, DELETE, RENAME, SUBSCRIBE, LIST, LSUB, NAMESPACE, STATUS. RFC 9051 §6.3.

use std::collections::BTreeSet;

use super::refusal::Failure;
use super::visit::Visit;
use crate::imap::{Attribute, Code, List, ListEntry, Out, Reply, StatusItem, pattern_matches};
use crate::mda::{Error, Listed, SpecialUse, Status, canonical_name};

/// What stands between two levels of a name.
pub(super) const DELIMITER: char = '/';

impl Visit {
    pub(super) async fn create(&mut self, name: &str, uses: &[String]) -> Result<Reply, Failure> {
        let id = self.mailboxes.create_for(&self.account, name, uses).await?;
        let name = name.strip_suffix(DELIMITER).unwrap_or(name);
        let kept = canonical_name(name).filter(|kept| kept != name);
        if let Some(kept) = kept.filter(|_| self.conn.machine.enabled().rev2) {
            list_as(self.conn.machine.out(), &kept, name);
        }
        Ok(Reply::ok("made").with(Code::MailboxId(id)))
    }

    pub(super) async fn delete(&mut self, name: &str) -> Result<Reply, Failure> {
        self.mailboxes.delete(&self.account, name).await?;
        Ok(Reply::ok("deleted"))
    }

    pub(super) async fn rename(&mut self, from: &str, to: &str) -> Result<Reply, Failure> {
        self.mailboxes.rename(&self.account, from, to).await?;
        if self.conn.machine.enabled().rev2 {
            list_as(self.conn.machine.out(), &canonical_name(to).unwrap_or_default(), from);
        }
        Ok(Reply::ok("renamed"))
    }

    pub(super) async fn subscribe(&mut self, name: &str, on: bool) -> Result<Reply, Failure> {
        self.mailboxes.subscribe(&self.account, name, on).await?;
        Ok(Reply::ok(if on { "subscribed" } else { "no longer subscribed" }))
    }

    pub(super) fn namespace(&mut self) -> Reply {
        self.conn.machine.out().namespace("", DELIMITER);
        Reply::ok("that is all")
    }

    pub(super) fn status(&mut self, name: &str, items: &[StatusItem]) -> Result<Reply, Failure> {
        let status = self.mailboxes.status(&self.account, name)?;
        self.tell_status(name, items, &status);
        Ok(Reply::ok("counted"))
    }

    pub(super) fn tell_status(&mut self, name: &str, items: &[StatusItem], status: &Status) {
        let append_limit = self.conn.machine.append_limit();
        let value = |item: &StatusItem| match item {
            StatusItem::Messages => status.messages.into(),
            StatusItem::Recent => status.recent.into(),
            StatusItem::UidNext => status.uidnext.into(),
            StatusItem::UidValidity => status.uidvalidity.into(),
            StatusItem::Unseen => status.unseen.into(),
            StatusItem::Deleted => status.deleted.into(),
            StatusItem::DeletedStorage => status.deleted_size,
            StatusItem::Size => status.size,
            StatusItem::AppendLimit => append_limit.into(),
            StatusItem::HighestModSeq => status.modseq,
            StatusItem::MailboxId => status.id,
        };
        self.conn.machine.out().status(name, items.iter().map(|item| (*item, value(item))));
    }

    /// RFC 9051 §6.3.9, RFC 3501 §6.3.8.
    pub(super) fn list(&mut self, list: &List) -> Result<Reply, Failure> {
        // An empty pattern asks for the delimiter.
        if list.returns.is_none() && list.patterns.iter().all(String::is_empty) {
            self.conn.machine.out().list(&entry(&[Attribute::NoSelect], ""));
            return Ok(Reply::ok("that is the delimiter"));
        }
        let all = self.mailboxes.list(&self.account)?;
        let patterns: Vec<String> = list.patterns.iter().map(|pattern| join(&list.reference, pattern)).collect();
        let is_named = |listed: &Listed| patterns.iter().any(|pattern| matches(pattern, &listed.name));
        for listed in all.iter().filter(|listed| is_named(listed)) {
            let found = Found {
                itself: selects(list, listed),
                below: list.recursive_match && below(&all, listed).any(|other| selects(list, other)),
            };
            // RFC 5258 §3.3: what does not fit itself is told for those below it that are not told themselves.
            let hides = || below(&all, listed).any(|other| selects(list, other) && !is_named(other));
            let missing = is_missing_level(list, listed);
            let plain = list.returns.is_none();
            if found.itself || (missing && plain) || ((found.below || missing) && hides()) {
                self.list_one(list, listed, &found)?;
            }
        }
        Ok(Reply::ok("that is all"))
    }

    fn list_one(&mut self, list: &List, listed: &Listed, found: &Found) -> Result<(), Error> {
        let name = &listed.name;
        let items = list.returns.as_ref().map_or(&[][..], |returns| &returns.status);
        // RFC 5819 §2, §3: no STATUS of what cannot be selected, nor of what is told for others below it.
        let asked = found.itself && listed.exists() && !items.is_empty();
        let status = if asked { self.status_if_there(name)? } else { None };
        let gone = asked && status.is_none();
        let listed = Listed { id: listed.id.filter(|_| !gone), ..listed.clone() };
        let missing = if list.returns.is_some() { Attribute::NonExistent } else { Attribute::NoSelect };
        let tells_subscribed = list.subscribed || list.returns.as_ref().is_some_and(|returns| returns.subscribed);
        let attributes = attributes(&listed, missing, tells_subscribed);
        self.conn.machine.out().list(&ListEntry { child_info: found.below, ..entry(&attributes, name) });
        if let Some(status) = status {
            self.tell_status(name, items, &status);
        }
        Ok(())
    }

    /// `None` when the mailbox was deleted just now.
    pub(super) fn status_if_there(&self, name: &str) -> Result<Option<Status>, Error> {
        match self.mailboxes.status(&self.account, name) {
            Ok(status) => Ok(Some(status)),
            Err(Error::NoMailbox(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// RFC 3501 §6.3.9: with `%`, a parent stands for subscriptions below it.
    pub(super) fn lsub(&mut self, reference: &str, pattern: &str) -> Result<Reply, Failure> {
        let pattern = join(reference, pattern);
        let all = self.mailboxes.list(&self.account)?;
        let subscribed: BTreeSet<&str> =
            all.iter().filter(|listed| listed.subscribed).map(|listed| listed.name.as_str()).collect();
        let parents = subscribed.iter().filter(|name| !matches(&pattern, name)).flat_map(|name| {
            name.match_indices(DELIMITER).map(|(at, _)| &name[..at]).filter(|parent| matches(&pattern, parent))
        });
        let own = subscribed.iter().copied().filter(|name| matches(&pattern, name));
        let names: BTreeSet<&str> = own.chain(parents).collect();
        for name in names {
            let attributes: &[Attribute] = if subscribed.contains(name) { &[] } else { &[Attribute::NoSelect] };
            self.conn.machine.out().lsub(&entry(attributes, name));
        }
        Ok(Reply::ok("that is all"))
    }

    /// RFC 9051 §6.3.2: `SELECT` tells the name under which the mailbox is listed.
    pub(super) fn list_selected(out: &mut Out, name: &str) {
        match canonical_name(name) {
            Some(kept) if kept != name => list_as(out, &kept, name),
            _ => out.list(&entry(&[], name)),
        }
    }
}

/// `LIST` with the name that a mailbox has now, and the one that it had or under which it was asked for. RFC 9051 §6.3.9.7.
fn list_as(out: &mut Out, name: &str, old_name: &str) {
    out.list(&ListEntry { old_name: Some(old_name), ..entry(&[], name) });
}

/// Why a name is told.
struct Found {
    /// It is what the selection options ask for.
    itself: bool,
    /// Something below it is, and the client wants to know (CHILDINFO). RFC 5258 §3.5.
    below: bool,
}

/// Whether a name is what the selection options ask for. RFC 5258 §3.1, RFC 6154 §2.
fn selects(list: &List, listed: &Listed) -> bool {
    let wanted = if list.subscribed { listed.subscribed } else { listed.exists() };
    wanted && (!list.special_use || !listed.special_uses.is_empty())
}

/// Whether it is no mailbox, but there are some below it, and all are asked for. RFC 5258 §3.5, §5 (11).
fn is_missing_level(list: &List, listed: &Listed) -> bool {
    !list.subscribed && !list.special_use && !listed.exists() && listed.has_children
}

/// Those below one; all stand in order.
fn below<'a>(all: &'a [Listed], top: &Listed) -> impl Iterator<Item = &'a Listed> {
    let top = format!("{}{DELIMITER}", top.name);
    let first = all.partition_point(|listed| listed.name < top);
    all[first..].iter().take_while(move |listed| listed.name.starts_with(&top))
}

/// A pattern relative to a reference. RFC 9051 §6.3.9: our names all begin at the root, so it is put in front.
fn join(reference: &str, pattern: &str) -> String {
    format!("{reference}{pattern}")
}

/// INBOX is the same in any case. RFC 9051 §5.1.
fn matches(pattern: &str, name: &str) -> bool {
    let any_case = || name == "INBOX" && pattern_matches(&pattern.to_ascii_uppercase(), name, DELIMITER);
    pattern_matches(pattern, name, DELIMITER) || any_case()
}

/// A name with its attributes.
pub(super) fn entry<'a>(attributes: &'a [Attribute], name: &'a str) -> ListEntry<'a> {
    ListEntry::new(attributes, DELIMITER, name)
}

/// What is known of a name; one without a mailbox is `missing`.
pub(super) fn attributes(listed: &Listed, missing: Attribute, tells_subscribed: bool) -> Vec<Attribute> {
    let Listed { has_children, subscribed, special_uses, .. } = listed;
    let attributes = [
        (!listed.exists()).then_some(missing),
        (*subscribed && tells_subscribed).then_some(Attribute::Subscribed),
        Some(if *has_children { Attribute::HasChildren } else { Attribute::HasNoChildren }),
    ];
    attributes.into_iter().flatten().chain(special_uses.iter().map(|special| attribute(*special))).collect()
}

fn attribute(special: SpecialUse) -> Attribute {
    match special {
        SpecialUse::Archive => Attribute::Archive,
        SpecialUse::Drafts => Attribute::Drafts,
        SpecialUse::Junk => Attribute::Junk,
        SpecialUse::Sent => Attribute::Sent,
        SpecialUse::Trash => Attribute::Trash,
    }
}
