//! The mailbox tree: CREATE, DELETE, RENAME, SUBSCRIBE, LIST, LSUB, NAMESPACE, STATUS. RFC 9051 §6.3.

use std::collections::BTreeSet;

use super::error_reply::Failure;
use super::handler::ImapHandler;
use crate::imap::{Attribute, Code, List, ListEntry, Reply, ResponseBuffer, StatusItem, pattern_matches};
use crate::mda::{INBOX, Listed, SpecialUse, Status, canonical_name};

/// Separates two levels of a name.
pub(super) const DELIMITER: char = '/';

impl ImapHandler {
    /// Executes CREATE, with special uses, and replies with the mailbox id. In IMAP4rev2, `LIST` reports the stored
    /// spelling if it is another. RFC 9051 §6.3.4.
    pub(super) async fn create(&mut self, name: &str, uses: &[String]) -> Result<Reply, Failure> {
        let id = self.mailboxes.create_for(&self.account, name, uses).await?;
        let name = name.strip_suffix(DELIMITER).unwrap_or(name);
        let canonical = canonical_name(name).filter(|canonical| canonical != name);
        if let Some(canonical) = canonical.filter(|_| self.conn.machine.enabled().rev2) {
            list_as(self.conn.machine.out(), &canonical, name);
        }
        Ok(Reply::ok("CREATE completed").with(Code::MailboxId(id)))
    }

    /// Executes DELETE of a mailbox; mailboxes below it stay. Fails if it does not exist.
    pub(super) async fn delete(&mut self, name: &str) -> Result<Reply, Failure> {
        self.mailboxes.delete(&self.account, name).await?;
        Ok(Reply::ok("DELETE completed"))
    }

    /// Executes RENAME of a mailbox and those below it; of INBOX, moves its messages into a new mailbox. In IMAP4rev2,
    /// `LIST` reports the new name with the old one.
    pub(super) async fn rename(&mut self, from: &str, to: &str) -> Result<Reply, Failure> {
        self.mailboxes.rename(&self.account, from, to).await?;
        if self.conn.machine.enabled().rev2 {
            list_as(self.conn.machine.out(), &canonical_name(to).unwrap_or_default(), from);
        }
        Ok(Reply::ok("RENAME completed"))
    }

    /// Executes SUBSCRIBE if `on`, else UNSUBSCRIBE; the mailbox need not exist.
    pub(super) async fn subscribe(&mut self, name: &str, on: bool) -> Result<Reply, Failure> {
        self.mailboxes.subscribe(&self.account, name, on).await?;
        Ok(Reply::ok(if on { "SUBSCRIBE completed" } else { "UNSUBSCRIBE completed" }))
    }

    /// Executes NAMESPACE: one personal namespace, without a prefix.
    pub(super) fn namespace(&mut self) -> Reply {
        self.conn.machine.out().namespace("", DELIMITER);
        Reply::ok("NAMESPACE completed")
    }

    /// Executes STATUS: writes these items of a mailbox. Fails if it does not exist.
    pub(super) fn status(&mut self, name: &str, items: &[StatusItem]) -> Result<Reply, Failure> {
        let status = self.mailboxes.status(&self.account, name)?;
        self.write_status(name, items, &status);
        Ok(Reply::ok("STATUS completed"))
    }

    /// Writes `STATUS` of a mailbox with the values of these items; APPENDLIMIT is that of the session.
    pub(super) fn write_status(&mut self, name: &str, items: &[StatusItem], status: &Status) {
        let append_limit = self.conn.machine.append_limit();
        let value = |item: &StatusItem| match item {
            StatusItem::Messages => status.counters.messages.into(),
            StatusItem::Recent => status.counters.recents.into(),
            StatusItem::UidNext => status.uidnext.into(),
            StatusItem::UidValidity => status.uidvalidity.into(),
            StatusItem::Unseen => status.counters.unseen.into(),
            StatusItem::Deleted => status.counters.deleted.into(),
            StatusItem::DeletedStorage => status.counters.deleted_octets,
            StatusItem::Size => status.counters.octets,
            StatusItem::AppendLimit => append_limit.into(),
            StatusItem::HighestModSeq => status.modseq,
            StatusItem::MailboxId => status.id,
        };
        self.conn.machine.out().status(name, items.iter().map(|item| (*item, value(item))));
    }

    /// Executes LIST, also extended: writes the names that match a pattern and the selection options, in order, with
    /// the requested STATUS; only the delimiter for an empty pattern. RFC 9051 §6.3.9, RFC 3501 §6.3.8.
    pub(super) fn list(&mut self, list: &List) -> Result<Reply, Failure> {
        // An empty pattern requests the delimiter.
        if list.returns.is_none() && list.patterns.iter().all(String::is_empty) {
            self.conn.machine.out().list(&list_entry(&[Attribute::NoSelect], ""));
            return Ok(Reply::ok("LIST completed"));
        }
        let all = self.mailboxes.list(&self.account)?;
        let patterns: Vec<String> = list.patterns.iter().map(|pattern| join(&list.reference, pattern)).collect();
        let is_named = |listed: &Listed| patterns.iter().any(|pattern| matches(pattern, &listed.name));
        for listed in all.iter().filter(|listed| is_named(listed)) {
            let found = Found {
                itself: selects(list, listed),
                below: list.recursive_match && names_below(&all, listed).any(|other| selects(list, other)),
            };
            // RFC 5258 §3.3: a name that does not match is listed for matching children that are not listed themselves.
            let has_unlisted_children =
                || names_below(&all, listed).any(|other| selects(list, other) && !is_named(other));
            let missing = is_missing_level(list, listed);
            let plain = list.returns.is_none();
            if found.itself || (missing && plain) || ((found.below || missing) && has_unlisted_children()) {
                self.list_one(list, listed, &found);
            }
        }
        Ok(Reply::ok("LIST completed"))
    }

    /// Writes `LIST` of one name, with CHILDINFO if RECURSIVEMATCH found names below it; then `STATUS`, if LIST asks
    /// for that and the mailbox itself matches the selection options.
    fn list_one(&mut self, list: &List, listed: &Listed, found: &Found) {
        let name = &listed.name;
        let items = list.returns.as_ref().map_or(&[][..], |returns| &returns.status);
        let missing = if list.returns.is_some() { Attribute::NonExistent } else { Attribute::NoSelect };
        let with_subscribed = list.subscribed || list.returns.as_ref().is_some_and(|returns| returns.subscribed);
        let attributes = attributes(listed, missing, with_subscribed);
        self.conn.machine.out().list(&ListEntry { child_info: found.below, ..list_entry(&attributes, name) });
        // RFC 5819 §2, §3: no STATUS for names without a mailbox, nor for those listed because of their children.
        if let Some(status) = listed.status.filter(|_| found.itself && !items.is_empty()) {
            self.write_status(name, items, &status);
        }
    }

    /// Executes LSUB, RFC 3501 §6.3.9: writes the subscribed names that match; with `%`, a parent that matches stands
    /// for subscriptions below it that do not, as `\NoSelect`.
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
            self.conn.machine.out().lsub(&list_entry(attributes, name));
        }
        Ok(Reply::ok("LSUB completed"))
    }

    /// Writes the `LIST` of SELECT and EXAMINE in IMAP4rev2: with the stored spelling of the mailbox, and with `name`,
    /// that in the command, as the old one if the spelling is another. RFC 9051 §6.3.2.
    pub(super) fn list_selected(out: &mut ResponseBuffer, name: &str) {
        match canonical_name(name) {
            Some(canonical) if canonical != name => list_as(out, &canonical, name),
            _ => out.list(&list_entry(&[], name)),
        }
    }
}

/// Writes `LIST` with the current `name` of a mailbox, and as OLDNAME the `old_name`: that before a rename, or the
/// spelling in the command. RFC 9051 §6.3.9.7.
fn list_as(out: &mut ResponseBuffer, name: &str, old_name: &str) {
    out.list(&ListEntry { old_name: Some(old_name), ..list_entry(&[], name) });
}

/// Why a name is listed.
struct Found {
    /// It matches the selection options.
    itself: bool,
    /// A child matches, and the client asked for that (CHILDINFO). RFC 5258 §3.5.
    below: bool,
}

/// Whether a name matches the selection options of LIST: with SUBSCRIBED it must be subscribed, else have a mailbox;
/// with SPECIAL-USE it must also have a special use. RFC 5258 §3.1, RFC 6154 §2.
fn selects(list: &List, listed: &Listed) -> bool {
    let matches = if list.subscribed { listed.subscribed } else { listed.exists() };
    matches && (!list.special_use || !listed.special_uses.is_empty())
}

/// Whether the name is only a level above mailboxes, without a mailbox of its own, and LIST asks for all names: neither
/// for SUBSCRIBED nor for SPECIAL-USE. RFC 5258 §3.5, §5 (11).
fn is_missing_level(list: &List, listed: &Listed) -> bool {
    !list.subscribed && !list.special_use && !listed.exists() && listed.has_children
}

/// The names below that of `top`, at any level, in order, without `top` itself; `all` must be sorted by name.
fn names_below<'a>(all: &'a [Listed], top: &Listed) -> impl Iterator<Item = &'a Listed> {
    let top = format!("{}{DELIMITER}", top.name);
    let first = all.partition_point(|listed| listed.name < top);
    all[first..].iter().take_while(move |listed| listed.name.starts_with(&top))
}

/// A pattern relative to a reference. RFC 9051 §6.3.9: all names begin at the root, so the reference is a prefix.
fn join(reference: &str, pattern: &str) -> String {
    format!("{reference}{pattern}")
}

/// Whether a pattern of LIST or LSUB matches a name. INBOX is case-insensitive, also in front of the names below it.
/// RFC 9051 §5.1.
fn matches(pattern: &str, name: &str) -> bool {
    let any_case = || name == INBOX && pattern_matches(&pattern.to_ascii_uppercase(), name, DELIMITER);
    let below_any_case = || {
        let (inbox, rest) = pattern.split_at_checked(INBOX.len()).filter(|_| is_below_inbox(name))?;
        inbox.eq_ignore_ascii_case(INBOX).then(|| pattern_matches(&format!("{INBOX}{rest}"), name, DELIMITER))
    };
    pattern_matches(pattern, name, DELIMITER) || any_case() || below_any_case().unwrap_or(false)
}

/// Whether the name is that of a mailbox below INBOX, as `INBOX/a`; not INBOX itself.
fn is_below_inbox(name: &str) -> bool {
    name.strip_prefix(INBOX).is_some_and(|rest| rest.starts_with(DELIMITER))
}

/// A LIST entry of a name with these attributes and the delimiter.
pub(super) fn list_entry<'a>(attributes: &'a [Attribute], name: &'a str) -> ListEntry<'a> {
    ListEntry::new(attributes, DELIMITER, name)
}

/// The attributes of a name for LIST: `missing` if it has no mailbox, `\Subscribed` if it is subscribed and
/// `with_subscribed`, `\HasChildren` or `\HasNoChildren`, and its special uses.
pub(super) fn attributes(listed: &Listed, missing: Attribute, with_subscribed: bool) -> Vec<Attribute> {
    let Listed { has_children, subscribed, special_uses, .. } = listed;
    let attributes = [
        (!listed.exists()).then_some(missing),
        (*subscribed && with_subscribed).then_some(Attribute::Subscribed),
        Some(if *has_children { Attribute::HasChildren } else { Attribute::HasNoChildren }),
    ];
    attributes.into_iter().flatten().chain(special_uses.iter().map(|special| attribute(*special))).collect()
}

/// The LIST attribute of a special use.
fn attribute(special: SpecialUse) -> Attribute {
    match special {
        SpecialUse::Archive => Attribute::Archive,
        SpecialUse::Drafts => Attribute::Drafts,
        SpecialUse::Junk => Attribute::Junk,
        SpecialUse::Sent => Attribute::Sent,
        SpecialUse::Trash => Attribute::Trash,
    }
}
