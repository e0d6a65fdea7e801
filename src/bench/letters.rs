//! The letters of a load: of one size, no two alike, so that no server can store one for all.

use std::io::Write;

use crate::mail::Address;

/// The longest line of the filling, its line end included; most mail is folded about there.
const LINE_OCTETS: usize = 78;

/// Letters from one address to another.
#[derive(Clone, Debug)]
pub struct Letters {
    from: Address,
    to: Address,
    commands: [String; 2],
    octets: usize,
    /// Distinguishes this load from others.
    run: u64,
    filling: Vec<u8>,
}

impl Letters {
    /// Letters of so many octets, or as many as a header needs; `run` is drawn anew for each load.
    pub fn new(from: Address, to: Address, octets: usize, run: u64) -> Self {
        let commands = [format!("MAIL FROM:<{from}>\r\n"), format!("RCPT TO:<{to}>\r\n")];
        let mut letters = Self { from, to, commands, octets, run, filling: Vec::new() };
        let mut header = Vec::new();
        letters.header(0, &mut header);
        letters.filling = filling(octets.saturating_sub(header.len()));
        letters.octets = header.len() + letters.filling.len();
        letters
    }

    /// Octets of each.
    pub fn octets(&self) -> usize {
        self.octets
    }

    /// MAIL and RCPT of each.
    pub(super) fn commands(&self) -> &[String; 2] {
        &self.commands
    }

    /// How the letter of this number begins; [`Letters::filling`] follows. No line of either begins with a dot.
    pub(super) fn header(&self, number: u64, out: &mut Vec<u8>) {
        let Self { from, to, run, .. } = self;
        // Writing to memory cannot fail.
        let _ = write!(
            out,
            "From: <{from}>\r\nTo: <{to}>\r\nSubject: letter {number:010}\r\n\
             Message-ID: <{number:010}.{run:016x}@bench.invalid>\r\n\r\n",
        );
    }

    /// What all letters have in common.
    pub(super) fn filling(&self) -> &[u8] {
        &self.filling
    }
}

/// Lines of printable text, so many octets in all.
fn filling(octets: usize) -> Vec<u8> {
    let mut text: Vec<u8> = (0..octets).map(|at| b'!' + (at * 7 % 90) as u8).collect();
    for line in text.chunks_mut(LINE_OCTETS) {
        match line {
            // A dot here would be doubled on the wire.
            [first, .., cr, lf] => (*first, *cr, *lf) = (b'x', b'\r', b'\n'),
            [.., _] => line.fill(b'x'),
            [] => {}
        }
    }
    // What is left over behind the last whole line must be a line, too.
    if let [.., cr, lf] = text.as_mut_slice() {
        (*cr, *lf) = (b'\r', b'\n');
    }
    text
}
