//! Alias expansion: the recipients that an alias of this host stands for, before the message is queued.

use std::collections::BTreeSet;

use super::Mta;
use super::report::{Action, RecipientStatus};
use crate::mail::{Address, Message, Notify, Recipient, delivered_to};
use crate::world::Target;

/// The expansion of an alias.
#[derive(Clone, Debug)]
pub(super) struct AliasExpansion {
    /// The recipient as the client gave it.
    pub(super) alias: Recipient,
    /// What it stands for, each address once.
    targets: Vec<ExpandedTarget>,
    /// Whether a copy is discarded.
    pub(super) is_discarded: bool,
}

#[derive(Clone, Debug)]
struct ExpandedTarget {
    address: Address,
    /// The aliases that led to it, the one in the envelope first.
    alias_path: Vec<Address>,
    /// One of them has expanded the message before. RFC 9228 §4.
    is_loop: bool,
}

impl AliasExpansion {
    /// Expands an alias or a catch-all address of this host, with the aliases among its targets; `None` if the
    /// recipient is neither. Each alias is followed once, so the work is bounded by the number of declared aliases. A
    /// user among the targets of the alias of that name keeps a copy; an alias that else leads only to itself or to
    /// `|discard` has no targets.
    pub(super) fn of(mta: &Mta, recipient: &Recipient) -> Option<Self> {
        targets(mta, &recipient.address)?;
        let mut expansion = Self { alias: recipient.clone(), targets: Vec::new(), is_discarded: false };
        let (mut seen, mut waiting) = (BTreeSet::new(), vec![(recipient.address.clone(), Vec::new())]);
        while let Some((address, mut alias_path)) = waiting.pop() {
            if !seen.insert(address.key()) {
                continue;
            }
            let Some(targets) = targets(mta, &address) else {
                expansion.add(address, alias_path);
                continue;
            };
            alias_path.push(address.clone());
            let world = &mta.context().world;
            for target in targets.iter().rev() {
                match target {
                    Target::Discard => expansion.is_discarded = true,
                    // A user who is a target of the alias of the same name keeps a copy.
                    Target::Address(own) if own.key() == address.key() && world.users.contains_key(&own.key()) => {
                        expansion.add(address.clone(), alias_path.clone());
                    }
                    Target::Address(next) => waiting.push((next.clone(), alias_path.clone())),
                }
            }
        }
        Some(expansion)
    }

    /// Adds a target to which these aliases led, the one in the envelope first; it counts as in no loop until
    /// [`Self::mark_loops`].
    fn add(&mut self, address: Address, alias_path: Vec<Address>) {
        self.targets.push(ExpandedTarget { address, alias_path, is_loop: false });
    }

    /// The addresses that the alias stands for, also those to which the message was sent before.
    pub(super) fn targets(&self) -> Vec<Address> {
        self.targets.iter().map(|target| target.address.clone()).collect()
    }

    /// Whether the alias, by what is declared, leads back to itself only: it has no targets, and no copy is discarded.
    pub(super) fn has_no_destination(&self) -> bool {
        self.targets.is_empty() && !self.is_discarded
    }

    /// Marks the targets to which the message was sent before: an alias that led to them is in one of its
    /// `Delivered-To` fields. RFC 9228 §4. Returns the recipients that fail because of that: the marked targets, or the
    /// alias itself if no target is left; none if nothing is in a loop.
    pub(super) fn mark_loops(&mut self, message: &Message) -> Vec<Recipient> {
        let passed: BTreeSet<_> = message.delivered_to().map(|name| name.key()).collect();
        for target in &mut self.targets {
            target.is_loop = target.alias_path.iter().any(|name| passed.contains(&name.key()));
        }
        if self.was_sent_to_all() {
            return vec![self.alias.clone()];
        }
        let looped = self.targets.iter().filter(|target| target.is_loop);
        self.recipients(looped.map(|target| target.address.clone()))
    }

    /// Whether the message was sent to all targets before; `false` without targets, or if a copy is discarded. To be
    /// called after [`Self::mark_loops`]: before, no target is in a loop.
    pub(super) fn was_sent_to_all(&self) -> bool {
        !self.is_discarded && !self.targets.is_empty() && self.targets.iter().all(|target| target.is_loop)
    }

    /// The copies of the message: for each, the recipients to which the same aliases led, and those aliases, the one in
    /// the envelope first. Leaves out targets in a loop (after [`Self::mark_loops`]) and addresses in `seen`, to which
    /// it adds the recipients.
    pub(super) fn copies(&self, seen: &mut BTreeSet<Address>) -> Vec<(Vec<Recipient>, &[Address])> {
        let mut copies: Vec<(Vec<Address>, &[Address])> = Vec::new();
        for ExpandedTarget { address, alias_path, .. } in self.targets.iter().filter(|target| !target.is_loop) {
            if !seen.insert(address.clone()) {
                continue;
            }
            match copies.iter_mut().find(|(_, known)| known == alias_path) {
                Some((addresses, _)) => addresses.push(address.clone()),
                None => copies.push((vec![address.clone()], alias_path)),
            }
        }
        copies.into_iter().map(|(addresses, alias_path)| (self.recipients(addresses), alias_path)).collect()
    }

    /// These targets as recipients, with the ORCPT of the alias, or the address of the alias if it has none. A single
    /// target takes over all requests of the sender; several do not report success, which this host reports itself. RFC
    /// 3461 §5.2.7.1, §5.2.7.2 (c).
    fn recipients(&self, targets: impl IntoIterator<Item = Address>) -> Vec<Recipient> {
        let notify = match self.is_single() {
            true => self.alias.notify,
            false => self.alias.notify.map(|notify| Notify { success: false, ..notify }),
        };
        // RFC 3461 §5.2.1: the sender knows the alias, not what is behind it. RFC 6533 §3 for the type.
        let kind = if self.alias.address.is_ascii() { "rfc822" } else { "utf-8" };
        let orcpt = self.alias.orcpt.clone().unwrap_or_else(|| format!("{kind};{}", self.alias.address));
        targets.into_iter().map(|address| Recipient { address, notify, orcpt: Some(orcpt.clone()) }).collect()
    }

    /// What a report says to the sender at the expansion: delivered if there are no targets, as all is discarded, else
    /// expanded; `None` for a single target without a discarded copy, which takes over the requests. Whether the sender
    /// gets it is up to NOTIFY. RFC 3461 §5.2.7.
    pub(super) fn sender_notice(&self) -> Option<(Action, RecipientStatus)> {
        let notice =
            |action, text: String| Some((action, RecipientStatus { status: (2, 0, 0), host: None, text: Some(text) }));
        match self.targets.len() {
            0 => notice(Action::Delivered, "this name takes mail and throws it away".to_owned()),
            1 if self.is_single() => None,
            count => notice(Action::Expanded, format!("this name stands for {count} recipients")),
        }
    }

    /// Whether the alias stands for exactly one target, and no copy is discarded, so that the target takes over the
    /// requests of the sender.
    fn is_single(&self) -> bool {
        self.targets.len() == 1 && !self.is_discarded
    }
}

/// Returns the message with a `Delivered-To` on top for each alias that led to a copy, the first of them lowest: no
/// others, which its recipients need not know.
pub(super) fn with_delivered_to(message: &Message, alias_path: &[Address]) -> Message {
    alias_path.iter().fold(message.clone(), |message, name| message.with_header(&delivered_to(name)))
}

/// The targets of an alias, or of the catch-all address for an unknown one, of this host; `None` if the address is
/// neither, or of another host.
fn targets<'a>(mta: &'a Mta, address: &Address) -> Option<&'a [Target]> {
    mta.context().world.alias(address).filter(|_| mta.is_local(address.domain()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::mta::test_support;
    use crate::net::Net;
    use crate::world::JOURNEY;

    fn expansion(aliases: &str, name: &str) -> AliasExpansion {
        let users = format!("users = [\"friend\", \"ann\", \"robert\"]\naliases = {{ {aliases} }}");
        let net = Net::memory(Arc::new(|_, _| Duration::ZERO));
        let text = JOURNEY.replace("users = [\"friend\"]", &users);
        let (mta, _) = test_support::mta(&text, "mta-sina", &net, vec![]);
        AliasExpansion::of(&mta, &format!("{name}@sina.test").parse::<Address>().unwrap().into()).unwrap()
    }

    fn local(addresses: impl IntoIterator<Item = Address>) -> String {
        addresses.into_iter().map(|address| address.local().to_owned()).collect::<Vec<_>>().join(" ")
    }

    fn copies(expansion: &AliasExpansion) -> Vec<(String, String)> {
        let copies = expansion.copies(&mut BTreeSet::new()).into_iter();
        let recipients = |list: Vec<Recipient>| local(list.into_iter().map(|recipient| recipient.address));
        copies.map(|(list, alias_path)| (recipients(list), local(alias_path.to_vec()))).collect()
    }

    #[tokio::test]
    async fn copy_has_the_aliases_that_led_to_it_and_no_others() {
        for (aliases, wanted) in [
            (r#"staff = ["friend", "ann", "ext@a.test"]"#, &[("friend ann ext", "staff")][..]),
            (
                r#"staff = ["ann", "robert", "ext@a.test"], ann = ["ann", "x@a.test"], robert = "y@a.test""#,
                &[("ann x", "staff ann"), ("y", "staff robert"), ("ext", "staff")],
            ),
            (
                r#"staff = "all", all = ["ann", "more"], more = "friend""#,
                &[("ann", "staff all"), ("friend", "staff all more")],
            ),
            (r#"staff = ["a", "b"], a = "friend", b = "friend""#, &[("friend", "staff a")]),
            (r#"staff = ["|discard", "ann"]"#, &[("ann", "staff")]),
        ] {
            let copies = copies(&expansion(aliases, "staff"));
            let copies: Vec<_> = copies.iter().map(|(to, alias_path)| (to.as_str(), alias_path.as_str())).collect();
            assert_eq!(copies, wanted, "{aliases}");
        }
    }

    /// RFC 9228 §4.
    #[tokio::test]
    async fn loop_is_found_for_the_targets_that_the_message_was_sent_to_before() {
        let aliases = r#"staff = ["friend", "list"], list = ["ann", "ext@a.test"]"#;
        for (passed, failed, left) in [
            ("", "", &[("friend", "staff"), ("ann ext", "staff list")][..]),
            ("staff", "staff", &[]),
            ("list", "ann ext", &[("friend", "staff")]),
            ("other", "", &[("friend", "staff"), ("ann ext", "staff list")]),
        ] {
            let mut expansion = expansion(aliases, "staff");
            let message = format!("Delivered-To: {passed}@sina.test\r\nSubject: s\r\n\r\nx\r\n");
            let looped = expansion.mark_loops(&Message::new(message.into()));
            assert_eq!(local(looped.into_iter().map(|recipient| recipient.address)), failed, "{passed}");
            let copies = copies(&expansion);
            let copies: Vec<_> = copies.iter().map(|(to, alias_path)| (to.as_str(), alias_path.as_str())).collect();
            assert_eq!((copies.as_slice(), expansion.was_sent_to_all()), (left, failed == "staff"), "{passed}");
        }
        let mut void = expansion(r#"void = "|discard""#, "void");
        let again = Message::new("Delivered-To: void@sina.test\r\n\r\n".into());
        assert!(void.mark_loops(&again).is_empty() && !void.was_sent_to_all(), "nothing is sent on");
    }
}
