//! How long messages are kept.

use std::num::NonZeroU64;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::span;

/// Which messages are kept: `keep = { messages = 10000, age = "30 days" }` in the world file. An omitted limit does not apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table such as { messages = 10000, age = \"30 days\" }")]
pub struct Keep {
    /// The newest ones, so many.
    pub messages: Option<NonZeroU64>,
    /// Those that were accepted less long ago.
    #[serde(deserialize_with = "age")]
    pub age: Option<Duration>,
}

/// Deserializes a duration such as `30 days`; never returns `None`, which is the default if the key is omitted.
fn age<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    span::deserialize(deserializer).map(Some)
}
