//! Serves the world's zones over UDP and TCP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use super::moods::{self, Mood};
use super::stream::Answering;
use super::{Moods, Transport, Zones};
use crate::net::{Conn, Datagrams, Error, Service, Stop, Stream};

/// The wait after the socket failed.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers that are late at once; more come without delay.
const LATE_MAX: usize = 1000;

/// The name server of the world: its TCP side is a [`Service`] for [`crate::net::serve`], its UDP side is
/// [`Server::serve_udp`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Server {
    zones: Arc<Zones>,
    moods: Moods,
}

impl Server {
    /// Serves these zones.
    pub fn new(zones: Zones) -> Self {
        Self { zones: Arc::new(zones), moods: Moods::default() }
    }

    /// The same server, with moods.
    pub fn with_moods(self, moods: Moods) -> Self {
        Self { moods, ..self }
    }

    /// Answers datagrams until `stop`, one after the other: an answer comes from memory, without waiting; those that
    /// a mood delays are answered later.
    pub async fn serve_udp(self, socket: Datagrams, stop: Stop) {
        let (socket, late) = (Arc::new(socket), TaskTracker::new());
        while let Some(received) = stop.run_until_cancelled(socket.recv_from()).await {
            let mood = received.as_ref().ok().and_then(|(query, _)| self.moods.about(query));
            if let Some(Mood::Slow(by)) = mood
                && late.len() < LATE_MAX
            {
                let (server, socket, stop) = (self.clone(), socket.clone(), stop.clone());
                late.spawn(async move {
                    if stop.run_until_cancelled(sleep(by)).await.is_some() {
                        let _ = server.reply(&socket, received, None).await;
                    }
                });
            } else if let Err(error) = self.reply(&socket, received, mood).await {
                tracing::warn!(%error, "a datagram could not be read or answered");
                sleep(PAUSE).await;
            }
        }
    }

    async fn reply(
        &self,
        socket: &Datagrams,
        received: Result<(Vec<u8>, SocketAddr), Error>,
        mood: Option<Mood>,
    ) -> Result<(), Error> {
        let (query, from) = received?;
        match self.answer(&query, mood.as_ref(), Transport::Udp) {
            Some(answer) => socket.send_to(&answer, from).await,
            None => Ok(()),
        }
    }

    /// What is said in this mood; `None` for silence, and for what is no query.
    fn answer(&self, query: &[u8], mood: Option<&Mood>, transport: Transport) -> Option<Vec<u8>> {
        match mood {
            Some(Mood::Silent) => None,
            Some(Mood::NoSuchName) => moods::answer(query, ResponseCode::NXDomain),
            Some(Mood::ServerFailure) => moods::answer(query, ResponseCode::ServFail),
            Some(Mood::Wrong(address)) => moods::wrong(query, *address),
            Some(Mood::Moved(host)) => moods::moved(query, host).or_else(|| self.zones.answer(query, transport)),
            Some(Mood::Slow(_) | Mood::Stale) | None => self.zones.answer(query, transport),
        }
    }
}

impl Service for Server {
    async fn converse(self, stream: Stream, stop: Stop) -> Result<(), Error> {
        let mut conn = Conn::new(stream, Answering::default(), stop);
        while let Some(query) = conn.event().await? {
            let mood = self.moods.about(&query);
            if let Some(Mood::Slow(by)) = mood {
                sleep(by).await;
            }
            if mood != Some(Mood::Silent) {
                conn.machine.answer(self.answer(&query, mood.as_ref(), Transport::Tcp));
            }
        }
        Ok(())
    }
}
