//! The echo: a datagram with a name in, a greeting out. Datagrams may be lost, so the caller asks again.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::greeting;
use crate::net::{Datagrams, Error, Stop};

/// The wait after the socket failed.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers every datagram until `stop`; `report` learns who sent one.
pub async fn serve(socket: Datagrams, stop: Stop, report: impl Fn(SocketAddr)) {
    while let Some(received) = stop.run_until_cancelled(socket.recv_from()).await {
        let outcome = match received {
            Ok((name, from)) => {
                report(from);
                socket.send_to(&greeting(&name), from).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, "a datagram could not be read or answered");
            sleep(PAUSE).await;
        }
    }
}

/// How long and how often a caller asks.
#[derive(Clone, Copy, Debug)]
pub struct Persistence {
    /// How long one datagram may stay unanswered.
    pub patience: Duration,
    /// So many datagrams are sent for a name.
    pub attempts: usize,
}

/// Sends a name until it is answered; `None` when every attempt was lost. Late answers to other names are passed over.
///
/// # Errors
/// The socket failed, or no datagram can go there.
pub async fn call(
    socket: &Datagrams,
    server: SocketAddr,
    name: &str,
    persistence: Persistence,
) -> Result<Option<String>, Error> {
    let expected = greeting(name.as_bytes());
    for _ in 0..persistence.attempts {
        socket.send_to(name.as_bytes(), server).await?;
        if let Ok(answered) = timeout(persistence.patience, answer(socket, server, &expected)).await {
            answered?;
            return Ok(Some(String::from_utf8_lossy(&expected).into_owned()));
        }
    }
    Ok(None)
}

async fn answer(socket: &Datagrams, server: SocketAddr, expected: &[u8]) -> Result<(), Error> {
    loop {
        let (bytes, from) = socket.recv_from().await?;
        if from == server && bytes == expected {
            return Ok(());
        }
    }
}
