//! The accept loop of all servers: one task per connection, limits, implicit TLS, graceful shutdown.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;

use super::close::LINGER_TIMEOUT;
use super::{Error, Listener, Stop, Stream, TlsAcceptor};
use crate::sync::lock;

/// Time limit for a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(60);
/// Time limit for sending the reply to a rejected connection.
const REJECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Delay after `accept` failed.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Handles the connections of a server.
pub trait Service: Clone + Send + 'static {
    /// Handles one connection until it is closed. When `stop` fires, it should end soon.
    fn serve_connection(self, stream: Stream, stop: Stop) -> impl Future<Output = Result<(), Error>> + Send;

    /// Called when a client's TLS handshake at the start of the connection failed after this time.
    fn handshake_failed(&self, _client: IpAddr, _took: Duration, _error: &Error) {}

    /// The reply to a peer that has too many connections already, with its line end; empty for none. It is sent in
    /// plain text, also where TLS is implicit.
    fn too_many_reply(&self) -> &'static str {
        ""
    }
}

/// The limits of one listener.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections in total; further ones wait in the backlog.
    pub connections: usize,
    /// Open connections from one address; further ones are rejected.
    pub connections_per_peer: usize,
    /// How long connections may stay open after a stop.
    pub grace: Duration,
}

impl Default for Limits {
    /// Up to 20,000 connections, all of which may be from one peer, and a grace period of 5 s.
    fn default() -> Self {
        Self { connections: 20_000, connections_per_peer: 20_000, grace: Duration::from_secs(5) }
    }
}

/// A listener, its TLS and its limits.
pub struct ServerConfig {
    /// The listener.
    pub listener: Listener,
    /// Implicit TLS, as on port 993; `None` for a plain start.
    pub tls: Option<TlsAcceptor>,
    /// The limits.
    pub limits: Limits,
}

/// Serves connections until `stop`, each in a task, then waits for the open ones up to the grace period, and drops
/// those that are left. Returns once none is left.
pub async fn serve(config: ServerConfig, service: impl Service, stop: Stop) {
    serve_until(config, service, stop, Stop::new()).await;
}

/// Like [`serve`]; when `end` fires, connections are dropped at once, as if the process were killed, but new ones are
/// accepted until `stop`. Fires `end` itself at the end of the grace period.
pub async fn serve_until(config: ServerConfig, service: impl Service, stop: Stop, end: Stop) {
    let ServerConfig { mut listener, tls, limits } = config;
    let (open, permits) = (TaskTracker::new(), Arc::new(Semaphore::new(limits.connections)));
    let limiter = ConnectionLimiter::default();
    while let Some(Ok(permit)) = stop.run_until_cancelled(permits.clone().acquire_owned()).await {
        let Some(accepted) = stop.run_until_cancelled(accept(&mut listener)).await else { break };
        let slot = limiter.admit(accepted.peer().ip(), limits.connections_per_peer);
        let (service, tls, stop, end) = (service.clone(), tls.clone(), stop.clone(), end.clone());
        open.spawn(async move {
            let (peer, _permit) = (accepted.peer(), permit);
            let Some(_slot) = slot else {
                // A client of implicit TLS cannot read a reply before the handshake, which would cost what the limit saves.
                return if tls.is_none() {
                    reject(accepted, service.too_many_reply()).await
                };
            };
            // Boxed, since a future is moved a few times while its task is spawned.
            match end.run_until_cancelled(Box::pin(run_connection(service, accepted, tls, stop))).await {
                Some(Err(error)) => tracing::debug!(%peer, %error, "connection closed with error"),
                None => tracing::debug!(%peer, "connection dropped at the end of the grace period"),
                Some(Ok(())) => {}
            }
        });
    }
    drop(listener);
    open.close();
    if timeout(limits.grace, open.wait()).await.is_err() {
        end.cancel();
        open.wait().await;
    }
}

/// Waits for the next connection. A failure is logged, and retried after [`ACCEPT_RETRY_DELAY`].
async fn accept(listener: &mut Listener) -> Stream {
    loop {
        match listener.accept().await {
            Ok(stream) => return stream,
            Err(error) => {
                tracing::warn!(%error, at = %listener.address(), "accept failed; retrying");
                sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

/// Does the handshake of implicit TLS, if there is one, then lets the service serve the connection. A handshake that
/// fails, or takes longer than [`HANDSHAKE_TIMEOUT`], is reported to the service, which does not serve then. Returns
/// the error of the handshake or of the service.
async fn run_connection(
    service: impl Service,
    mut stream: Stream,
    tls: Option<TlsAcceptor>,
    stop: Stop,
) -> Result<(), Error> {
    if let Some(acceptor) = tls {
        let began = Instant::now();
        let shake = timeout(HANDSHAKE_TIMEOUT, stream.accept_tls(&acceptor)).await;
        let shaken = shake.unwrap_or(Err(Error::Silent(HANDSHAKE_TIMEOUT)));
        shaken.inspect_err(|error| service.handshake_failed(stream.peer().ip(), began.elapsed(), error))?;
    }
    service.serve_connection(stream, stop).await
}

/// Sends a reply in plain text and closes the connection, within [`REJECT_TIMEOUT`]. Failures are ignored.
async fn reject(mut stream: Stream, reply: &str) {
    // Best effort: the connection is closed in any case.
    let _ = timeout(REJECT_TIMEOUT, async {
        stream.write_all(reply.as_bytes()).await?;
        stream.close(LINGER_TIMEOUT).await;
        Ok::<_, std::io::Error>(())
    })
    .await;
}

/// Counts the open connections from each address.
#[derive(Clone, Default)]
struct ConnectionLimiter(Arc<Mutex<BTreeMap<IpAddr, usize>>>);

/// One counted connection, until it is dropped.
struct ConnectionSlot {
    limiter: ConnectionLimiter,
    ip: IpAddr,
}

impl ConnectionLimiter {
    /// A slot for one more connection; `None` if the address has reached the limit.
    fn admit(&self, ip: IpAddr, limit: usize) -> Option<ConnectionSlot> {
        let mut counts = lock(&self.0);
        let count = counts.entry(ip).or_default();
        if *count == limit {
            return None;
        }
        *count += 1;
        Some(ConnectionSlot { limiter: self.clone(), ip })
    }
}

impl Drop for ConnectionSlot {
    /// Makes the slot free for another connection of the address.
    fn drop(&mut self) {
        let mut counts = lock(&self.limiter.0);
        if let Some(count) = counts.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.ip);
            }
        }
    }
}
