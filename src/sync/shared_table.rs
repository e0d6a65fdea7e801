//! A table whose entries are removed by an id.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::lock;

/// Values in the order in which they were inserted. Clones share them.
pub(crate) struct SharedTable<T>(Arc<Mutex<Table<T>>>);

struct Table<T> {
    last_id: u64,
    values: BTreeMap<u64, T>,
}

impl<T> SharedTable<T> {
    /// Inserts a value after all others; the returned id, which is not used again, removes it.
    pub(crate) fn insert(&self, value: T) -> u64 {
        let mut table = lock(&self.0);
        table.last_id += 1;
        let id = table.last_id;
        table.values.insert(id, value);
        id
    }

    /// Removes the value with this id; does nothing if it is gone.
    pub(crate) fn remove(&self, id: u64) {
        lock(&self.0).values.remove(&id);
    }

    /// Calls `look` with the values by id, which it may change, and returns its result. The table is locked meanwhile.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&mut BTreeMap<u64, T>) -> R) -> R {
        look(&mut lock(&self.0).values)
    }
}

impl<T> Clone for SharedTable<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for SharedTable<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Table { last_id: 0, values: BTreeMap::new() })))
    }
}
