//! Injected TLS faults: a server without TLS, or with a wrong certificate.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use super::Identity;
use crate::sync::lock;

/// What a server presents instead of its own certificate.
#[derive(Clone)]
pub enum TlsFault {
    /// Nothing: STARTTLS is not offered, and handshakes fail.
    Absent,
    /// Another certificate.
    Presents(Identity),
}

/// The TLS faults of one server, of which the latest applies. Cheap to clone.
#[derive(Clone, Default)]
pub struct TlsFaults(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    last_id: u64,
    faults: BTreeMap<u64, TlsFault>,
}

impl TlsFaults {
    /// Injects a fault into new handshakes; the returned id clears it.
    pub fn inject(&self, fault: TlsFault) -> u64 {
        let mut table = self.table();
        table.last_id += 1;
        let id = table.last_id;
        table.faults.insert(id, fault);
        id
    }

    /// Clears a fault.
    pub fn clear(&self, id: u64) {
        self.table().faults.remove(&id);
    }

    /// The fault that applies.
    pub(super) fn latest(&self) -> Option<TlsFault> {
        self.table().faults.last_key_value().map(|(_, fault)| fault.clone())
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.0)
    }
}
