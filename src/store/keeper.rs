//! Who keeps the bytes of contents: files, or memory where nothing is on disk.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::Error;
use super::segments::{Files, Place, Segments};
use super::transaction::{Batch, Contents};
use crate::mail::Content;

/// A content with fewer octets lies in its row: a commit of such waits for one file. A larger one would be written
/// twice there.
const SMALL: usize = 16 * 1024;
/// The same where many jobs share a commit: they share the wait for a second file, too.
const SMALL_AMONG_MANY: usize = 1024;
/// So many are many.
const MANY: usize = 24;

/// Contents in memory, by id.
pub(super) type Memory = Mutex<BTreeMap<i64, Content>>;

/// The writer's end of it.
pub(super) struct Keeper {
    way: Way,
    contents: Arc<Contents>,
    /// Why nothing is kept any more: what the disk was asked to keep may be lost, and asking again would not tell.
    broken: Option<Arc<str>>,
}

enum Way {
    Files(Segments),
    Memory(Arc<Memory>),
}

impl Keeper {
    pub(super) fn files(segments: Segments, contents: Contents) -> Self {
        Self { way: Way::Files(segments), contents: Arc::new(contents), broken: None }
    }

    pub(super) fn memory(memory: Arc<Memory>, contents: Contents) -> Self {
        Self { way: Way::Memory(memory), contents: Arc::new(contents), broken: None }
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
            Way::Files(_) if MANY <= jobs => SMALL_AMONG_MANY,
            Way::Files(_) => SMALL,
            Way::Memory(_) => 0,
        }
    }

    /// Writes what is new, and begins to put it on stable storage.
    pub(super) fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        if let Some(why) = &self.broken {
            return Err(Error::Refused(why.clone()));
        }
        match &mut self.way {
            Way::Files(segments) if !batch.added.is_empty() => segments.write(&batch.added).map_err(refused),
            _ => Ok(()),
        }
    }

    /// Waits until what was written is on stable storage.
    pub(super) fn wait(&mut self) -> Result<(), Error> {
        let Way::Files(segments) = &mut self.way else { return Ok(()) };
        segments.wait().map_err(|error| {
            self.broken = Some(format!("the disk failed, and has to be looked at before a new start: {error}").into());
            refused(error)
        })
    }

    /// The commit is durable.
    pub(super) fn settle(&mut self, batch: Batch) {
        match &mut self.way {
            Way::Files(segments) => {
                let freed: Vec<_> = batch.freed.iter().map(|(_, place)| *place).collect();
                segments.settle(&batch.added, &freed);
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

fn refused(error: io::Error) -> Error {
    Error::Refused(error.to_string().into())
}
