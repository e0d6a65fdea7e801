//! Segments: files that hold the bytes of large contents, one content after the other. The database knows where each
//! lies, how far each segment was used, and how many bytes of it are still needed.
//!
//! ```text
//!  contents/1   ▓▓▓░▓▓▓▓░░▓▓   full; ░ is of contents that were deleted
//!  contents/2   ░░░░░░▓░░░░░   full and sparse: what is needed is moved to the end of the last, and the file is removed
//!  contents/3   ▓▓▓▓▓▓┊        new contents are appended here
//! ```
//!
//! A place in a segment is used once: [`Segments::append`] moves the end before the COMMIT that names the place, and no
//! failure of that COMMIT moves it back.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use rusqlite::{Connection, params};

use super::Error;
use super::error::Failure;
use super::segment_files::SegmentFiles;
use super::transaction::Batch;

/// No more contents are appended to a segment of this length.
pub(super) const SEGMENT_BYTES: u64 = 32 << 20;
/// A full segment is compacted when less than one in this many bytes is needed.
const SPARSE_DIVISOR: u64 = 4;

/// Where a content lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) segment: i64,
    pub(super) start: u64,
    pub(super) length: u64,
}

/// How much of a segment is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Usage {
    /// Where the next content would go.
    end: u64,
    /// Bytes of contents that are not deleted.
    live: u64,
}

/// All segments of a store, for the one who writes them.
pub(super) struct Segments {
    files: Arc<dyn SegmentFiles>,
    usage: BTreeMap<i64, Usage>,
    /// The one that contents are appended to, which may have no file yet.
    current: i64,
    /// Full segments whose compaction failed.
    not_compactable: BTreeSet<i64>,
    /// The disk was full at the last compaction: none is tried until something was appended or removed.
    compaction_waits: bool,
}

/// The usage of the segments that a commit changes, for [`Segments::apply_committed`].
pub(super) struct UsageChange(BTreeMap<i64, Usage>);

impl Segments {
    /// Compares the files with what the database says of them, and removes those that it does not know. New contents go
    /// to the end of the last file, behind bytes that a crash left there.
    ///
    /// # Errors
    /// A file is missing or too short: that is damage, since no crash leaves it so.
    pub(super) fn open(files: Arc<dyn SegmentFiles>, connection: &Connection) -> Result<Self, Error> {
        let mut usage = BTreeMap::new();
        let mut rows = connection.prepare("SELECT id, end, live FROM segment")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            usage.insert(row.get(0)?, Usage { end: row.get(1)?, live: row.get(2)? });
        }
        let found = files.list()?;
        for (segment, Usage { end, .. }) in &usage {
            let damage = match found.get(segment) {
                Some(length) if end <= length => continue,
                Some(length) => format!("has {length} bytes, and {end} were stored in it"),
                None => "is missing".to_owned(),
            };
            let text = format!("segment contents/{segment} {damage}; restore it from a backup");
            return Err(Error::Corrupt(text.into()));
        }
        found.keys().filter(|segment| !usage.contains_key(segment)).for_each(|segment| files.remove(*segment));
        let current = usage.last_key_value().map_or(1, |(segment, _)| *segment);
        // Bytes of a commit that a crash cut off may lie behind the end; they are passed over.
        if let Some((segment, last)) = usage.iter_mut().next_back() {
            last.end = last.end.max(found.get(segment).copied().unwrap_or_default());
        }
        Ok(Self { files, usage, current, not_compactable: BTreeSet::new(), compaction_waits: false })
    }

    /// The files of the segments.
    pub(super) fn files(&self) -> &Arc<dyn SegmentFiles> {
        &self.files
    }

    /// Where the next content goes, with a length of 0. If the last segment is full, a new one becomes the current one,
    /// whose file [`Segments::append`] makes.
    pub(super) fn next_location(&mut self) -> Location {
        if SEGMENT_BYTES <= self.usage_of(self.current).end {
            self.current += 1;
        }
        Location { segment: self.current, start: self.usage_of(self.current).end, length: 0 }
    }

    /// Writes the contents of a commit to their places and puts them on stable storage, before the COMMIT that names
    /// them. The end of the segment moves. Does nothing if the commit adds none.
    ///
    /// # Errors
    /// [`Failure::Refused`]: nothing was appended. [`Failure::Fatal`]: it was written, and a sync failed.
    pub(super) fn append(&mut self, batch: &Batch) -> Result<(), Failure> {
        let (refused, fatal) =
            (|error: io::Error| Failure::Refused(error.into()), |error: io::Error| Failure::Fatal(error.into()));
        let (Some(first), Some(last)) = (batch.added.first(), batch.added.last()) else { return Ok(()) };
        let (segment, start) = (first.location.segment, first.location.start);
        let is_new = !self.usage.contains_key(&segment);
        if is_new {
            self.files.create(segment).map_err(refused)?;
            self.files.sync_names().map_err(fatal)?;
        }
        let mut parts = batch.added.iter();
        if let Err(error) =
            parts.try_for_each(|added| self.files.write(segment, added.location.start, added.content.bytes()))
        {
            // Its room is given back; what is left of it lies behind the end.
            let _ = self.files.truncate(segment, start);
            return Err(refused(error));
        }
        self.files.sync(segment).map_err(fatal)?;
        self.usage.entry(segment).or_default().end = last.location.start + last.location.length;
        self.compaction_waits = false;
        Ok(())
    }

    /// Updates the table of segments in the open transaction by what a commit adds and frees, and deletes the rows of
    /// full segments that hold nothing. Changes nothing in memory: returns the new usage, for after the COMMIT.
    pub(super) fn record(&self, connection: &Connection, batch: &Batch) -> rusqlite::Result<UsageChange> {
        // Those that are full and hold nothing go, too.
        let is_empty = |(segment, usage): &(&i64, &Usage)| usage.live == 0 && **segment != self.current;
        let mut usage: BTreeMap<i64, Usage> = self.usage.iter().filter(is_empty).map(|(id, of)| (*id, *of)).collect();
        for Location { segment, start, length } in batch.added.iter().map(|added| added.location) {
            let changed = usage.entry(segment).or_insert_with(|| self.usage_of(segment));
            changed.end = changed.end.max(start + length);
            changed.live += length;
        }
        for Location { segment, length, .. } in &batch.freed {
            let changed = usage.entry(*segment).or_insert_with(|| self.usage_of(*segment));
            changed.live = changed.live.saturating_sub(*length);
        }
        for (segment, Usage { end, live }) in &usage {
            if *live == 0 && *segment != self.current {
                connection.prepare_cached("DELETE FROM segment WHERE id = ?1")?.execute([segment])?;
            } else {
                let sql = "INSERT OR REPLACE INTO segment (id, end, live) VALUES (?1, ?2, ?3)";
                connection.prepare_cached(sql)?.execute(params![segment, end, live])?;
            }
        }
        Ok(UsageChange(usage))
    }

    /// After the COMMIT: updates the usage in memory, and removes each full segment of which nothing is needed, with
    /// its file; then compactions that waited for room are tried again.
    pub(super) fn apply_committed(&mut self, change: UsageChange) {
        for (segment, usage) in change.0 {
            if usage.live == 0 && segment != self.current {
                self.usage.remove(&segment);
                self.not_compactable.remove(&segment);
                self.files.remove(segment);
                self.compaction_waits = false;
            } else {
                self.usage.insert(segment, usage);
            }
        }
    }

    /// The usage of a segment; zeros if it is new.
    fn usage_of(&self, segment: i64) -> Usage {
        self.usage.get(&segment).copied().unwrap_or_default()
    }

    /// The first full segment of which less than a quarter is needed, to be compacted; `None` if there is none, or
    /// compaction waits for room. Segments whose compaction failed are left out.
    pub(super) fn compaction_candidate(&self) -> Option<i64> {
        if self.compaction_waits {
            return None;
        }
        let mut full = self.usage.range(..self.current);
        let is_sparse = |(segment, usage): &(&i64, &Usage)| {
            usage.live < usage.end / SPARSE_DIVISOR && !self.not_compactable.contains(segment)
        };
        full.find(is_sparse).map(|(segment, _)| *segment)
    }

    /// Excludes a segment from compaction after compacting it has failed with this error. After [`Error::Full`],
    /// excludes all instead, until something was appended or removed.
    pub(super) fn skip_compaction(&mut self, segment: i64, error: &Error) {
        if matches!(error, Error::Full) {
            self.compaction_waits = true;
        } else {
            self.not_compactable.insert(segment);
        }
    }
}
