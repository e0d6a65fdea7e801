//! The messages of a load: all of one size and all different, so that a server cannot deduplicate them.

use std::io::Write;

use crate::mail::Address;

/// Length of the body lines, with their line end; typical of mail.
const LINE_BYTES: usize = 78;

/// Letters from one address to another.
#[derive(Clone, Debug)]
pub struct Messages {
    from: Address,
    to: Address,
    commands: [String; 2],
    bytes: usize,
    /// Distinguishes this load from others.
    run: u64,
    filling: Vec<u8>,
}

impl Messages {
    /// Messages of this size, or of the size of a header if that is larger; `run` is a random number for each load.
    pub fn new(from: Address, to: Address, bytes: usize, run: u64) -> Self {
        let commands = [format!("MAIL FROM:<{from}>\r\n"), format!("RCPT TO:<{to}>\r\n")];
        let mut messages = Self { from, to, commands, bytes, run, filling: Vec::new() };
        let mut header = Vec::new();
        messages.header(0, &mut header);
        messages.filling = filling(bytes.saturating_sub(header.len()));
        messages.bytes = header.len() + messages.filling.len();
        messages
    }

    /// The size of each message.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The MAIL and RCPT commands of each message.
    pub(super) fn commands(&self) -> &[String; 2] {
        &self.commands
    }

    /// Appends the header of the message with this number; [`Messages::filling`] follows. No line of either begins with
    /// a dot.
    pub(super) fn header(&self, number: u64, out: &mut Vec<u8>) {
        let Self { from, to, run, .. } = self;
        // Writing to memory cannot fail.
        let _ = write!(
            out,
            "From: <{from}>\r\nTo: <{to}>\r\nSubject: letter {number:010}\r\n\
             Message-ID: <{number:010}.{run:016x}@bench.invalid>\r\n\r\n",
        );
    }

    /// The body, which all messages share.
    pub(super) fn filling(&self) -> &[u8] {
        &self.filling
    }
}

/// Returns lines of printable text with this total size, which end with CRLF and do not begin with a dot. One byte, or
/// none, is too short for a line end.
fn filling(bytes: usize) -> Vec<u8> {
    let mut text: Vec<u8> = (0..bytes).map(|at| b'!' + (at * 7 % 90) as u8).collect();
    for line in text.chunks_mut(LINE_BYTES) {
        match line {
            // A dot at the start of a line would be doubled.
            [first, .., cr, lf] => (*first, *cr, *lf) = (b'x', b'\r', b'\n'),
            [.., _] => line.fill(b'x'),
            [] => {}
        }
    }
    // The last line may be shorter, but must have a line end as well. If one byte is left for it, the line before takes it.
    if let [.., last, _, _] = text.as_mut_slice()
        && bytes % LINE_BYTES == 1
    {
        *last = b'x';
    }
    if let [.., cr, lf] = text.as_mut_slice() {
        (*cr, *lf) = (b'\r', b'\n');
    }
    text
}
