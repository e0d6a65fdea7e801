//! How much the peer takes on one connection, as it says itself, and how much of that is used. RFC 9422.

use std::collections::BTreeSet;

use crate::mail::Recipient;

/// What the peer announces with `LIMITS`; `None` where it says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// `MAILMAX`: messages on one connection. RFC 9422 §4.1.
    pub transactions: Option<usize>,
    /// `RCPTMAX`: recipients of one message. RFC 9422 §4.2.
    pub recipients: Option<usize>,
    /// `RCPTDOMAINMAX`: domains of recipients on one connection. RFC 9422 §4.3.
    pub domains: Option<usize>,
}

/// What a connection has been used for.
#[derive(Clone, Debug, Default)]
pub(super) struct Used {
    transactions: usize,
    domains: BTreeSet<String>,
}

impl Limits {
    /// Reads what stands behind the keyword, in capitals; what is unknown or no limit is passed over. RFC 9422 §3.
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

    /// Recipients of one message.
    pub(super) fn each(&self) -> usize {
        self.recipients.unwrap_or(usize::MAX)
    }
}

impl Used {
    /// How many of these recipients, from the first on, may still go on this connection.
    pub(super) fn room(&self, limits: &Limits, recipients: &[Recipient]) -> usize {
        let messages = limits.transactions.map_or(usize::MAX, |max| max.saturating_sub(self.transactions));
        let most = limits.each().saturating_mul(messages).min(recipients.len());
        let Some(domains_max) = limits.domains else { return most };
        let mut domains: BTreeSet<_> = self.domains.iter().map(String::as_str).collect();
        for (at, recipient) in recipients[..most].iter().enumerate() {
            domains.insert(recipient.address.domain());
            if domains_max < domains.len() {
                return at;
            }
        }
        most
    }

    /// These recipients go out, in messages of so many each.
    pub(super) fn note(&mut self, limits: &Limits, recipients: &[Recipient]) {
        self.transactions += recipients.len().div_ceil(limits.each());
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
    fn limits_are_read_and_what_is_none_is_passed_over() {
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
    fn there_is_room_for_as_many_recipients_as_the_limits_leave() {
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
            let (limits, mut used) = (Limits::read(limits), Used::default());
            let room = used.room(&limits, &recipients);
            used.note(&limits, &recipients[..1]);
            assert_eq!((room, used.room(&limits, &recipients)), (first, second), "{limits:?}");
        }
    }
}
