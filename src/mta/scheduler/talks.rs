//! Which hosts the attempts in flight talk to, for the operator.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};

use jiff::Timestamp;

use crate::mta::queue::TalkReport;
use crate::sync::lock;

/// An attempt in flight at one destination.
pub(in crate::mta) struct Talk(Mutex<TalkReport>);

impl Talk {
    /// The attempt goes on with this host.
    pub(in crate::mta) fn is_with(&self, host: &str) {
        lock(&self.0).to = Some(host.to_owned());
    }
}

/// The attempts in flight, by row.
#[derive(Default)]
pub(super) struct Talks(Mutex<BTreeMap<i64, Vec<Weak<Talk>>>>);

impl Talks {
    /// An attempt begins now.
    pub(super) fn begin(&self, row: i64, now: Timestamp) -> Arc<Talk> {
        let talk = Arc::new(Talk(Mutex::new(TalkReport { to: None, since: now })));
        lock(&self.0).entry(row).or_default().push(Arc::downgrade(&talk));
        talk
    }

    /// The attempts of a row have ended.
    pub(super) fn end(&self, row: i64) {
        lock(&self.0).remove(&row);
    }

    /// Forgets all.
    pub(super) fn clear(&self) {
        lock(&self.0).clear();
    }

    /// What the attempts of a row are at.
    pub(super) fn of(&self, row: i64) -> Vec<TalkReport> {
        let talks = lock(&self.0);
        let open = talks.get(&row).into_iter().flatten().filter_map(Weak::upgrade);
        open.map(|talk| lock(&talk.0).clone()).collect()
    }
}
