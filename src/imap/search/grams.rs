//! Which texts a message may hold, in few octets: a Bloom filter of all runs of three octets in what can be searched.
//!
//! A message holds a text only if it holds every run of three octets of it, so one whose filter lacks a run need not
//! be looked into. The filter takes an eighth of the room of the text, and lets pass few messages that do not matter.

use super::text::{Text, fold};

/// The smallest and the largest filter, in octets.
const OCTETS_MIN: usize = 32;
const OCTETS_MAX: usize = 64 * 1024;
/// More text is not read for a filter: it would let everything pass.
const TEXT_OCTETS_MAX: usize = 4 * 1024 * 1024;

/// The filter of one message; an empty one lets everything pass. Its length is a power of two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grams(Vec<u8>);

impl Grams {
    /// Works it out.
    pub fn of(text: &Text<'_>) -> Self {
        if TEXT_OCTETS_MAX < text.raw_len() {
            return Self::default();
        }
        let octets = text.len();
        let mut filter = vec![0; (octets / 8).next_power_of_two().clamp(OCTETS_MIN, OCTETS_MAX)];
        text.each(|piece| {
            for run in runs(piece) {
                let bit = bit(run, filter.len());
                filter[bit / 8] |= 1 << (bit % 8);
            }
        });
        Self(filter)
    }

    /// For the store.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A text that is looked for, ready to be held against many filters.
#[derive(Clone, Debug)]
pub struct Wanted {
    folded: String,
    runs: Vec<u32>,
}

impl Wanted {
    /// Takes the text as the client gave it.
    pub fn new(words: &str) -> Self {
        let folded = fold(words);
        Self { runs: runs(&folded).collect(), folded }
    }

    /// Whether filters can tell anything about it.
    pub fn is_selective(&self) -> bool {
        !self.runs.is_empty()
    }

    /// Whether a message with this filter, as [`Grams::bytes`] gave it, may hold it.
    pub fn may_be_in(&self, filter: &[u8]) -> bool {
        filter.is_empty()
            || self.runs.iter().all(|run| {
                let bit = bit(*run, filter.len());
                filter.get(bit / 8).is_some_and(|octet| octet & (1 << (bit % 8)) != 0)
            })
    }

    /// Whether it may be in the trace lines of a message, which no filter covers.
    pub fn may_be_in_trace(&self, trace: &[u8]) -> bool {
        // Lines fold anywhere, so only what is visible counts; whoever asks looks closer.
        !trace.is_ascii() || memchr::memmem::find(&visible(trace), &visible(self.folded.as_bytes())).is_some()
    }
}

fn visible(text: &[u8]) -> Vec<u8> {
    text.iter().filter(|octet| !octet.is_ascii_whitespace()).map(u8::to_ascii_lowercase).collect()
}

fn runs(text: &str) -> impl Iterator<Item = u32> + '_ {
    text.as_bytes().windows(3).map(|run| u32::from_be_bytes([0, run[0], run[1], run[2]]))
}

/// The bit that stands for a run in a filter of so many octets.
fn bit(run: u32, octets: usize) -> usize {
    // Multiplied by the golden ratio, the high bits depend on all of the run (Knuth).
    let spread = run.wrapping_mul(0x9E37_79B1) >> 8;
    spread as usize & (octets * 8).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::Structure;
    use crate::mail::Letter;
    use crate::world::Dice;

    const MESSAGE: &str = "Received: from a\r\n\tby b\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= to all\r\n\
        Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nA long l=\r\nine of W=C3=B6rter\r\n";

    fn with_filter(message: &str, check: impl FnOnce(&Grams, &Letter, &Text<'_>)) {
        let letter = Letter::new(message.to_owned().into());
        let structure = Structure::of(letter.content.bytes());
        let without_trace = Letter { trace: Default::default(), content: letter.content.clone() };
        let grams = Grams::of(&Text::new(&without_trace, &structure));
        check(&grams, &letter, &Text::new(&letter, &structure));
    }

    #[test]
    fn what_is_there_passes_and_most_of_the_rest_does_not() {
        with_filter(MESSAGE, |grams, letter, _| {
            let passes = |words: &str| {
                let wanted = Wanted::new(words);
                wanted.may_be_in(grams.bytes()) || wanted.may_be_in_trace(&letter.trace)
            };
            for words in ["GR\u{fc}SSE", "gr\u{fc}\u{df}e to", "subject: gr", "Long Line", "w\u{f6}rter", "from a by B"]
            {
                assert_eq!(passes(words), words != "GR\u{fc}SSE", "{words}");
            }
            assert!(!passes("nowhere") && !passes("rettr\u{f6}w"));
            assert!(!Wanted::new("ab").is_selective() && Wanted::new("abc").is_selective());
        });
    }

    #[test]
    fn no_text_that_a_message_holds_is_held_back() {
        for seed in 0..50 {
            let dice = Dice::seeded(seed);
            let letters = ["a", "B", "\u{e9}", "\u{130}", " ", "\t", "=?utf-8?q?_x?=", "\r\n ", "\r\n\r\n", ":", "="];
            let random = |count: u64| -> String { (0..count).map(|_| letters[dice.below(11) as usize]).collect() };
            let message = format!("Received: {}\r\nSubject: {}\r\n\r\n{}", random(9), random(20), random(40));
            with_filter(&message, |grams, letter, text| {
                for _ in 0..200 {
                    let words = random(3 + dice.below(3));
                    let wanted = Wanted::new(&words);
                    let passes = wanted.may_be_in(grams.bytes()) || wanted.may_be_in_trace(&letter.trace);
                    assert!(passes || !text.holds(&words), "seed {seed}: {words:?} in {message:?}");
                }
            });
        }
    }
}
