//! Slow links: computes when bytes arrive, on the in-process network and on real sockets.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::ReadBuf;
use tokio::time::{Instant, Sleep, sleep_until};

use super::stream::Raw;

/// Bytes of a socket that are held back before its sender has to wait.
const MAX_HELD_BYTES: usize = 256 * 1024;
/// Size of one read.
const READ_BYTES: usize = 16 * 1024;

/// The injected delay of some bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LinkDelay {
    /// Added latency.
    pub(super) latency: Duration,
    /// Time to transmit them; the bytes after them wait that long.
    pub(super) sending: Duration,
}

impl LinkDelay {
    /// The whole delay: that of a packet that no other bytes wait for.
    pub(super) fn total(self) -> Duration {
        self.latency + self.sending
    }
}

/// One direction of a connection: bytes are transmitted one after the other and arrive in order.
#[derive(Debug, Default)]
pub(super) struct LinkShaper {
    /// When the last bytes were transmitted.
    sent: Option<Instant>,
    /// When the last bytes arrive.
    arrived: Option<Instant>,
}

impl LinkShaper {
    /// When bytes that are sent now arrive, after all that were sent before; later ones take them into account.
    /// `latency` is that of the link without faults, `delay` what faults add.
    pub(super) fn due(&mut self, latency: Duration, delay: LinkDelay) -> Instant {
        let now = Instant::now();
        let sent = self.sent.map_or(now, |sent| sent.max(now)) + delay.sending;
        let due = sent + latency + delay.latency;
        let due = self.arrived.map_or(due, |last| due.max(last));
        (self.sent, self.arrived) = (Some(sent), Some(due));
        due
    }
}

/// Input of a socket that the reader does not get before its arrival time.
#[derive(Default)]
pub(super) struct DelayedInput {
    chunks: VecDeque<(Instant, Bytes)>,
    held: usize,
    /// The end of the stream: when it arrives, and the error if there was one.
    ended: Option<(Instant, Result<(), io::ErrorKind>)>,
    shaper: LinkShaper,
    arrival: Option<Pin<Box<Sleep>>>,
}

impl DelayedInput {
    /// Whether nothing is held back: neither input nor the end of the stream. The socket may have more.
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.ended.is_none()
    }

    /// Reads ahead from the socket, and fills the buffer from the first chunk that has arrived. `delay` is that of a
    /// number of bytes. The end of the stream, or its error, is delayed, too.
    pub(super) fn poll_read(
        &mut self,
        socket: &mut Raw,
        delay: impl Fn(usize) -> LinkDelay,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.fill(socket, delay, cx);
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

    /// Reads the available input of the socket, up to [`MAX_HELD_BYTES`], and notes when it arrives. The end of the
    /// stream, or an error, is noted in the same way, and nothing is read after it.
    fn fill(&mut self, socket: &mut Raw, delay: impl Fn(usize) -> LinkDelay, cx: &mut Context<'_>) {
        while self.held < MAX_HELD_BYTES && self.ended.is_none() {
            let mut buffer = [0; READ_BYTES];
            let mut buffer = ReadBuf::new(&mut buffer);
            let Poll::Ready(outcome) = socket.poll_read(cx, &mut buffer) else { return };
            let len = buffer.filled().len();
            let due = self.shaper.due(Duration::ZERO, delay(len));
            match outcome {
                Ok(()) if len != 0 => {
                    self.chunks.push_back((due, Bytes::copy_from_slice(buffer.filled())));
                    self.held += len;
                }
                outcome => self.ended = Some((due, outcome.map_err(|error| error.kind()))),
            }
        }
    }
}
