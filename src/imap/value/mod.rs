//! Small values of the protocol: flags.

mod flag;

pub use flag::{Flags, StoreMode, SystemFlags};
