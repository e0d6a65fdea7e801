//! Why something was not stored or not found.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::ErrorCode;

/// Why something was not stored or not found.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// There is no room; nothing was stored, and the store goes on.
    #[error("disk full")]
    Full,
    /// A file could not be written; nothing was stored, and the store goes on.
    #[error("write failed: {0}")]
    Io(Arc<str>),
    /// SQLite refused a statement.
    #[error("database error: {0}")]
    Sqlite(Arc<str>),
    /// A row or a page does not hold what it should.
    #[error("corrupt record: {0}")]
    Corrupt(Arc<str>),
    /// There is no content with this id.
    #[error("content {0} not found")]
    Missing(i64),
    /// The bytes of a content are not those that were stored.
    #[error("content {id} is damaged: {reason}")]
    Damaged {
        /// Which content.
        id: i64,
        /// Where it lies, and what is wrong there.
        reason: Arc<str>,
    },
    /// A job panicked, and nothing of it was stored; or a completion of
    /// [`Store::write_with`](super::Store::write_with) panicked, and its job was stored.
    #[error("the job failed by a bug; see the log")]
    Panicked,
    /// The disk failed earlier. Nothing is stored until a restart.
    #[error("storage failed: {0}; check the disk, then restart")]
    Stopped(Arc<str>),
    /// The database or its folder cannot be used.
    #[error("the store {path} cannot be used: {reason}")]
    Unusable {
        /// The database file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: Arc<str>,
    },
    /// The process is about to end.
    #[error("the store is closed")]
    Closed,
}

impl From<rusqlite::Error> for Error {
    /// [`Error::Full`] for a full disk, [`Error::Io`] for an I/O error, [`Error::Corrupt`] for a damaged database and
    /// for values that have not the type of their column, otherwise [`Error::Sqlite`].
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
        let text = error.to_string().into();
        match (error.sqlite_error_code(), &error) {
            (Some(ErrorCode::DiskFull), _) => Self::Full,
            (Some(ErrorCode::SystemIoFailure), _) => Self::Io(text),
            (Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase), _) => Self::Corrupt(text),
            (None, FromSqlConversionFailure(..) | InvalidColumnType(..)) => Self::Corrupt(text),
            (None, IntegralValueOutOfRange(..) | Utf8Error(..)) => Self::Corrupt(text),
            _ => Self::Sqlite(text),
        }
    }
}

impl From<io::Error> for Error {
    /// [`Error::Full`] for a full disk or an exhausted quota, otherwise [`Error::Io`].
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io(error.to_string().into()),
        }
    }
}

/// Why a commit was not made.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nothing is stored, as on a full disk. The store goes on.
    Refused(Error),
    /// What is on the disk is unknown: putting it on stable storage failed, what the system still believes to be written
    /// may be lost, and a second sync would not report it. The store stops.
    Fatal(Error),
}
