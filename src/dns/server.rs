//! Serves the world's zones over UDP and TCP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::stream::Answering;
use super::{Transport, Zones};
use crate::net::{Conn, Datagrams, Error, Service, Stop, Stream};

/// The wait after the socket failed.
const PAUSE: Duration = Duration::from_millis(100);

/// The name server of the world: its TCP side is a [`Service`] for [`crate::net::serve`], its UDP side is
/// [`Server::serve_udp`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Server(Arc<Zones>);

impl Server {
    /// Serves these zones.
    pub fn new(zones: Zones) -> Self {
        Self(Arc::new(zones))
    }

    /// Answers datagrams until `stop`, one after the other: an answer comes from memory, without waiting.
    pub async fn serve_udp(self, socket: Datagrams, stop: Stop) {
        while let Some(received) = stop.run_until_cancelled(socket.recv_from()).await {
            if let Err(error) = self.reply(&socket, received).await {
                tracing::warn!(%error, "a datagram could not be read or answered");
                sleep(PAUSE).await;
            }
        }
    }

    async fn reply(&self, socket: &Datagrams, received: Result<(Vec<u8>, SocketAddr), Error>) -> Result<(), Error> {
        let (query, from) = received?;
        match self.0.answer(&query, Transport::Udp) {
            Some(answer) => socket.send_to(&answer, from).await,
            None => Ok(()),
        }
    }
}

impl Service for Server {
    async fn converse(self, stream: Stream, stop: Stop) -> Result<(), Error> {
        let mut conn = Conn::new(stream, Answering::new(self.0), stop);
        match conn.event().await? {
            Some(never) => match never {},
            None => Ok(()),
        }
    }
}
