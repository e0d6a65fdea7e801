//! The echo: a UDP server that replies to a name with a greeting. Datagrams may be lost, so the client retries.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::greeting;
use crate::net::{Datagrams, Error, Stop};

/// Delay after a socket error.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// Replies to every datagram until `stop`; calls `report` with the sender of each.
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
            tracing::warn!(%error, "cannot receive or send a datagram");
            sleep(RETRY_DELAY).await;
        }
    }
}

/// Timeout and number of attempts of a client.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// How long to wait for the reply to one datagram.
    pub timeout: Duration,
    /// Number of datagrams sent for a name.
    pub attempts: usize,
}

/// Sends a name and returns the reply; `None` if no attempt was answered. Ignores late replies to other names.
///
/// # Errors
/// The socket failed, or the address is unreachable.
pub async fn call(
    socket: &Datagrams,
    server: SocketAddr,
    name: &str,
    retry: RetryPolicy,
) -> Result<Option<String>, Error> {
    let expected = greeting(name.as_bytes());
    for _ in 0..retry.attempts {
        socket.send_to(name.as_bytes(), server).await?;
        if let Ok(reply) = timeout(retry.timeout, reply(socket, server, &expected)).await {
            reply?;
            return Ok(Some(String::from_utf8_lossy(&expected).into_owned()));
        }
    }
    Ok(None)
}

async fn reply(socket: &Datagrams, server: SocketAddr, expected: &[u8]) -> Result<(), Error> {
    loop {
        let (bytes, from) = socket.recv_from().await?;
        if from == server && bytes == expected {
            return Ok(());
        }
    }
}
