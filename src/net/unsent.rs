//! Bytes on their way to the peer: pieces that go out together, none of them copied.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use super::Stream;

/// So many pieces are written at once.
const PIECES_MAX: usize = 32;
/// Once there are so many octets, they go out.
const OCTETS_FULL: usize = 128 * 1024;

/// What is still to be written, in order.
#[derive(Debug, Default)]
pub(super) struct Unsent {
    /// None of them is empty.
    pieces: VecDeque<Bytes>,
    octets: usize,
}

impl Unsent {
    pub(super) fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.octets += piece.len();
            self.pieces.push_back(piece);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// More would not go out faster.
    pub(super) fn is_full(&self) -> bool {
        PIECES_MAX <= self.pieces.len() || OCTETS_FULL <= self.octets
    }

    /// Writes some of it; how much.
    pub(super) fn poll_write(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let written = match (self.pieces.front(), self.pieces.len()) {
            (Some(piece), 1) => Pin::new(stream).poll_write(cx, piece),
            _ => {
                let mut slices = [IoSlice::new(&[]); PIECES_MAX];
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

    fn advance(&mut self, mut octets: usize) {
        self.octets -= octets;
        while let Some(piece) = self.pieces.front_mut() {
            if octets < piece.len() {
                return piece.advance(octets);
            }
            octets -= piece.len();
            self.pieces.pop_front();
        }
        // Whoever has nothing to say holds no memory for it.
        self.pieces = VecDeque::new();
    }
}
