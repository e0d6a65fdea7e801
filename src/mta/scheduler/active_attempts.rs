//! The attempts in flight, and the host that each is with, for the operator.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};

use jiff::Timestamp;

use crate::mta::queue::ActiveAttempt;
use crate::sync::lock;

/// An attempt in flight at one destination.
pub(in crate::mta) struct AttemptProgress(Mutex<ActiveAttempt>);

impl AttemptProgress {
    /// Sets the host that the attempt is with from now on, as the operator sees it.
    pub(in crate::mta) fn set_host(&self, host: &str) {
        lock(&self.0).to = Some(host.to_owned());
    }
}

/// The attempts in flight, by row.
#[derive(Default)]
pub(super) struct ActiveAttempts(Mutex<BTreeMap<i64, Vec<Weak<AttemptProgress>>>>);

impl ActiveAttempts {
    /// Adds an attempt of a row that begins at `now`, with no host yet; it is listed until the result is dropped or the
    /// attempts of the row end.
    pub(super) fn begin(&self, row: i64, now: Timestamp) -> Arc<AttemptProgress> {
        let progress = Arc::new(AttemptProgress(Mutex::new(ActiveAttempt { to: None, since: now })));
        lock(&self.0).entry(row).or_default().push(Arc::downgrade(&progress));
        progress
    }

    /// Removes all attempts of a row.
    pub(super) fn end(&self, row: i64) {
        lock(&self.0).remove(&row);
    }

    /// Removes the attempts of all rows.
    pub(super) fn clear(&self) {
        lock(&self.0).clear();
    }

    /// The attempts of a row that have not ended, each with the host that it is with.
    pub(super) fn of(&self, row: i64) -> Vec<ActiveAttempt> {
        let active_attempts = lock(&self.0);
        let open = active_attempts.get(&row).into_iter().flatten().filter_map(Weak::upgrade);
        open.map(|progress| lock(&progress.0).clone()).collect()
    }
}
