//! COMPRESS=DEFLATE: what both ends say goes through DEFLATE, between the commands and TLS. RFC 4978.
//!
//! ```text
//! bytes --receive--> pending, one chunk --step by step, as the reader takes it--> Reader
//! Out --piece by piece--> compressor --flushed once there is no more to say--> bytes
//! ```
//!
//! Both ways go in steps of a fixed size, so what swells to a thousand times its length costs time, but no memory.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use super::{Reply, Session, State};
use crate::imap::write::{Code, Out};

/// So much is inflated before the reader looks at it.
const STEP_OCTETS: usize = 16 * 1024;
/// So much is sent at once, and so much is compressed before others have their turn.
const SENT_OCTETS: usize = 32 * 1024;
const TAKEN_OCTETS: usize = 256 * 1024;
/// RFC 4978 §3: each end is free to choose; what the network here saves is less than what the processor pays.
const LEVEL: Compression = Compression::fast();

/// What came cannot be inflated.
#[derive(Debug)]
pub(super) struct Broken;

/// Both directions of a session that is compressed.
pub(super) struct Compressed {
    inflate: Decompress,
    /// What came and is not inflated yet.
    pending: BytesMut,
    /// Whether the last step was full, so that there may be more without another octet.
    full: bool,
    /// Said before the compression began. RFC 4978 §3.
    plain: VecDeque<Bytes>,
    /// Made when there is something to say.
    deflate: Option<Compress>,
    /// A piece on its way into the compressor.
    piece: Bytes,
    /// Whether the compressor holds back what it has taken.
    unflushed: bool,
}

impl Compressed {
    fn new(out: &mut Out) -> Self {
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

    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next step of what came; `None` when it was all inflated.
    fn inflated(&mut self) -> Result<Option<Vec<u8>>, Broken> {
        if self.pending.is_empty() && !self.full {
            return Ok(None);
        }
        let mut step = Vec::with_capacity(STEP_OCTETS);
        let before = self.inflate.total_in();
        self.inflate.decompress_vec(&self.pending, &mut step, FlushDecompress::None).map_err(|_| Broken)?;
        let taken = (self.inflate.total_in() - before) as usize;
        self.pending.advance(taken);
        self.full = step.len() == step.capacity();
        match (taken, step.len()) {
            // A stream that has ended, for one, takes no more.
            (0, 0) if !self.pending.is_empty() => Err(Broken),
            (_, 0) => Ok(None),
            _ => Ok(Some(step)),
        }
    }

    /// The next bytes to send; `None` when all has been said, and then nothing is held back.
    pub(super) fn deflated(&mut self, out: &mut Out) -> Option<Bytes> {
        if let Some(plain) = self.plain.pop_front() {
            return Some(plain);
        }
        let (mut sent, mut taken) = (Vec::new(), 0);
        while taken < TAKEN_OCTETS {
            if self.piece.is_empty() {
                match out.take() {
                    Some(piece) => self.piece = piece,
                    None => return self.flushed(sent),
                }
            }
            sent.reserve_exact(SENT_OCTETS - sent.len());
            taken += self.take_piece(&mut sent, TAKEN_OCTETS - taken);
            if sent.len() == sent.capacity() {
                return Some(sent.into());
            }
        }
        self.flushed(sent)
    }

    fn take_piece(&mut self, sent: &mut Vec<u8>, octets_max: usize) -> usize {
        let piece = &self.piece[..self.piece.len().min(octets_max)];
        let deflate = self.deflate.get_or_insert_with(|| Compress::new(LEVEL, false));
        let before = deflate.total_in();
        // It only fails when there is no room, and then it is asked again.
        let _ = deflate.compress_vec(piece, sent, FlushCompress::None);
        let taken = (deflate.total_in() - before) as usize;
        self.piece.advance(taken);
        self.unflushed = true;
        taken
    }

    /// Whoever waits for an answer gets all of it.
    fn flushed(&mut self, mut sent: Vec<u8>) -> Option<Bytes> {
        while self.unflushed
            && let Some(deflate) = &mut self.deflate
        {
            sent.reserve(SENT_OCTETS);
            // As above: room that is left says that it is done.
            let _ = deflate.compress_vec(&[], &mut sent, FlushCompress::Sync);
            self.unflushed = sent.len() == sent.capacity();
        }
        (!sent.is_empty()).then(|| sent.into())
    }

    /// Lets go of the compressor, which is large, while there is nothing to say. Behind a flush, another one may go on
    /// that knows nothing of what was said before (RFC 4978 §4, Z_FULL_FLUSH).
    fn rest(&mut self) {
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
    /// RFC 4978 §3.
    pub(super) fn compress(&mut self, tag: &str) {
        if self.compressed.is_some() {
            let reply = Reply::bad("DEFLATE is active already").with(Code::Word("COMPRESSIONACTIVE"));
            return self.tagged(tag, &reply);
        }
        self.tagged(tag, &Reply::ok("DEFLATE is active"));
        let mut compressed = Compressed::new(&mut self.out);
        compressed.receive(&self.reader.take());
        self.compressed = Some(Box::new(compressed));
    }

    /// Gives the reader more of what came; `false` when there is no more.
    pub(super) fn inflate(&mut self) -> bool {
        let Some(compressed) = &mut self.compressed else { return false };
        if !matches!(self.state, State::Standing(_) | State::Idling(_)) {
            return false;
        }
        match compressed.inflated() {
            Ok(Some(bytes)) => self.reader.receive(&bytes),
            Ok(None) => return false,
            Err(Broken) => self.bye("what you send is not compressed"),
        }
        true
    }

    /// The next bytes to send.
    pub(super) fn outgoing(&mut self) -> Option<Bytes> {
        match &mut self.compressed {
            Some(compressed) => compressed.deflated(&mut self.out),
            None => self.out.take(),
        }
    }

    /// A client that is silent may be so for long.
    pub(super) fn rest(&mut self) {
        self.out.rest();
        if let (State::Idling(_), Some(compressed)) = (&self.state, &mut self.compressed) {
            compressed.rest();
        }
    }
}
