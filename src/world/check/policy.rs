//! Checks the policy of an MTA: limits, greylisting, rate limits, rules.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;

use super::super::config::{
    AnyLogin, EngineName, GreylistingTable, LoginsValue, MtaTable, RateLimitTable, RuleTable, WorldFile,
};
use super::super::policy::{Greylisting, Logins, Pattern, Policy, PolicyReply, RateLimit, Rule, Stage};
use super::super::{Clients, Host, HostName, Network};
use super::Check;

/// Default limit of recipients per message. RFC 5321 §4.5.3.1.8 asks for at least 100.
const DEFAULT_MAX_RECIPIENTS: usize = 1000;
/// The largest limit that can be announced: six digits. RFC 9422 §3.
const MAX_LIMIT: usize = 999_999;

impl Check<'_> {
    /// The policy of one MTA, with defaults; reports invalid settings, and a `size_max` of 0. Hosts in it are checked
    /// by [`Check::check_named_hosts`], once all are known.
    pub(super) fn policy(&mut self, table: &MtaTable) -> Policy {
        let mut limit = |limit: &Option<Spanned<usize>>| limit.as_ref().map(|limit| self.limit(limit));
        let (recipients, transactions, domains) =
            (limit(&table.recipients_max), limit(&table.transactions_max), limit(&table.recipient_domains_max));
        if let Some(size_max) = table.size_max.as_ref().filter(|size_max| *size_max.get_ref() == 0) {
            let text = "size_max = 0 would refuse all messages; set the bytes of the largest";
            self.report(size_max.span(), text.to_owned());
        }
        Policy {
            recipients_max: recipients.unwrap_or(DEFAULT_MAX_RECIPIENTS),
            transactions_max: transactions,
            recipient_domains_max: domains,
            bare_line_ends: table.bare_line_ends.unwrap_or_default(),
            logins: match &table.logins {
                None => Logins::Users,
                Some(LoginsValue::Word(AnyLogin::Any)) => Logins::Any,
                Some(LoginsValue::Named(names)) => Logins::Named(names.clone()),
            },
            unknown_recipients: table.unknown_recipients.unwrap_or_default(),
            greylisting: table.greylisting.as_ref().map(|table| self.greylisting(table)),
            rate_limit: table.rate_limit.as_ref().map(|table| self.rate_limit(table)),
            rules: table.rules.iter().filter_map(|rule| self.rule(rule)).collect(),
        }
    }

    /// Returns the number as it is, and reports one that is 0 or above [`MAX_LIMIT`].
    pub(super) fn limit(&mut self, limit: &Spanned<usize>) -> usize {
        let number = *limit.get_ref();
        if !(1..=MAX_LIMIT).contains(&number) {
            self.report(limit.span(), format!("{number} is not a valid limit; choose one from 1 to {MAX_LIMIT}"));
        }
        number
    }

    /// The settings of greylisting. Reports a `retry_within` that is not longer than `delay`, and invalid networks.
    fn greylisting(&mut self, table: &Spanned<GreylistingTable>) -> Greylisting {
        let GreylistingTable { delay, retry_within, lifetime, exempt } = table.get_ref();
        if retry_within <= delay {
            let text = "`retry_within` must be longer than `delay`, or no client is ever accepted";
            self.report(table.span(), text.to_owned());
        }
        let exempt = self.clients(exempt.iter().map(|client| (client.get_ref().as_str(), client.span())));
        Greylisting { delay: *delay, retry_within: *retry_within, lifetime: *lifetime, exempt }
    }

    /// The settings of a rate limit. Reports one without a period or without any limit, and invalid networks.
    fn rate_limit(&mut self, table: &Spanned<RateLimitTable>) -> RateLimit {
        let RateLimitTable { per, messages, recipients, exempt } = table.get_ref();
        if per.is_zero() || messages.or(*recipients).is_none() {
            let text = "a rate limit needs a period and a limit, such as per = \"1min\" and messages = 30";
            self.report(table.span(), text.to_owned());
        }
        let exempt = self.clients(exempt.iter().map(|client| (client.get_ref().as_str(), client.span())));
        RateLimit { per: *per, messages: *messages, recipients: *recipients, exempt }
    }

    /// One rule, with a probability of 1 by default. Reports a condition on what is not known yet at its stage, an
    /// invalid network, and an invalid probability; `None` only if the reply is invalid, which is reported, too.
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
            self.report(given.span(), format!("{probability} is not a probability; choose one from 0 to 1"));
        }
        let Some(reply) = PolicyReply::parse(table.reply.get_ref()) else {
            let text = format!(
                "`{}` is not an error reply; write one line such as \"451 4.7.1 try again later\"",
                table.reply.get_ref().escape_debug()
            );
            self.report(table.reply.span(), text);
            return None;
        };
        let pattern = |pattern: &Option<Spanned<String>>| pattern.as_ref().map(|text| Pattern::new(text.get_ref()));
        let (helo, from, to) = (pattern(&table.helo), pattern(&table.from), pattern(&table.to));
        Some(Rule { stage: table.stage, client, helo, from, to, reply, probability, times: table.times })
    }

    /// Parses hosts and networks; an invalid network is reported and left out. Text without `/` and `:` that is no
    /// address is taken as the name of a host, which [`Check::check_named_hosts`] checks.
    pub(super) fn clients<'a>(&mut self, named: impl Iterator<Item = (&'a str, Range<usize>)>) -> Clients {
        let mut clients = Clients::default();
        for (name, span) in named {
            match name.parse::<Network>() {
                Ok(network) => drop(clients.networks.insert(network)),
                Err(()) if name.contains(['/', ':']) => {
                    self.report(span, format!("`{name}` is not a network; write one such as 192.0.2.0/24"));
                }
                Err(()) => {
                    clients.hosts.insert(Arc::from(name));
                    self.named_hosts.push((name.to_owned(), span));
                }
            }
        }
        clients
    }

    /// Reports clients that [`Check::clients`] noted as hosts, but that are none, and forgets them all.
    pub(super) fn check_named_hosts(&mut self, hosts: &BTreeMap<HostName, Host>) {
        for (name, span) in std::mem::take(&mut self.named_hosts) {
            if !hosts.contains_key(name.as_str()) {
                let text = format!("`{name}` is neither a host of this world nor a network such as 192.0.2.0/24");
                self.report(span, text);
            }
        }
    }

    /// The clients that may relay. Reports a network of all addresses, since it makes an open relay.
    pub(super) fn relay_from(&mut self, table: &MtaTable) -> Clients {
        let clients = self.clients(table.relay_from.iter().map(|client| (client.get_ref().as_str(), client.span())));
        for client in &table.relay_from {
            if client.get_ref().parse::<Network>().is_ok_and(|network| network.contains_all()) {
                let text =
                    "this network has all addresses, which makes an open relay; name the networks that may relay";
                self.report(client.span(), text.to_owned());
            }
        }
        clients
    }

    /// Reports `starttls` at any MTA but the entry, where it has no effect; that of an external one is reported with its
    /// other settings.
    pub(super) fn check_starttls(&mut self, file: &WorldFile, entry: &str) {
        let is_checked = |table: &MtaTable| !matches!(table.engine, EngineName::External);
        for (name, table) in file.mta.iter().filter(|(name, table)| name.get_ref() != entry && is_checked(table)) {
            if let Some(starttls) = &table.starttls {
                let text = format!(
                    "`starttls` is for the public port `smtp`, which is that of the entry, `{entry}`; leave it out for \
                     `{}`, which offers STARTTLS at its own ports anyway",
                    name.get_ref()
                );
                self.report(starttls.span(), text);
            }
        }
    }

    /// Reports policy settings of an MTA with another engine, which does not have them. `recipients_max` is allowed
    /// with mailin, which asks us about recipients.
    pub(super) fn reject_foreign_policy(&mut self, name: &Spanned<String>, table: &MtaTable) {
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
