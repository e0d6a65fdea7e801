//! What a world file says about what an MTA takes: limits, greylisting, rates, rules.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;

use super::super::config::{EngineName, GreylistingTable, MtaTable, RateLimitTable, RuleTable};
use super::super::policy::{Answer, Greylisting, Pattern, Policy, RateLimit, Rule, Stage};
use super::super::{Clients, Host, HostName, Network};
use super::Check;

/// Recipients of one message, where the world file does not say. RFC 5321 §4.5.3.1.8 asks for at least 100.
const RECIPIENTS_MAX: usize = 1000;
/// What fits into an announced limit: six digits. RFC 9422 §3.
const LIMIT_MAX: usize = 999_999;

impl Check<'_> {
    /// The policy of one MTA. Hosts are named before all are known, so [`Check::named_clients`] looks at them later.
    pub(super) fn policy(&mut self, name: &Spanned<String>, table: &MtaTable) -> Policy {
        let mut limit = |limit: &Option<Spanned<usize>>| limit.as_ref().map(|limit| self.limit(limit));
        let (recipients, transactions, domains) =
            (limit(&table.recipients_max), limit(&table.transactions_max), limit(&table.recipient_domains_max));
        if table.size_max == 0 {
            self.report(name.span(), "size_max = 0 takes no message at all; give the octets of the largest".to_owned());
        }
        Policy {
            recipients_max: recipients.unwrap_or(RECIPIENTS_MAX),
            transactions_max: transactions,
            recipient_domains_max: domains,
            bare_line_ends: table.bare_line_ends.unwrap_or_default(),
            unknown_recipients: table.unknown_recipients.unwrap_or_default(),
            greylisting: table.greylisting.as_ref().map(|table| self.greylisting(table)),
            rate_limit: table.rate_limit.as_ref().map(|table| self.rate_limit(table)),
            rules: table.rules.iter().filter_map(|rule| self.rule(rule)).collect(),
        }
    }

    pub(super) fn limit(&mut self, limit: &Spanned<usize>) -> usize {
        let number = *limit.get_ref();
        if !(1..=LIMIT_MAX).contains(&number) {
            self.report(limit.span(), format!("{number} is no limit; choose one from 1 to {LIMIT_MAX}"));
        }
        number
    }

    fn greylisting(&mut self, table: &Spanned<GreylistingTable>) -> Greylisting {
        let GreylistingTable { delay, retry_within, lifetime, exempt } = table.get_ref();
        if retry_within <= delay {
            let text = "whoever waits out `delay` comes after `retry_within`, so nobody ever gets in; make it longer";
            self.report(table.span(), text.to_owned());
        }
        let exempt = self.clients(exempt.iter().map(|client| (client.get_ref().as_str(), client.span())));
        Greylisting { delay: *delay, retry_within: *retry_within, lifetime: *lifetime, exempt }
    }

    fn rate_limit(&mut self, table: &Spanned<RateLimitTable>) -> RateLimit {
        let RateLimitTable { per, messages, recipients, exempt } = table.get_ref();
        if per.is_zero() || messages.or(*recipients).is_none() {
            let text = "a rate limit needs a period and what it limits, such as per = \"1min\" and messages = 30";
            self.report(table.span(), text.to_owned());
        }
        let exempt = self.clients(exempt.iter().map(|client| (client.get_ref().as_str(), client.span())));
        RateLimit { per: *per, messages: *messages, recipients: *recipients, exempt }
    }

    fn rule(&mut self, table: &RuleTable) -> Option<Rule> {
        let client = table.client.as_ref().map(|client| {
            let names = client.get_ref().list().iter();
            self.clients(names.map(|name| (name.as_str(), client.span())))
        });
        for (key, pattern, known) in
            [("helo", &table.helo, Stage::Ehlo), ("from", &table.from, Stage::Mail), ("to", &table.to, Stage::Rcpt)]
        {
            if let Some(pattern) = pattern
                && table.stage < known
            {
                let text = format!("`{key}` is not known yet at this stage; choose a later one, or leave it out");
                self.report(pattern.span(), text);
            }
        }
        let probability = table.probability.as_ref().map_or(1.0, |probability| *probability.get_ref());
        if let Some(given) = &table.probability
            && !(0.0..=1.0).contains(&probability)
        {
            self.report(given.span(), format!("{probability} is no probability; choose one from 0 to 1"));
        }
        let Some(reply) = Answer::parse(table.reply.get_ref()) else {
            let text = format!(
                "`{}` is no refusal; write one line such as \"451 4.7.1 try again later\"",
                table.reply.get_ref().escape_debug()
            );
            self.report(table.reply.span(), text);
            return None;
        };
        let pattern = |pattern: &Option<Spanned<String>>| pattern.as_ref().map(|text| Pattern::new(text.get_ref()));
        let (helo, from, to) = (pattern(&table.helo), pattern(&table.from), pattern(&table.to));
        Some(Rule { stage: table.stage, client, helo, from, to, reply, probability, times: table.times })
    }

    /// Hosts and networks. What looks like neither is taken for a host, whose name is judged with the others.
    pub(super) fn clients<'a>(&mut self, named: impl Iterator<Item = (&'a str, Range<usize>)>) -> Clients {
        let mut clients = Clients::default();
        for (name, span) in named {
            match name.parse::<Network>() {
                Ok(network) => drop(clients.networks.insert(network)),
                Err(()) if name.contains(['/', ':']) => {
                    self.report(span, format!("`{name}` is no network; write one such as 192.0.2.0/24"));
                }
                Err(()) => {
                    clients.hosts.insert(Arc::from(name));
                    self.clients_named.push((name.to_owned(), span));
                }
            }
        }
        clients
    }

    /// The hosts that clients were said to be.
    pub(super) fn named_clients(&mut self, hosts: &BTreeMap<HostName, Host>) {
        for (name, span) in std::mem::take(&mut self.clients_named) {
            if !hosts.contains_key(name.as_str()) {
                let text = format!("`{name}` is neither a host of this world nor a network such as 192.0.2.0/24");
                self.report(span, text);
            }
        }
    }

    /// Who may send to anywhere. A host that takes mail from everybody to everybody is an open relay: never here.
    pub(super) fn relay_from(&mut self, table: &MtaTable) -> Clients {
        let clients = self.clients(table.relay_from.iter().map(|client| (client.get_ref().as_str(), client.span())));
        for client in &table.relay_from {
            if client.get_ref().parse::<Network>().is_ok_and(|network| network.is_everyone()) {
                let text = "that is everybody, and makes it an open relay; name the networks that it relays for";
                self.report(client.span(), text.to_owned());
            }
        }
        clients
    }

    /// Other engines decide by themselves what they take; mailin asks us about recipients.
    pub(super) fn policy_of_others(&mut self, name: &Spanned<String>, table: &MtaTable) {
        let (engine, asks_us) = match table.engine {
            EngineName::Postroad => return,
            EngineName::Mailin => ("mailin", true),
            EngineName::External => ("external", false),
        };
        let set = [
            ("recipients_max", table.recipients_max.is_some() && !asks_us),
            ("transactions_max", table.transactions_max.is_some()),
            ("recipient_domains_max", table.recipient_domains_max.is_some()),
            ("bare_line_ends", table.bare_line_ends.is_some()),
            ("unknown_recipients", table.unknown_recipients.is_some()),
            ("greylisting", table.greylisting.is_some()),
            ("rate_limit", table.rate_limit.is_some()),
            ("rules", !table.rules.is_empty()),
        ];
        for (key, _) in set.iter().filter(|(_, is_set)| *is_set) {
            let text = format!("engine = \"{engine}\" has no `{key}`; leave it out, or choose engine = \"postroad\"");
            self.report(name.span(), text);
        }
    }
}
