//! The greeter: says welcome, greets every name it hears, and parts at `exit`. Both ends, as machines without I/O.
//!
//! ```text
//! S: Welcome!
//! C: Michael
//! S: Hello, Michael!      (after a while)
//! C: exit                 (or it hangs up)
//! ```
//!
//! Nothing marks where a name ends: what arrives in one piece is one name. That is the tutorial's protocol, and the
//! reason why other protocols have line ends.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;

use super::{NAME_MAX, greeting};
use crate::net::{Conn, Error, Machine, Next, Service, Stop, Stream};

/// What the greeter says first.
const WELCOME: &str = "Welcome!";
/// What the caller says last.
const EXIT: &str = "exit";
/// How long a caller may think about the next name.
const CALLER_PATIENCE: Duration = Duration::from_secs(300);

/// The greeter's end. Its event is a name, answered by [`Greeting::greet`].
pub struct Greeting {
    state: State,
    heard: Bytes,
}

enum State {
    Saying(Bytes),
    Listening,
    Pondering(Bytes),
    Over,
}

impl Default for Greeting {
    fn default() -> Self {
        Self { state: State::Saying(WELCOME.into()), heard: Bytes::new() }
    }
}

impl Greeting {
    /// Greets the name of the last event.
    pub fn greet(&mut self) {
        if let State::Pondering(name) = &self.state {
            self.state = State::Saying(greeting(name).into());
        }
    }

    fn listen(&mut self) -> Next<String> {
        if self.heard.is_empty() {
            return Next::Read;
        }
        let name = self.heard.split_to(self.heard.len().min(NAME_MAX));
        if name == EXIT {
            self.state = State::Over;
            return Next::Close;
        }
        let event = String::from_utf8_lossy(&name).into_owned();
        self.state = State::Pondering(name);
        Next::Event(event)
    }
}

impl Machine for Greeting {
    type Event = String;

    fn receive(&mut self, bytes: &[u8]) {
        self.heard = Bytes::copy_from_slice(bytes);
        if bytes.is_empty() {
            self.state = State::Over;
        }
    }

    fn next(&mut self) -> Next<String> {
        match &mut self.state {
            State::Saying(words) => {
                let words = std::mem::take(words);
                self.state = State::Listening;
                Next::Send(words)
            }
            State::Listening => self.listen(),
            State::Pondering(_) => Next::Answer,
            State::Over => Next::Close,
        }
    }

    fn patience(&self) -> Duration {
        CALLER_PATIENCE
    }

    fn stop(&mut self) {
        self.state = State::Over;
    }
}

/// What happens at a greeter's door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// Somebody connected.
    Came(SocketAddr),
    /// The conversation is over.
    Went(SocketAddr),
}

/// The greeter as a service for [`crate::net::serve`].
#[derive(Clone)]
pub struct Greeter {
    /// How long it thinks about each name.
    pub delay: Duration,
    /// Who wants to know who comes and goes.
    pub report: Arc<dyn Fn(Happening) + Send + Sync>,
}

impl Service for Greeter {
    async fn converse(self, stream: Stream, stop: Stop) -> Result<(), Error> {
        let peer = stream.peer();
        (self.report)(Happening::Came(peer));
        let outcome = greet_all(Conn::new(stream, Greeting::default(), stop), self.delay).await;
        (self.report)(Happening::Went(peer));
        outcome
    }
}

async fn greet_all(mut conn: Conn<Greeting>, delay: Duration) -> Result<(), Error> {
    while conn.event().await?.is_some() {
        sleep(delay).await;
        conn.machine.greet();
    }
    Ok(())
}

/// The caller's end. Its events are what the greeter says: the welcome, then an answer to each name.
pub struct Calling {
    /// Names still to be said.
    names: VecDeque<String>,
    /// What the greeter should say next; `None` once everything is said.
    expected: Option<Vec<u8>>,
    heard: Vec<u8>,
    to_say: Option<Bytes>,
    over: bool,
    patience: Duration,
}

impl Calling {
    /// Says these names, one after the other; waits for each answer as long as `patience`.
    pub fn new(names: Vec<String>, patience: Duration) -> Self {
        let expected = Some(WELCOME.as_bytes().to_vec());
        Self { names: names.into(), expected, heard: Vec::new(), to_say: None, over: false, patience }
    }

    /// Whether the greeter has answered everything.
    pub fn is_done(&self) -> bool {
        self.expected.is_none()
    }

    /// An answer is whole when it is what we expect. Anything else has no end that we could know, so it is taken as
    /// it came.
    fn take_answer(&mut self) -> Option<String> {
        let expected = self.expected.as_ref()?;
        if self.heard.is_empty() || (self.heard.len() < expected.len() && expected.starts_with(&self.heard)) {
            return None;
        }
        let length = if self.heard.starts_with(expected) { expected.len() } else { self.heard.len() };
        let answer: Vec<u8> = self.heard.drain(..length).collect();
        self.say_next();
        Some(String::from_utf8_lossy(&answer).into_owned())
    }

    fn say_next(&mut self) {
        let name = self.names.pop_front();
        self.expected = name.as_ref().map(|name| greeting(name.as_bytes()));
        self.over |= name.is_none();
        self.to_say = Some(name.unwrap_or_else(|| EXIT.to_owned()).into());
    }
}

impl Machine for Calling {
    type Event = String;

    fn receive(&mut self, bytes: &[u8]) {
        self.heard.extend_from_slice(bytes);
        self.over |= bytes.is_empty();
    }

    fn next(&mut self) -> Next<String> {
        if let Some(words) = self.to_say.take() {
            return Next::Send(words);
        }
        match self.take_answer() {
            Some(answer) => Next::Event(answer),
            None if self.over => Next::Close,
            None => Next::Read,
        }
    }

    fn patience(&self) -> Duration {
        self.patience
    }

    fn stop(&mut self) {
        self.over = true;
    }
}

/// Reads a name as somebody typed it: the protocol can carry one that fits in one piece and does not mean goodbye.
///
/// # Errors
/// It cannot be said to a greeter.
pub fn sayable(text: &str) -> Result<String, &'static str> {
    match text {
        "" => Err("an empty name cannot be sent over TCP"),
        EXIT => Err("`exit` is how a caller says goodbye"),
        _ if NAME_MAX < text.len() => Err("a name has at most 1024 octets"),
        _ => Ok(text.to_owned()),
    }
}

/// Calls a greeter: says each name, hands what it says to `hear`, and parts.
///
/// # Errors
/// The greeter hung up early, or was silent for longer than the patience.
pub async fn call(stream: Stream, calling: Calling, mut hear: impl FnMut(String)) -> Result<(), Error> {
    let mut conn = Conn::new(stream, calling, Stop::new());
    while let Some(words) = conn.event().await? {
        hear(words);
    }
    if conn.machine.is_done() { Ok(()) } else { Err(Error::Closed) }
}
