//! The peer's limits for a connection, and how much of them is used. RFC 9422.

use std::collections::BTreeSet;

use crate::mail::Recipient;

/// The limits that the peer announces with `LIMITS`; `None` where it announces none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// `MAILMAX`: maximum number of messages on a connection. RFC 9422 §4.1.
    pub transactions: Option<usize>,
    /// `RCPTMAX`: maximum number of recipients of a message. RFC 9422 §4.2.
    pub recipients: Option<usize>,
    /// `RCPTDOMAINMAX`: maximum number of recipient domains on a connection. RFC 9422 §4.3.
    pub domains: Option<usize>,
}

/// How much of the limits a connection has used.
#[derive(Clone, Debug, Default)]
pub(super) struct Usage {
    transactions: usize,
    domains: BTreeSet<String>,
}

impl Limits {
    /// Parses the parameters of `LIMITS`, given in upper case; unknown and invalid ones are ignored. RFC 9422 §3.
    pub(super) fn read(parameters: &str) -> Self {
        let mut limits = Self::default();
        for (name, value) in parameters.split_ascii_whitespace().filter_map(|word| word.split_once('=')) {
            let is_number = (1..=6).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit());
            let value = value.parse().ok().filter(|value| is_number && *value != 0);
            match name {
                "MAILMAX" => limits.transactions = value,
                "RCPTMAX" => limits.recipients = value,
                "RCPTDOMAINMAX" => limits.domains = value,
                _ => {}
            }
        }
        limits
    }

    /// Maximum number of recipients of one transaction, or `usize::MAX` without a limit.
    pub(super) fn recipients_per_transaction(&self) -> usize {
        self.recipients.unwrap_or(usize::MAX)
    }
}

impl Usage {
    /// Number of these recipients, from the first on, to which a message may still be sent on this connection: as many
    /// as the transactions left can hold, and up to the first whose domain exceeds the domain limit. RFC 9422 §4.1,
    /// §4.3.
    pub(super) fn capacity(&self, limits: &Limits, recipients: &[Recipient]) -> usize {
        let messages = limits.transactions.map_or(usize::MAX, |max| max.saturating_sub(self.transactions));
        let most = limits.recipients_per_transaction().saturating_mul(messages).min(recipients.len());
        let Some(max_domains) = limits.domains else { return most };
        let mut domains: BTreeSet<_> = self.domains.iter().map(String::as_str).collect();
        for (at, recipient) in recipients[..most].iter().enumerate() {
            domains.insert(recipient.address.domain());
            if max_domains < domains.len() {
                return at;
            }
        }
        most
    }

    /// Counts, before it is sent, a message to these recipients: as many transactions as it takes with the limit of
    /// recipients per transaction and, if domains are limited, their domains.
    pub(super) fn note(&mut self, limits: &Limits, recipients: &[Recipient]) {
        self.transactions += recipients.len().div_ceil(limits.recipients_per_transaction());
        if limits.domains.is_some() {
            self.domains.extend(recipients.iter().map(|recipient| recipient.address.domain().to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9422 §3.
    #[test]
    fn limits_with_invalid_parameters_ignore_them() {
        let of = |transactions, recipients, domains| Limits { transactions, recipients, domains };
        for (text, wanted) in [
            ("RCPTMAX=20 MAILMAX=5 RCPTDOMAINMAX=1", of(Some(5), Some(20), Some(1))),
            ("RCPTMAX=999999", of(None, Some(999_999), None)),
            ("RCPTMAX=0 MAILMAX=1000000", of(None, None, None)),
            ("RCPTMAX=-1 MAILMAX= RCPTDOMAINMAX NEWMAX=3 =", of(None, None, None)),
            ("", of(None, None, None)),
        ] {
            assert_eq!(Limits::read(text), wanted, "{text:?}");
        }
    }

    #[test]
    fn capacity_after_each_message_follows_the_limits() {
        let recipients = ["a@x.test", "b@x.test", "c@y.test", "d@x.test"].map(|text| {
            let address: crate::mail::Address = text.parse().unwrap();
            Recipient::from(address)
        });
        for (limits, first, second) in [
            ("", 4, 4),
            ("RCPTMAX=1", 4, 4),
            ("MAILMAX=1", 4, 0),
            ("RCPTMAX=1 MAILMAX=3", 3, 2),
            ("RCPTMAX=2 MAILMAX=2", 4, 2),
            ("RCPTDOMAINMAX=1", 2, 2),
            ("RCPTDOMAINMAX=2", 4, 4),
        ] {
            let (limits, mut used) = (Limits::read(limits), Usage::default());
            let capacity = used.capacity(&limits, &recipients);
            used.note(&limits, &recipients[..1]);
            assert_eq!((capacity, used.capacity(&limits, &recipients)), (first, second), "{limits:?}");
        }
    }
}
