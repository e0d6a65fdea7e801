//! What every protocol end is: a machine that knows no socket, clock or disk.

use std::time::Duration;

use bytes::Bytes;

/// One end of a conversation, with no I/O in it. [`super::Conn`] runs it over a stream; a test may join two of them
/// with nothing between.
///
/// What needs the outside (check a password, store a message) goes out as an event; the owner answers it by calling a
/// method of the machine, and goes on with [`super::Conn::event`].
pub trait Machine {
    /// What the owner of this end must decide, store or know.
    type Event;

    /// Takes bytes from the peer; an empty slice says that the peer sends no more. Only called after [`Next::Read`],
    /// so a machine holds at most one unread chunk beside the command it is in.
    fn receive(&mut self, bytes: &[u8]);

    /// The next step. Called again and again until it says [`Next::Read`], [`Next::Answer`] or [`Next::Close`].
    /// Replies to pipelined commands gather into one [`Next::Send`] (RFC 2920 §3.2).
    fn next(&mut self) -> Next<Self::Event>;

    /// Whether the peer has said only a part of what it owes, and waits for nothing but our acknowledgement of it.
    fn awaits_rest(&self) -> bool {
        false
    }

    /// Whether the next step is one more [`Next::Send`], which may go out together with the last.
    fn has_more(&self) -> bool {
        false
    }

    /// How long the peer may keep us waiting now, for a byte from it or for room to send to it.
    fn patience(&self) -> Duration;

    /// Learns how long the peer kept us waiting just now. Who bounds the sum in [`Machine::patience`] cannot be held up
    /// for ever by a peer that never quite falls silent.
    fn waited(&mut self, _time: Duration) {}

    /// The house closes: say farewell at the next moment when the protocol allows it, then [`Next::Close`].
    fn stop(&mut self);

    /// The peer was silent for longer than [`Machine::patience`]: a chance to say why before the connection ends.
    fn expire(&mut self) {}
}

/// What the driver of a [`Machine`] does next.
#[derive(Debug)]
pub enum Next<Event> {
    /// Write these bytes; large message parts come as slices of the shared buffer.
    Send(Bytes),
    /// Hand this to the owner.
    Event(Event),
    /// Nothing to do until the owner answers the last event.
    Answer,
    /// Wait for bytes from the peer.
    Read,
    /// The conversation is over: close the stream.
    Close,
}
