//! Checks the aliases of a world file: each must have a target other than itself.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use toml::Spanned;

use super::super::alias::Target;
use super::super::config::{DomainTable, WorldFile};
use super::super::{Domain, User};
use super::Check;
use crate::mail::Address;

/// Recipients to which one alias may expand at one host.
const MAX_TARGETS: usize = 1000;
/// The target of an alias that discards mail.
const DISCARD: &str = "|discard";

type Aliases = BTreeMap<String, Vec<Target>>;

impl Check<'_> {
    /// All aliases, by the key of their address. By default `abuse` is an alias of the postmaster (RFC 2142 §2).
    /// Reports invalid aliases and targets, which are left out; aliases that are declared twice, have no end, or have
    /// too many.
    pub(super) fn aliases(&mut self, file: &WorldFile, users: &BTreeMap<String, User>) -> Aliases {
        let (mut aliases, mut spans) = (Aliases::new(), Vec::new());
        for (domain, table) in &file.domains {
            for (name, targets) in &table.aliases {
                let Some(alias) = self.alias_address(name.get_ref(), domain, name.span()) else { continue };
                let found = targets
                    .get_ref()
                    .list()
                    .iter()
                    .filter_map(|text| self.target(text, domain, targets.span(), false))
                    .collect();
                spans.push((alias.clone(), targets.span()));
                if aliases.insert(alias.key(), found).is_some() {
                    let text = format!("`{}` is declared twice; put both into one list", name.get_ref());
                    self.report(name.span(), text);
                }
            }
        }
        for domain in file.domains.keys() {
            let names = [Address::new("abuse", domain.get_ref()), Address::new("postmaster", domain.get_ref())];
            if let [Ok(abuse), Ok(postmaster)] = names
                && !users.contains_key(&abuse.key())
            {
                aliases.entry(abuse.key()).or_insert_with(|| vec![Target::Address(postmaster)]);
            }
        }
        for (alias, span) in spans {
            self.check_alias_ends(&alias, &aliases, users, span);
        }
        aliases
    }

    /// The address of an alias. Reports a local part that is invalid or has a `*` or `+detail`; `None` then.
    fn alias_address(&mut self, name: &str, domain: &Spanned<String>, span: Range<usize>) -> Option<Address> {
        if name.contains('*') {
            let text = format!("the alias `{name}` has a `*`, which matches nothing; `catch_all` is for unknown users");
            self.report(span, text);
            return None;
        }
        let address = Address::new(name, domain.get_ref()).ok().filter(|address| address.detail().is_none());
        if address.is_none() {
            let text = format!("`{name}` cannot be an alias; it must be the local part of an address, without a +");
            self.report(span, text);
        }
        address
    }

    /// Parses `ann` in this domain, `ann@other.test`, or `|discard`; `None` for an invalid target, which is reported.
    /// Whether an address exists is checked later, by [`Check::check_alias_targets`], for which it is noted.
    fn target(
        &mut self,
        text: &str,
        domain: &Spanned<String>,
        span: Range<usize>,
        is_catch_all: bool,
    ) -> Option<Target> {
        if text == DISCARD {
            return Some(Target::Discard);
        }
        if text.contains('*') {
            let text = format!("`{text}` has a `*`, which matches nothing here; name one mailbox or address");
            self.report(span, text);
            return None;
        }
        let address = match text.contains('@') {
            true => text.parse(),
            false => Address::new(text, domain.get_ref()),
        };
        if address.is_err() || text.starts_with('|') {
            let text = format!("`{text}` is not a target; write a name, an address, or \"{DISCARD}\"");
            self.report(span, text);
            return None;
        }
        let address = address.ok()?;
        self.alias_targets.push((address.clone(), span, is_catch_all));
        Some(Target::Address(address))
    }

    /// The target of mail to unknown users of a domain; `None` if it is not declared, or is invalid, which is reported.
    pub(super) fn catch_all(&mut self, domain: &Spanned<String>, table: &DomainTable) -> Option<Target> {
        let catch_all = table.catch_all.as_ref()?;
        self.target(catch_all.get_ref(), domain, catch_all.span(), true)
    }

    /// Reports an alias without an end, which is a mailbox, another domain, or discarding, and one with more than
    /// [`MAX_TARGETS`] of them. Follows the targets through other aliases of its domain.
    fn check_alias_ends(
        &mut self,
        alias: &Address,
        aliases: &Aliases,
        users: &BTreeMap<String, User>,
        span: Range<usize>,
    ) {
        let (mut seen, mut waiting, mut ends) = (BTreeSet::new(), vec![alias.clone()], 0_usize);
        while let Some(address) = waiting.pop() {
            if !seen.insert(address.key()) {
                continue;
            }
            for target in aliases.get(&address.key()).map_or(&[][..], Vec::as_slice) {
                match target {
                    Target::Address(next) if next.key() == address.key() && users.contains_key(&next.key()) => {
                        ends += 1
                    }
                    // Other domains may have other hosts, which detect a loop by the trace fields.
                    Target::Address(next) if next.domain() == alias.domain() && aliases.contains_key(&next.key()) => {
                        waiting.push(next.clone());
                    }
                    Target::Address(_) | Target::Discard => ends += 1,
                }
            }
        }
        if ends == 0 {
            let text = format!("the alias {alias} is a loop; give it a mailbox as target, or \"{DISCARD}\"");
            self.report(span, text);
        } else if MAX_TARGETS < ends {
            self.report(span, format!("{alias} expands to {ends} recipients; the maximum is {MAX_TARGETS}"));
        }
    }

    /// Reports the noted targets in declared domains that are neither a mailbox nor an alias, and forgets them all.
    /// With a catch-all any local part exists, except for the target of the catch-all.
    pub(super) fn check_alias_targets(
        &mut self,
        aliases: &Aliases,
        users: &BTreeMap<String, User>,
        domains: &BTreeMap<String, Domain>,
    ) {
        for (address, span, is_catch_all) in std::mem::take(&mut self.alias_targets) {
            let key = address.key();
            // The target of a catch-all must exist without the catch-all.
            let is_checked = |served: &Domain| is_catch_all || served.catch_all.is_none();
            if domains.get(address.domain()).is_some_and(is_checked)
                && !users.contains_key(&key)
                && !aliases.contains_key(&key)
            {
                self.report(span, format!("there is no mailbox and no alias {address}; add it to its domain"));
            }
        }
    }
}
