//! One HTTP request and its response, on a connection that carries no second one. RFC 9112.
//!
//! ```text
//! Head --empty line--> Length ----> over          Content-Length
//!  ^ |                 ChunkSize ⇄ ChunkData
//!  |_| 1xx               `-> Trailer -> over      Transfer-Encoding: chunked
//!                      ToTheEnd --EOF--> over     neither
//! ```
//!
//! Holds the header or one chunk of what arrived; the body is handed on as it comes.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::header::{Framing, Header, Malformed};
use crate::net::{Machine, Next};

/// The longest header or trailer, in octets.
const HEADER_MAX: usize = 64 * 1024;
/// The longest line before a chunk, in octets.
const CHUNK_LINE_MAX: usize = 4096;

/// What a response brings, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The header, once.
    Header(Header),
    /// Some of the body.
    Body(Bytes),
    /// The body is whole.
    Whole,
    /// It cannot be read on.
    Broken(Malformed),
}

/// Sends one request and reads its response; its events are the parts.
pub struct Exchange {
    request: Option<Bytes>,
    state: State,
    buffer: BytesMut,
    /// So much of the buffer was searched for a line end already.
    searched: usize,
    /// The peer sends no more.
    ended: bool,
    patience: Duration,
}

enum State {
    /// The header so far.
    Head(String),
    /// So many octets of the body are to come.
    Length(u64),
    ChunkSize,
    /// So many octets of the chunk are to come; after them a line end.
    ChunkData(u64),
    /// So many octets of fields came after the last chunk.
    Trailer(usize),
    ToTheEnd,
    Over,
}

enum Advance {
    Part(Part),
    Again,
    /// More must arrive first.
    More,
}

impl Exchange {
    /// Sends `request`; the peer may be silent for as long as `patience`.
    pub fn new(request: impl Into<Bytes>, patience: Duration) -> Self {
        let (request, state) = (Some(request.into()), State::Head(String::new()));
        Self { request, state, buffer: BytesMut::new(), searched: 0, ended: false, patience }
    }

    fn advance(&mut self) -> Result<Advance, Malformed> {
        match &self.state {
            State::Head(_) => self.head(),
            State::Length(0) => Ok(self.finish()),
            State::Length(left) => Ok(self.data(*left, State::Length)),
            State::ChunkSize => self.chunk_size(),
            State::ChunkData(0) => self.chunk_end(),
            State::ChunkData(left) => Ok(self.data(*left, State::ChunkData)),
            State::Trailer(read) => self.trailer(*read),
            State::ToTheEnd if self.ended && self.buffer.is_empty() => Ok(self.finish()),
            State::ToTheEnd => Ok(self.data(u64::MAX, |_| State::ToTheEnd)),
            State::Over => Ok(Advance::More),
        }
    }

    /// RFC 9112 §2.2: lines up to an empty one.
    fn head(&mut self) -> Result<Advance, Malformed> {
        let Some(line) = self.line(HEADER_MAX, Malformed::HeaderTooLong)? else { return Ok(Advance::More) };
        let State::Head(text) = &mut self.state else { return Ok(Advance::More) };
        if !line.is_empty() {
            text.push_str(&line);
            text.push('\n');
            return match text.len() {
                HEADER_MAX.. => Err(Malformed::HeaderTooLong),
                _ if !text.starts_with("HTTP/") => Err(Malformed::NotHttp),
                _ => Ok(Advance::Again),
            };
        }
        let header = Header::parse(text)?;
        // RFC 9110 §15.2: interim responses come before the real one.
        if header.status / 100 == 1 && header.status != 101 {
            text.clear();
            return Ok(Advance::Again);
        }
        self.state = match header.framing()? {
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::ChunkSize,
            Framing::ToTheEnd => State::ToTheEnd,
        };
        Ok(Advance::Part(Part::Header(header)))
    }

    /// RFC 9112 §7.1: the size in hexadecimal, then extensions that nobody has to know.
    fn chunk_size(&mut self) -> Result<Advance, Malformed> {
        let Some(line) = self.line(CHUNK_LINE_MAX, Malformed::BadChunk)? else { return Ok(Advance::More) };
        let digits = line.split(';').next().unwrap_or_default().trim();
        let size = match digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            true => u64::from_str_radix(digits, 16).map_err(|_| Malformed::BadChunk)?,
            false => return Err(Malformed::BadChunk),
        };
        self.state = if size == 0 { State::Trailer(0) } else { State::ChunkData(size) };
        Ok(Advance::Again)
    }

    fn chunk_end(&mut self) -> Result<Advance, Malformed> {
        match self.line(CHUNK_LINE_MAX, Malformed::BadChunk)?.as_deref() {
            Some("") => {
                self.state = State::ChunkSize;
                Ok(Advance::Again)
            }
            Some(_) => Err(Malformed::BadChunk),
            None => Ok(Advance::More),
        }
    }

    /// RFC 9112 §7.1.2: fields after the body, which we pass over.
    fn trailer(&mut self, read: usize) -> Result<Advance, Malformed> {
        match self.line(HEADER_MAX, Malformed::HeaderTooLong)? {
            Some(line) if line.is_empty() => Ok(self.finish()),
            Some(line) if HEADER_MAX < read + line.len() => Err(Malformed::HeaderTooLong),
            Some(line) => {
                self.state = State::Trailer(read + line.len());
                Ok(Advance::Again)
            }
            None => Ok(Advance::More),
        }
    }

    fn data(&mut self, left: u64, state: fn(u64) -> State) -> Advance {
        if self.buffer.is_empty() {
            return Advance::More;
        }
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
        self.state = state(left - length as u64);
        Advance::Part(Part::Body(self.buffer.split_to(length).freeze()))
    }

    fn finish(&mut self) -> Advance {
        self.state = State::Over;
        Advance::Part(Part::Whole)
    }

    /// Takes one line, without its end; a bare LF ends one too (RFC 9112 §2.2).
    fn line(&mut self, longest: usize, too_long: Malformed) -> Result<Option<String>, Malformed> {
        let fresh = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(end) = fresh.iter().position(|byte| *byte == b'\n').map(|at| self.searched + at) else {
            self.searched = self.buffer.len();
            return if longest < self.searched { Err(too_long) } else { Ok(None) };
        };
        self.searched = 0;
        let line = self.buffer.split_to(end + 1);
        let line = &line[..end];
        Ok(Some(String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned()))
    }

    /// The peer hung up before the end. RFC 9112 §8.
    fn short(&self) -> Malformed {
        match &self.state {
            State::Head(_) => Malformed::NoHeader,
            State::Length(left) => Malformed::Short(Some(*left)),
            _ => Malformed::Short(None),
        }
    }
}

impl Machine for Exchange {
    type Event = Part;

    fn receive(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        self.ended |= bytes.is_empty();
    }

    fn next(&mut self) -> Next<Part> {
        if let Some(request) = self.request.take() {
            return Next::Send(request);
        }
        loop {
            let broken = match self.advance() {
                Ok(Advance::Part(part)) => return Next::Event(part),
                Ok(Advance::Again) => continue,
                Ok(Advance::More) if matches!(self.state, State::Over) => return Next::Close,
                Ok(Advance::More) if self.ended => self.short(),
                Ok(Advance::More) => return Next::Read,
                Err(malformed) => malformed,
            };
            self.state = State::Over;
            return Next::Event(Part::Broken(broken));
        }
    }

    fn patience(&self) -> Duration {
        self.patience
    }

    fn stop(&mut self) {
        self.state = State::Over;
    }
}
