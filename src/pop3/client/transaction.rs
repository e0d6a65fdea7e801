//! The TRANSACTION state of the client: what was asked, what is on its way, what comes back. RFC 1939 §5.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use super::{Dialogue, Entry, Event, Failure, Gather, Lines, Reply, Speaker, gathered};

/// Commands on their way at once to a server that offers PIPELINING. RFC 2449 §6.6 asks for a window.
const WINDOW: usize = 32;
/// A listing of more octets is not read: some hundred thousand messages.
const LISTING_OCTETS_MAX: usize = 8 * 1024 * 1024;

/// What the owner asked for, in order.
#[derive(Debug)]
pub(super) struct Transaction {
    window: usize,
    asked: VecDeque<Command>,
    sent: VecDeque<Command>,
    /// The multi-line response that is coming in, after its `+OK`.
    coming: Option<Gather>,
    /// What UIDL said, for the LIST behind it.
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

/// What one look at the octets that came has led to.
#[derive(Default)]
pub(super) struct Step {
    /// Something was read.
    pub(super) progress: bool,
    /// The owner learns this.
    pub(super) event: Option<Event>,
    /// That was the last reply.
    pub(super) over: bool,
}

impl Transaction {
    pub(super) fn new(pipelining: bool) -> Self {
        let window = if pipelining { WINDOW } else { 1 };
        Self { window, asked: VecDeque::new(), sent: VecDeque::new(), coming: None, uids: BTreeMap::new() }
    }

    pub(super) fn list(&mut self, uidl: bool) {
        self.asked.extend(uidl.then_some(Command::Uidl).into_iter().chain([Command::List]));
    }

    pub(super) fn retrieve(&mut self, number: usize) {
        self.asked.push_back(Command::Retr(number));
    }

    pub(super) fn delete(&mut self, number: usize) {
        self.asked.push_back(Command::Dele(number));
    }

    pub(super) fn quit(&mut self) {
        self.asked.push_back(Command::Quit);
    }

    /// The next command that may be sent now.
    pub(super) fn next_command(&mut self) -> Option<String> {
        if self.window <= self.sent.len() {
            return None;
        }
        let command = self.asked.pop_front()?;
        self.sent.push_back(command);
        Some(command.to_string())
    }

    pub(super) fn is_idle(&self) -> bool {
        self.asked.is_empty() && self.sent.is_empty()
    }

    /// Reads the reply to the oldest command, as far as it has come.
    pub(super) fn read(
        &mut self,
        lines: &mut Lines,
        message_octets_max: usize,
        dialogue: &mut Option<Dialogue>,
    ) -> Result<Step, Failure> {
        let Some(command) = self.sent.front().copied() else { return Ok(Step::default()) };
        if self.coming.is_some() {
            return self.read_list_or_message(command, lines, message_octets_max, dialogue);
        }
        match Reply::read(lines, dialogue)? {
            None => Ok(Step::default()),
            Some(Reply::Err(text)) => self.refused(command, text),
            Some(Reply::Ok(_)) => Ok(self.accepted(command)),
        }
    }

    fn accepted(&mut self, command: Command) -> Step {
        let done = |event| Step { progress: true, event, over: false };
        match command {
            Command::Uidl | Command::List | Command::Retr(_) => {
                self.coming = Some(Gather::default());
                done(None)
            }
            Command::Dele(number) => {
                self.sent.pop_front();
                done(Some(Event::Deleted { number }))
            }
            Command::Quit => {
                self.sent.pop_front();
                Step { progress: true, event: Some(Event::Closed), over: true }
            }
        }
    }

    fn refused(&mut self, command: Command, text: String) -> Result<Step, Failure> {
        self.sent.pop_front();
        match command {
            // UIDL is optional (RFC 1939 §7): the listing will come without names.
            Command::Uidl => Ok(Step { progress: true, ..Step::default() }),
            // What was marked may be there still. RFC 1939 §6.
            Command::Quit => Err(Failure::Refused { stage: "QUIT", text }),
            _ => {
                let event = Some(Event::Refused { command: command.to_string(), text });
                Ok(Step { progress: true, event, over: false })
            }
        }
    }

    fn read_list_or_message(
        &mut self,
        command: Command,
        lines: &mut Lines,
        message_octets_max: usize,
        dialogue: &mut Option<Dialogue>,
    ) -> Result<Step, Failure> {
        let octets_max = if matches!(command, Command::Retr(_)) { message_octets_max } else { LISTING_OCTETS_MAX };
        let Some(gather) = &mut self.coming else { return Ok(Step::default()) };
        let Some(bytes) = gathered(gather, lines, octets_max)? else { return Ok(Step::default()) };
        self.coming = None;
        self.sent.pop_front();
        if let Some(dialogue) = dialogue {
            match command {
                Command::Retr(_) => dialogue.note_data(Speaker::Server, bytes.len()),
                _ => dialogue.note_lines(Speaker::Server, &String::from_utf8_lossy(&bytes)),
            }
            dialogue.note(Speaker::Server, ".");
        }
        let event = match command {
            Command::Retr(number) => Some(Event::Message { number, bytes }),
            Command::Uidl => {
                self.uids = numbered(&bytes).map(|(number, uid)| (number, uid.to_owned())).collect();
                None
            }
            _ => Some(Event::Listing(self.listing(&bytes)?)),
        };
        Ok(Step { progress: true, event, over: false })
    }

    fn listing(&mut self, text: &[u8]) -> Result<Vec<Entry>, Failure> {
        let mut uids = std::mem::take(&mut self.uids);
        let entry = |(number, size): (usize, &str)| {
            // RFC 1939 §5 (LIST): more may follow the size, though it should not.
            let size = size.split(' ').next().and_then(|size| size.parse().ok());
            let size = size.ok_or(Failure::Violation("a size in LIST is no number"))?;
            Ok(Entry { number, size, uid: uids.remove(&number) })
        };
        numbered(text).map(entry).collect()
    }
}

/// The lines of a listing, `number text`; what does not look like that is passed over.
fn numbered(text: &[u8]) -> impl Iterator<Item = (usize, &str)> {
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
