//! Output to a program outside the world. It reads from a real socket, where no fault can be injected, so that those of its
//! link take effect before the output is written there.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::time::{Instant, Sleep, sleep_until};

use super::link_delay::LinkShaper;
use super::link_faults::LinkEndpoint;
use super::stream::Raw;

/// Bytes that are held back before the writer has to wait.
const MAX_HELD_BYTES: usize = 256 * 1024;

/// The output of one connection.
pub(super) struct LinkOutput {
    link: LinkEndpoint,
    /// What is held back, and until when at least.
    chunks: VecDeque<(Instant, Bytes)>,
    held: usize,
    shaper: LinkShaper,
    departure: Option<Pin<Box<Sleep>>>,
}

impl LinkOutput {
    pub(super) fn new(link: LinkEndpoint) -> Self {
        Self { link, chunks: VecDeque::new(), held: 0, shaper: LinkShaper::default(), departure: None }
    }

    /// The link that the output takes, to change its host.
    pub(super) fn link_mut(&mut self) -> &mut LinkEndpoint {
        &mut self.link
    }

    /// Whether output may go straight to the socket, since none is held back and no link has a fault. The caller then
    /// writes it there, and counts it by [`LinkOutput::add_carried`].
    pub(super) fn is_clear(&self) -> bool {
        self.chunks.is_empty() && self.link.has_no_faults()
    }

    /// Counts bytes that went straight to the socket.
    pub(super) fn add_carried(&mut self, bytes: usize) {
        self.link.add_carried(bytes);
    }

    /// Holds back these bytes until they may go, and returns how many it took; pending while too many are held. First
    /// writes those held before that may go now, as [`LinkOutput::poll_drain`] does.
    pub(super) fn poll_write(&mut self, raw: &mut Raw, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Err(error)) = self.poll_drain(raw, cx) {
            return Poll::Ready(Err(error));
        }
        let len = bytes.len().min(MAX_HELD_BYTES - self.held);
        if len == 0 && !bytes.is_empty() {
            // The drain wakes the writer.
            return Poll::Pending;
        }
        let due = self.shaper.due(Duration::ZERO, self.link.delay(len));
        self.chunks.push_back((due, Bytes::copy_from_slice(&bytes[..len])));
        self.held += len;
        Poll::Ready(Ok(len))
    }

    /// Writes what was held back to the socket; pending until all of it may go and is written.
    pub(super) fn poll_drain(&mut self, raw: &mut Raw, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some((due, chunk)) = self.chunks.front_mut() {
            if Instant::now() < *due {
                let departure = self.departure.get_or_insert_with(|| Box::pin(sleep_until(*due)));
                if departure.deadline() != *due {
                    departure.as_mut().reset(*due);
                }
                ready!(departure.as_mut().poll(cx));
            }
            let allowance = usize::try_from(ready!(self.link.poll_allowance(cx))?).unwrap_or(usize::MAX);
            let part = &chunk[..chunk.len().min(allowance)];
            let written = ready!(raw.poll_write(cx, part))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.link.add_carried(written);
            self.held -= written;
            chunk.advance(written);
            if chunk.is_empty() {
                self.chunks.pop_front();
            }
        }
        Poll::Ready(Ok(()))
    }
}
