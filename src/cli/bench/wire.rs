//! Raw IMAP and POP3 clients for measurements. They look only for the end of each response, so that the server is
//! measured and not the client.

use std::ops::Range;

use anyhow::Context;
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::figure::{MIN_MESSAGE_BYTES, check_length};
use super::target::Target;
use crate::net::Stream;

/// Size of the read buffer.
const BUFFER_BYTES: usize = 256 * 1024;
/// Bytes retained of a long response.
const RETAINED_BYTES: usize = 16 * 1024;
/// Size of the read buffer of a connection in IDLE.
const IDLE_BUFFER_BYTES: usize = 256;
/// The end of a multi-line POP3 response. RFC 1939 §3.
const END_OF_LINES: &[u8] = b"\r\n.\r\n";
/// The beginning of a POP3 response that is a refusal. RFC 1939 §3.
const REFUSAL: &[u8] = b"-ERR";

/// A connection with a reused read buffer that holds the end of what was read.
struct RawClient {
    stream: Stream,
    buffer: Vec<u8>,
    filled: usize,
}

impl RawClient {
    fn new(stream: Stream) -> Self {
        Self { stream, buffer: vec![0; BUFFER_BYTES], filled: 0 }
    }

    /// Writes the bytes to the server and flushes them.
    async fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(bytes).await?;
        Ok(self.stream.flush().await?)
    }

    /// The bytes that were read and are still in the buffer.
    fn text(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }

    /// Drops all but the last `bytes` bytes of the buffer.
    fn keep(&mut self, bytes: usize) {
        let retained = bytes.min(self.filled);
        self.buffer.copy_within(self.filled - retained..self.filled, 0);
        self.filled = retained;
    }

    /// Reads once into the buffer and returns the number of bytes. If more than half of it is filled, first drops all
    /// but its last bytes. It is an error if the server closed the connection.
    async fn read(&mut self) -> anyhow::Result<usize> {
        if self.buffer.len() / 2 < self.filled {
            self.keep(RETAINED_BYTES.min(self.buffer.len() / 2));
        }
        let count = self.stream.read(&mut self.buffer[self.filled..]).await?;
        anyhow::ensure!(0 < count, "the server closed the connection");
        self.filled += count;
        Ok(count)
    }

    /// Reads `count` multi-line POP3 responses; returns their size in bytes. An error if one is a refusal.
    async fn read_responses(&mut self, count: usize) -> anyhow::Result<usize> {
        let end = memmem::Finder::new(END_OF_LINES);
        // Whether the buffer begins with a response that may be a refusal.
        let (mut seen, mut bytes, mut is_first_line) = (0, 0, true);
        while seen < count {
            bytes += self.read().await?;
            let mut rest = self.text();
            loop {
                let is_refusal = is_first_line && rest.starts_with(REFUSAL);
                anyhow::ensure!(!is_refusal, "RETR failed: {}", String::from_utf8_lossy(rest));
                let Some(at) = end.find(rest) else { break };
                (seen, is_first_line, rest) = (seen + 1, true, &rest[at + END_OF_LINES.len()..]);
            }
            is_first_line &= rest.len() < REFUSAL.len();
            // The buffer may end within the next delimiter.
            self.keep(rest.len().min(END_OF_LINES.len() - 1));
        }
        Ok(bytes)
    }

    /// The last line in the buffer, without its line end; `None` if the buffer does not end with CR LF.
    fn last_line(&self) -> Option<&[u8]> {
        let line = self.text().strip_suffix(b"\r\n")?;
        Some(&line[memmem::rfind(line, b"\r\n").map_or(0, |at| at + 2)..])
    }

    /// Reads until the last line in the buffer is complete and begins with one of `starts`; returns it without its line
    /// end.
    async fn read_line(&mut self, starts: &[&[u8]]) -> anyhow::Result<String> {
        loop {
            if let Some(line) = self.last_line().filter(|line| starts.iter().any(|start| line.starts_with(start))) {
                return Ok(String::from_utf8_lossy(line).into_owned());
            }
            self.read().await?;
        }
    }
}

/// An IMAP client that does not parse responses.
pub(super) struct Imap {
    client: RawClient,
    commands: u64,
}

impl Imap {
    /// Connects, starts TLS if the target wants it, and logs in as the user with this number.
    pub(super) async fn open(target: &Target, user: usize) -> anyhow::Result<Self> {
        let stream = target.interface.connect(target.imap()?).await?;
        let mut imap = Self { client: RawClient::new(stream), commands: 0 };
        imap.client.read_line(&[b"* OK"]).await?;
        if target.starttls {
            imap.command("STARTTLS").await?;
            imap.client.stream.connect_tls(&target.trust, "localhost").await?;
        }
        imap.command(&format!("LOGIN \"{}\" \"{}\"", target.user(user), target.password)).await?;
        Ok(imap)
    }

    /// Sends a command and reads its response, which must end with `OK`. Returns the size of the response in bytes.
    pub(super) async fn command(&mut self, command: &str) -> anyhow::Result<usize> {
        let tag = self.begin();
        self.client.send(format!("{tag} {command}\r\n").as_bytes()).await?;
        self.end(&tag, command).await
    }

    /// Appends a message to a mailbox and waits for the response, which must be `OK`. RFC 9051 §6.3.12, with a
    /// non-synchronizing literal (RFC 7888).
    pub(super) async fn append(&mut self, mailbox: &str, message: &str) -> anyhow::Result<()> {
        let tag = self.begin();
        let command = format!("{tag} APPEND {mailbox} {{{}+}}\r\n{message}\r\n", message.len());
        self.client.send(command.as_bytes()).await?;
        self.end(&tag, "APPEND").await.map(drop)
    }

    /// Sends IDLE and returns once the server has confirmed it. Replaces the read buffer by a small one. RFC 2177.
    pub(super) async fn idle(&mut self) -> anyhow::Result<()> {
        let tag = self.begin();
        self.client.buffer = vec![0; IDLE_BUFFER_BYTES];
        self.client.send(format!("{tag} IDLE\r\n").as_bytes()).await?;
        self.client.read_line(&[b"+ "]).await.map(drop)
    }

    /// Reads until there is an EXISTS response in the buffer, which notifies a connection in IDLE of a new message.
    /// Must be called after [`Imap::idle`].
    pub(super) async fn wait_for_message(&mut self) -> anyhow::Result<()> {
        while memmem::find(self.client.text(), b" EXISTS\r\n").is_none() {
            self.client.read().await?;
        }
        Ok(())
    }

    /// Empties the buffer for a new command, and counts it; returns its tag.
    fn begin(&mut self) -> String {
        self.commands += 1;
        self.client.filled = 0;
        format!("b{}", self.commands)
    }

    /// Reads up to the response with this tag, which must be `OK`; returns the size of all responses in bytes.
    /// `command` is for the error only.
    async fn end(&mut self, tag: &str, command: &str) -> anyhow::Result<usize> {
        let mut bytes = 0;
        let tag = format!("{tag} ");
        loop {
            if let Some(line) = self.client.last_line().filter(|line| line.starts_with(tag.as_bytes())) {
                let line = String::from_utf8_lossy(line);
                let verb = command.split(' ').next().unwrap_or_default();
                anyhow::ensure!(line[tag.len()..].starts_with("OK"), "{verb} failed: {line}");
                return Ok(bytes);
            }
            bytes += self.client.read().await?;
        }
    }
}

/// A POP3 client that does not parse responses.
pub(super) struct Pop3 {
    client: RawClient,
    /// Messages in the maildrop.
    pub(super) messages: usize,
}

impl Pop3 {
    /// Connects, starts TLS if the target wants it, logs in as the user with this number, and counts the messages by
    /// STAT.
    pub(super) async fn open(target: &Target, user: usize) -> anyhow::Result<Self> {
        let stream = target.interface.connect(target.pop3()?).await?;
        let mut pop3 = Self { client: RawClient::new(stream), messages: 0 };
        pop3.client.read_line(&[b"+OK"]).await?;
        if target.starttls {
            pop3.command("STLS").await?;
            pop3.client.stream.connect_tls(&target.trust, "localhost").await?;
        }
        pop3.command(&format!("USER {}", target.user(user))).await?;
        pop3.command(&format!("PASS {}", target.password)).await?;
        let totals = pop3.command("STAT").await?;
        let count = totals.split(' ').nth(1).and_then(|count| count.parse().ok());
        pop3.messages = count.with_context(|| format!("unexpected response to STAT: {totals}"))?;
        Ok(pop3)
    }

    /// Sends a command and returns its one-line response, which must be `+OK`, without its line end.
    pub(super) async fn command(&mut self, command: &str) -> anyhow::Result<String> {
        self.client.filled = 0;
        self.client.send(format!("{command}\r\n").as_bytes()).await?;
        let line = self.client.read_line(&[b"+OK", b"-ERR"]).await?;
        let verb = command.split(' ').next().unwrap_or_default();
        anyhow::ensure!(line.starts_with("+OK"), "{verb} failed: {line}");
        Ok(line)
    }

    /// Sends RETR for each of these message numbers, `at_once` of them pipelined at a time, and drops the messages. An
    /// error if one is refused, or if the messages are too small in all. RFC 2449 §6.6.
    pub(super) async fn retrieve(&mut self, numbers: Range<usize>, at_once: usize) -> anyhow::Result<()> {
        let (mut bytes, count) = (0, numbers.len());
        for first in numbers.clone().step_by(at_once) {
            let some = first..numbers.end.min(first + at_once);
            self.client.filled = 0;
            let commands: String = some.clone().map(|number| format!("RETR {number}\r\n")).collect();
            self.client.send(commands.as_bytes()).await?;
            bytes += self.client.read_responses(some.len()).await?;
        }
        check_length(count, MIN_MESSAGE_BYTES, bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::net::Net;

    #[tokio::test(start_paused = true)]
    async fn refused_message_among_pipelined_ones_is_an_error_wherever_it_is_cut() {
        let (good, refused) = ("+OK\r\nx\r\n.\r\n", "-ERR no such message\r\n");
        for (responses, wanted) in
            [([good, good, good], true), ([good, refused, good], false), ([good, good, refused], false)]
        {
            let all = responses.concat();
            for cut in 1..all.len() {
                let net = Net::memory(Arc::new(|_, _| Duration::ZERO));
                let mut listener = net.interface(&[[192, 0, 2, 1].into()]).listen(110).await.unwrap().remove(0);
                let caller = net.interface(&[[192, 0, 2, 2].into()]);
                let (stream, server) =
                    tokio::join!(caller.connect("192.0.2.1:110".parse().unwrap()), listener.accept());
                let (mut client, mut server) = (RawClient::new(stream.unwrap()), server.unwrap());
                let (first, second) = all.as_bytes().split_at(cut);
                let served = async {
                    server.write_all(first).await.unwrap();
                    sleep(Duration::from_secs(1)).await;
                    // The client may have gone.
                    let _ = server.write_all(second).await;
                    std::future::pending::<()>().await;
                };
                let read = timeout(Duration::from_secs(9), client.read_responses(3));
                let outcome = tokio::select! { outcome = read => outcome.expect("no wait for more"), () = served => unreachable!() };
                let outcome = outcome.map_err(|error| error.to_string().starts_with("RETR failed: -ERR"));
                assert_eq!(outcome, if wanted { Ok(all.len()) } else { Err(true) }, "{cut}");
            }
        }
    }
}
