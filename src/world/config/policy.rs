//! The keys of `[mta.NAME]` that say what the host takes, as they are written.

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
    /// Who has not come back by then is unknown again.
    #[serde(with = "span")]
    pub(in crate::world) retry_within: Duration,
    /// How long they stay known after each message. RFC 6647 §5 wants a week or more.
    #[serde(with = "span")]
    pub(in crate::world) lifetime: Duration,
    /// Hosts and networks that never wait.
    pub(in crate::world) exempt: Vec<Spanned<String>>,
}

impl Default for GreylistingTable {
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
    /// Messages of one client in it.
    pub(in crate::world) messages: Option<u32>,
    /// Recipients of one client in it.
    pub(in crate::world) recipients: Option<u32>,
    /// Hosts and networks that it does not bind.
    #[serde(default)]
    pub(in crate::world) exempt: Vec<Spanned<String>>,
}

/// `[[mta.NAME.rules]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::world) struct RuleTable {
    /// At which stage of the conversation.
    pub(in crate::world) stage: Stage,
    /// A host or network, or several.
    pub(in crate::world) client: Option<Spanned<OneOrMany>>,
    /// The name that the client gives.
    pub(in crate::world) helo: Option<Spanned<String>>,
    /// The reverse-path.
    pub(in crate::world) from: Option<Spanned<String>>,
    /// A recipient.
    pub(in crate::world) to: Option<Spanned<String>>,
    /// What is said.
    pub(in crate::world) reply: Spanned<String>,
    /// How often, of 1.
    pub(in crate::world) probability: Option<Spanned<f64>>,
    /// How many times at most.
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
    pub(in crate::world) fn list(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }
}
