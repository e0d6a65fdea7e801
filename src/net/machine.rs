//! The interface of a sans-I/O protocol session: it uses no socket, clock or disk.

use std::time::Duration;

use bytes::Bytes;

/// One end of a protocol session, without I/O. [`super::Conn`] drives it over a stream; a test can connect two of them
/// directly.
///
/// Requests that need I/O (check a password, store a message) are returned as events. The owner answers an event by
/// calling a method of the machine, then continues with [`super::Conn::event`].
pub trait Machine {
    /// What the owner must decide, store or know.
    type Event;

    /// Takes bytes from the peer; an empty slice is the end of the stream. Only called after [`Next::Read`], so a
    /// machine holds at most one unread chunk besides the current command.
    fn receive(&mut self, bytes: &[u8]);

    /// The next step. Called repeatedly until it returns [`Next::Read`], [`Next::AwaitOwner`] or [`Next::Close`].
    /// Replies to pipelined commands are combined into one [`Next::Send`] (RFC 2920 §3.2).
    fn next(&mut self) -> Next<Self::Event>;

    /// Whether only a part of the expected replies has arrived, so that the peer may be waiting for a TCP
    /// acknowledgement.
    fn expects_more(&self) -> bool {
        false
    }

    /// Whether the next step is another [`Next::Send`], which can be written together with the last one.
    fn has_more(&self) -> bool {
        false
    }

    /// Whether the machine has unread input and returned [`Next::Read`] only so that other tasks have their turn: it is
    /// then asked for the next step without more input.
    fn has_input(&self) -> bool {
        false
    }

    /// The length of the message that this input completes, on which [`Machine::receive`] then works as a whole; 0 if
    /// it completes none.
    fn completed_bytes(&self, _input: &[u8]) -> usize {
        0
    }

    /// How long to wait for the peer now, for a byte to read or for space to write.
    fn timeout(&self) -> Duration;

    /// Adds the time of the last wait for the peer. A machine that limits the sum in [`Machine::timeout`] cannot be
    /// kept busy for ever by a peer that sends single bytes.
    fn add_wait(&mut self, _time: Duration) {}

    /// Shut down: send the closing reply as soon as the protocol allows it, then return [`Next::Close`].
    fn shut_down(&mut self);

    /// The peer exceeded [`Machine::timeout`]: a last chance to send a reply before the connection is closed.
    fn on_timeout(&mut self) {}
}

/// What the driver of a [`Machine`] does next.
#[derive(Debug)]
pub enum Next<Event> {
    /// Write these bytes; large message parts are slices of the shared buffer.
    Send(Bytes),
    /// Pass this to the owner.
    Event(Event),
    /// Nothing to do until the owner answers the last event.
    AwaitOwner,
    /// Wait for bytes from the peer.
    Read,
    /// The session is over: close the stream.
    Close,
}
