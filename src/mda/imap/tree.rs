//! The tree of mailboxes: CREATE, DELETE, RENAME, SUBSCRIBE, LIST, LSUB, NAMESPACE, STATUS. RFC 9051 §6.3.

use std::collections::BTreeSet;

use super::refusal::Failure;
use super::visit::Visit;
use crate::imap::{Attribute, List, ListEntry, ListReturn, Out, Reply, StatusItem, pattern_matches};
use crate::mda::{Error, Listed, SpecialUse};

/// What stands between two levels of a name.
const DELIMITER: char = '/';

impl Visit {
    pub(super) async fn create(&mut self, name: &str, uses: &[String]) -> Result<Reply, Failure> {
        self.mailboxes().create_for(&self.account, name, uses).await?;
        Ok(Reply::ok("made"))
    }

    pub(super) async fn delete(&mut self, name: &str) -> Result<Reply, Failure> {
        self.mailboxes().delete(&self.account, name).await?;
        Ok(Reply::ok("deleted"))
    }

    pub(super) async fn rename(&mut self, from: &str, to: &str) -> Result<Reply, Failure> {
        self.mailboxes().rename(&self.account, from, to).await?;
        Ok(Reply::ok("renamed"))
    }

    pub(super) async fn subscribe(&mut self, name: &str, on: bool) -> Result<Reply, Failure> {
        self.mailboxes().subscribe(&self.account, name, on).await?;
        Ok(Reply::ok(if on { "subscribed" } else { "no longer subscribed" }))
    }

    pub(super) fn namespace(&mut self) -> Reply {
        self.conn.machine.out().namespace("", DELIMITER);
        Reply::ok("that is all")
    }

    pub(super) fn status(&mut self, name: &str, items: &[StatusItem]) -> Result<Reply, Failure> {
        self.tell_status(name, items)?;
        Ok(Reply::ok("counted"))
    }

    fn tell_status(&mut self, name: &str, items: &[StatusItem]) -> Result<(), Error> {
        let status = self.mailboxes().status(&self.account, name)?;
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
        };
        self.conn.machine.out().status(name, items.iter().map(|item| (*item, value(item))));
        Ok(())
    }

    /// RFC 9051 §6.3.9, RFC 3501 §6.3.8.
    pub(super) fn list(&mut self, list: &List) -> Result<Reply, Failure> {
        // An empty pattern asks for the delimiter.
        if list.returns.is_none() && list.patterns.iter().all(String::is_empty) {
            let entry =
                ListEntry { attributes: &[Attribute::NoSelect], delimiter: DELIMITER, name: "", child_info: false };
            self.conn.machine.out().list(&entry);
            return Ok(Reply::ok("that is the delimiter"));
        }
        let all = self.mailboxes().list(&self.account)?;
        let selects = |listed: &Listed| {
            let wanted = if list.subscribed { listed.subscribed } else { listed.exists || listed.has_children };
            wanted && (!list.special_use || !listed.special_uses.is_empty())
        };
        let patterns: Vec<String> = list.patterns.iter().map(|pattern| join(&list.reference, pattern)).collect();
        for listed in &all {
            let is_below =
                |other: &&Listed| other.name.strip_prefix(&listed.name).is_some_and(|rest| rest.starts_with(DELIMITER));
            // RFC 9051 §6.3.9.6: a parent is told if something below is what is looked for.
            let child_info = list.recursive_match && all.iter().filter(is_below).any(&selects);
            if (selects(listed) || child_info) && patterns.iter().any(|pattern| matches(pattern, &listed.name)) {
                self.list_one(list, listed, child_info)?;
            }
        }
        Ok(Reply::ok("that is all"))
    }

    fn list_one(&mut self, list: &List, listed: &Listed, child_info: bool) -> Result<(), Error> {
        let Listed { name, exists, has_children, subscribed, special_uses } = listed;
        let extended = list.returns.is_some();
        let subscribed =
            *subscribed && (list.subscribed || list.returns.as_ref().is_some_and(|returns| returns.subscribed));
        let attributes: Vec<Attribute> = [
            (!exists).then_some(if extended { Attribute::NonExistent } else { Attribute::NoSelect }),
            subscribed.then_some(Attribute::Subscribed),
            Some(if *has_children { Attribute::HasChildren } else { Attribute::HasNoChildren }),
        ]
        .into_iter()
        .flatten()
        .chain(special_uses.iter().map(|special| attribute(*special)))
        .collect();
        let entry = ListEntry { attributes: &attributes, delimiter: DELIMITER, name, child_info };
        self.conn.machine.out().list(&entry);
        match &list.returns {
            // RFC 5819 §2: no STATUS of what cannot be selected.
            Some(ListReturn { status, .. }) if !status.is_empty() && *exists => self.tell_status(name, status),
            _ => Ok(()),
        }
    }

    /// RFC 3501 §6.3.9: with `%`, a parent stands for subscriptions below it.
    pub(super) fn lsub(&mut self, reference: &str, pattern: &str) -> Result<Reply, Failure> {
        let pattern = join(reference, pattern);
        let all = self.mailboxes().list(&self.account)?;
        let subscribed: BTreeSet<&str> =
            all.iter().filter(|listed| listed.subscribed).map(|listed| listed.name.as_str()).collect();
        let parents = subscribed.iter().filter(|name| !matches(&pattern, name)).flat_map(|name| {
            name.match_indices(DELIMITER).map(|(at, _)| &name[..at]).filter(|parent| matches(&pattern, parent))
        });
        let own = subscribed.iter().copied().filter(|name| matches(&pattern, name));
        let names: BTreeSet<&str> = own.chain(parents).collect();
        for name in names {
            let attributes: &[Attribute] = if subscribed.contains(name) { &[] } else { &[Attribute::NoSelect] };
            self.conn.machine.out().lsub(&ListEntry { attributes, delimiter: DELIMITER, name, child_info: false });
        }
        Ok(Reply::ok("that is all"))
    }

    /// RFC 9051 §6.3.2: `SELECT` tells the name under which the mailbox is listed.
    pub(super) fn list_selected(out: &mut Out, name: &str) {
        out.list(&ListEntry { attributes: &[], delimiter: DELIMITER, name, child_info: false });
    }
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

fn attribute(special: SpecialUse) -> Attribute {
    match special {
        SpecialUse::Archive => Attribute::Archive,
        SpecialUse::Drafts => Attribute::Drafts,
        SpecialUse::Junk => Attribute::Junk,
        SpecialUse::Sent => Attribute::Sent,
        SpecialUse::Trash => Attribute::Trash,
    }
}
