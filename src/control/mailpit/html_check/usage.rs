//! How often a document uses the features that the data list. What is used has a kind and a name, as one text: `property:gap`.

use std::collections::BTreeMap;

use super::data::Feature;
use super::features;

/// Counts of what some features are used by; all else is left out, so that a document cannot fill the memory.
#[derive(Debug, Default)]
pub(super) struct Usage {
    /// How many elements there are.
    pub(super) nodes: u64,
    counts: BTreeMap<String, u64>,
    /// `kind:name` of what is counted now.
    key: String,
}

impl Usage {
    /// Counts at zero for what these features are used by; nothing else is counted later.
    pub(super) fn of(features: &[Feature]) -> Self {
        let counts = features.iter().flat_map(features::usage_keys).map(|usage| (usage, 0)).collect();
        Self { counts, ..Self::default() }
    }

    /// Counts one use of `KIND:NAME`, if a feature has this key. Names are in lower case.
    pub(super) fn note(&mut self, kind: &str, name: &str) {
        self.key.clear();
        self.key.extend([kind, ":", name]);
        if let Some(count) = self.counts.get_mut(&self.key) {
            *count += 1;
        }
    }

    /// How often a feature is used: the sum over its keys.
    pub(super) fn count(&self, feature: &Feature) -> u64 {
        features::usage_keys(feature).iter().filter_map(|usage| self.counts.get(usage)).sum()
    }
}
