//! The place of the engine "mailin" in a build without it.

use std::io;
use std::net::{SocketAddr, TcpListener};

use super::Mta;
use crate::net::Stop;

/// A server of this kind, of which there is none in this build.
#[derive(Clone)]
pub enum Mailin {}

impl Mailin {
    /// Says how to get a build with this engine.
    ///
    /// # Errors
    /// Always.
    pub fn start(_: Mta, _: TcpListener, _: SocketAddr, _: Stop) -> io::Result<Self> {
        let text = "this build has no engine \"mailin\"; build one with: cargo build --release --features mailin";
        Err(io::Error::new(io::ErrorKind::Unsupported, text))
    }

    /// Accepts mail again, until `stop`.
    pub fn reopen(&self, _: Stop) {
        match *self {}
    }

    /// The address it listens at.
    pub fn address(&self) -> SocketAddr {
        match *self {}
    }
}
