//! Who keeps what a commit brings: files, the bytes of contents beside the log of the rows; or memory where nothing is on
//! disk.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::Error;
use super::mirror::Mirror;
use super::segments::{Files, Piece, Place, Segments};
use super::transaction::{Batch, Contents};
use crate::mail::Content;

/// A content with fewer octets lies in its row. A larger one would be written twice there.
const SMALL: usize = 1024;
/// The same where a file of contents takes a wait for the disk of its own, and there are not many to share it.
const SMALL_ALONE: usize = 16 * 1024;
/// So many are many.
const MANY: usize = 24;

/// More contents of one commit go to their file at once: to write them twice takes longer than to wait for a second file.
const PIECE_OCTETS_MAX: u64 = 128 << 10;
/// So many octets are gathered before the first of them are written to their file: they may be gone soon.
const GATHERED_OCTETS: u64 = 2 << 20;
/// More are not.
const GATHERED_OCTETS_MAX: u64 = 4 << 20;

/// Contents in memory, by id.
pub(super) type Memory = Mutex<BTreeMap<i64, Content>>;

/// The writer's end of it.
pub(super) struct Keeper {
    way: Way,
    /// What makes rows durable; `None` where SQLite does.
    log: Option<Box<Mirror>>,
    /// Contents of the commit under way that the log keeps.
    piece: Option<Piece>,
    contents: Arc<Contents>,
    unsure: Arc<Unsure>,
    /// Why nothing is kept any more: what the disk was asked to keep may be lost, and asking again would not tell.
    broken: Option<Arc<str>>,
}

enum Way {
    Files(Segments),
    Memory(Arc<Memory>),
}

impl Keeper {
    pub(super) fn files(segments: Segments, log: Option<Box<Mirror>>, contents: Contents) -> Self {
        let (contents, unsure) = (Arc::new(contents), Arc::default());
        Self { way: Way::Files(segments), log, piece: None, contents, unsure, broken: None }
    }

    pub(super) fn memory(memory: Arc<Memory>, contents: Contents) -> Self {
        let (contents, unsure) = (Arc::new(contents), Arc::default());
        Self { way: Way::Memory(memory), log: None, piece: None, contents, unsure, broken: None }
    }

    /// What readers may see that is not durable yet.
    pub(super) fn unsure(&self) -> Arc<Unsure> {
        self.unsure.clone()
    }

    pub(super) fn contents(&self) -> Arc<Contents> {
        self.contents.clone()
    }

    /// Where the next content goes.
    pub(super) fn end(&mut self) -> Place {
        match &mut self.way {
            Way::Files(segments) => segments.end(),
            // All are in one.
            Way::Memory(_) => Place { segment: 1, start: 0, octets: 0 },
        }
    }

    /// Contents with fewer octets lie in their rows, in a commit of so many jobs.
    pub(super) fn small(&self, jobs: usize) -> usize {
        match &self.way {
            Way::Files(_) if self.log.is_some() || MANY <= jobs => SMALL,
            Way::Files(_) => SMALL_ALONE,
            Way::Memory(_) => 0,
        }
    }

    /// Refuses everything once the disk has failed.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.broken.as_ref().map_or(Ok(()), |why| Err(Error::Refused(why.clone())))
    }

    /// Writes contents that lie elsewhere so far, before rows say that they lie here.
    pub(super) fn moved(&mut self, batch: &Batch) -> Result<(), Error> {
        let Way::Files(segments) = &mut self.way else { return Ok(()) };
        if batch.added.is_empty() {
            return Ok(());
        }
        segments.write(&batch.added).map_err(refused)?;
        segments.wait().map_err(|error| self.fail(error))
    }

    /// Writes what is new, and begins to put it on stable storage, or sees to it that the log does.
    pub(super) fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        let Way::Files(segments) = &mut self.way else { return Ok(()) };
        let octets = batch.added.iter().map(|(_, content)| content.bytes().len() as u64).sum();
        let is_little = batch.added.len() < MANY && octets <= PIECE_OCTETS_MAX;
        let has_room = is_little && self.log.as_deref().is_some_and(|log| log.has_room(octets));
        if octets == 0 {
            Ok(())
        } else if has_room && segments.unwritten() <= GATHERED_OCTETS_MAX {
            self.piece = Some(segments.piece(&batch.added));
            Ok(())
        } else {
            segments.write(&batch.added).map_err(refused)
        }
    }

    /// The commit has failed.
    pub(super) fn give_up(&mut self) {
        if let (Way::Files(segments), Some(piece)) = (&self.way, self.piece.take()) {
            segments.give_up(&piece);
        }
    }

    /// Waits until what was written is on stable storage, and the rows that were committed.
    pub(super) fn wait(&mut self) -> Result<(), Error> {
        let Way::Files(segments) = &mut self.way else { return Ok(()) };
        let log = self.log.as_mut().map_or(Ok(true), |log| log.keep(self.piece.as_ref()));
        let kept = match (log, &self.piece) {
            (Ok(false), Some(piece)) => segments.put(piece).map(|()| self.piece = None),
            (log, _) => log.map(drop),
        };
        let waited = segments.wait();
        kept.and(waited).map_err(|error| self.fail(error))
    }

    fn fail(&mut self, error: io::Error) -> Error {
        tracing::error!(%error, "nothing is stored any more");
        self.broken = Some(format!("the disk failed, and has to be looked at before a new start: {error}").into());
        refused(error)
    }

    /// Puts files in order for the next commit.
    pub(super) fn tidy(&mut self, connection: &Connection) {
        let (Way::Files(segments), Some(log)) = (&mut self.way, &mut self.log) else { return };
        if self.broken.is_some() {
            return;
        }
        let is_long = log.is_long();
        if !is_long {
            // Little is left for the time when everybody waits.
            segments.thin(if log.is_nearly_long() { 0 } else { GATHERED_OCTETS });
        }
        if (is_long || GATHERED_OCTETS_MAX <= segments.unwritten())
            && let Err(error) = segments.flush()
        {
            if segments.has_lost() {
                drop(self.fail(error));
            } else {
                // The mirror has them. Contents that come go to their file at once, and so are refused.
                tracing::error!(%error, "contents cannot be written to their file");
            }
        } else if !is_long {
            if let Err(error) = log.make_room() {
                tracing::debug!(%error, "no room is made ahead; commits take longer");
            }
        } else {
            segments.begin_sync();
            if let Err(error) = log.checkpoint(connection, || segments.wait()) {
                drop(self.fail(error));
            }
        }
    }

    /// The connection is about to be closed.
    pub(super) fn close(&mut self, connection: &Connection) {
        let (Way::Files(segments), Some(mut log), None) = (&mut self.way, self.log.take(), &self.broken) else {
            return;
        };
        let closed = segments.sync().and_then(|()| log.close(connection));
        if let Err(error) = closed {
            tracing::debug!(%error, "the log is left for the next start");
        }
    }

    /// The commit is durable.
    pub(super) fn settle(&mut self, batch: Batch) {
        match &mut self.way {
            Way::Files(segments) => {
                let freed: Vec<_> = batch.freed.iter().map(|(_, place)| *place).collect();
                let octets = batch.added.iter().map(|(_, content)| content.bytes().len() as u64).sum();
                segments.settle(octets, batch.end.start, self.piece.take(), &freed);
            }
            Way::Memory(memory) => {
                let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
                memory.extend(batch.added);
                batch.freed.iter().for_each(|(id, _)| drop(memory.remove(id)));
            }
        }
    }

    /// A segment whose contents should be moved, and the files.
    pub(super) fn sparse(&self) -> Option<(i64, Arc<Files>)> {
        match &self.way {
            Way::Files(segments) if self.broken.is_none() => Some((segments.sparse()?, segments.files().clone())),
            _ => None,
        }
    }

    /// Nothing is to be moved out of this segment.
    pub(super) fn leave(&mut self, segment: i64) {
        if let Way::Files(segments) = &mut self.way {
            segments.leave(segment);
        }
    }
}

/// Rows that SQLite shows already while they become durable.
#[derive(Debug, Default)]
pub(super) struct Unsure {
    is_any: AtomicBool,
    gate: Mutex<()>,
}

impl Unsure {
    /// From now on readers may see some, until the guard is dropped.
    pub(super) fn begin(&self) -> impl Drop {
        let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_any.store(true, Ordering::SeqCst);
        Sure(self, gate)
    }

    /// Waits until what was seen before is durable.
    pub(super) fn wait(&self) {
        if self.is_any.load(Ordering::SeqCst) {
            drop(self.gate.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

struct Sure<'a>(&'a Unsure, #[expect(dead_code, reason = "held")] MutexGuard<'a, ()>);

impl Drop for Sure<'_> {
    fn drop(&mut self) {
        self.0.is_any.store(false, Ordering::SeqCst);
    }
}

fn refused(error: io::Error) -> Error {
    Error::Refused(error.to_string().into())
}
