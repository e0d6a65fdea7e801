//! DNS over TCP: a 2-byte length before each message, several messages per connection. RFC 1035 §4.2.2, RFC 7766.
//! Client and server are sans-I/O machines.

use std::time::Duration;

use bytes::Bytes;

use crate::net::{Machine, Next};

/// How long a connection may be idle. RFC 7766 §6.2.3: in the order of seconds.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long to wait for the answer of a server.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Size up to which answers are combined before they are sent.
const MAX_COALESCED_BYTES: usize = 64 * 1024;

/// Splits a stream into messages. Buffers at most one message and one chunk.
#[derive(Debug, Default)]
struct FrameReader(Vec<u8>);

impl FrameReader {
    /// Takes the next message, without its length; `None` until it is complete.
    fn take(&mut self) -> Option<Vec<u8>> {
        let (length, rest) = self.0.split_first_chunk()?;
        let message = rest.get(..usize::from(u16::from_be_bytes(*length)))?.to_vec();
        self.0.drain(..length.len() + message.len());
        Some(message)
    }
}

/// Prefixes a message with its length in two bytes; `None` if it has more than 65,535 bytes.
fn with_length_prefix(message: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(message.len()).ok()?.to_be_bytes();
    Some([&length, message].concat())
}

/// The server side: its events are the queries, in order. A query without an answer is skipped.
#[derive(Default)]
pub(super) struct TcpServerSession {
    frames: FrameReader,
    answers: Vec<u8>,
    over: bool,
}

impl TcpServerSession {
    /// Queues the answer to the last query. `None` means that the query was invalid: drops what was received, and
    /// closes the connection after the answers before it; so does an answer that is too long.
    pub(super) fn answer(&mut self, answer: Option<Vec<u8>>) {
        match answer.and_then(|answer| with_length_prefix(&answer)) {
            Some(answer) => self.answers.extend(answer),
            // The client is out of sync, or does not speak DNS.
            None => (self.over, self.frames) = (true, FrameReader::default()),
        }
    }
}

impl Machine for TcpServerSession {
    type Event = Vec<u8>;

    /// Buffers the input. After the end of the stream, the queries received so far are still answered.
    fn receive(&mut self, bytes: &[u8]) {
        self.frames.0.extend_from_slice(bytes);
        self.over |= bytes.is_empty();
    }

    /// The next query comes before the answers to those before it are sent, until they have `MAX_COALESCED_BYTES`.
    fn next(&mut self) -> Next<Vec<u8>> {
        if self.answers.len() < MAX_COALESCED_BYTES
            && let Some(query) = self.frames.take()
        {
            return Next::Event(query);
        }
        match self.over {
            _ if !self.answers.is_empty() => Next::Send(std::mem::take(&mut self.answers).into()),
            true => Next::Close,
            false => Next::Read,
        }
    }

    /// How long the client may be idle.
    fn timeout(&self) -> Duration {
        IDLE_TIMEOUT
    }

    /// Closes the connection once the queries received so far are answered.
    fn shut_down(&mut self) {
        self.over = true;
    }
}

/// The client side: sends one query; its event is the answer.
pub(super) struct TcpClientSession {
    query: Option<Bytes>,
    frames: FrameReader,
    over: bool,
}

impl TcpClientSession {
    /// A session for one query; `None` if the query is too long.
    pub(super) fn new(query: &[u8]) -> Option<Self> {
        Some(Self { query: Some(with_length_prefix(query)?.into()), frames: FrameReader::default(), over: false })
    }
}

impl Machine for TcpClientSession {
    type Event = Vec<u8>;

    /// Buffers the input. At the end of the stream, an answer that is not complete is lost.
    fn receive(&mut self, bytes: &[u8]) {
        self.frames.0.extend_from_slice(bytes);
        self.over |= bytes.is_empty();
    }

    /// Sends the query, then returns the answer as an event, once it is complete.
    fn next(&mut self) -> Next<Vec<u8>> {
        if let Some(query) = self.query.take() {
            return Next::Send(query);
        }
        match self.frames.take() {
            Some(answer) => Next::Event(answer),
            None if self.over => Next::Close,
            None => Next::Read,
        }
    }

    /// How long to wait for more of the answer.
    fn timeout(&self) -> Duration {
        ANSWER_TIMEOUT
    }

    /// Closes the connection without waiting for an answer that is not complete.
    fn shut_down(&mut self) {
        self.over = true;
    }
}
