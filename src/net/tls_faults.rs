//! Injected TLS faults: a server without TLS, or with a wrong certificate.

use super::Identity;
use crate::sync::SharedTable;

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
pub struct TlsFaults(SharedTable<TlsFault>);

impl TlsFaults {
    /// Injects a fault into new handshakes; the returned id clears it.
    pub fn inject(&self, fault: TlsFault) -> u64 {
        self.0.insert(fault)
    }

    /// Clears a fault. Does nothing if it is cleared already.
    pub fn clear(&self, id: u64) {
        self.0.remove(id);
    }

    /// The fault that applies: the one injected last of those that are not cleared.
    pub(super) fn latest(&self) -> Option<TlsFault> {
        self.0.with(|faults| faults.last_key_value().map(|(_, fault)| fault.clone()))
    }
}
