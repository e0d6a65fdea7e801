//! Lets axum accept from the core.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::net::{Listener, Stream};

/// The wait after the operating system could not give a connection.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Adapted(pub(super) Listener);

impl axum::serve::Listener for Adapted {
    type Io = Stream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Stream, SocketAddr) {
        loop {
            match self.0.accept().await {
                Ok(stream) => {
                    let peer = stream.peer();
                    return (stream, peer);
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept now");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0.address())
    }
}
