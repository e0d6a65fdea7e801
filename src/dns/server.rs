//! The name server: answers queries over UDP and TCP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use super::stream::TcpServerSession;
use super::{Transport, Zones};
use crate::net::{Conn, Datagrams, Error, Service, Stop, Stream};

/// Delay after an error of the socket.
const ERROR_DELAY: Duration = Duration::from_millis(100);
/// Limit of datagrams whose answers are awaited; further ones are not answered.
const MAX_PENDING_ANSWERS: usize = 1000;

/// Where a name server has its answers from: [`Zones`], or [zones with faults](super::FaultyZones).
pub trait Answers: Clone + Send + Sync + 'static {
    /// Decides what to do with a query, which is given in wire format, without the length prefix of TCP.
    fn answer(&self, query: Vec<u8>, transport: Transport) -> impl Future<Output = Answer> + Send;
}

/// What a name server does with a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Sends this message.
    Message(Vec<u8>),
    /// Nothing. A TCP connection goes on with the next query.
    Silence,
    /// Nothing, since it is no query. A TCP connection is closed.
    Invalid,
}

impl Answers for Arc<Zones> {
    /// Answers from the zones; what is no query is invalid.
    async fn answer(&self, query: Vec<u8>, transport: Transport) -> Answer {
        Zones::answer(self, &query, transport).map_or(Answer::Invalid, Answer::Message)
    }
}

/// The name server of the world: its TCP side is a [`Service`] for [`crate::net::serve`], its UDP side is
/// [`Server::serve_udp`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Server<A>(A);

impl<A: Answers> Server<A> {
    /// A server with these answers.
    pub fn new(answers: A) -> Self {
        Self(answers)
    }

    /// Answers datagrams until `stop`. Answers that are not there at once are sent by tasks of their own. Errors of the
    /// socket are logged, and delay the next datagram.
    pub async fn serve_udp(self, socket: Datagrams, stop: Stop) {
        let (socket, pending) = (Arc::new(socket), TaskTracker::new());
        while let Some(received) = stop.run_until_cancelled(socket.recv_from()).await {
            if let Err(error) = self.reply(&socket, received, &pending, &stop).await {
                tracing::warn!(%error, "cannot receive or answer a datagram");
                sleep(ERROR_DELAY).await;
            }
        }
    }

    /// Answers a datagram: now, or by a task in `pending` if the answer is not there at once and fewer than
    /// `MAX_PENDING_ANSWERS` are awaited; else, and where the answer is silence or invalid, it gets none. The error is
    /// that of receiving, or of sending now.
    async fn reply(
        &self,
        socket: &Arc<Datagrams>,
        received: Result<(Vec<u8>, SocketAddr), Error>,
        pending: &TaskTracker,
        stop: &Stop,
    ) -> Result<(), Error> {
        let (query, from) = received?;
        let answers = self.0.clone();
        let mut answer = Box::pin(async move { answers.answer(query, Transport::Udp).await });
        match answer.as_mut().now_or_never() {
            Some(Answer::Message(answer)) => socket.send_to(&answer, from).await?,
            None if pending.len() < MAX_PENDING_ANSWERS => {
                let (socket, stop) = (socket.clone(), stop.clone());
                pending.spawn(async move {
                    if let Some(Answer::Message(answer)) = stop.run_until_cancelled(answer).await {
                        let _ = socket.send_to(&answer, from).await;
                    }
                });
            }
            Some(Answer::Silence | Answer::Invalid) | None => {}
        }
        Ok(())
    }
}

impl<A: Answers> Service for Server<A> {
    /// Answers the queries of a TCP connection one after the other, until the peer closes it, is idle for too long, or
    /// sends what is no query, or until `stop`.
    async fn serve_connection(self, stream: Stream, stop: Stop) -> Result<(), Error> {
        let mut conn = Conn::new(stream, TcpServerSession::default(), stop);
        while let Some(query) = conn.event().await? {
            match self.0.answer(query, Transport::Tcp).await {
                Answer::Message(answer) => conn.machine.answer(Some(answer)),
                Answer::Silence => {}
                Answer::Invalid => conn.machine.answer(None),
            }
        }
        Ok(())
    }
}
