//! A user of a domain in the world file: a name, or a table.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::super::Quota;

/// One of `users`: `"ann"`, or `{ name = "ann", password = "secret" }`.
#[derive(Debug)]
pub(in crate::world) struct UserEntry(pub(in crate::world) UserTable);

/// `[[domains.NAME.users]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::world) struct UserTable {
    /// The local part.
    pub(in crate::world) name: String,
    /// By default that of the world.
    pub(in crate::world) password: Option<String>,
    /// The quota; unlimited by default.
    pub(in crate::world) quota: Option<Spanned<Quota>>,
}

/// Parses either form; errors in a table name its key.
impl<'de> Deserialize<'de> for UserEntry {
    /// From a text, the name of a user with the defaults, or from a table.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = UserEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name, or { name = \"…\", password = \"…\", quota = { … } }")
            }

            fn visit_str<E>(self, name: &str) -> Result<UserEntry, E> {
                Ok(UserEntry(UserTable { name: name.to_owned(), password: None, quota: None }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<UserEntry, A::Error> {
                UserTable::deserialize(MapAccessDeserializer::new(map)).map(UserEntry)
            }
        }
        deserializer.deserialize_any(Either)
    }
}
