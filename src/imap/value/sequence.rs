//! Sets of message numbers and UIDs: `1,5:7,9:*`. RFC 9051 §9 (sequence-set, uid-set).

use std::num::NonZeroU32;
use std::ops::RangeInclusive;

use super::Window;

/// A number of a set; `None` is `*`, the highest in use.
pub type Number = Option<NonZeroU32>;

/// A set as sent by the client, before `*` is resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SequenceSet {
    /// `$`: the saved search result. RFC 5182 §2.1.
    Saved,
    /// Ranges in the order written; a single number is a range of one.
    Ranges(Vec<(Number, Number)>),
}

impl SequenceSet {
    /// Returns the numbers of the set, sorted and merged, with `last`, the highest number in use, for `*`; numbers
    /// above `last` stay, 0 is left out. `last` is 0 in an empty mailbox. [`SequenceSet::Saved`] has no numbers of its
    /// own and is empty.
    pub fn resolve(&self, last: u32) -> Numbers {
        let Self::Ranges(ranges) = self else { return Numbers::default() };
        let value = |number: &Number| number.map_or(last, NonZeroU32::get);
        ranges
            .iter()
            .map(|(from, to)| {
                let (from, to) = (value(from), value(to));
                // RFC 9051 §9: "2:4 and 4:2 are equivalent".
                from.min(to).max(1)..=from.max(to)
            })
            .collect()
    }

    /// Puts `last`, the highest number in use, in the place of `*`, so that no range with `*` has a higher number; if it
    /// is 0, as in an empty mailbox, leaves out these ranges. No effect on [`SequenceSet::Saved`].
    pub fn fix_last(&mut self, last: u32) {
        let Self::Ranges(ranges) = self else { return };
        let last = NonZeroU32::new(last);
        for (from, to) in ranges.iter_mut().filter(|(from, to)| from.is_none() || to.is_none()) {
            (*from, *to) = (from.or(*to).min(last).or(last), last);
        }
        ranges.retain(|(from, _)| from.is_some());
    }

    /// Returns whether the set contains a number, with `last`, the highest number in use, for `*`; `false` for
    /// [`SequenceSet::Saved`], which has no numbers of its own.
    pub fn contains(&self, number: u32, last: u32) -> bool {
        let Self::Ranges(ranges) = self else { return false };
        let value = |number: &Number| number.map_or(last, NonZeroU32::get);
        ranges.iter().any(|(from, to)| {
            let (from, to) = (value(from), value(to));
            (from.min(to)..=from.max(to)).contains(&number)
        })
    }
}

/// Numbers as sorted ranges that neither touch nor overlap.
///
/// ```
/// use postroad::imap::Numbers;
/// let numbers: Numbers = [5, 1, 2, 3].into_iter().map(|n| n..=n).collect();
/// assert_eq!(numbers.to_string(), "1:3,5");
/// assert!(numbers.contains(2) && !numbers.contains(4));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers(Vec<RangeInclusive<u32>>);

impl Numbers {
    /// Adds a number, which must be higher than all others.
    pub fn push(&mut self, number: u32) {
        match self.0.last_mut() {
            Some(range) if range.end().checked_add(1) == Some(number) => *range = *range.start()..=number,
            _ => self.0.push(number..=number),
        }
    }

    /// Returns whether the number is in the set.
    pub fn contains(&self, number: u32) -> bool {
        let after = self.0.partition_point(|range| *range.start() <= number);
        after != 0 && number <= *self.0[after - 1].end()
    }

    /// Returns the ranges, lowest first.
    pub fn ranges(&self) -> &[RangeInclusive<u32>] {
        &self.0
    }

    /// Iterates over every number, lowest first. A set may span all 32 bits: limit it to existing numbers before
    /// iterating.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().cloned().flatten()
    }

    /// Returns the numbers of a page of this set: those at its places, counted from the lowest or the highest number;
    /// empty if the page is beyond the end. RFC 9394 §3.1.
    pub fn page(&self, page: Window) -> Self {
        let places = page.places(self.count() as usize);
        self.iter().skip(places.start).take(places.len()).collect()
    }

    /// Returns how many numbers are in the set.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|range| u64::from(range.end() - range.start()) + 1).sum()
    }

    /// Returns whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the lowest number; `None` if the set is empty.
    pub fn first(&self) -> Option<u32> {
        self.0.first().map(|range| *range.start())
    }

    /// Returns the highest number; `None` if the set is empty.
    pub fn last(&self) -> Option<u32> {
        self.0.last().map(|range| *range.end())
    }
}

impl FromIterator<RangeInclusive<u32>> for Numbers {
    /// Collects ranges in any order, which may overlap: sorts and merges them, and leaves out empty ones.
    fn from_iter<I: IntoIterator<Item = RangeInclusive<u32>>>(ranges: I) -> Self {
        let mut sorted: Vec<_> = ranges.into_iter().filter(|range| !range.is_empty()).collect();
        sorted.sort_unstable_by_key(|range| *range.start());
        let mut merged: Vec<RangeInclusive<u32>> = Vec::new();
        for range in sorted {
            match merged.last_mut() {
                Some(last) if *range.start() <= last.end().saturating_add(1) => {
                    *last = *last.start()..=*last.end().max(range.end());
                }
                _ => merged.push(range),
            }
        }
        Self(merged)
    }
}

impl FromIterator<u32> for Numbers {
    /// Collects numbers in any order; one that comes twice counts once.
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> Self {
        numbers.into_iter().map(|number| number..=number).collect()
    }
}

impl std::fmt::Display for Numbers {
    /// Writes the set as in IMAP, such as `1:3,5`; nothing if it is empty.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, range) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match (range.start(), range.end()) {
                (from, to) if from == to => write!(f, "{comma}{from}")?,
                (from, to) => write!(f, "{comma}{from}:{to}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ranges: &[(u32, u32)]) -> SequenceSet {
        SequenceSet::Ranges(ranges.iter().map(|(a, b)| (NonZeroU32::new(*a), NonZeroU32::new(*b))).collect())
    }

    #[test]
    fn resolve_replaces_star_by_the_highest_number() {
        // 0 stands for `*` here.
        assert_eq!(set(&[(500, 0)]).resolve(7).to_string(), "7:500");
        assert_eq!(set(&[(0, 3)]).resolve(7).to_string(), "3:7");
        assert_eq!(set(&[(0, 0)]).resolve(7).to_string(), "7");
        assert_eq!(set(&[(0, 0)]).resolve(0).to_string(), "");
        assert_eq!(set(&[(1, 0)]).resolve(0).to_string(), "1");
    }

    #[test]
    fn fix_last_leaves_no_star_and_names_nothing_above_it() {
        for (ranges, last, wanted) in [
            (&[(0, 0)][..], 7, "7"),
            (&[(500, 0)], 7, "7"),
            (&[(0, 3), (9, 9)], 7, "3:7,9"),
            (&[(1, 0), (5, 5)], 0, "5"),
            (&[(0, 0)], 0, ""),
        ] {
            let mut fixed = set(ranges);
            fixed.fix_last(last);
            assert_eq!(fixed.resolve(900).to_string(), wanted, "{ranges:?}");
        }
    }

    #[test]
    fn resolve_sorts_and_merges_ranges() {
        let numbers = set(&[(9, 7), (1, 1), (2, 3), (8, 12), (u32::MAX, u32::MAX), (3, 2)]).resolve(1);
        assert_eq!(numbers.to_string(), format!("1:3,7:12,{}", u32::MAX));
        assert_eq!(numbers.count(), 10);
        assert_eq!((numbers.first(), numbers.last()), (Some(1), Some(u32::MAX)));
        let found: Vec<u32> = (0..14).filter(|number| numbers.contains(*number)).collect();
        assert_eq!(found, [1, 2, 3, 7, 8, 9, 10, 11, 12]);
    }

    #[test]
    fn push_merges_adjacent_numbers() {
        let mut numbers = Numbers::default();
        [4, 5, 6, 9].into_iter().for_each(|number| numbers.push(number));
        assert_eq!(numbers.to_string(), "4:6,9");
        assert_eq!(numbers.iter().collect::<Vec<_>>(), [4, 5, 6, 9]);
    }
}
