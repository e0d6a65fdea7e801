//! A page of a list, counted from either end. RFC 9394 §3.1 (partial-range).

use std::num::NonZeroU32;
use std::ops::Range;

/// `1:100` or `-1:-100`: the end and both bounds, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Whether to count from the end.
    pub from_end: bool,
    /// The bounds as sent by the client.
    pub bounds: (NonZeroU32, NonZeroU32),
}

impl Window {
    /// Returns the places of the page, from 0, in a list of this length; empty if the page is beyond the end.
    pub fn places(self, len: usize) -> Range<usize> {
        let (from, to) = (self.bounds.0.min(self.bounds.1).get(), self.bounds.0.max(self.bounds.1).get());
        let (start, end) = ((from as usize - 1).min(len), (to as usize).min(len));
        if self.from_end { len - end..len - start } else { start..end }
    }
}

impl std::fmt::Display for Window {
    /// Writes the page as the client sent it, such as `1:100` or `-1:-100`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.from_end { "-" } else { "" };
        write!(f, "{sign}{}:{sign}{}", self.bounds.0, self.bounds.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_from_either_end_and_stay_in_the_list() {
        for (from_end, from, to, wanted) in [
            (false, 1, 3, 0..3),
            (false, 3, 2, 1..3),
            (false, 4, 9, 3..5),
            (false, 6, 9, 5..5),
            (true, 1, 2, 3..5),
            (true, 9, 4, 0..2),
            (true, 6, 9, 0..0),
        ] {
            let bounds = (NonZeroU32::new(from).unwrap(), NonZeroU32::new(to).unwrap());
            let window = Window { from_end, bounds };
            assert_eq!(window.places(5), wanted, "{window}");
        }
    }
}
