//! What is wrong with a server's TLS: it has none, or shows a certificate that is not its own good one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Identity;

/// What a server shows instead of its own certificate.
#[derive(Clone)]
pub enum Flaw {
    /// Nothing: STARTTLS is not offered, and a handshake fails.
    Absent,
    /// This one.
    Shows(Identity),
}

/// The flaws of one server's TLS; of several, the latest holds. Cheap to clone.
#[derive(Clone, Default)]
pub struct Flaws(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    drawn: u64,
    flaws: BTreeMap<u64, Flaw>,
}

impl Flaws {
    /// From now on, for new handshakes; the answer lifts it.
    pub fn inflict(&self, flaw: Flaw) -> u64 {
        let mut table = self.table();
        table.drawn += 1;
        let id = table.drawn;
        table.flaws.insert(id, flaw);
        id
    }

    /// The flaw is gone.
    pub fn lift(&self, id: u64) {
        self.table().flaws.remove(&id);
    }

    pub(super) fn latest(&self) -> Option<Flaw> {
        self.table().flaws.last_key_value().map(|(_, flaw)| flaw.clone())
    }

    /// A panic elsewhere does not make the table wrong: each change to it is whole.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
