//! Message data: DATA (RFC 5321 §4.1.1.4) and BDAT (RFC 3030).

use std::time::Duration;

use super::super::incoming::{Fault, Incoming};
use super::super::known::Known;
use super::super::{BareLineEnds, Reply};
use super::commands::{sequence, too_large};
use super::session::{Question, Session, State};
use super::{Event, Protocol};
use crate::mail::{Body, Letter};

/// A chunk that is refused is read and thrown away up to this size; beyond it the connection ends.
const REFUSED_OCTETS_MAX: u64 = 16 << 20;

impl Session {
    /// Takes what belongs to the message; the number of octets used, 0 outside of message data.
    pub(super) fn content(&mut self, bytes: &[u8]) -> usize {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Data(incoming) => self.stuffed(incoming, bytes),
            State::Chunk { left, is_last, refusal } => self.counted(left, is_last, refusal, bytes),
            state => {
                self.state = state;
                0
            }
        }
    }

    fn stuffed(&mut self, mut incoming: Incoming, bytes: &[u8]) -> usize {
        match incoming.take_stuffed(bytes) {
            Some(used) => {
                self.note_data(incoming.octets());
                self.message(incoming.finish_stuffed(self.config.bare_line_ends));
                used
            }
            None if incoming.is_endless() => {
                self.part(&too_large());
                bytes.len()
            }
            None => {
                self.state = State::Data(incoming);
                bytes.len()
            }
        }
    }

    /// The owner lets the message come. RFC 5321 §4.1.1.4.
    pub(super) fn begin_data(&mut self, incoming: Incoming) {
        self.say(&Reply::plain(354, "go on; a line with a single dot ends it"));
        self.state = State::Data(incoming);
    }

    /// RFC 3030 §2. Whatever is wrong, the octets announced are not commands. The owner is asked about the first chunk.
    pub(super) fn bdat(&mut self, octets: u64, is_last: bool) {
        let size_max = self.config.size_max;
        let refusal = match &mut self.transaction {
            None => Some(sequence("MAIL and RCPT come first")),
            Some(transaction) if transaction.envelope.recipients.is_empty() => Some(sequence("no valid recipients")),
            Some(transaction) => {
                let is_first = transaction.chunks.is_none();
                let new = || Incoming::new(size_max, transaction.size, self.config.known.clone());
                let chunks = transaction.chunks.get_or_insert_with(new);
                let refusal = (size_max < octets.saturating_add(chunks.octets() as u64)).then(too_large);
                if refusal.is_none() {
                    chunks.expect(octets);
                }
                if is_first && refusal.is_none() {
                    return self.ask(Question::Chunk { octets, is_last }, Event::Data);
                }
                refusal
            }
        };
        self.begin_chunk(octets, is_last, refusal);
    }

    /// Reads the chunk, whether it is wanted or not; the refusal comes behind it, as the reply to BDAT.
    pub(super) fn begin_chunk(&mut self, octets: u64, is_last: bool, refusal: Option<Reply>) {
        match refusal {
            Some(refusal) if REFUSED_OCTETS_MAX < octets => self.part(&refusal),
            refusal => self.state = State::Chunk { left: octets, is_last, refusal },
        }
    }

    /// Whether a chunk is complete that nobody looked at yet, as an empty one is from the start.
    pub(super) fn is_chunk_read(&self) -> bool {
        matches!(self.state, State::Chunk { left: 0, .. })
    }

    fn counted(&mut self, left: u64, is_last: bool, refusal: Option<Reply>, bytes: &[u8]) -> usize {
        let used = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let chunks = self.transaction.as_mut().and_then(|transaction| transaction.chunks.as_mut());
        if refusal.is_none()
            && let Some(chunks) = chunks
        {
            chunks.take_counted(&bytes[..used]);
        }
        match left - used as u64 {
            0 => self.chunk_read(is_last, refusal),
            left => self.state = State::Chunk { left, is_last, refusal },
        }
        used
    }

    fn chunk_read(&mut self, is_last: bool, refusal: Option<Reply>) {
        self.state = State::Command;
        let rule = self.rule();
        let chunks = self.transaction.as_mut().and_then(|transaction| transaction.chunks.as_mut());
        match (refusal, chunks) {
            (None, Some(chunks)) if is_last => {
                let incoming = std::mem::replace(chunks, Incoming::new(0, None, Known::default()));
                self.note_data(incoming.octets());
                self.message(incoming.finish_counted(rule));
            }
            (None, chunks) => {
                let octets = chunks.map_or(0, |chunks| chunks.octets());
                self.say(&Reply::new(250, (2, 0, 0), &format!("{octets} octets so far")));
            }
            // RFC 3030 §2: a chunk that fails takes the transaction with it; the chunks behind it find none.
            (Some(refusal), Some(_)) => self.refuse(&refusal, is_last),
            (Some(refusal), None) => self.complain(&refusal),
        }
    }

    /// RFC 3030 §3: BINARYMIME has no lines, so a CR or LF in it is an octet as any other.
    fn rule(&self) -> BareLineEnds {
        match self.envelope() {
            Some(envelope) if envelope.body == Body::Binary => BareLineEnds::Keep,
            _ => self.config.bare_line_ends,
        }
    }

    /// The message is over: the owner decides, if it may be taken at all.
    fn message(&mut self, message: Result<Letter, Fault>) {
        self.waited = Duration::ZERO;
        match (message, self.transaction.take()) {
            (Ok(letter), Some(transaction)) => {
                let envelope = transaction.envelope;
                let question = Question::Message { recipients: envelope.recipients.len() };
                self.ask(question, Event::Message { envelope, letter });
            }
            (Err(fault), transaction) => {
                self.transaction = transaction;
                self.refuse(&refusal(fault), true);
            }
            (Ok(_), None) => unreachable!("message data comes only inside a transaction"),
        }
    }

    /// Refuses the message; LMTP says so once a recipient when it is complete. RFC 2033 §4.2.
    fn refuse(&mut self, reply: &Reply, is_complete: bool) {
        let recipients = self.transaction.take().map_or(0, |transaction| transaction.envelope.recipients.len());
        let times = if is_complete { self.replies_to_message(recipients) } else { 1 };
        self.state = State::Command;
        self.say_times(reply, times);
    }

    /// RFC 2033 §4.2.
    pub(super) fn replies_to_message(&self, recipients: usize) -> usize {
        if self.config.protocol == Protocol::Lmtp { recipients } else { 1 }
    }
}

fn refusal(fault: Fault) -> Reply {
    match fault {
        Fault::TooLarge => too_large(),
        Fault::BareLineEnd => Reply::new(554, (5, 6, 0), "a lone CR or LF is not allowed in a message"),
    }
}
