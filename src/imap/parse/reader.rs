//! Splits the stream into commands: lines, and the literals announced by `{n}` at the end of a line. RFC 9051 §4.3.
//!
//! A literal that is too large, or a line that is too long, is skipped without buffering, and the command is refused.

use bytes::{Buf, Bytes, BytesMut};

use crate::net::{UploadBudget, UploadShare, is_http_request};

/// All messages of a command together may have the size of this many of the largest. RFC 3502.
const MAX_MESSAGES_PER_COMMAND: usize = 2;

/// What comes behind a literal in the chunk with its end, at most.
const MAX_CHUNK_BYTES: usize = 64 * 1024;

/// Limits of what is buffered of one command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// All lines of a command together, in bytes.
    pub(crate) line: usize,
    /// Each message of a command, in bytes; all of them together may be twice as long.
    pub(crate) message: usize,
    /// All literals of a command without messages together, in bytes.
    pub(crate) literals: usize,
}

/// One command as received.
#[derive(Debug, Default)]
pub(crate) struct RawCommand {
    /// Its lines; all but the last end in `{n}` CR LF.
    pub(crate) text: Vec<u8>,
    /// The literals, in order.
    pub(crate) literals: Vec<Bytes>,
    /// Their part of the memory for uploads.
    pub(crate) share: UploadShare,
}

impl RawCommand {
    /// Returns whether this is the named command, in any case, not one behind `UID`; only for commands with arguments.
    pub(crate) fn is(&self, verb: &str) -> bool {
        let mut words = self.text.split(|byte| *byte == b' ');
        words.nth(1).is_some_and(|word| word.eq_ignore_ascii_case(verb.as_bytes()))
    }

    /// Returns whether the literals of this command are messages: those of `APPEND`, `REPLACE` and `UID REPLACE`.
    fn has_messages(&self) -> bool {
        let is = |word: Option<&[u8]>, verb: &str| word.is_some_and(|word| word.eq_ignore_ascii_case(verb.as_bytes()));
        let mut words = self.text.split(|byte| *byte == b' ').skip(1);
        let (verb, next) = (words.next(), words.next());
        is(verb, "APPEND") || is(verb, "REPLACE") || (is(verb, "UID") && is(next, "REPLACE"))
    }
}

/// The state of the input.
#[derive(Debug)]
pub(crate) enum ReadResult {
    /// Incomplete; more bytes are needed.
    More,
    /// The client waits for `+` before it sends a literal.
    Prompt,
    /// A complete command.
    Command(RawCommand),
    /// An HTTP request, of which the rest may hold commands.
    Http,
    /// The end of a command that exceeded a limit.
    Refused(RawCommand, Refusal),
}

/// Which limit a command exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The lines are too long.
    Line,
    /// A literal is too large.
    Literal,
    /// A message is too large.
    Message,
    /// Other uploads have taken the memory.
    NoRoom,
}

/// A literal announced by a line.
#[derive(Clone, Copy)]
struct Announced {
    bytes: u64,
    /// Whether the client waits for `+`; not so with `{n+}`. RFC 7888 §3.
    needs_prompt: bool,
}

/// What the next bytes belong to.
#[derive(Clone, Copy)]
enum Stage {
    Line,
    Literal { bytes: usize },
    SkipLine,
    SkipLiteral { bytes: u64 },
}

/// Collects bytes into commands.
pub(crate) struct Reader {
    uploads: UploadBudget,
    input: BytesMut,
    /// The first bytes of the input that contain no line end.
    scanned: usize,
    stage: Stage,
    command: RawCommand,
    refused: Option<Refusal>,
}

impl Reader {
    /// Begins with the first command; `uploads` is the memory for its literals, shared with other connections.
    pub(crate) fn new(uploads: UploadBudget) -> Self {
        let command = RawCommand { share: uploads.share(), ..RawCommand::default() };
        Self { uploads, input: BytesMut::new(), scanned: 0, stage: Stage::Line, command, refused: None }
    }

    /// Appends received bytes to the input. If they belong to a literal for which there is no memory, its command is
    /// refused, and the literals of that command are dropped.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        if let Stage::Literal { bytes: expected } = self.stage {
            let (others, declared) = (self.held_bytes(), expected + MAX_CHUNK_BYTES);
            if !self.command.share.reserve(&mut self.input, others, bytes.len(), (Some(declared), declared)) {
                self.refuse_for_room(expected);
            }
        }
        self.input.extend_from_slice(bytes);
    }

    /// Discards all input, and the command that was begun: bytes received before the TLS handshake must not count after
    /// it. RFC 9051 §6.2.1.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.uploads.clone());
    }

    /// Takes the input that was not read yet out of the reader, so that it can be inflated instead.
    pub(crate) fn take(&mut self) -> BytesMut {
        self.scanned = 0;
        std::mem::take(&mut self.input)
    }

    /// Takes one line without its line end, when the client sends no command, but as in `AUTHENTICATE` and `IDLE` a
    /// line; `Ok(None)` if it is incomplete, `Err` if it is longer than `max_line_bytes`, line end included.
    pub(crate) fn line(&mut self, max_line_bytes: usize) -> Result<Option<Bytes>, Refusal> {
        match self.split_line() {
            None if self.input.len() <= max_line_bytes => Ok(None),
            Some(line) if line.len() <= max_line_bytes => Ok(Some(without_end(line.freeze()))),
            _ => Err(Refusal::Line),
        }
    }

    /// Takes the next command, complete or refused, out of the input; without one, returns what is to be done before it
    /// is complete.
    pub(crate) fn command(&mut self, limits: &Limits) -> ReadResult {
        loop {
            let step = match self.stage {
                Stage::Line => self.read_line(limits),
                Stage::Literal { bytes } => self.read_literal(bytes),
                Stage::SkipLine => self.skip_line(),
                Stage::SkipLiteral { bytes } => self.skip_literal(bytes),
            };
            if let Some(read) = step {
                return read;
            }
        }
    }

    /// Takes the first line of the input with its line end; `None` if it is incomplete.
    fn split_line(&mut self) -> Option<BytesMut> {
        match self.input[self.scanned..].iter().position(|byte| *byte == b'\n') {
            Some(found) => {
                let end = self.scanned + found + 1;
                self.scanned = 0;
                Some(self.input.split_to(end))
            }
            None => {
                self.scanned = self.input.len();
                None
            }
        }
    }

    /// Reads one line of a command and begins the literal that it announces; a line or literal beyond the limits
    /// refuses the command. Returns `None` if the next stage can be read at once.
    fn read_line(&mut self, limits: &Limits) -> Option<ReadResult> {
        if self.command.text.is_empty() && is_http_request(&self.input) {
            return Some(ReadResult::Http);
        }
        let space_left = limits.line.saturating_sub(self.command.text.len());
        let Some(line) = self.split_line() else {
            if space_left < self.input.len() {
                self.keep_beginning(space_left.min(256));
                self.refuse(Refusal::Line, Stage::SkipLine);
                return None;
            }
            return Some(ReadResult::More);
        };
        if space_left < line.len() {
            self.command.text.extend_from_slice(&line[..space_left.min(256)]);
            self.refused.get_or_insert(Refusal::Line);
            return self.skip_announced(announced(&line));
        }
        self.command.text.extend_from_slice(&line);
        let Some(literal) = announced(&line) else { return Some(self.finish()) };
        if let Some(refusal) = self.literal_refusal(literal.bytes, limits) {
            self.refused = Some(refusal);
            return self.skip_announced(Some(literal));
        }
        self.stage = Stage::Literal { bytes: literal.bytes as usize };
        literal.needs_prompt.then_some(ReadResult::Prompt)
    }

    /// Copies the first bytes of the input, a line that is too long, to the command, so that its tag can be read; they
    /// stay in the input.
    fn keep_beginning(&mut self, bytes: usize) {
        let kept = bytes.min(self.input.len());
        self.command.text.extend_from_slice(&self.input[..kept]);
    }

    /// Refuses the command, and continues with it at this stage; only the first reason for which it was refused is
    /// kept.
    fn refuse(&mut self, refusal: Refusal, stage: Stage) {
        self.refused.get_or_insert(refusal);
        self.stage = stage;
    }

    /// Skips the literal of a refused command, if its last line announces one that the client sends without waiting.
    /// Else the command ends here: at its last line end, or where the client waits for `+`.
    fn skip_announced(&mut self, literal: Option<Announced>) -> Option<ReadResult> {
        match literal {
            Some(Announced { bytes, needs_prompt: false }) => {
                self.stage = Stage::SkipLiteral { bytes };
                None
            }
            _ => Some(self.finish()),
        }
    }

    /// Returns why a literal of this size is refused: it exceeds the limits of the command, or there is no memory for
    /// it. `None` if it is accepted.
    fn literal_refusal(&self, bytes: u64, limits: &Limits) -> Option<Refusal> {
        let (each, all, refusal) = match self.command.has_messages() {
            true => (limits.message, limits.message.saturating_mul(MAX_MESSAGES_PER_COMMAND), Refusal::Message),
            false => (limits.literals, limits.literals, Refusal::Literal),
        };
        let held = self.held_bytes() as u64;
        match (each as u64) < bytes || (all as u64) < bytes.saturating_add(held) {
            true => Some(refusal),
            false => (!self.uploads.has_room(bytes)).then_some(Refusal::NoRoom),
        }
    }

    /// Returns the size of all complete literals of the command.
    fn held_bytes(&self) -> usize {
        self.command.literals.iter().map(Bytes::len).sum()
    }

    /// Takes a literal of this size out of the input, or returns `More` until it is complete. `None` if the next stage
    /// can be read at once: the line behind the literal, or, without memory for it, what is to be skipped of a refused
    /// command.
    fn read_literal(&mut self, bytes: usize) -> Option<ReadResult> {
        let held = self.held_bytes() + self.input.len().min(bytes);
        if !self.command.share.grow_to(held) {
            self.refuse_for_room(bytes);
            return None;
        }
        if self.input.len() < bytes {
            return Some(ReadResult::More);
        }
        let rest = BytesMut::from(&self.input[bytes..]);
        // The buffer is that of the literal alone, so that it goes with it.
        self.input.truncate(bytes);
        self.command.literals.push(std::mem::replace(&mut self.input, rest).freeze());
        self.stage = Stage::Line;
        None
    }

    /// Refuses the command, because there is no memory for its literal of size `bytes`: that is skipped, with what has
    /// arrived of it, and the literals before it are dropped.
    fn refuse_for_room(&mut self, bytes: usize) {
        self.refuse(Refusal::NoRoom, Stage::SkipLiteral { bytes: bytes as u64 });
        (self.command.literals, self.command.share) = (Vec::new(), UploadShare::default());
    }

    /// Skips a line of a refused command, and goes on with the literal that it announces; returns `More` until the line
    /// is complete.
    fn skip_line(&mut self) -> Option<ReadResult> {
        let Some(line) = self.split_line() else {
            // Keeps the end of the line, which may announce a literal.
            let kept = self.input.len().min(32);
            self.input.advance(self.input.len() - kept);
            self.scanned = kept;
            return Some(ReadResult::More);
        };
        self.skip_announced(announced(&line))
    }

    /// Skips these many bytes of a literal, or returns `More` after those that have arrived; then the line behind it is
    /// skipped, too.
    fn skip_literal(&mut self, bytes: u64) -> Option<ReadResult> {
        let skipped = bytes.min(self.input.len() as u64);
        self.input.advance(skipped as usize);
        self.stage = match bytes - skipped {
            0 => Stage::SkipLine,
            bytes => Stage::SkipLiteral { bytes },
        };
        if skipped == bytes { None } else { Some(ReadResult::More) }
    }

    /// Ends the command, and returns it, with the reason if it was refused; begins the next one.
    fn finish(&mut self) -> ReadResult {
        self.stage = Stage::Line;
        let next = RawCommand { share: self.uploads.share(), ..RawCommand::default() };
        let command = std::mem::replace(&mut self.command, next);
        match self.refused.take() {
            None => ReadResult::Command(command),
            Some(refusal) => ReadResult::Refused(command, refusal),
        }
    }
}

/// Returns the literal that a line announces, if any. RFC 9051 §4.3: a line that ends in `{n}`, `{n+}` or `~{n}` is
/// followed by n bytes. A number of more than 18 digits announces nothing.
fn announced(line: &[u8]) -> Option<Announced> {
    let line = line.strip_suffix(b"\n")?;
    let line = line.strip_suffix(b"\r").unwrap_or(line).strip_suffix(b"}")?;
    let (line, needs_prompt) = match line.strip_suffix(b"+") {
        Some(line) => (line, false),
        None => (line, true),
    };
    let digits = &line[line.iter().rposition(|byte| *byte == b'{')? + 1..];
    if digits.is_empty() || 18 < digits.len() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let bytes = digits.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
    Some(Announced { bytes, needs_prompt })
}

/// Returns the line without its CR LF or LF, if it has one.
fn without_end(mut line: Bytes) -> Bytes {
    let end = line.strip_suffix(b"\n").map_or(line.len(), |line| line.strip_suffix(b"\r").unwrap_or(line).len());
    line.truncate(end);
    line
}
