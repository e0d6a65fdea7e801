//! Adapter from [`crate::net::Listener`] to the listener trait of axum.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::net::{Listener, Stream};

/// Delay after a failed accept.
const RETRY_DELAY: Duration = Duration::from_millis(100);

pub(super) struct AxumListener(pub(super) Listener);

impl axum::serve::Listener for AxumListener {
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
                    tracing::warn!(%error, "accept failed; retrying");
                    tokio::time::sleep(RETRY_DELAY).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0.address())
    }
}
