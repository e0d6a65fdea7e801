//! One connection of a load. It does as little as it can, since it shares the machine with the server that it measures:
//! a letter goes out in one write where the server offers that, and of the replies only what matters is read.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::{Error, Letters, Load};
use crate::net::{Interface, Stream};
use crate::smtp::client::Offers;
use crate::smtp::{Replies, Reply};

/// A server that says nothing for so long is given up. RFC 5321 §4.5.3.2 allows no more for any step.
const PATIENCE: Duration = Duration::from_secs(600);
/// Replies to one letter are short.
const READ_OCTETS: usize = 4096;

/// A connection behind its EHLO.
pub(super) struct Line {
    stream: Stream,
    input: BytesMut,
    replies: Replies,
    output: Vec<u8>,
    /// Something has been answered since the last write.
    is_answered: bool,
    way: Way,
}

/// How a letter is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// All at once: MAIL, RCPT, and BDAT with the letter behind it. RFC 3030 §4.2.
    Whole,
    /// MAIL, RCPT and DATA at once, and the letter behind 354. RFC 2920.
    Grouped,
    /// Each command behind the reply to the one before.
    Stepwise,
}

impl Line {
    pub(super) async fn open(interface: &Interface, load: &Load) -> Result<Self, Error> {
        let stream = interface.connect(load.server).await?;
        let (input, replies) = (BytesMut::with_capacity(READ_OCTETS), Replies::default());
        let mut line = Self { stream, input, replies, output: Vec::new(), is_answered: false, way: Way::Stepwise };
        line.expect(2).await?;
        line.output.extend_from_slice(b"EHLO bench.invalid\r\n");
        line.flush(&[], &[]).await?;
        let offers = Offers::read(&line.expect(2).await?);
        line.way = match (offers.pipelining, offers.chunking && !load.by_data) {
            (true, true) => Way::Whole,
            (true, false) => Way::Grouped,
            (false, _) => Way::Stepwise,
        };
        Ok(line)
    }

    /// Sends one letter, until it is accepted.
    pub(super) async fn send(&mut self, letters: &Letters, number: u64) -> Result<(), Error> {
        for command in letters.commands() {
            self.output.extend_from_slice(command.as_bytes());
            if self.way == Way::Stepwise {
                self.flush(&[], &[]).await?;
                self.expect(2).await?;
            }
        }
        if self.way == Way::Whole {
            self.output.extend_from_slice(format!("BDAT {} LAST\r\n", letters.octets()).as_bytes());
            letters.header(number, &mut self.output);
            self.flush(letters.filling(), &[]).await?;
        } else {
            self.output.extend_from_slice(b"DATA\r\n");
            self.flush(&[], &[]).await?;
        }
        if self.way != Way::Stepwise {
            for _ in letters.commands() {
                self.expect(2).await?;
            }
        }
        if self.way != Way::Whole {
            self.expect(3).await?;
            // No line of these letters begins with a dot.
            letters.header(number, &mut self.output);
            self.flush(letters.filling(), b".\r\n").await?;
        }
        self.expect(2).await.map(drop)
    }

    pub(super) async fn quit(mut self) {
        self.output.extend_from_slice(b"QUIT\r\n");
        // All letters are accepted; how it parts is the server's own affair.
        if self.flush(&[], &[]).await.is_ok() {
            let _ = self.expect(2).await;
        }
    }

    /// Sends the output, and these behind it, without a copy of them.
    async fn flush(&mut self, filling: &[u8], end: &[u8]) -> Result<(), Error> {
        let mut all = Buf::chain(Buf::chain(self.output.as_slice(), filling), end);
        let written = timeout(PATIENCE, self.stream.write_all_buf(&mut all)).await;
        self.output.clear();
        self.is_answered = false;
        written.map_err(|_| silent())?.map_err(|error| Error::Refused(error.to_string()))
    }

    /// The next reply, which must be of this class.
    async fn expect(&mut self, class: u16) -> Result<Reply, Error> {
        let reply = self.reply().await?;
        if reply.code / 100 == class { Ok(reply) } else { Err(Error::Refused(reply.to_string())) }
    }

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
            // Servers may hold back the rest until then; how long is no matter of theirs.
            if self.is_answered {
                self.stream.acknowledge();
            }
            if READ_OCTETS <= self.input.len() {
                return Err(Error::Refused("a line without end".to_owned()));
            }
            self.input.reserve(READ_OCTETS);
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.input)).await.map_err(|_| silent())?;
            if read.map_err(|error| Error::Refused(error.to_string()))? == 0 {
                return Err(Error::Refused("it hung up".to_owned()));
            }
        }
    }
}

fn silent() -> Error {
    Error::Refused("it has fallen silent".to_owned())
}
