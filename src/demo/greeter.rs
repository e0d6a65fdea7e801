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
    /// A session that begins with the welcome.
    fn default() -> Self {
        Self { state: State::Sending(WELCOME.into()), received: Bytes::new() }
    }
}

impl GreeterSession {
    /// Makes the reply to the name of the last event the next bytes to send; does nothing if no name awaits one.
    pub fn greet(&mut self) {
        if let State::Answering(name) = &self.state {
            self.state = State::Sending(greeting(name).into());
        }
    }

    /// Takes the received bytes as a name: an event, cut to the longest name; the rest is the next name. `exit` closes
    /// the connection; without bytes, more are to be read.
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

    /// Replaces what was received before by these bytes; the end of the stream closes the session.
    fn receive(&mut self, bytes: &[u8]) {
        self.received = Bytes::copy_from_slice(bytes);
        if bytes.is_empty() {
            self.state = State::Closed;
        }
    }

    /// Sends the welcome or the reply first, then gives the next name as an event, and waits for
    /// [`GreeterSession::greet`]. Closes the connection after `exit`, the end of the stream or a shutdown.
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

    /// Always 5 minutes.
    fn timeout(&self) -> Duration {
        CLIENT_TIMEOUT
    }

    /// Closes the session at once, without a closing text.
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
    /// Reports the connection, serves the greeter on it until the client is done or `stop` fires, and reports its end.
    async fn serve_connection(self, stream: Stream, stop: Stop) -> Result<(), Error> {
        let peer = stream.peer();
        (self.report)(GreeterEvent::Connected(peer));
        let outcome = greet_all(Conn::new(stream, GreeterSession::default(), stop), self.delay).await;
        (self.report)(GreeterEvent::Disconnected(peer));
        outcome
    }
}

/// Replies to each name, `delay` after it came, until the connection is closed.
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
    /// Creates a client that sends these names one after the other, then `exit`; `timeout` limits the wait for each
    /// reply.
    pub fn new(names: Vec<String>, timeout: Duration) -> Self {
        let expected = Some(WELCOME.as_bytes().to_vec());
        Self { names: names.into(), expected, received: Vec::new(), to_send: None, over: false, timeout }
    }

    /// Whether all texts were received: the welcome, and the reply to each name.
    pub fn is_done(&self) -> bool {
        self.expected.is_none()
    }

    /// Returns the next text once it is complete, and prepares the next name; `None` if more bytes are needed, or all
    /// texts were received. The end of an unexpected text is unknown, so that it is returned as received.
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

    /// Prepares the next name to be sent, with its expected reply; after the last one `exit`, after which the client
    /// closes the connection.
    fn send_next(&mut self) {
        let name = self.names.pop_front();
        self.expected = name.as_ref().map(|name| greeting(name.as_bytes()));
        self.over |= name.is_none();
        self.to_send = Some(name.unwrap_or_else(|| EXIT.to_owned()).into());
    }
}

impl Machine for GreeterClient {
    type Event = String;

    /// Adds the bytes to the received ones; after the end of the stream, the client closes the connection.
    fn receive(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
        self.over |= bytes.is_empty();
    }

    /// Sends the prepared name first, then gives each complete text of the greeter as an event. Closes the connection
    /// after `exit`, the end of the stream or a shutdown, once no complete text is left.
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

    /// Always the limit of [`GreeterClient::new`].
    fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Closes the connection as soon as nothing is to be sent and no complete reply is buffered.
    fn shut_down(&mut self) {
        self.over = true;
    }
}

/// Returns the name if it is valid: not empty, not `exit`, at most 1024 bytes.
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

/// Runs a client on a stream until all its names have a reply; calls `on_reply` with each text of the greeter, the
/// welcome first.
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
