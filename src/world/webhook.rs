//! Webhooks: where events are sent.

use std::collections::BTreeSet;

use serde::Deserialize;
use url::Url;

/// The events that a webhook can have, as `step` in `/api/v1/events`.
pub const WEBHOOK_EVENTS: [&str; 15] = [
    "received",
    "expanded",
    "reported",
    "tried",
    "relayed",
    "deferred",
    "failed",
    "held",
    "released",
    "flushed",
    "deleted",
    "found",
    "gone",
    "delivered",
    "retrieved",
];

/// One receiver of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Where they are sent, by POST. `http` only.
    pub url: Url,
    /// Which; all if empty.
    pub events: BTreeSet<String>,
    /// The key of the signatures.
    pub secret: Vec<u8>,
}

/// `[[webhooks]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookTable {
    /// `http://…`.
    pub(super) url: toml::Spanned<String>,
    /// The events; by default all.
    #[serde(default)]
    pub(super) events: Vec<toml::Spanned<String>>,
    /// `whsec_` and the key in base64, as Standard Webhooks has it.
    pub(super) secret: toml::Spanned<String>,
}
