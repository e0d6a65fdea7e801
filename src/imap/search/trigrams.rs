//! Which texts a message may contain, in few bytes: a Bloom filter of all trigrams (runs of three bytes) of its text.
//!
//! A message contains a text only if it contains all its trigrams, so a message whose filter lacks one need not be
//! read. The filter is an eighth of the size of the text, with few false positives.

use memchr::memmem;

use super::text::{Text, fold};

/// The smallest and the largest filter, in bytes.
const MIN_BYTES: usize = 32;
const MAX_BYTES: usize = 64 * 1024;
/// For larger texts there is no filter, as it would match everything.
const MAX_TEXT_BYTES: usize = 4 * 1024 * 1024;

/// The filter of one message; an empty one matches everything. Its length is a power of two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrigramFilter(Vec<u8>);

impl TrigramFilter {
    /// Computes the filter of all text that `TEXT` searches; it is empty if more than `MAX_TEXT_BYTES` would have to be
    /// decoded.
    pub fn of(text: &Text<'_>) -> Self {
        if MAX_TEXT_BYTES < text.raw_len() {
            return Self::default();
        }
        let bytes = text.len();
        let mut filter = vec![0; (bytes / 8).next_power_of_two().clamp(MIN_BYTES, MAX_BYTES)];
        text.for_each_text(|piece| {
            for run in trigrams(piece) {
                let bit = bit(run, filter.len());
                filter[bit / 8] |= 1 << (bit % 8);
            }
        });
        Self(filter)
    }

    /// Returns the form for storage, which [`TrigramQuery::may_be_in`] takes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A searched text, prepared for many filters.
#[derive(Clone, Debug)]
pub struct TrigramQuery {
    /// As [`trace_text`] has it.
    without_whitespace: Vec<u8>,
    trigrams: Vec<u32>,
}

impl TrigramQuery {
    /// Prepares a text as given by the client.
    pub fn new(words: &str) -> Self {
        let folded = fold(words);
        Self { trigrams: trigrams(&folded).collect(), without_whitespace: without_whitespace(folded.as_bytes()) }
    }

    /// Returns whether the text has a trigram; without one, filters rule out no message.
    pub fn is_selective(&self) -> bool {
        !self.trigrams.is_empty()
    }

    /// Returns whether a message with this filter, as in [`TrigramFilter::bytes`], may contain the text, its trace
    /// lines aside; always `true` for an empty filter, and for a text without a trigram.
    pub fn may_be_in(&self, filter: &[u8]) -> bool {
        filter.is_empty()
            || self.trigrams.iter().all(|run| {
                let bit = bit(*run, filter.len());
                filter.get(bit / 8).is_some_and(|byte| byte & (1 << (bit % 8)) != 0)
            })
    }

    /// Returns whether trace lines may contain the text; `trace` is their form by [`trace_text`], in lower case without
    /// whitespace. No filter covers them.
    pub fn may_be_in_trace(&self, trace: &[u8]) -> bool {
        memmem::find(trace, &self.without_whitespace).is_some()
    }
}

/// Returns trace lines in the form that [`TrigramQuery::may_be_in_trace`] searches: in lower case and without
/// whitespace, since lines may be folded anywhere; a match may be wrong, and must be checked with the message. `None`
/// if they are not ASCII: then any text may be in them.
pub fn trace_text(trace: &[u8]) -> Option<Vec<u8>> {
    trace.is_ascii().then(|| without_whitespace(trace))
}

/// Returns the text without ASCII whitespace, and with ASCII letters in lower case.
fn without_whitespace(text: &[u8]) -> Vec<u8> {
    text.iter().filter(|byte| !byte.is_ascii_whitespace()).map(u8::to_ascii_lowercase).collect()
}

/// Iterates over all runs of three bytes of a text, each as a number of 24 bits; none if it is shorter.
fn trigrams(text: &str) -> impl Iterator<Item = u32> + '_ {
    text.as_bytes().windows(3).map(|run| u32::from_be_bytes([0, run[0], run[1], run[2]]))
}

/// Returns the index of the bit for the trigram `run` in a filter of this many bytes, which must be a power of two.
fn bit(run: u32, bytes: usize) -> usize {
    // After multiplication by the golden ratio, the high bits depend on all bits of the trigram (Knuth).
    let spread = run.wrapping_mul(0x9E37_79B1) >> 8;
    spread as usize & (bytes * 8).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::Structure;
    use crate::mail::Message;
    use crate::world::Rng;

    const MESSAGE: &str = "Received: from a\r\n\tby b\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= to all\r\n\
        Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nA long l=\r\nine of W=C3=B6rter\r\n";

    fn with_filter(message: &str, check: impl FnOnce(&TrigramFilter, &Message, &Text<'_>)) {
        let message = Message::new(message.to_owned().into());
        let structure = Structure::of(message.content.bytes());
        let without_trace = Message { trace: Default::default(), content: message.content.clone() };
        let trigrams = TrigramFilter::of(&Text::new(&without_trace, &structure));
        check(&trigrams, &message, &Text::new(&message, &structure));
    }

    fn may_be_in_trace(query: &TrigramQuery, message: &Message) -> bool {
        trace_text(&message.trace).is_none_or(|trace| query.may_be_in_trace(&trace))
    }

    #[test]
    fn trigram_filter_matches_contained_texts_and_few_others() {
        with_filter(MESSAGE, |trigrams, message, _| {
            let passes = |words: &str| {
                let query = TrigramQuery::new(words);
                query.may_be_in(trigrams.bytes()) || may_be_in_trace(&query, message)
            };
            for words in ["GR\u{fc}SSE", "gr\u{fc}\u{df}e to", "subject: gr", "Long Line", "w\u{f6}rter", "from a by B"]
            {
                assert_eq!(passes(words), words != "GR\u{fc}SSE", "{words}");
            }
            assert!(!passes("nowhere") && !passes("rettr\u{f6}w"));
            assert!(!TrigramQuery::new("ab").is_selective() && TrigramQuery::new("abc").is_selective());
        });
    }

    #[test]
    fn trigram_filter_never_excludes_a_contained_text() {
        for seed in 0..50 {
            let rng = Rng::seeded(seed);
            let letters = ["a", "B", "\u{e9}", "\u{130}", " ", "\t", "=?utf-8?q?_x?=", "\r\n ", "\r\n\r\n", ":", "="];
            let random = |count: u64| -> String { (0..count).map(|_| letters[rng.below(11) as usize]).collect() };
            let message = format!("Received: {}\r\nSubject: {}\r\n\r\n{}", random(9), random(20), random(40));
            with_filter(&message, |trigrams, message, text| {
                for _ in 0..200 {
                    let words = random(3 + rng.below(3));
                    let query = TrigramQuery::new(&words);
                    let passes = query.may_be_in(trigrams.bytes()) || may_be_in_trace(&query, message);
                    assert!(passes || !text.contains(&words), "seed {seed}: {words:?} in {message:?}");
                }
            });
        }
    }
}
