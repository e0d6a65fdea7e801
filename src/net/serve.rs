//! The accept loop of every server: a task a connection, limits, TLS from the start, a graceful stop.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

use super::{Error, Identity, Listener, Stop, Stream};

/// How long a TLS handshake may take.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(60);
/// How long a peer that is turned away may take to hear it.
const FAREWELL_PATIENCE: Duration = Duration::from_secs(5);
/// The wait after the operating system could not give a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a server does with a connection.
pub trait Service: Clone + Send + 'static {
    /// Holds the whole conversation. When `stop` fires it shall end soon.
    fn converse(self, stream: Stream, stop: Stop) -> impl Future<Output = Result<(), Error>> + Send;

    /// What a peer hears that holds too many connections already.
    fn farewell(&self) -> &'static str {
        ""
    }
}

/// Bounds of one listener.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open conversations in all; more wait in the backlog.
    pub connections: usize,
    /// Open conversations with one address; more are turned away.
    pub connections_per_peer: usize,
    /// How long conversations may go on after a stop.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 20_000, connections_per_peer: 20_000, grace: Duration::from_secs(5) }
    }
}

/// A listener and the terms on which it accepts.
pub struct Door {
    /// Where it listens.
    pub listener: Listener,
    /// TLS from the start with this identity, as on port 993; `None` for plain.
    pub tls: Option<Identity>,
    /// Its bounds.
    pub limits: Limits,
}

/// Serves until `stop`, then lets open conversations end for as long as the grace period, and drops what is left.
pub async fn serve(door: Door, service: impl Service, stop: Stop) {
    serve_until(door, service, stop, Stop::new()).await;
}

/// The same; when `end` fires, conversations end at once and without a word, as they do when a process is killed.
pub async fn serve_until(door: Door, service: impl Service, stop: Stop, end: Stop) {
    let Door { mut listener, tls, limits } = door;
    let (open, seats) = (TaskTracker::new(), Arc::new(Semaphore::new(limits.connections)));
    let guests = Guests::default();
    while let Some(Ok(seat)) = stop.run_until_cancelled(seats.clone().acquire_owned()).await {
        let Some(accepted) = stop.run_until_cancelled(accept(&mut listener)).await else { break };
        let guest = guests.admit(accepted.peer().ip(), limits.connections_per_peer);
        let (service, tls, stop, end) = (service.clone(), tls.clone(), stop.clone(), end.clone());
        open.spawn(async move {
            let (peer, _seat) = (accepted.peer(), seat);
            let Some(_guest) = guest else { return turn_away(accepted, service.farewell()).await };
            // Boxed where it is made: a task that starts is copied a few times.
            match end.run_until_cancelled(Box::pin(converse(service, accepted, tls, stop))).await {
                Some(Err(error)) => tracing::debug!(%peer, %error, "conversation ended early"),
                None => tracing::debug!(%peer, "conversation cut off at the end of the grace period"),
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

async fn accept(listener: &mut Listener) -> Stream {
    loop {
        match listener.accept().await {
            Ok(stream) => return stream,
            Err(error) => {
                tracing::warn!(%error, at = %listener.address(), "cannot accept now");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse(service: impl Service, mut stream: Stream, tls: Option<Identity>, stop: Stop) -> Result<(), Error> {
    if let Some(identity) = tls {
        let shake = stream.accept_tls(&identity);
        timeout(HANDSHAKE_PATIENCE, shake).await.map_err(|_| Error::Silent(HANDSHAKE_PATIENCE))??;
    }
    service.converse(stream, stop).await
}

async fn turn_away(mut stream: Stream, farewell: &str) {
    // Best effort: a peer that does not listen is gone all the same.
    let _ = timeout(FAREWELL_PATIENCE, async {
        stream.write_all(farewell.as_bytes()).await?;
        stream.shutdown().await
    })
    .await;
}

/// Counts the open conversations of each address.
#[derive(Clone, Default)]
struct Guests(Arc<Mutex<BTreeMap<IpAddr, usize>>>);

struct Guest {
    guests: Guests,
    ip: IpAddr,
}

impl Guests {
    fn admit(&self, ip: IpAddr, limit: usize) -> Option<Guest> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(ip).or_default();
        if *count == limit {
            return None;
        }
        *count += 1;
        Some(Guest { guests: self.clone(), ip })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut counts = self.guests.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.ip);
            }
        }
    }
}
