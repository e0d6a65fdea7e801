//! Connections under load: they send what they are told, and look only for the end of an answer, so that it is the
//! server which is measured.

use std::ops::Range;

use anyhow::Context;
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::figure::{LETTER_OCTETS_MIN, whole};
use super::target::Target;
use crate::net::Stream;

/// Read at once, and kept of a long answer.
const BULK_OCTETS: usize = 256 * 1024;
const KEPT_OCTETS: usize = 16 * 1024;
/// Room of a connection that waits in IDLE.
const IDLE_OCTETS: usize = 256;
/// The end of a POP3 answer of several lines. RFC 1939 §3.
const END_OF_LINES: &[u8] = b"\r\n.\r\n";

/// A connection and the end of what it has read, in room that is used again and again.
struct Wire {
    stream: Stream,
    room: Vec<u8>,
    filled: usize,
}

impl Wire {
    fn new(stream: Stream) -> Self {
        Self { stream, room: vec![0; BULK_OCTETS], filled: 0 }
    }

    async fn send(&mut self, octets: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(octets).await?;
        Ok(self.stream.flush().await?)
    }

    /// What was read and is kept.
    fn text(&self) -> &[u8] {
        &self.room[..self.filled]
    }

    /// Keeps only the end of what was read.
    fn keep(&mut self, octets: usize) {
        let kept = octets.min(self.filled);
        self.room.copy_within(self.filled - kept..self.filled, 0);
        self.filled = kept;
    }

    /// Reads once more; keeps the end of what came.
    async fn read(&mut self) -> anyhow::Result<usize> {
        if self.room.len() / 2 < self.filled {
            self.keep(KEPT_OCTETS.min(self.room.len() / 2));
        }
        let count = self.stream.read(&mut self.room[self.filled..]).await?;
        anyhow::ensure!(0 < count, "the server hung up");
        self.filled += count;
        Ok(count)
    }

    /// The last line, if it is whole.
    fn last_line(&self) -> Option<&[u8]> {
        let line = self.text().strip_suffix(b"\r\n")?;
        Some(&line[memmem::rfind(line, b"\r\n").map_or(0, |at| at + 2)..])
    }

    /// Reads until the last line begins like this.
    async fn line(&mut self, starts: &[&[u8]]) -> anyhow::Result<String> {
        loop {
            if let Some(line) = self.last_line().filter(|line| starts.iter().any(|start| line.starts_with(start))) {
                return Ok(String::from_utf8_lossy(line).into_owned());
            }
            self.read().await?;
        }
    }
}

/// An IMAP client that does not look at what it gets.
pub(super) struct Imap {
    wire: Wire,
    commands: u64,
}

impl Imap {
    /// Connects, encrypts if that is asked for, and logs in.
    pub(super) async fn open(target: &Target, user: usize) -> anyhow::Result<Self> {
        let stream = target.interface.connect(target.imap()?).await?;
        let mut imap = Self { wire: Wire::new(stream), commands: 0 };
        imap.wire.line(&[b"* OK"]).await?;
        if target.starttls {
            imap.say("STARTTLS").await?;
            imap.wire.stream.connect_tls(&target.trust, "localhost").await?;
        }
        imap.say(&format!("LOGIN \"{}\" \"{}\"", target.user(user), target.password)).await?;
        Ok(imap)
    }

    /// Sends a command, and reads to its end, which must be `OK`. Returns the octets of the answer.
    pub(super) async fn say(&mut self, command: &str) -> anyhow::Result<usize> {
        let (tag, wire) = (self.begin(), &mut self.wire);
        wire.send(format!("{tag} {command}\r\n").as_bytes()).await?;
        self.end(&tag, command).await
    }

    /// Sends a message into a mailbox. RFC 9051 §6.3.12, with a literal that needs no leave (RFC 7888).
    pub(super) async fn append(&mut self, mailbox: &str, message: &str) -> anyhow::Result<()> {
        let tag = self.begin();
        let command = format!("{tag} APPEND {mailbox} {{{}+}}\r\n{message}\r\n", message.len());
        self.wire.send(command.as_bytes()).await?;
        self.end(&tag, "APPEND").await.map(drop)
    }

    /// Waits in IDLE with as little memory as can be. RFC 2177.
    pub(super) async fn idle(&mut self) -> anyhow::Result<()> {
        let tag = self.begin();
        self.wire.room = vec![0; IDLE_OCTETS];
        self.wire.send(format!("{tag} IDLE\r\n").as_bytes()).await?;
        self.wire.line(&[b"+ "]).await.map(drop)
    }

    /// Waits until there is a new message.
    pub(super) async fn told(&mut self) -> anyhow::Result<()> {
        while memmem::find(self.wire.text(), b" EXISTS\r\n").is_none() {
            self.wire.read().await?;
        }
        Ok(())
    }

    fn begin(&mut self) -> String {
        self.commands += 1;
        self.wire.filled = 0;
        format!("b{}", self.commands)
    }

    async fn end(&mut self, tag: &str, command: &str) -> anyhow::Result<usize> {
        let mut octets = 0;
        let tag = format!("{tag} ");
        loop {
            if let Some(line) = self.wire.last_line().filter(|line| line.starts_with(tag.as_bytes())) {
                let line = String::from_utf8_lossy(line);
                let verb = command.split(' ').next().unwrap_or_default();
                anyhow::ensure!(line[tag.len()..].starts_with("OK"), "{verb} was answered {line}");
                return Ok(octets);
            }
            octets += self.wire.read().await?;
        }
    }
}

/// A POP3 client that does not look at what it gets.
pub(super) struct Pop3 {
    wire: Wire,
    /// Messages in the maildrop.
    pub(super) messages: usize,
}

impl Pop3 {
    /// Connects, encrypts if that is asked for, and logs in.
    pub(super) async fn open(target: &Target, user: usize) -> anyhow::Result<Self> {
        let stream = target.interface.connect(target.pop3()?).await?;
        let mut pop3 = Self { wire: Wire::new(stream), messages: 0 };
        pop3.wire.line(&[b"+OK"]).await?;
        if target.starttls {
            pop3.say("STLS").await?;
            pop3.wire.stream.connect_tls(&target.trust, "localhost").await?;
        }
        pop3.say(&format!("USER {}", target.user(user))).await?;
        pop3.say(&format!("PASS {}", target.password)).await?;
        let counted = pop3.say("STAT").await?;
        let count = counted.split(' ').nth(1).and_then(|count| count.parse().ok());
        pop3.messages = count.with_context(|| format!("STAT was answered {counted}"))?;
        Ok(pop3)
    }

    /// A command with an answer of one line.
    pub(super) async fn say(&mut self, command: &str) -> anyhow::Result<String> {
        self.wire.filled = 0;
        self.wire.send(format!("{command}\r\n").as_bytes()).await?;
        let line = self.wire.line(&[b"+OK", b"-ERR"]).await?;
        let verb = command.split(' ').next().unwrap_or_default();
        anyhow::ensure!(line.starts_with("+OK"), "{verb} was answered {line}");
        Ok(line)
    }

    /// Retrieves these messages, so many commands at once. RFC 2449 §6.6.
    pub(super) async fn retrieve(&mut self, numbers: Range<usize>, at_once: usize) -> anyhow::Result<()> {
        let (mut octets, count) = (0, numbers.len());
        for first in numbers.clone().step_by(at_once) {
            let some = first..numbers.end.min(first + at_once);
            self.wire.filled = 0;
            let commands: String = some.clone().map(|number| format!("RETR {number}\r\n")).collect();
            self.wire.send(commands.as_bytes()).await?;
            octets += self.ends(some.len()).await?;
        }
        whole(count, LETTER_OCTETS_MIN, octets)
    }

    /// Reads so many answers of several lines: how many octets there were.
    async fn ends(&mut self, count: usize) -> anyhow::Result<usize> {
        let (mut seen, mut octets) = (0, 0);
        while seen < count {
            octets += self.wire.read().await?;
            let text = self.wire.text();
            anyhow::ensure!(!text.starts_with(b"-ERR"), "RETR was answered {}", String::from_utf8_lossy(text));
            let mut past = 0;
            for at in memmem::find_iter(text, END_OF_LINES) {
                seen += 1;
                past = at + END_OF_LINES.len();
            }
            // The beginning of an end may be there already.
            self.wire.keep((text.len() - past).min(END_OF_LINES.len() - 1));
        }
        Ok(octets)
    }
}
