//! What changes in the list, one message at a time, for those who follow it.

use serde_json::{Value, json};

use super::types::MessageSummary;
use crate::catalogue::{Catalogue, Changes};
use crate::mail::JourneyId;

/// Returns the JSON of the message of a journey as in the list of messages; `None` if the message was deleted or cannot
/// be read.
pub(in crate::control) fn summary(catalogue: &Catalogue, id: JourneyId) -> Option<Value> {
    let entry = catalogue.find(id).ok()??;
    serde_json::to_value(MessageSummary::of(catalogue, &entry).ok()?).ok()
}

/// A change of one message.
#[derive(Clone, Copy, Debug)]
pub(in crate::control) enum News {
    /// It is new.
    Added(i64),
    /// Its read state or its tags are others.
    Changed(i64),
    /// It is gone.
    Deleted(JourneyId),
}

impl News {
    /// The changes of a commit, one for each message: new ones, then changed ones, then deleted ones.
    pub(in crate::control) fn of(changes: &Changes) -> impl Iterator<Item = Self> {
        let (added, changed) = (changes.added.iter().copied(), changes.changed.iter().copied());
        let deleted = changes.deleted.iter().copied();
        added.map(Self::Added).chain(changed.map(Self::Changed)).chain(deleted.map(Self::Deleted))
    }

    /// Returns the JSON that clients get: of a new message the summary as in the list, of a changed one its id, read
    /// state and tags, of a deleted one its id. `None` if it was deleted meanwhile or cannot be read.
    pub(in crate::control) fn data(self, catalogue: &Catalogue) -> Option<Value> {
        match self {
            Self::Added(number) => {
                let entry = catalogue.entry(number).ok()??;
                serde_json::to_value(MessageSummary::of(catalogue, &entry).ok()?).ok()
            }
            Self::Changed(number) => {
                let entry = catalogue.entry(number).ok()??;
                Some(json!({ "ID": entry.id.to_string(), "Read": !entry.is_unread, "Tags": entry.tags }))
            }
            Self::Deleted(id) => Some(json!({ "ID": id.to_string() })),
        }
    }
}
