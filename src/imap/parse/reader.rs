//! Cuts the stream into commands: lines, and the literals that `{n}` at a line's end announces. RFC 9051 §4.3.
//!
//! A literal that is too large, or a line that is too long, is skipped without being held, and the command refused.

use bytes::{Buf, Bytes, BytesMut};

/// A command may bring as many octets as so many of the largest messages. RFC 3502.
const MESSAGES: usize = 2;

/// How much of a peer's command is held.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// All lines of a command together, in octets.
    pub(crate) line: usize,
    /// Each message that a command brings, in octets; all of them together may be twice as long.
    pub(crate) message: usize,
    /// All literals of another command together, in octets.
    pub(crate) literals: usize,
}

/// One command as it came.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    /// Its lines; all but the last end in `{n}` CR LF.
    pub(crate) text: Vec<u8>,
    /// What those announced, in order.
    pub(crate) literals: Vec<Bytes>,
}

impl Frame {
    /// Whether it is this command.
    pub(crate) fn is(&self, verb: &str) -> bool {
        let mut words = self.text.split(|byte| *byte == b' ');
        words.nth(1).is_some_and(|word| word.eq_ignore_ascii_case(verb.as_bytes()))
    }

    /// Whether its literals are messages.
    fn brings_messages(&self) -> bool {
        let is = |word: Option<&[u8]>, verb: &str| word.is_some_and(|word| word.eq_ignore_ascii_case(verb.as_bytes()));
        let mut words = self.text.split(|byte| *byte == b' ').skip(1);
        let (verb, next) = (words.next(), words.next());
        is(verb, "APPEND") || is(verb, "REPLACE") || (is(verb, "UID") && is(next, "REPLACE"))
    }
}

/// What the bytes so far amount to.
#[derive(Debug)]
pub(crate) enum Read {
    /// Part of a command.
    More,
    /// The client waits for `+` before it sends a literal.
    Prompt,
    /// A command.
    Command(Frame),
    /// The end of a command that was too large to hold.
    Refused(Frame, Refusal),
}

/// Why a command was not held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its lines are too long.
    Line,
    /// A literal is too large.
    Literal,
    /// The message to append is too large.
    Message,
}

/// A literal that a line announces.
#[derive(Clone, Copy)]
struct Announced {
    octets: u64,
    /// Whether the client waits for `+`; not so with `{n+}`. RFC 7888 §3.
    waits: bool,
}

/// What the next bytes belong to.
#[derive(Clone, Copy)]
enum Stage {
    Line,
    Literal { octets: usize },
    SkipLine,
    SkipLiteral { octets: u64 },
}

/// Bytes on the way to being a command.
pub(crate) struct Reader {
    input: BytesMut,
    /// This much of the input is known to hold no line end.
    scanned: usize,
    stage: Stage,
    frame: Frame,
    refused: Option<Refusal>,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self { input: BytesMut::new(), scanned: 0, stage: Stage::Line, frame: Frame::default(), refused: None }
    }

    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Forgets what came: nothing said before the TLS handshake may count after it. RFC 9051 §6.2.1.
    pub(crate) fn clear(&mut self) {
        *self = Self::new();
    }

    /// Takes what came and was not read.
    pub(crate) fn take(&mut self) -> BytesMut {
        self.scanned = 0;
        std::mem::take(&mut self.input)
    }

    /// Takes one line that is no command, without its end: of `AUTHENTICATE`, of `IDLE`. `Err` when it is too long.
    pub(crate) fn line(&mut self, line_max: usize) -> Result<Option<Bytes>, Refusal> {
        match self.split_line() {
            None if self.input.len() <= line_max => Ok(None),
            Some(line) if line.len() <= line_max => Ok(Some(without_end(line.freeze()))),
            _ => Err(Refusal::Line),
        }
    }

    /// Takes the next command, or what there is of it.
    pub(crate) fn command(&mut self, limits: &Limits) -> Read {
        loop {
            let step = match self.stage {
                Stage::Line => self.read_line(limits),
                Stage::Literal { octets } => self.read_literal(octets),
                Stage::SkipLine => self.skip_line(),
                Stage::SkipLiteral { octets } => self.skip_literal(octets),
            };
            if let Some(read) = step {
                return read;
            }
        }
    }

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

    fn read_line(&mut self, limits: &Limits) -> Option<Read> {
        let room = limits.line.saturating_sub(self.frame.text.len());
        let Some(line) = self.split_line() else {
            if room < self.input.len() {
                self.keep(room.min(256));
                self.refuse(Refusal::Line, Stage::SkipLine);
                return None;
            }
            return Some(Read::More);
        };
        if room < line.len() {
            self.frame.text.extend_from_slice(&line[..room.min(256)]);
            self.refused.get_or_insert(Refusal::Line);
            return self.skip_announced(announced(&line));
        }
        self.frame.text.extend_from_slice(&line);
        let Some(literal) = announced(&line) else { return Some(self.finish()) };
        if let Some(refusal) = self.too_large(literal.octets, limits) {
            self.refused = Some(refusal);
            return self.skip_announced(Some(literal));
        }
        self.stage = Stage::Literal { octets: literal.octets as usize };
        literal.waits.then_some(Read::Prompt)
    }

    /// Keeps the beginning of an endless line, for its tag.
    fn keep(&mut self, octets: usize) {
        let kept = octets.min(self.input.len());
        self.frame.text.extend_from_slice(&self.input[..kept]);
    }

    fn refuse(&mut self, refusal: Refusal, stage: Stage) {
        self.refused.get_or_insert(refusal);
        self.stage = stage;
    }

    /// A refused command ends where the client waits for us, or where its last line ends.
    fn skip_announced(&mut self, literal: Option<Announced>) -> Option<Read> {
        match literal {
            Some(Announced { octets, waits: false }) => {
                self.stage = Stage::SkipLiteral { octets };
                None
            }
            _ => Some(self.finish()),
        }
    }

    fn too_large(&self, octets: u64, limits: &Limits) -> Option<Refusal> {
        let (each, all, refusal) = match self.frame.brings_messages() {
            true => (limits.message, limits.message.saturating_mul(MESSAGES), Refusal::Message),
            false => (limits.literals, limits.literals, Refusal::Literal),
        };
        let held: usize = self.frame.literals.iter().map(Bytes::len).sum();
        ((each as u64) < octets || (all as u64) < octets.saturating_add(held as u64)).then_some(refusal)
    }

    fn read_literal(&mut self, octets: usize) -> Option<Read> {
        if self.input.len() < octets {
            return Some(Read::More);
        }
        self.frame.literals.push(self.input.split_to(octets).freeze());
        self.stage = Stage::Line;
        None
    }

    fn skip_line(&mut self) -> Option<Read> {
        let Some(line) = self.split_line() else {
            // What might announce a literal at the line's end is kept.
            let kept = self.input.len().min(32);
            self.input.advance(self.input.len() - kept);
            self.scanned = kept;
            return Some(Read::More);
        };
        self.skip_announced(announced(&line))
    }

    fn skip_literal(&mut self, octets: u64) -> Option<Read> {
        let skipped = octets.min(self.input.len() as u64);
        self.input.advance(skipped as usize);
        self.stage = match octets - skipped {
            0 => Stage::SkipLine,
            octets => Stage::SkipLiteral { octets },
        };
        if skipped == octets { None } else { Some(Read::More) }
    }

    fn finish(&mut self) -> Read {
        self.stage = Stage::Line;
        let frame = std::mem::take(&mut self.frame);
        match self.refused.take() {
            None => Read::Command(frame),
            Some(refusal) => Read::Refused(frame, refusal),
        }
    }
}

/// RFC 9051 §4.3: a line that ends in `{n}`, `{n+}` or `~{n}` is followed by n octets.
fn announced(line: &[u8]) -> Option<Announced> {
    let line = line.strip_suffix(b"\n")?;
    let line = line.strip_suffix(b"\r").unwrap_or(line).strip_suffix(b"}")?;
    let (line, waits) = match line.strip_suffix(b"+") {
        Some(line) => (line, false),
        None => (line, true),
    };
    let digits = &line[line.iter().rposition(|byte| *byte == b'{')? + 1..];
    if digits.is_empty() || 18 < digits.len() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let octets = digits.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
    Some(Announced { octets, waits })
}

fn without_end(mut line: Bytes) -> Bytes {
    let end = line.strip_suffix(b"\n").map_or(line.len(), |line| line.strip_suffix(b"\r").unwrap_or(line).len());
    line.truncate(end);
    line
}
