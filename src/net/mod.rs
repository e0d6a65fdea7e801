//! The TCP and UDP core under everything that talks, servers and clients alike.

mod machine;

pub use machine::{Machine, Next};
