//! The TRANSACTION state of the client: queued and sent commands and their replies. RFC 1939 §5.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use super::{Entry, Event, Failure, Lines, MultilineReader, Reply, Side, Transcript, read_multiline};

/// Maximum number of commands in flight with PIPELINING. RFC 2449 §6.6 asks for a window.
const MAX_PIPELINED_COMMANDS: usize = 32;
/// Maximum length of a listing: some hundred thousand messages.
const MAX_LISTING_BYTES: usize = 8 * 1024 * 1024;

/// The owner's requests, in order.
#[derive(Debug)]
pub(super) struct Transaction {
    window: usize,
    queued: VecDeque<Command>,
    sent: VecDeque<Command>,
    /// The multi-line response that is being received, after its `+OK`.
    response: Option<MultilineReader>,
    /// The unique ids of UIDL, for the LIST after it.
    uids: BTreeMap<usize, String>,
}

/// RFC 1939 §5, §7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Uidl,
    List,
    Retr(usize),
    Dele(usize),
    Quit,
}

/// The result of reading.
#[derive(Default)]
pub(super) struct Step {
    /// Whether something was read.
    pub(super) progress: bool,
    /// The event for the owner.
    pub(super) event: Option<Event>,
    /// Whether this was the last reply.
    pub(super) is_last: bool,
}

impl Transaction {
    pub(super) fn new(pipelining: bool) -> Self {
        let window = if pipelining { MAX_PIPELINED_COMMANDS } else { 1 };
        Self { window, queued: VecDeque::new(), sent: VecDeque::new(), response: None, uids: BTreeMap::new() }
    }

    /// Queues LIST, with UIDL before it if `uidl`.
    pub(super) fn list(&mut self, uidl: bool) {
        self.queued.extend(uidl.then_some(Command::Uidl).into_iter().chain([Command::List]));
    }

    /// Queues RETR of the message with this number.
    pub(super) fn retrieve(&mut self, number: usize) {
        self.queued.push_back(Command::Retr(number));
    }

    /// Queues DELE of the message with this number.
    pub(super) fn delete(&mut self, number: usize) {
        self.queued.push_back(Command::Dele(number));
    }

    /// Queues QUIT.
    pub(super) fn quit(&mut self) {
        self.queued.push_back(Command::Quit);
    }

    /// Takes the next command to send, without its line end, and counts it as unanswered; `None` if none is queued, or
    /// as many are unanswered as may be: 32 with PIPELINING, else one.
    pub(super) fn next_command(&mut self) -> Option<String> {
        if self.window <= self.sent.len() {
            return None;
        }
        let command = self.queued.pop_front()?;
        self.sent.push_back(command);
        Some(command.to_string())
    }

    /// Whether no command is queued or unanswered.
    pub(super) fn is_idle(&self) -> bool {
        self.queued.is_empty() && self.sent.is_empty()
    }

    /// Reads the available part of the reply to the oldest unanswered command, and records it; no progress if more
    /// input is needed or no command is unanswered. The error ends the session.
    pub(super) fn read(
        &mut self,
        lines: &mut Lines,
        max_message_bytes: usize,
        transcript: &mut Option<Transcript>,
    ) -> Result<Step, Failure> {
        let Some(command) = self.sent.front().copied() else { return Ok(Step::default()) };
        if self.response.is_some() {
            return self.read_list_or_message(command, lines, max_message_bytes, transcript);
        }
        match Reply::read(lines, transcript)? {
            None => Ok(Step::default()),
            Some(Reply::Err(text)) => self.refused(command, text),
            Some(Reply::Ok(_)) => Ok(self.accepted(command)),
        }
    }

    /// Processes `+OK` to a command. DELE and QUIT are answered by it, and become events, QUIT as the last step; after
    /// that to UIDL, LIST and RETR a multi-line response follows.
    fn accepted(&mut self, command: Command) -> Step {
        let done = |event| Step { progress: true, event, is_last: false };
        match command {
            Command::Uidl | Command::List | Command::Retr(_) => {
                self.response = Some(MultilineReader::default());
                done(None)
            }
            Command::Dele(number) => {
                self.sent.pop_front();
                done(Some(Event::Deleted { number }))
            }
            Command::Quit => {
                self.sent.pop_front();
                Step { progress: true, event: Some(Event::Closed), is_last: true }
            }
        }
    }

    /// Processes `-ERR` to a command, which is answered by it: that to QUIT is returned as a failure, one to UIDL is
    /// ignored, and any other becomes [`Event::Refused`].
    fn refused(&mut self, command: Command, text: String) -> Result<Step, Failure> {
        self.sent.pop_front();
        match command {
            // UIDL is optional (RFC 1939 §7): the listing will have no unique ids.
            Command::Uidl => Ok(Step { progress: true, ..Step::default() }),
            // The marked messages may still exist. RFC 1939 §6.
            Command::Quit => Err(Failure::Refused { stage: "QUIT", text }),
            _ => {
                let event = Some(Event::Refused { command: command.to_string(), text });
                Ok(Step { progress: true, event, is_last: false })
            }
        }
    }

    /// Reads the multi-line response after `+OK`; no progress until it is complete. That to RETR and LIST becomes an
    /// event, and that to UIDL is kept for the LIST after it. Fails if it is larger than `max_message_bytes`, or
    /// [`MAX_LISTING_BYTES`] for a listing.
    fn read_list_or_message(
        &mut self,
        command: Command,
        lines: &mut Lines,
        max_message_bytes: usize,
        transcript: &mut Option<Transcript>,
    ) -> Result<Step, Failure> {
        let max_bytes = if matches!(command, Command::Retr(_)) { max_message_bytes } else { MAX_LISTING_BYTES };
        let Some(reader) = &mut self.response else { return Ok(Step::default()) };
        let Some(bytes) = read_multiline(reader, lines, max_bytes)? else { return Ok(Step::default()) };
        self.response = None;
        self.sent.pop_front();
        if let Some(transcript) = transcript {
            match command {
                Command::Retr(_) => transcript.note_data(Side::Server, bytes.len()),
                _ => transcript.note_lines(Side::Server, &String::from_utf8_lossy(&bytes)),
            }
            transcript.note(Side::Server, ".");
        }
        let event = match command {
            Command::Retr(number) => Some(Event::Message { number, bytes }),
            Command::Uidl => {
                self.uids = numbered_lines(&bytes).map(|(number, uid)| (number, uid.to_owned())).collect();
                None
            }
            _ => Some(Event::Listing(self.listing(&bytes)?)),
        };
        Ok(Step { progress: true, event, is_last: false })
    }

    /// Parses the response to LIST into entries; each gets the unique id that the UIDL before it reported, or `None`.
    /// Fails if a size is no number.
    fn listing(&mut self, text: &[u8]) -> Result<Vec<Entry>, Failure> {
        let mut uids = std::mem::take(&mut self.uids);
        let entry = |(number, size): (usize, &str)| {
            // RFC 1939 §5 (LIST): more text may follow the size.
            let size = size.split(' ').next().and_then(|size| size.parse().ok());
            let size = size.ok_or(Failure::Violation("a size in LIST is no number"))?;
            Ok(Entry { number, size, uid: uids.remove(&number) })
        };
        numbered_lines(text).map(entry).collect()
    }
}

/// The lines `number text` of a listing, as pairs, in order; other lines, and those that are not UTF-8, are ignored.
fn numbered_lines(text: &[u8]) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    lines.filter_map(|line| {
        let (number, text) = line.trim_end().split_once(' ')?;
        Some((number.parse().ok()?, text.trim_start()))
    })
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uidl => f.write_str("UIDL"),
            Self::List => f.write_str("LIST"),
            Self::Retr(number) => write!(f, "RETR {number}"),
            Self::Dele(number) => write!(f, "DELE {number}"),
            Self::Quit => f.write_str("QUIT"),
        }
    }
}
