//! DNS over TCP: two octets of length before each message, several messages a connection. RFC 1035 §4.2.2, RFC 7766.
//! Both ends, as machines without I/O.

use std::time::Duration;

use bytes::Bytes;

use crate::net::{Machine, Next};

/// How long a connection may stay idle. RFC 7766 §6.2.3: of the order of seconds.
const IDLE: Duration = Duration::from_secs(30);
/// How long the server may take to answer us.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
/// Answers gather up to about this size before they are sent.
const GATHER_BYTES: usize = 64 * 1024;

/// Cuts a stream into messages. Holds at most one message and one chunk.
#[derive(Debug, Default)]
struct Frames(Vec<u8>);

impl Frames {
    fn take(&mut self) -> Option<Vec<u8>> {
        let (length, rest) = self.0.split_first_chunk()?;
        let message = rest.get(..usize::from(u16::from_be_bytes(*length)))?.to_vec();
        self.0.drain(..length.len() + message.len());
        Some(message)
    }
}

/// Puts the length in front; `None` for what is too long.
fn framed(message: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(message.len()).ok()?.to_be_bytes();
    Some([&length, message].concat())
}

/// The server's end: its events are the queries, in turn. One that gets no answer is passed over.
#[derive(Default)]
pub(super) struct Answering {
    frames: Frames,
    answers: Vec<u8>,
    over: bool,
}

impl Answering {
    /// Answers the last query; nothing, where it was none.
    pub(super) fn answer(&mut self, answer: Option<Vec<u8>>) {
        match answer.and_then(|answer| framed(&answer)) {
            Some(answer) => self.answers.extend(answer),
            // Whoever sends what is no query has lost the place in the stream, or speaks something else.
            None => (self.over, self.frames) = (true, Frames::default()),
        }
    }
}

impl Machine for Answering {
    type Event = Vec<u8>;

    fn receive(&mut self, bytes: &[u8]) {
        self.frames.0.extend_from_slice(bytes);
        self.over |= bytes.is_empty();
    }

    fn next(&mut self) -> Next<Vec<u8>> {
        if self.answers.len() < GATHER_BYTES
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

    fn patience(&self) -> Duration {
        IDLE
    }

    fn stop(&mut self) {
        self.over = true;
    }
}

/// The client's end: one query; its event is the answer.
pub(super) struct Asking {
    query: Option<Bytes>,
    frames: Frames,
    over: bool,
}

impl Asking {
    /// Asks with this message; `None` if it is too long to be one.
    pub(super) fn new(query: &[u8]) -> Option<Self> {
        Some(Self { query: Some(framed(query)?.into()), frames: Frames::default(), over: false })
    }
}

impl Machine for Asking {
    type Event = Vec<u8>;

    fn receive(&mut self, bytes: &[u8]) {
        self.frames.0.extend_from_slice(bytes);
        self.over |= bytes.is_empty();
    }

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

    fn patience(&self) -> Duration {
        ANSWER_PATIENCE
    }

    fn stop(&mut self) {
        self.over = true;
    }
}
