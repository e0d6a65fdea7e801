//! Message data: DATA (RFC 5321 §4.1.1.4) and BDAT (RFC 3030).

use std::time::Duration;

use super::super::message_reader::{MessageError, MessageReader};
use super::super::{BareLineEnds, Reply};
use super::commands::{no_room, sequence, too_large};
use super::session::{PendingRequest, Session, State};
use super::{Event, Protocol};
use crate::mail::{Body, Message, Side};
use crate::net::UploadShare;

/// A refused chunk is read and discarded up to this size; beyond it the connection is closed.
const MAX_REFUSED_CHUNK_BYTES: u64 = 16 << 20;

impl Session {
    /// Reads message data of DATA or BDAT from the start of `bytes`; if the message or chunk ends there, processes it.
    /// Returns the number of bytes used, 0 outside of message data.
    pub(super) fn read_content(&mut self, bytes: &[u8]) -> usize {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Data(reader) => self.read_stuffed(reader, bytes),
            State::Chunk { left, is_last, refusal } => self.read_counted(left, is_last, refusal, bytes),
            state => {
                self.state = state;
                0
            }
        }
    }

    /// Reads dot-stuffed data of DATA; returns the number of bytes used: up to the end of the line with the final dot,
    /// which completes the message, else all. Data 16 MiB beyond the size limit closes the session with 552.
    fn read_stuffed(&mut self, mut reader: MessageReader, bytes: &[u8]) -> usize {
        match reader.take_stuffed(bytes) {
            Some(used) => {
                self.recorder.note_data(Side::Client, reader.bytes());
                self.finish_message(reader.finish_stuffed(self.config.bare_line_ends));
                used
            }
            None if reader.is_endless() => {
                self.close_with(&too_large());
                bytes.len()
            }
            None => {
                self.state = State::Data(reader);
                bytes.len()
            }
        }
    }

    /// Queues 354 after the owner has accepted DATA, and reads what follows as message data. RFC 5321 §4.1.1.4.
    pub(super) fn begin_data(&mut self, reader: MessageReader) {
        self.send_reply(&Reply::plain(354, "Start mail input; end with <CRLF>.<CRLF>"));
        self.state = State::Data(reader);
    }

    /// Executes BDAT of `bytes` bytes: for the first chunk of a message asks the owner, else begins to read the chunk.
    /// Refuses it without MAIL, without an accepted recipient, and if the message gets larger than the limit; a refused
    /// chunk is read as well, because it is not commands. RFC 3030 §2.
    pub(super) fn bdat(&mut self, bytes: u64, is_last: bool) {
        let max_message_bytes = self.config.max_message_bytes;
        let refusal = match &mut self.transaction {
            None => Some(sequence("Need MAIL and RCPT first")),
            Some(transaction) if transaction.envelope.recipients.is_empty() => Some(sequence("No valid recipients")),
            Some(transaction) => {
                let is_first = transaction.chunks.is_none();
                let share = self.config.uploads.share();
                let new = || MessageReader::new(max_message_bytes, transaction.size, share);
                let chunks = transaction.chunks.get_or_insert_with(new);
                let refusal = (max_message_bytes < bytes.saturating_add(chunks.bytes() as u64)).then(too_large);
                if refusal.is_none() {
                    chunks.expect(bytes);
                }
                if is_first && refusal.is_none() {
                    return self.forward(PendingRequest::Chunk { bytes, is_last }, Event::Data);
                }
                refusal
            }
        };
        self.begin_chunk(bytes, is_last, refusal);
    }

    /// Starts reading a chunk of `bytes` bytes; a refusal is sent after it, as the reply to BDAT. If the refused chunk
    /// is larger than 16 MiB, the refusal is sent at once and closes the session.
    pub(super) fn begin_chunk(&mut self, bytes: u64, is_last: bool, refusal: Option<Reply>) {
        match refusal {
            Some(refusal) if MAX_REFUSED_CHUNK_BYTES < bytes => self.close_with(&refusal),
            refusal => self.state = State::Chunk { left: bytes, is_last, refusal },
        }
    }

    /// Whether a chunk is complete but not processed, as an empty one is from the start.
    pub(super) fn is_chunk_read(&self) -> bool {
        matches!(self.state, State::Chunk { left: 0, .. })
    }

    /// Reads bytes of a BDAT chunk of which `left` are missing; with a refusal, discards them. Finishes the chunk with
    /// its last byte. Returns the number of bytes used.
    fn read_counted(&mut self, left: u64, is_last: bool, refusal: Option<Reply>, bytes: &[u8]) -> usize {
        let used = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let chunks = self.transaction.as_mut().and_then(|transaction| transaction.chunks.as_mut());
        if refusal.is_none()
            && let Some(chunks) = chunks
        {
            chunks.take_counted(&bytes[..used]);
        }
        match left - used as u64 {
            0 => self.finish_chunk(is_last, refusal),
            left => self.state = State::Chunk { left, is_last, refusal },
        }
        used
    }

    /// Ends a chunk that has been read: the last one of a message completes it, another one is answered with 250. With
    /// a refusal, that is the reply, and an open transaction ends.
    fn finish_chunk(&mut self, is_last: bool, refusal: Option<Reply>) {
        self.state = State::Command;
        let rule = self.rule();
        let chunks = self.transaction.as_mut().and_then(|transaction| transaction.chunks.as_mut());
        match (refusal, chunks) {
            (None, Some(chunks)) if is_last => {
                let nothing = MessageReader::new(0, None, UploadShare::default());
                let reader = std::mem::replace(chunks, nothing);
                self.finish_message(reader.finish_counted(rule));
            }
            (None, chunks) => {
                let bytes = chunks.map_or(0, |chunks| chunks.bytes());
                self.send_reply(&Reply::new(250, (2, 0, 0), &format!("{bytes} bytes received")));
            }
            // RFC 3030 §2: a failed chunk ends the transaction; further chunks are refused.
            (Some(refusal), Some(_)) => self.refuse(&refusal, is_last),
            (Some(refusal), None) => self.send_error(&refusal),
        }
    }

    /// The treatment of a lone CR or LF in the message of the open transaction: as configured, but
    /// [`BareLineEnds::Keep`] for BINARYMIME, which has no lines (RFC 3030 §3).
    fn rule(&self) -> BareLineEnds {
        match self.envelope() {
            Some(envelope) if envelope.body == Body::Binary => BareLineEnds::Keep,
            _ => self.config.bare_line_ends,
        }
    }

    /// Ends the transaction: passes the complete message to the owner, or refuses it for its fault. The waiting time
    /// starts anew. The share is the memory that the message takes until the owner has answered.
    fn finish_message(&mut self, (message, share): (Result<Message, MessageError>, UploadShare)) {
        self.waited = Duration::ZERO;
        match (message, self.transaction.take()) {
            (Ok(message), Some(transaction)) => {
                let envelope = transaction.envelope;
                let pending = PendingRequest::Message { recipients: envelope.recipients.len(), _share: share };
                self.forward(pending, Event::Message { envelope, message });
            }
            (Err(fault), transaction) => {
                self.transaction = transaction;
                self.refuse(&refusal(fault), true);
            }
            (Ok(_), None) => unreachable!("message data comes only inside a transaction"),
        }
    }

    /// Ends the transaction and queues the refusal of its message: over LMTP, if the message is complete, once for each
    /// recipient, else once. RFC 2033 §4.2.
    fn refuse(&mut self, reply: &Reply, is_complete: bool) {
        let recipients = self.transaction.take().map_or(0, |transaction| transaction.envelope.recipients.len());
        let times = if is_complete { self.replies_to_message(recipients) } else { 1 };
        self.state = State::Command;
        self.send_replies(reply, times);
    }

    /// Number of replies to a complete message: over LMTP one for each of its recipients, else one. RFC 2033 §4.2.
    pub(super) fn replies_to_message(&self, recipients: usize) -> usize {
        if self.config.protocol == Protocol::Lmtp { recipients } else { 1 }
    }
}

/// The reply to a message with this fault: 552 if the message or its header is too large, 554 for a lone CR or LF, 452
/// without memory.
fn refusal(fault: MessageError) -> Reply {
    match fault {
        MessageError::TooLarge => too_large(),
        MessageError::BareLineEnd => Reply::new(554, (5, 6, 0), "Message contains a lone CR or LF"),
        MessageError::LongHeader => Reply::new(552, (5, 3, 4), "Header of the message too large"),
        MessageError::NoRoom => no_room(),
    }
}
