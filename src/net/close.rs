//! Closes a connection so that the peer gets the last replies.
//!
//! A socket that is closed while the peer still sends answers with a reset, and the peer may then give up, or lose what it has
//! not read: RFC 9112 §9.6. So what comes after the end is read, within limits.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::time::timeout;

use super::Stream;

/// How long to wait for the peer to accept the last bytes.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the peer may take to close its end.
pub(crate) const LINGER_TIMEOUT: Duration = Duration::from_secs(1);
/// Input that is read after the end.
const MAX_DISCARDED_BYTES: u64 = 4 * 1024 * 1024;

impl Stream {
    /// Ends the output, waiting up to 60 s until the peer has accepted it, then reads and discards what the peer still
    /// sends, up to 4 MiB and for `linger` at most. Nothing is read on the in-process network, or if the output could
    /// not be ended. Failures are ignored.
    pub(crate) async fn close(&mut self, linger: Duration) {
        let shutdown = poll_fn(|cx| Pin::new(&mut *self).poll_shutdown(cx));
        // Fails if the peer has closed the connection already, which does not matter.
        let is_shut = timeout(SHUTDOWN_TIMEOUT, shutdown).await.is_ok_and(|outcome| outcome.is_ok());
        if is_shut && self.is_socket() {
            let mut rest = self.take(MAX_DISCARDED_BYTES);
            let _ = timeout(linger, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
        }
    }
}
