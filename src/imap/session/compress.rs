//! COMPRESS=DEFLATE: DEFLATE between the commands and TLS, in both directions. RFC 4978.
//!
//! ```text
//! bytes --receive--> pending, one chunk --in steps, as the reader needs them--> Reader
//! ResponseBuffer --in pieces--> compressor --flushed when the output is complete--> bytes
//! ```
//!
//! Both directions work in steps of a fixed size, so input that inflates to a thousand times its size costs time, but
//! no memory.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use super::{Reply, Session, State};
use crate::imap::write::{Code, ResponseBuffer};

/// Inflated bytes per step of the reader.
const INFLATE_STEP_BYTES: usize = 16 * 1024;
/// Most bytes sent at once, and most bytes compressed before other tasks run.
const MAX_SEND_BYTES: usize = 32 * 1024;
const MAX_COMPRESS_BYTES: usize = 64 * 1024;
/// RFC 4978 §3 leaves the level open; more compression costs more CPU time here than it saves.
const LEVEL: Compression = Compression::fast();

/// The input is not valid DEFLATE.
#[derive(Debug)]
pub(super) struct InflateError;

/// Both directions of a compressed session.
pub(super) struct Compressed {
    inflate: Decompress,
    /// Received bytes that are not inflated yet.
    pending: BytesMut,
    /// Whether the last step filled its buffer, so that more output may follow without more input.
    full: bool,
    /// Output from before the compression began. RFC 4978 §3.
    plain: VecDeque<Bytes>,
    /// Created when there is output.
    deflate: Option<Compress>,
    /// The piece that is being compressed.
    piece: Bytes,
    /// Whether the compressor still buffers output.
    unflushed: bool,
}

impl Compressed {
    /// Begins the compression; what `out` holds already is taken from it, and sent first, without compression.
    fn new(out: &mut ResponseBuffer) -> Self {
        Self {
            inflate: Decompress::new(false),
            pending: BytesMut::new(),
            full: false,
            plain: std::iter::from_fn(|| out.take()).collect(),
            deflate: None,
            piece: Bytes::new(),
            unflushed: false,
        }
    }

    /// Adds received bytes, which [`Self::inflate_step`] inflates later.
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// Inflates the next step of the received bytes, to at most `INFLATE_STEP_BYTES`; `None` when more are needed.
    /// `Err` if they are invalid, or go on behind the end of the stream.
    fn inflate_step(&mut self) -> Result<Option<Vec<u8>>, InflateError> {
        if self.pending.is_empty() && !self.full {
            return Ok(None);
        }
        let mut step = Vec::with_capacity(INFLATE_STEP_BYTES);
        let before = self.inflate.total_in();
        self.inflate.decompress_vec(&self.pending, &mut step, FlushDecompress::None).map_err(|_| InflateError)?;
        let taken = (self.inflate.total_in() - before) as usize;
        self.pending.advance(taken);
        self.full = step.len() == step.capacity();
        match (taken, step.len()) {
            // For example, a stream that has ended accepts no more input.
            (0, 0) if !self.pending.is_empty() => Err(InflateError),
            (_, 0) => Ok(None),
            _ => Ok(Some(step)),
        }
    }

    /// Returns the next bytes to send: the plain output first, then compressed output from `out`, of which at most
    /// `MAX_COMPRESS_BYTES` are taken. `None` when all output was sent and flushed.
    pub(super) fn deflate_step(&mut self, out: &mut ResponseBuffer) -> Option<Bytes> {
        if let Some(plain) = self.plain.pop_front() {
            return Some(plain);
        }
        let (mut sent, mut taken) = (Vec::new(), 0);
        while taken < MAX_COMPRESS_BYTES {
            if self.piece.is_empty() {
                match out.take() {
                    Some(piece) => self.piece = piece,
                    None => return self.flush(sent),
                }
            }
            sent.reserve_exact(MAX_SEND_BYTES - sent.len());
            taken += self.take_piece(&mut sent, MAX_COMPRESS_BYTES - taken);
            if sent.len() == sent.capacity() {
                return Some(sent.into());
            }
        }
        self.flush(sent)
    }

    /// Compresses at most `max_bytes` of the current piece into `sent`, as far as that has space; returns how many were
    /// compressed.
    fn take_piece(&mut self, sent: &mut Vec<u8>, max_bytes: usize) -> usize {
        let piece = &self.piece[..self.piece.len().min(max_bytes)];
        let deflate = self.deflate.get_or_insert_with(|| Compress::new(LEVEL, false));
        let before = deflate.total_in();
        // It only fails when the buffer is full, and is then called again.
        let _ = deflate.compress_vec(piece, sent, FlushCompress::None);
        let taken = (deflate.total_in() - before) as usize;
        self.piece.advance(taken);
        self.unflushed = true;
        taken
    }

    /// Adds to `sent` all that the compressor still buffers, so that the client gets the complete reply, and returns
    /// it; `None` if it is still empty.
    fn flush(&mut self, mut sent: Vec<u8>) -> Option<Bytes> {
        while self.unflushed
            && let Some(deflate) = &mut self.deflate
        {
            sent.reserve(MAX_SEND_BYTES);
            // As above; space left in the buffer means that the flush is complete.
            let _ = deflate.compress_vec(&[], &mut sent, FlushCompress::Sync);
            self.unflushed = sent.len() == sent.capacity();
        }
        (!sent.is_empty()).then(|| sent.into())
    }

    /// Drops the compressor, which is large, unless it still buffers output; the next output gets a new one. After a
    /// flush, the new one may continue without the history (RFC 4978 §4, Z_FULL_FLUSH).
    fn release(&mut self) {
        if !self.unflushed {
            self.deflate = None;
        }
    }

    #[cfg(test)]
    pub(super) fn holds_compressor(&self) -> bool {
        self.deflate.is_some()
    }
}

impl Session {
    /// Answers `COMPRESS`; `BAD` if compression is active already. From now on, all input that was not read yet, and
    /// all output after the reply, is compressed. RFC 4978 §3.
    pub(super) fn compress(&mut self, tag: &str) {
        if self.compressed.is_some() {
            let reply = Reply::bad("DEFLATE already active").with(Code::Word("COMPRESSIONACTIVE"));
            return self.tagged(tag, &reply);
        }
        self.tagged(tag, &Reply::ok("DEFLATE active"));
        let mut compressed = Compressed::new(&mut self.out);
        compressed.receive(&self.reader.take());
        self.compressed = Some(Box::new(compressed));
    }

    /// Inflates the next step of input for the reader, and returns whether it did; `false` without compression, before
    /// more bytes arrive, and unless the session waits for a command or is in IDLE. Invalid input ends the session with
    /// `BYE`, and also returns `true`.
    pub(super) fn inflate(&mut self) -> bool {
        let Some(compressed) = &mut self.compressed else { return false };
        if !matches!(self.state, State::Ready(_) | State::Idling(_)) {
            return false;
        }
        match compressed.inflate_step() {
            Ok(Some(bytes)) => self.reader.receive(&bytes),
            Ok(None) => return false,
            Err(InflateError) => self.bye("Invalid compressed data"),
        }
        true
    }

    /// Returns the next bytes to send, compressed if the client has enabled that; `None` if there are none.
    pub(super) fn outgoing(&mut self) -> Option<Bytes> {
        match &mut self.compressed {
            Some(compressed) => compressed.deflate_step(&mut self.out),
            None => self.out.take(),
        }
    }

    /// Releases unused space of the output buffer, and during IDLE also the compressor, since the client may be idle
    /// for long.
    pub(super) fn release_memory(&mut self) {
        self.out.release_memory();
        if let (State::Idling(_), Some(compressed)) = (&self.state, &mut self.compressed) {
            compressed.release();
        }
    }
}
