//! The network demos: greeter, echo and fetch. The smallest users of `net`.
//!
//! - [`greeter`]: a TCP server for many concurrent clients.
//! - [`echo`]: UDP requests and replies, with retries.
//! - [`fetch`]: one HTTP request; [`response`] and [`header`] parse the response.
//!
//! They are compatible with the programs of the TCP and UDP chapters of a widely read Python tutorial.

pub mod echo;
pub mod fetch;
pub mod greeter;
pub mod header;
pub mod response;
#[cfg(test)]
mod tests;

/// The largest name in bytes; the tutorial's programs read as much at once.
const MAX_NAME_BYTES: usize = 1024;

/// The reply to a name, `Hello, NAME!`; the name is cut to [`MAX_NAME_BYTES`].
fn greeting(name: &[u8]) -> Vec<u8> {
    [b"Hello, ".as_slice(), &name[..name.len().min(MAX_NAME_BYTES)], b"!"].concat()
}

/// Whether this may be the reply to a name: it begins with `Hello, ` and ends with `!`.
fn is_greeting(bytes: &[u8]) -> bool {
    bytes.starts_with(b"Hello, ") && bytes.ends_with(b"!")
}
