//! One connection of a load. It uses little CPU time, since it runs on the same machine as the measured server: a
//! message is sent in one write if the server supports that, and replies are parsed only as far as necessary.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::{Error, Load, Messages};
use crate::net::{Interface, Stream};
use crate::smtp::client::Extensions;
use crate::smtp::{Replies, Reply};

/// Time limit for a reply, which is the longest timeout of RFC 5321 §4.5.3.2.
const REPLY_TIMEOUT: Duration = Duration::from_secs(600);
/// Size of the read buffer; the replies to one message are short.
const READ_BYTES: usize = 4096;

/// A connection after EHLO.
pub(super) struct LoadConnection {
    stream: Stream,
    input: BytesMut,
    replies: Replies,
    output: Vec<u8>,
    /// A reply was read since the last write.
    is_answered: bool,
    mode: SendMode,
}

/// How a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SendMode {
    /// MAIL, RCPT, and BDAT with the message, in one write. RFC 3030 §4.2.
    Whole,
    /// MAIL, RCPT and DATA in one write, and the message after 354. RFC 2920.
    Grouped,
    /// Each command after the reply to the one before.
    Stepwise,
}

impl LoadConnection {
    /// Connects, reads the greeting, sends EHLO, and chooses how to send from what the server offers and the load
    /// allows. An error if it cannot connect, or a reply is not 2xx.
    pub(super) async fn open(interface: &Interface, load: &Load) -> Result<Self, Error> {
        let stream = interface.connect(load.server).await?;
        let (input, replies) = (BytesMut::with_capacity(READ_BYTES), Replies::default());
        let mut line =
            Self { stream, input, replies, output: Vec::new(), is_answered: false, mode: SendMode::Stepwise };
        line.expect(2).await?;
        line.output.extend_from_slice(b"EHLO bench.invalid\r\n");
        line.flush(&[], &[]).await?;
        let extensions = Extensions::read(&line.expect(2).await?);
        line.mode = match (extensions.pipelining, extensions.chunking && !load.by_data) {
            _ if load.stepwise => SendMode::Stepwise,
            (true, true) => SendMode::Whole,
            (true, false) => SendMode::Grouped,
            (false, _) => SendMode::Stepwise,
        };
        Ok(line)
    }

    /// Sends the message with this number and waits until it is accepted. Any other reply than the expected one is an
    /// error, after which the connection cannot be used.
    pub(super) async fn send(&mut self, messages: &Messages, number: u64) -> Result<(), Error> {
        for command in messages.commands() {
            self.output.extend_from_slice(command.as_bytes());
            if self.mode == SendMode::Stepwise {
                self.flush(&[], &[]).await?;
                self.expect(2).await?;
            }
        }
        if self.mode == SendMode::Whole {
            self.output.extend_from_slice(format!("BDAT {} LAST\r\n", messages.bytes()).as_bytes());
            messages.header(number, &mut self.output);
            self.flush(messages.filling(), &[]).await?;
        } else {
            self.output.extend_from_slice(b"DATA\r\n");
            self.flush(&[], &[]).await?;
        }
        if self.mode != SendMode::Stepwise {
            for _ in messages.commands() {
                self.expect(2).await?;
            }
        }
        if self.mode != SendMode::Whole {
            self.expect(3).await?;
            // No line of these messages begins with a dot.
            messages.header(number, &mut self.output);
            self.flush(messages.filling(), b".\r\n").await?;
        }
        self.expect(2).await.map(drop)
    }

    /// Sends QUIT, waits for the reply, and closes the connection; errors are ignored.
    pub(super) async fn quit(mut self) {
        self.output.extend_from_slice(b"QUIT\r\n");
        // All messages are accepted, so an error here does not matter.
        if self.flush(&[], &[]).await.is_ok() {
            let _ = self.expect(2).await;
        }
    }

    /// Writes the output, followed by `filling` and `end` without copying them, and empties the output. An error if
    /// that fails, or takes longer than [`REPLY_TIMEOUT`].
    async fn flush(&mut self, filling: &[u8], end: &[u8]) -> Result<(), Error> {
        let mut all = Buf::chain(Buf::chain(self.output.as_slice(), filling), end);
        let written = timeout(REPLY_TIMEOUT, self.stream.write_all_buf(&mut all)).await;
        self.output.clear();
        self.is_answered = false;
        written.map_err(|_| no_reply())?.map_err(|error| Error::Refused(error.to_string()))
    }

    /// Reads and returns the next reply, which must be of this class, its first digit; a reply of another class is
    /// [`Error::Refused`].
    async fn expect(&mut self, class: u16) -> Result<Reply, Error> {
        let reply = self.reply().await?;
        if reply.code / 100 == class { Ok(reply) } else { Err(Error::Refused(reply.to_string())) }
    }

    /// Reads the next reply, of any class. [`Error::Refused`] if it does not come within [`REPLY_TIMEOUT`], is no valid
    /// reply, has a line longer than the buffer, or the server closes the connection.
    async fn reply(&mut self) -> Result<Reply, Error> {
        loop {
            while let Some(end) = memchr::memchr(b'\n', &self.input) {
                let reply = self.replies.line(self.input[..end].trim_ascii_end());
                self.input.advance(end + 1);
                if let Some(reply) = reply.map_err(|error| Error::Refused(error.to_string()))? {
                    self.is_answered = true;
                    return Ok(reply);
                }
            }
            // The server may hold back further replies until this one is acknowledged, which must not be measured.
            if self.is_answered {
                self.stream.acknowledge();
            }
            if READ_BYTES <= self.input.len() {
                return Err(Error::Refused("a reply line without end".to_owned()));
            }
            self.input.reserve(READ_BYTES);
            let read = timeout(REPLY_TIMEOUT, self.stream.read_buf(&mut self.input)).await.map_err(|_| no_reply())?;
            if read.map_err(|error| Error::Refused(error.to_string()))? == 0 {
                return Err(Error::Refused("it closed the connection".to_owned()));
            }
        }
    }
}

/// Returns the error for a server that does not reply, or does not read, in time.
fn no_reply() -> Error {
    Error::Refused("it does not reply".to_owned())
}
