//! The keys of `[mta.NAME]` for its policy.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::super::policy::Stage;
use super::span;

/// `[mta.NAME.greylisting]`. RFC 6647.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::world) struct GreylistingTable {
    /// How long an unknown client, sender and recipient must wait.
    #[serde(with = "span")]
    pub(in crate::world) delay: Duration,
    /// Without a retry within this time, they are forgotten.
    #[serde(with = "span")]
    pub(in crate::world) retry_within: Duration,
    /// How long they stay known after each message. RFC 6647 §5 recommends a week or more.
    #[serde(with = "span")]
    pub(in crate::world) lifetime: Duration,
    /// Hosts and networks that are not deferred.
    pub(in crate::world) exempt: Vec<Spanned<String>>,
}

impl Default for GreylistingTable {
    /// A delay of 5 minutes, 2 days to retry, a lifetime of 35 days, and no exempt clients.
    fn default() -> Self {
        let day = Duration::from_secs(24 * 3600);
        Self { delay: Duration::from_secs(300), retry_within: day * 2, lifetime: day * 35, exempt: Vec::new() }
    }
}

/// `[mta.NAME.rate_limit]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::world) struct RateLimitTable {
    /// The period.
    #[serde(with = "span")]
    pub(in crate::world) per: Duration,
    /// Messages of one client per period.
    pub(in crate::world) messages: Option<u32>,
    /// Recipients of one client per period.
    pub(in crate::world) recipients: Option<u32>,
    /// Hosts and networks without this limit.
    #[serde(default)]
    pub(in crate::world) exempt: Vec<Spanned<String>>,
}

/// `[[mta.NAME.rules]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::world) struct RuleTable {
    /// The stage of the SMTP session.
    pub(in crate::world) stage: Stage,
    /// A host or network, or several.
    pub(in crate::world) client: Option<Spanned<OneOrMany>>,
    /// The client's name in EHLO.
    pub(in crate::world) helo: Option<Spanned<String>>,
    /// The reverse-path.
    pub(in crate::world) from: Option<Spanned<String>>,
    /// A recipient.
    pub(in crate::world) to: Option<Spanned<String>>,
    /// The reply.
    pub(in crate::world) reply: Spanned<String>,
    /// The probability, from 0 to 1.
    pub(in crate::world) probability: Option<Spanned<f64>>,
    /// The maximum number of times.
    pub(in crate::world) times: Option<u32>,
}

/// One text or several.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a text, or a list of texts")]
pub(in crate::world) enum OneOrMany {
    /// As in `"ann"`.
    One(String),
    /// As in `["ann", "bob"]`.
    Many(Vec<String>),
}

impl OneOrMany {
    /// The texts, of which there may be one, several or none.
    pub(in crate::world) fn list(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }
}

/// `logins` of `[mta.NAME]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected \"any\", or names with their passwords: { ann = \"secret\" }")]
pub(in crate::world) enum LoginsValue {
    /// Any name with any password.
    Word(AnyLogin),
    /// These names, too.
    Named(BTreeMap<String, String>),
}

/// The word `any`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::world) enum AnyLogin {
    /// Any name.
    Any,
}
