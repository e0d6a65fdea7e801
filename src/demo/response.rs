//! One HTTP request and its response on one connection, without reuse. RFC 9112.
//!
//! ```text
//! Head --empty line--> Length ----> closed        Content-Length
//!  ^ |                 ChunkSize ⇄ ChunkData
//!  |_| 1xx               `-> Trailer -> closed    Transfer-Encoding: chunked
//!                      UntilClose --EOF-> closed   neither
//! ```
//!
//! Buffers the header only; parts of the body are passed on as they arrive.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::header::{Framing, Header, Malformed};
use crate::net::{Machine, Next};

/// The longest header or trailer, in bytes.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// The longest chunk size line, in bytes.
const MAX_CHUNK_LINE_BYTES: usize = 4096;

/// The parts of a response, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The header, once.
    Header(Header),
    /// Part of the body.
    Body(Bytes),
    /// The end of the body.
    End,
    /// The response is malformed.
    Malformed(Malformed),
}

/// Sends one request and reads its response; the events are the parts of the response.
pub struct Exchange {
    request: Option<Bytes>,
    state: State,
    buffer: BytesMut,
    /// Number of bytes of the buffer already searched for a line end.
    searched: usize,
    /// Whether the peer closed the connection.
    ended: bool,
    timeout: Duration,
}

enum State {
    /// The header so far.
    Head(String),
    /// Remaining bytes of the body.
    Length(u64),
    ChunkSize,
    /// Remaining bytes of the chunk, before its line end.
    ChunkData(u64),
    /// Bytes of trailer fields read so far.
    Trailer(usize),
    UntilClose,
    Closed,
}

enum Advance {
    Part(Part),
    /// Continue with the new state.
    Continue,
    /// More input is needed.
    NeedInput,
}

impl Exchange {
    /// Creates an exchange that sends `request`; `timeout` limits each wait for the peer.
    pub fn new(request: impl Into<Bytes>, timeout: Duration) -> Self {
        let (request, state) = (Some(request.into()), State::Head(String::new()));
        Self { request, state, buffer: BytesMut::new(), searched: 0, ended: false, timeout }
    }

    /// Takes one step with what is buffered, a line or a part of the body: returns a part, or that the state has
    /// changed or that more input is needed. In the state `Closed`, it always needs input.
    fn advance(&mut self) -> Result<Advance, Malformed> {
        match &self.state {
            State::Head(_) => self.head(),
            State::Length(0) => Ok(self.finish()),
            State::Length(left) => Ok(self.data(*left, State::Length)),
            State::ChunkSize => self.chunk_size(),
            State::ChunkData(0) => self.chunk_end(),
            State::ChunkData(left) => Ok(self.data(*left, State::ChunkData)),
            State::Trailer(read) => self.trailer(*read),
            State::UntilClose if self.ended && self.buffer.is_empty() => Ok(self.finish()),
            State::UntilClose => Ok(self.data(u64::MAX, |_| State::UntilClose)),
            State::Closed => Ok(Advance::NeedInput),
        }
    }

    /// Reads one line of the header; an empty one ends it, and the header is the part. Interim responses (1xx) are
    /// skipped. RFC 9112 §2.2.
    fn head(&mut self) -> Result<Advance, Malformed> {
        let Some(line) = self.line(MAX_HEADER_BYTES, Malformed::HeaderTooLong)? else { return Ok(Advance::NeedInput) };
        let State::Head(text) = &mut self.state else { return Ok(Advance::NeedInput) };
        if !line.is_empty() {
            text.push_str(&line);
            text.push('\n');
            return match text.len() {
                MAX_HEADER_BYTES.. => Err(Malformed::HeaderTooLong),
                _ if !text.starts_with("HTTP/") => Err(Malformed::NotHttp),
                _ => Ok(Advance::Continue),
            };
        }
        let header = Header::parse(text)?;
        // RFC 9110 §15.2: interim responses precede the final one.
        if header.status / 100 == 1 && header.status != 101 {
            text.clear();
            return Ok(Advance::Continue);
        }
        self.state = match header.framing()? {
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::ChunkSize,
            Framing::UntilClose => State::UntilClose,
        };
        Ok(Advance::Part(Part::Header(header)))
    }

    /// Reads the line before a chunk: the size in hexadecimal, then optional extensions, which are ignored. RFC 9112
    /// §7.1.
    fn chunk_size(&mut self) -> Result<Advance, Malformed> {
        let Some(line) = self.line(MAX_CHUNK_LINE_BYTES, Malformed::BadChunk)? else { return Ok(Advance::NeedInput) };
        let digits = line.split(';').next().unwrap_or_default().trim();
        let size = match digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            true => u64::from_str_radix(digits, 16).map_err(|_| Malformed::BadChunk)?,
            false => return Err(Malformed::BadChunk),
        };
        self.state = if size == 0 { State::Trailer(0) } else { State::ChunkData(size) };
        Ok(Advance::Continue)
    }

    /// Reads the line end after the data of a chunk; anything else there is an error.
    fn chunk_end(&mut self) -> Result<Advance, Malformed> {
        match self.line(MAX_CHUNK_LINE_BYTES, Malformed::BadChunk)?.as_deref() {
            Some("") => {
                self.state = State::ChunkSize;
                Ok(Advance::Continue)
            }
            Some(_) => Err(Malformed::BadChunk),
            None => Ok(Advance::NeedInput),
        }
    }

    /// Reads one line of the fields after the body, which are ignored; `read` is their length so far. RFC 9112 §7.1.2.
    fn trailer(&mut self, read: usize) -> Result<Advance, Malformed> {
        match self.line(MAX_HEADER_BYTES, Malformed::HeaderTooLong)? {
            Some(line) if line.is_empty() => Ok(self.finish()),
            Some(line) if MAX_HEADER_BYTES < read + line.len() => Err(Malformed::HeaderTooLong),
            Some(line) => {
                self.state = State::Trailer(read + line.len());
                Ok(Advance::Continue)
            }
            None => Ok(Advance::NeedInput),
        }
    }

    /// Passes on what is buffered of the next `left` bytes of the body; `state` makes the next state from the number of
    /// those still missing. Needs input if nothing is buffered.
    fn data(&mut self, left: u64, state: fn(u64) -> State) -> Advance {
        if self.buffer.is_empty() {
            return Advance::NeedInput;
        }
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
        self.state = state(left - length as u64);
        Advance::Part(Part::Body(self.buffer.split_to(length).freeze()))
    }

    /// Closes the exchange, with the end of the body as its part.
    fn finish(&mut self) -> Advance {
        self.state = State::Closed;
        Advance::Part(Part::End)
    }

    /// Takes one line without its line end from the buffer; a bare LF is accepted (RFC 9112 §2.2). `None` if it is not
    /// complete yet; `too_long` if it is not complete after `longest` bytes.
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

    /// The error for a connection that the peer closed early, according to how far the response has come. RFC 9112 §8.
    fn incomplete(&self) -> Malformed {
        match &self.state {
            State::Head(_) => Malformed::NoHeader,
            State::Length(left) => Malformed::Short(Some(*left)),
            _ => Malformed::Short(None),
        }
    }
}

impl Machine for Exchange {
    type Event = Part;

    /// Adds the bytes to the buffer, or notes the end of the stream.
    fn receive(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        self.ended |= bytes.is_empty();
    }

    /// Sends the request first, then returns each part of the response as an event. A malformed or incomplete response
    /// is the last event; then, and after the end of the body, the connection is closed.
    fn next(&mut self) -> Next<Part> {
        if let Some(request) = self.request.take() {
            return Next::Send(request);
        }
        loop {
            let malformed = match self.advance() {
                Ok(Advance::Part(part)) => return Next::Event(part),
                Ok(Advance::Continue) => continue,
                Ok(Advance::NeedInput) if matches!(self.state, State::Closed) => return Next::Close,
                Ok(Advance::NeedInput) if self.ended => self.incomplete(),
                Ok(Advance::NeedInput) => return Next::Read,
                Err(malformed) => malformed,
            };
            self.state = State::Closed;
            return Next::Event(Part::Malformed(malformed));
        }
    }

    /// Always the limit of [`Exchange::new`].
    fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Closes the connection at the next step, within the response or not; only a request that was not sent yet is sent
    /// before.
    fn shut_down(&mut self) {
        self.state = State::Closed;
    }
}
