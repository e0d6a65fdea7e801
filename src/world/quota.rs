//! How much one user may keep. RFC 9208.

use serde::{Deserialize, Deserializer};

/// A user's quota: `quota = { storage = 1048576, messages = 100 }` in the world file. What is not named has no limit, and
/// a limit of 0 lets nothing in (RFC 9208 §3.1.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table such as { storage = 10485760, messages = 1000 }")]
pub struct Quota {
    /// Octets of all messages in all mailboxes. RFC 9208 §5.1.
    #[serde(deserialize_with = "limit")]
    pub storage: Option<u64>,
    /// Messages in all mailboxes. RFC 9208 §5.2.
    #[serde(deserialize_with = "limit")]
    pub messages: Option<u64>,
}

/// RFC 9208 §7 (number64): none is negative, and TOML has none that is larger.
fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let number = i64::deserialize(deserializer)?;
    let wrong =
        || serde::de::Error::custom(format_args!("{number} is no limit; write 0, which lets nothing in, or more"));
    u64::try_from(number).map(Some).map_err(|_| wrong())
}

impl Quota {
    /// Whether so much may be kept.
    ///
    /// ```
    /// use postroad::world::Quota;
    /// let quota = Quota { storage: Some(1000), messages: None };
    /// assert!(quota.allows(1000, 50) && !quota.allows(1001, 1));
    /// ```
    pub fn allows(&self, octets: u64, messages: u64) -> bool {
        self.storage.is_none_or(|limit| octets <= limit) && self.messages.is_none_or(|limit| messages <= limit)
    }
}
