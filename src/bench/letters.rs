//! The letters of a load: of one size, no two alike, so that no server can store one for all.

use bytes::{BufMut, BytesMut};

use crate::mail::{Address, Content, Envelope, Letter};

/// The longest line of the filling, its line end included; most mail is folded about there.
const LINE_OCTETS: usize = 78;

/// Letters from one address to another.
#[derive(Clone, Debug)]
pub struct Letters {
    envelope: Envelope,
    octets: usize,
    /// Distinguishes this load from others.
    run: u64,
    filling: Vec<u8>,
}

impl Letters {
    /// Letters of so many octets, or as many as a header needs; `run` is drawn anew for each load.
    pub fn new(from: Address, to: Address, octets: usize, run: u64) -> Self {
        let envelope = Envelope { reverse_path: Some(from), recipients: vec![to.into()], ..Envelope::default() };
        let mut letters = Self { envelope, octets, run, filling: Vec::new() };
        letters.filling = filling(octets.saturating_sub(letters.header(0).len()));
        letters
    }

    /// Octets of each.
    pub fn octets(&self) -> usize {
        self.octets
    }

    /// Who sends them, to whom.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The letter of this number.
    pub fn letter(&self, number: u64) -> Letter {
        let header = self.header(number);
        let mut text = BytesMut::with_capacity(header.len() + self.filling.len());
        text.put_slice(header.as_bytes());
        text.put_slice(&self.filling);
        Letter { trace: bytes::Bytes::new(), content: Content::new(text.freeze()) }
    }

    fn header(&self, number: u64) -> String {
        let address = |address: Option<&Address>| address.map_or(String::new(), Address::to_string);
        format!(
            "From: <{}>\r\nTo: <{}>\r\nSubject: letter {number:010}\r\nMessage-ID: <{number:010}.{:016x}@bench.invalid>\r\n\r\n",
            address(self.envelope.reverse_path.as_ref()),
            address(self.envelope.recipients.first().map(|recipient| &recipient.address)),
            self.run,
        )
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
