//! The plain network demos: greeter, echo, fetch. The smallest users of `net`.
//!
//! - [`greeter`]: a conversation over TCP, many at once.
//! - [`echo`]: questions and answers in datagrams, some of which get lost.
//! - [`fetch`]: one HTTP request by hand; [`response`] and [`header`] read what comes back.
//!
//! Their words on the wire are those of the TCP and UDP chapters of the Python tutorial that many learn from, so
//! either side may be the tutorial's own program.

pub mod echo;
pub mod fetch;
pub mod greeter;
pub mod header;
pub mod response;
#[cfg(test)]
mod tests;

/// The largest piece of a stream or datagram that is one name, in octets; the tutorial reads as much at once.
const NAME_MAX: usize = 1024;

/// What the greeter and the echo answer to a name.
fn greeting(name: &[u8]) -> Vec<u8> {
    [b"Hello, ".as_slice(), &name[..name.len().min(NAME_MAX)], b"!"].concat()
}
