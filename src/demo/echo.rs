//! The echo: a UDP server that replies to a name with a greeting. Datagrams may be lost, so the client retries.
//!
//! The sender of a datagram can be forged. So nothing is answered that may itself be an answer: two servers would greet
//! each other for ever.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::{greeting, is_greeting};
use crate::net::{Datagrams, Error, Stop};

/// Delay after a socket error.
const RETRY_DELAY: Duration = Duration::from_millis(100);
/// Ports below are those of well-known servers (RFC 6335 §6), such as echo and chargen, which answer what they get.
const FIRST_CLIENT_PORT: u16 = 1024;
/// Replies to one address within a [`WINDOW`]; further datagrams of it get none.
const MAX_REPLIES: u32 = 200;
const WINDOW: Duration = Duration::from_secs(1);
/// Addresses that are counted at a time; datagrams of others get no reply.
const MAX_SOURCES: usize = 4096;

/// Replies to the datagrams of clients until `stop`, up to a limit for each address; calls `report` with the sender of
/// each that gets a reply. After an error of the socket, logs a warning, waits and goes on.
pub async fn serve(socket: Datagrams, stop: Stop, report: impl Fn(SocketAddr)) {
    let mut limiter = ReplyLimiter::default();
    while let Some(received) = stop.run_until_cancelled(socket.recv_from()).await {
        let outcome = match received {
            Ok((name, from)) if !is_client(&name, from, socket.address()) || !limiter.admits(from.ip()) => continue,
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

/// Whether a datagram is that of a client, and no answer of a server: its port is no well-known one, it is not from
/// `own`, the address of this server, and its text is no greeting, by which another echo at any port is known.
fn is_client(name: &[u8], from: SocketAddr, own: SocketAddr) -> bool {
    FIRST_CLIENT_PORT <= from.port() && from != own && !is_greeting(name)
}

/// Counts the replies to each address.
#[derive(Default)]
struct ReplyLimiter {
    began: Option<Instant>,
    replies: BTreeMap<IpAddr, u32>,
}

impl ReplyLimiter {
    /// Counts one more reply to this address, and returns whether it may be sent: up to [`MAX_REPLIES`] in a
    /// [`WINDOW`], after which all counts start again. A new address gets none while [`MAX_SOURCES`] are counted.
    fn admits(&mut self, ip: IpAddr) -> bool {
        let now = Instant::now();
        if self.began.is_none_or(|began| WINDOW <= now - began) {
            self.began = Some(now);
            self.replies.clear();
        }
        if MAX_SOURCES <= self.replies.len() && !self.replies.contains_key(&ip) {
            return false;
        }
        let replies = self.replies.entry(ip).or_default();
        *replies += 1;
        *replies <= MAX_REPLIES
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

/// Sends a name, again after each timeout, and returns the reply; `None` if no attempt got it. Ignores all other
/// datagrams, such as late replies to other names.
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

/// Waits for the expected reply of the server, and ignores any other datagram.
async fn reply(socket: &Datagrams, server: SocketAddr, expected: &[u8]) -> Result<(), Error> {
    loop {
        let (bytes, from) = socket.recv_from().await?;
        if from == server && bytes == expected {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_client_of_servers_and_greetings_is_false() {
        let own: SocketAddr = "127.0.0.1:9999".parse().unwrap();
        let from = |port: u16| SocketAddr::new(own.ip(), port);
        assert!(is_client(b"Michael", from(40_000), own) && is_client(b"", from(1024), own));
        assert!(is_client(b"Hello, World", from(40_000), own), "a name that is no greeting");
        for port in [0, 7, 19, 53, 123, 1023, 9999] {
            assert!(!is_client(b"Michael", from(port), own), "{port}");
        }
        assert!(!is_client(&greeting(b"Michael"), from(9998), own), "another echo");
        assert!(!is_client(&greeting(&[b'x'; 3000]), from(9998), own), "another echo with a long name");
    }

    #[tokio::test(start_paused = true)]
    async fn reply_limiter_beyond_the_limit_refuses_that_address_for_a_while() {
        let (mut limiter, ip) = (ReplyLimiter::default(), |last: u16| IpAddr::from([0, 0, 0, 0, 0, 0, 0, last]));
        assert!((0..MAX_REPLIES).all(|_| limiter.admits(ip(1))));
        assert!(!limiter.admits(ip(1)) && limiter.admits(ip(2)));
        assert!((3..MAX_SOURCES as u16 + 1).all(|last| limiter.admits(ip(last))));
        assert!(!limiter.admits(ip(9000)) && limiter.replies.len() <= MAX_SOURCES);
        sleep(WINDOW).await;
        assert!(limiter.admits(ip(1)) && limiter.admits(ip(9000)));
    }
}
