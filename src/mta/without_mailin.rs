//! The place of the engine "mailin" in a build without it.

use std::io;
use std::net::{SocketAddr, TcpListener};

use super::Mta;
use crate::net::Stop;

/// A server of this kind, of which there is none in this build.
#[derive(Clone)]
pub enum Mailin {}

impl Mailin {
    /// Returns an error of the kind `Unsupported`, whose text says how to build with this engine; serves nothing.
    ///
    /// # Errors
    /// Always.
    pub fn start(_: Mta, _: TcpListener, _: SocketAddr, _: Stop) -> io::Result<Self> {
        let text = "this build has no engine \"mailin\"; build one with: cargo build --release --features mailin";
        Err(io::Error::new(io::ErrorKind::Unsupported, text))
    }

    /// Is never called, since no value of this type exists.
    pub fn reopen(&self, _: Stop) {
        match *self {}
    }

    /// Is never called, since no value of this type exists.
    pub fn address(&self) -> SocketAddr {
        match *self {}
    }
}
