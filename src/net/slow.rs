//! Slow links: when what is sent arrives, on the in-process wire and on real sockets alike.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// Octets of a real socket that are held back; then its sender has to wait.
const HELD_MAX: usize = 256 * 1024;
/// How much is read at once.
const READ_BYTES: usize = 16 * 1024;

/// How much longer some octets take.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lag {
    /// On the way.
    pub(super) latency: Duration,
    /// Until the last of them is on the way: what follows waits as long.
    pub(super) sending: Duration,
}

impl Lag {
    /// For what nothing follows.
    pub(super) fn whole(self) -> Duration {
        self.latency + self.sending
    }
}

/// One direction of a connection: octets go one after the other, and none overtakes another.
#[derive(Debug, Default)]
pub(super) struct Pacer {
    /// When the last ones were on the way.
    sent: Option<Instant>,
    /// When they arrived.
    arrived: Option<Instant>,
}

impl Pacer {
    /// When something arrives that is sent now; `latency` is that of the link when nothing is wrong.
    pub(super) fn due(&mut self, latency: Duration, lag: Lag) -> Instant {
        let now = Instant::now();
        let sent = self.sent.map_or(now, |sent| sent.max(now)) + lag.sending;
        let due = sent + latency + lag.latency;
        let due = self.arrived.map_or(due, |last| due.max(last));
        (self.sent, self.arrived) = (Some(sent), Some(due));
        due
    }
}

/// What has come in over a real socket, and has not yet arrived as far as the reader knows.
#[derive(Default)]
pub(super) struct Late {
    chunks: VecDeque<(Instant, Bytes)>,
    held: usize,
    /// Nothing more comes, since when, and why.
    ended: Option<(Instant, Result<(), io::ErrorKind>)>,
    pacer: Pacer,
    arrival: Option<Pin<Box<Sleep>>>,
}

impl Late {
    /// Whether the reader has all that came in.
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.ended.is_none()
    }

    pub(super) fn poll_read(
        &mut self,
        socket: &mut TcpStream,
        lag: impl Fn(usize) -> Lag,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.take_in(socket, lag, cx);
        let ended = self.ended;
        let due = match (self.chunks.front(), ended) {
            (Some((due, _)), _) => *due,
            (None, Some((due, _))) => due,
            (None, None) => return Poll::Pending,
        };
        if Instant::now() < due {
            let arrival = self.arrival.get_or_insert_with(|| Box::pin(sleep_until(due)));
            if arrival.deadline() != due {
                arrival.as_mut().reset(due);
            }
            ready!(arrival.as_mut().poll(cx));
        }
        match (self.chunks.front_mut(), ended) {
            (Some((_, chunk)), _) => {
                let len = chunk.len().min(buffer.remaining());
                buffer.put_slice(&chunk[..len]);
                chunk.advance(len);
                self.held -= len;
                if chunk.is_empty() {
                    self.chunks.pop_front();
                }
                Poll::Ready(Ok(()))
            }
            (None, Some((_, outcome))) => Poll::Ready(outcome.map_err(io::Error::from)),
            (None, None) => Poll::Pending,
        }
    }

    /// Reads what is there.
    fn take_in(&mut self, socket: &mut TcpStream, lag: impl Fn(usize) -> Lag, cx: &mut Context<'_>) {
        while self.held < HELD_MAX && self.ended.is_none() {
            let mut space = [0; READ_BYTES];
            let mut space = ReadBuf::new(&mut space);
            let Poll::Ready(outcome) = Pin::new(&mut *socket).poll_read(cx, &mut space) else { return };
            let len = space.filled().len();
            let due = self.pacer.due(Duration::ZERO, lag(len));
            match outcome {
                Ok(()) if len != 0 => {
                    self.chunks.push_back((due, Bytes::copy_from_slice(space.filled())));
                    self.held += len;
                }
                outcome => self.ended = Some((due, outcome.map_err(|error| error.kind()))),
            }
        }
    }
}
