//! The greeter: sends a welcome, replies to each name and closes at `exit`. Server and client as sans-I/O machines.
//!
//! ```text
//! S: Welcome!
//! C: Michael
//! S: Hello, Michael!      (after a delay)
//! C: exit                 (or close)
//! ```
//!
//! The protocol, which is the tutorial's, has no delimiter: each read is one name.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;

use super::{MAX_NAME_BYTES, greeting};
use crate::net::{Conn, Error, Machine, Next, Service, Stop, Stream};

/// The server's greeting.
const WELCOME: &str = "Welcome!";
/// The client's last message.
const EXIT: &str = "exit";
/// How long the server waits for the next name.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(300);

/// The server side. Its event is a name, answered by [`GreeterSession::greet`].
pub struct GreeterSession {
    state: State,
    received: Bytes,
}

enum State {
    Sending(Bytes),
    Reading,
    Answering(Bytes),
    Closed,
}

impl Default for GreeterSession {
    fn default() -> Self {
        Self { state: State::Sending(WELCOME.into()), received: Bytes::new() }
    }
}

impl GreeterSession {
    /// Replies to the name of the last event.
    pub fn greet(&mut self) {
        if let State::Answering(name) = &self.state {
            self.state = State::Sending(greeting(name).into());
        }
    }

    /// The received name as an event, cut to the longest; the rest is the next name. `exit` closes the connection.
    fn read_name(&mut self) -> Next<String> {
        if self.received.is_empty() {
            return Next::Read;
        }
        let name = self.received.split_to(self.received.len().min(MAX_NAME_BYTES));
        if name == EXIT {
            self.state = State::Closed;
            return Next::Close;
        }
        let event = String::from_utf8_lossy(&name).into_owned();
        self.state = State::Answering(name);
        Next::Event(event)
    }
}

impl Machine for GreeterSession {
    type Event = String;

    fn receive(&mut self, bytes: &[u8]) {
        self.received = Bytes::copy_from_slice(bytes);
        if bytes.is_empty() {
            self.state = State::Closed;
        }
    }

    fn next(&mut self) -> Next<String> {
        match &mut self.state {
            State::Sending(words) => {
                let words = std::mem::take(words);
                self.state = State::Reading;
                Next::Send(words)
            }
            State::Reading => self.read_name(),
            State::Answering(_) => Next::AwaitOwner,
            State::Closed => Next::Close,
        }
    }

    fn timeout(&self) -> Duration {
        CLIENT_TIMEOUT
    }

    fn shut_down(&mut self) {
        self.state = State::Closed;
    }
}

/// A connection event of the greeter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GreeterEvent {
    /// A client connected.
    Connected(SocketAddr),
    /// The connection was closed.
    Disconnected(SocketAddr),
}

/// The greeter as a service for [`crate::net::serve`].
#[derive(Clone)]
pub struct Greeter {
    /// Delay before each reply.
    pub delay: Duration,
    /// Called for each connection event.
    pub report: Arc<dyn Fn(GreeterEvent) + Send + Sync>,
}

impl Service for Greeter {
    async fn serve_connection(self, stream: Stream, stop: Stop) -> Result<(), Error> {
        let peer = stream.peer();
        (self.report)(GreeterEvent::Connected(peer));
        let outcome = greet_all(Conn::new(stream, GreeterSession::default(), stop), self.delay).await;
        (self.report)(GreeterEvent::Disconnected(peer));
        outcome
    }
}

async fn greet_all(mut conn: Conn<GreeterSession>, delay: Duration) -> Result<(), Error> {
    while conn.event().await?.is_some() {
        sleep(delay).await;
        conn.machine.greet();
    }
    Ok(())
}

/// The client side. Its events are the greeter's texts: the welcome, then a reply to each name.
pub struct GreeterClient {
    /// Names still to be sent.
    names: VecDeque<String>,
    /// The expected next text; `None` once all replies were received.
    expected: Option<Vec<u8>>,
    received: Vec<u8>,
    to_send: Option<Bytes>,
    over: bool,
    timeout: Duration,
}

impl GreeterClient {
    /// Creates a client that sends these names one after the other; `timeout` limits the wait for each reply.
    pub fn new(names: Vec<String>, timeout: Duration) -> Self {
        let expected = Some(WELCOME.as_bytes().to_vec());
        Self { names: names.into(), expected, received: Vec::new(), to_send: None, over: false, timeout }
    }

    /// Whether all replies were received.
    pub fn is_done(&self) -> bool {
        self.expected.is_none()
    }

    /// Returns the next reply once it is complete, and prepares the next name. The end of an unexpected text is
    /// unknown, so that it is returned as received.
    fn take_reply(&mut self) -> Option<String> {
        let expected = self.expected.as_ref()?;
        if self.received.is_empty() || (self.received.len() < expected.len() && expected.starts_with(&self.received)) {
            return None;
        }
        let length = if self.received.starts_with(expected) { expected.len() } else { self.received.len() };
        let answer: Vec<u8> = self.received.drain(..length).collect();
        self.send_next();
        Some(String::from_utf8_lossy(&answer).into_owned())
    }

    /// Prepares the next name to be sent, or `exit` after the last one.
    fn send_next(&mut self) {
        let name = self.names.pop_front();
        self.expected = name.as_ref().map(|name| greeting(name.as_bytes()));
        self.over |= name.is_none();
        self.to_send = Some(name.unwrap_or_else(|| EXIT.to_owned()).into());
    }
}

impl Machine for GreeterClient {
    type Event = String;

    fn receive(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
        self.over |= bytes.is_empty();
    }

    fn next(&mut self) -> Next<String> {
        if let Some(words) = self.to_send.take() {
            return Next::Send(words);
        }
        match self.take_reply() {
            Some(answer) => Next::Event(answer),
            None if self.over => Next::Close,
            None => Next::Read,
        }
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    fn shut_down(&mut self) {
        self.over = true;
    }
}

/// Validates a name: not empty, not `exit`, at most 1024 bytes.
///
/// # Errors
/// The name cannot be sent to a greeter.
pub fn parse_name(text: &str) -> Result<String, &'static str> {
    match text {
        "" => Err("an empty name cannot be sent over TCP"),
        EXIT => Err("`exit` is reserved: it closes the connection"),
        _ if MAX_NAME_BYTES < text.len() => Err("a name has at most 1024 bytes"),
        _ => Ok(text.to_owned()),
    }
}

/// Runs a client on a stream; calls `on_reply` with each text of the greeter.
///
/// # Errors
/// The greeter closed the connection early, or did not reply in time.
pub async fn call(stream: Stream, client: GreeterClient, mut on_reply: impl FnMut(String)) -> Result<(), Error> {
    let mut conn = Conn::new(stream, client, Stop::new());
    while let Some(text) = conn.event().await? {
        on_reply(text);
    }
    if conn.machine.is_done() { Ok(()) } else { Err(Error::Closed) }
}
