//! The quota of a user. RFC 9208.

use serde::{Deserialize, Deserializer};

/// A user's quota: `quota = { storage = 1048576, messages = 100 }` in the world file. An omitted resource is unlimited,
/// and a limit of 0 allows nothing (RFC 9208 §3.1.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table such as { storage = 10485760, messages = 1000 }")]
pub struct Quota {
    /// Bytes of all messages in all mailboxes. RFC 9208 §5.1.
    #[serde(deserialize_with = "limit")]
    pub storage: Option<u64>,
    /// Messages in all mailboxes. RFC 9208 §5.2.
    #[serde(deserialize_with = "limit")]
    pub messages: Option<u64>,
}

/// Deserializes a limit; a negative one is an error. Larger ones than TOML has are not possible (RFC 9208 §7,
/// number64).
fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let number = i64::deserialize(deserializer)?;
    let invalid = || {
        serde::de::Error::custom(format_args!("{number} is not a valid limit; write 0, which allows nothing, or more"))
    };
    u64::try_from(number).map(Some).map_err(|_| invalid())
}

impl Quota {
    /// Whether this usage, in all mailboxes of the user, is within the quota; it may be as high as the limits.
    ///
    /// ```
    /// use postroad::world::Quota;
    /// let quota = Quota { storage: Some(1000), messages: None };
    /// assert!(quota.allows(1000, 50) && !quota.allows(1001, 1));
    /// ```
    pub fn allows(&self, bytes: u64, messages: u64) -> bool {
        self.storage.is_none_or(|limit| bytes <= limit) && self.messages.is_none_or(|limit| messages <= limit)
    }
}
