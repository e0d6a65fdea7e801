//! The name server: answers from the world's zones over UDP and TCP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use super::faults::{self, DnsFault};
use super::stream::TcpServerSession;
use super::{DnsFaults, Transport, Zones};
use crate::net::{Conn, Datagrams, Error, Service, Stop, Stream};

/// Delay after an error of the socket.
const ERROR_DELAY: Duration = Duration::from_millis(100);

/// Limit of answers that are being delayed by a fault; further ones are not delayed.
const MAX_DELAYED_ANSWERS: usize = 1000;

/// The name server of the world: its TCP side is a [`Service`] for [`crate::net::serve`], its UDP side is
/// [`Server::serve_udp`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Server {
    zones: Arc<Zones>,
    faults: DnsFaults,
}

impl Server {
    /// A server for these zones.
    pub fn new(zones: Zones) -> Self {
        Self { zones: Arc::new(zones), faults: DnsFaults::default() }
    }

    /// The same server, with injected faults.
    pub fn with_faults(self, faults: DnsFaults) -> Self {
        Self { faults, ..self }
    }

    /// Answers datagrams until `stop`, one after the other, since answers come from memory. Answers that a fault delays
    /// are sent by tasks of their own.
    pub async fn serve_udp(self, socket: Datagrams, stop: Stop) {
        let (socket, delayed) = (Arc::new(socket), TaskTracker::new());
        while let Some(received) = stop.run_until_cancelled(socket.recv_from()).await {
            let fault = received.as_ref().ok().and_then(|(query, _)| self.faults.for_query(query));
            if let Some(DnsFault::Slow(by)) = fault
                && delayed.len() < MAX_DELAYED_ANSWERS
            {
                let (server, socket, stop) = (self.clone(), socket.clone(), stop.clone());
                delayed.spawn(async move {
                    if stop.run_until_cancelled(sleep(by)).await.is_some() {
                        let _ = server.reply(&socket, received, None).await;
                    }
                });
            } else if let Err(error) = self.reply(&socket, received, fault).await {
                tracing::warn!(%error, "cannot receive or answer a datagram");
                sleep(ERROR_DELAY).await;
            }
        }
    }

    async fn reply(
        &self,
        socket: &Datagrams,
        received: Result<(Vec<u8>, SocketAddr), Error>,
        fault: Option<DnsFault>,
    ) -> Result<(), Error> {
        let (query, from) = received?;
        match self.answer(&query, fault.as_ref(), Transport::Udp) {
            Some(answer) => socket.send_to(&answer, from).await,
            None => Ok(()),
        }
    }

    /// The answer under a fault; `None` for no answer.
    fn answer(&self, query: &[u8], fault: Option<&DnsFault>, transport: Transport) -> Option<Vec<u8>> {
        match fault {
            Some(DnsFault::Silent) => None,
            Some(DnsFault::NoSuchName) => faults::error_response(query, ResponseCode::NXDomain),
            Some(DnsFault::ServerFailure) => faults::error_response(query, ResponseCode::ServFail),
            Some(DnsFault::Wrong(address)) => faults::forged_address(query, *address),
            Some(DnsFault::Moved(host)) => {
                faults::forged_mx(query, host).or_else(|| self.zones.answer(query, transport))
            }
            Some(DnsFault::Slow(_) | DnsFault::Stale) | None => self.zones.answer(query, transport),
        }
    }
}

impl Service for Server {
    async fn serve_connection(self, stream: Stream, stop: Stop) -> Result<(), Error> {
        let mut conn = Conn::new(stream, TcpServerSession::default(), stop);
        while let Some(query) = conn.event().await? {
            let fault = self.faults.for_query(&query);
            if let Some(DnsFault::Slow(by)) = fault {
                sleep(by).await;
            }
            if fault != Some(DnsFault::Silent) {
                conn.machine.answer(self.answer(&query, fault.as_ref(), Transport::Tcp));
            }
        }
        Ok(())
    }
}
