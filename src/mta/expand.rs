//! Alias expansion: the recipients that an alias of this host stands for, before the message is queued.

use std::collections::BTreeSet;

use super::Mta;
use super::report::{Action, RecipientStatus};
use crate::mail::{Address, Message, Notify, Recipient};
use crate::world::Target;

/// The expansion of an alias.
#[derive(Clone, Debug)]
pub(super) struct AliasExpansion {
    /// The recipient as the client gave it.
    pub(super) alias: Recipient,
    /// The addresses that it stands for, each once.
    pub(super) targets: Vec<Address>,
    /// Whether a copy is discarded.
    pub(super) is_discarded: bool,
    /// All aliases that were followed, the named one first.
    names: Vec<Address>,
}

impl AliasExpansion {
    /// Expands an alias of this host, and aliases of this host in its targets; `None` if the recipient is none. Each alias
    /// is followed once, so the work is bounded by what the world declares.
    pub(super) fn of(mta: &Mta, recipient: &Recipient) -> Option<Self> {
        targets(mta, &recipient.address)?;
        let mut expansion =
            Self { alias: recipient.clone(), targets: Vec::new(), is_discarded: false, names: Vec::new() };
        let (mut seen, mut waiting) = (BTreeSet::new(), vec![recipient.address.clone()]);
        while let Some(address) = waiting.pop() {
            if !seen.insert(address.key()) {
                continue;
            }
            let Some(targets) = targets(mta, &address) else {
                expansion.targets.push(address);
                continue;
            };
            let world = &mta.context().world;
            for target in targets.iter().rev() {
                match target {
                    Target::Discard => expansion.is_discarded = true,
                    // A user who is a target of the alias of the same name keeps a copy.
                    Target::Address(own) if own.key() == address.key() && world.users.contains_key(&own.key()) => {
                        expansion.targets.push(address.clone());
                    }
                    Target::Address(next) => waiting.push(next.clone()),
                }
            }
            expansion.names.push(address);
        }
        Some(expansion)
    }

    /// Whether it leads back to itself, and to no other address.
    pub(super) fn is_cyclic(&self) -> bool {
        self.targets.is_empty() && !self.is_discarded
    }

    /// Whether the message was expanded by one of these aliases before. RFC 9228 §4.
    pub(super) fn already_expanded(&self, message: &Message) -> bool {
        message.delivered_to().any(|known| self.names.iter().any(|name| name.key() == known.key()))
    }

    /// The message with the names of the aliases on top.
    pub(super) fn with_delivered_to(&self, message: &Message) -> Message {
        self.names.iter().fold(message.clone(), |message, name| message.with_header(&crate::mail::delivered_to(name)))
    }

    /// The targets as recipients. A single one takes over all requests of the sender; several do not report success, which
    /// this host reports itself. RFC 3461 §5.2.7.1, §5.2.7.2 (c).
    pub(super) fn recipients(&self, targets: Vec<Address>) -> Vec<Recipient> {
        let notify = match self.is_single() {
            true => self.alias.notify,
            false => self.alias.notify.map(|notify| Notify { success: false, ..notify }),
        };
        // RFC 3461 §5.2.1: the sender knows the alias, not what is behind it. RFC 6533 §3 for the type.
        let kind = if self.alias.address.is_ascii() { "rfc822" } else { "utf-8" };
        let orcpt = self.alias.orcpt.clone().unwrap_or_else(|| format!("{kind};{}", self.alias.address));
        targets.into_iter().map(|address| Recipient { address, notify, orcpt: Some(orcpt.clone()) }).collect()
    }

    /// The report to the sender at the expansion, if there is one. RFC 3461 §5.2.7; what is discarded counts as delivered.
    pub(super) fn sender_notice(&self) -> Option<(Action, RecipientStatus)> {
        let notice =
            |action, text: String| Some((action, RecipientStatus { status: (2, 0, 0), host: None, text: Some(text) }));
        match self.targets.len() {
            0 => notice(Action::Delivered, "this name takes mail and throws it away".to_owned()),
            1 if self.is_single() => None,
            count => notice(Action::Expanded, format!("this name stands for {count} recipients")),
        }
    }

    fn is_single(&self) -> bool {
        self.targets.len() == 1 && !self.is_discarded
    }
}

/// The targets of an alias of this host.
fn targets<'a>(mta: &'a Mta, address: &Address) -> Option<&'a [Target]> {
    mta.context().world.alias(address).filter(|_| mta.is_local(address.domain()))
}
