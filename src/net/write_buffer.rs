//! The write buffer of a connection: pieces that are written together without being copied.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use super::Stream;

/// Pieces in one vectored write.
const MAX_SLICES: usize = 32;
/// From this size on, the buffer is written.
const FULL_BYTES: usize = 128 * 1024;

/// Pieces that are not yet written, in order.
#[derive(Debug, Default)]
pub(super) struct WriteBuffer {
    /// No piece is empty.
    pieces: VecDeque<Bytes>,
    bytes: usize,
}

impl WriteBuffer {
    /// Appends a piece; an empty one is left out.
    pub(super) fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.bytes += piece.len();
            self.pieces.push_back(piece);
        }
    }

    /// Whether all that was pushed is written.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Whether the buffer should be written before more is added: it has 32 pieces or 128 KiB.
    pub(super) fn is_full(&self) -> bool {
        MAX_SLICES <= self.pieces.len() || FULL_BYTES <= self.bytes
    }

    /// Writes the front of the buffer, at most 32 pieces, to the stream in one call; removes what the stream took from
    /// the buffer, and returns the number of its bytes.
    pub(super) fn poll_write(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let written = match (self.pieces.front(), self.pieces.len()) {
            (Some(piece), 1) => Pin::new(stream).poll_write(cx, piece),
            _ => {
                let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                let filled =
                    slices.iter_mut().zip(&self.pieces).map(|(slice, piece)| *slice = IoSlice::new(piece)).count();
                Pin::new(stream).poll_write_vectored(cx, &slices[..filled])
            }
        };
        written.map_ok(|written| {
            self.advance(written);
            written
        })
    }

    /// Removes this many bytes from the front; the buffer must have as many.
    fn advance(&mut self, mut bytes: usize) {
        self.bytes -= bytes;
        while let Some(piece) = self.pieces.front_mut() {
            if bytes < piece.len() {
                return piece.advance(bytes);
            }
            bytes -= piece.len();
            self.pieces.pop_front();
        }
        // An idle connection holds no memory for output.
        self.pieces = VecDeque::new();
    }
}
