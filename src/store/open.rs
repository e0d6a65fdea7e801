//! Opens the database of a store: what it was written by, its tables, its folder.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, params};

use super::private::private_file;
use super::segment_files::{DiskFiles, SegmentFiles, sync_folder};
use super::{CONTENTS, Error, Schema, content};

/// `PRAGMA application_id` of our databases: "POST".
const APPLICATION_ID: i64 = 0x504f_5354;
/// `PRAGMA user_version` of our databases: which builds can read them.
const FORMAT: i64 = 2;
/// `PRAGMA cache_size` of the writer: a few commits; the rest is in the memory of the operating system.
const WRITER_CACHE_KIB: i64 = 4 * 1024;
/// Waits this long for another process that writes to the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Prepared statements kept for each connection.
const STATEMENT_CACHE: usize = 128;
/// Pages of a database in memory. They are copied by commits that split one, so they are large: few, and seldom split.
const MEMORY_PAGE_BYTES: i64 = 16 * 1024;

/// Takes the database at this path for this process, by a lock on a file beside it, which is made if it is missing.
/// Released when the returned file is closed, however the process ends. Fails at once, with the reason in words, if
/// another process has it.
pub(super) fn lock_database(path: &Path) -> Result<File, String> {
    let lock = private_file().write(true).create(true).truncate(false).open(beside(path, "-lock"));
    let lock = lock.map_err(|error| error.to_string())?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            Err("another postroad uses it; stop that one, or use another folder".to_owned())
        }
        Err(TryLockError::Error(error)) => Err(error.to_string()),
    }
}

/// The path of the database with `ending` added to the file name.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    path.with_file_name(name)
}

/// Opens or makes the database for the writer, with the tables of all modules, in WAL mode with a sync at each commit.
/// A WAL that an ended process left is synced first.
///
/// Refuses what an older build wrote, and an empty database beside contents: that is one whose file was lost.
pub(super) fn open_writer(path: &Path, files: &DiskFiles, schemas: &[Schema]) -> Result<Connection, Error> {
    if beside(path, "-mirror").exists() {
        return Err(Error::Corrupt(OLDER.into()));
    }
    let is_new = fs::metadata(path).map_or(true, |file| file.len() == 0);
    let contents = files.list()?.len();
    if is_new && contents != 0 {
        let text = format!("the database is missing or empty, but {CONTENTS} beside it holds {contents} segments");
        return Err(Error::Corrupt(format!("{text}; restore it from a backup, or move {CONTENTS} away").into()));
    }
    make_private(path)?;
    make_durable(&beside(path, "-wal"))?;
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    check_format(&connection)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A commit is durable when COMMIT returns. NORMAL would not sync it in WAL mode.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    // The file keeps its length: to overwrite is faster to sync than to append.
    connection.pragma_update(None, "journal_size_limit", -1)?;
    prepare(&mut connection, schemas)?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))?;
    Ok(connection)
}

const OLDER: &str = "an older build wrote it, which this one cannot read; \
    export its mail with that build (postroad mailbox export), and start this one with an empty folder";

/// If the database file is missing, makes it, empty and readable by its owner only, as SQLite then does with the files
/// beside it. Changes nothing of a file that is there.
fn make_private(path: &Path) -> Result<(), Error> {
    private_file().write(true).create(true).truncate(false).open(path)?;
    Ok(())
}

/// Writes a WAL that an ended process left once more, and syncs it, before SQLite reads it.
///
/// Its last commits may be in the memory of the operating system only: a process that was killed before its sync, or
/// whose sync failed, leaves pages that read well and are lost by a power cut. What is built upon them would be lost,
/// too.
fn make_durable(wal: &Path) -> Result<(), Error> {
    let bytes = match fs::read(wal) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        bytes => bytes?,
    };
    let mut file = File::options().write(true).open(wal)?;
    file.write_all(&bytes)?;
    Ok(file.sync_data()?)
}

/// Marks an empty database as ours and of this format. Refuses with [`Error::Corrupt`] what an older or a newer build
/// wrote, and what is not ours.
fn check_format(connection: &Connection) -> Result<(), Error> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
    match (pragma("application_id")?, pragma("user_version")?) {
        (APPLICATION_ID, FORMAT) => Ok(()),
        (APPLICATION_ID, ..FORMAT) => Err(Error::Corrupt(OLDER.into())),
        (APPLICATION_ID, _) => Err(Error::Corrupt("a newer build wrote it, which this one cannot read".into())),
        (0, 0) if tables == 0 => {
            // In one transaction: half a mark would be another's.
            let mark =
                format!("BEGIN; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT}; COMMIT");
            Ok(connection.execute_batch(&mark)?)
        }
        (0, 0) if connection.prepare("SELECT room FROM schema").is_ok() => Err(Error::Corrupt(OLDER.into())),
        _ => Err(Error::Corrupt("it is no database of Postroad".into())),
    }
}

/// Makes a database in memory, with the tables of this module and of these.
pub(super) fn open_in_memory(schemas: &[Schema]) -> Result<Connection, Error> {
    let mut connection = Connection::open_in_memory()?;
    connection.pragma_update(None, "page_size", MEMORY_PAGE_BYTES)?;
    prepare(&mut connection, schemas)?;
    Ok(connection)
}

/// Sets up the connection that writes, and makes or migrates the tables of this module and of these.
fn prepare(connection: &mut Connection, schemas: &[Schema]) -> rusqlite::Result<()> {
    // Uses are counted. SQLite would look through every queue for each content that is deleted.
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS schema (module TEXT PRIMARY KEY, migrations INTEGER NOT NULL) STRICT",
    )?;
    std::iter::once(&content::SCHEMA).chain(schemas).try_for_each(|schema| migrate(connection, schema))
}

/// Runs the migrations of a module that this database has not had, in one transaction, and notes how many it has had.
/// Does nothing if it has had as many or more.
fn migrate(connection: &mut Connection, schema: &Schema) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    let sql = "INSERT INTO schema VALUES (?1, 0)
        ON CONFLICT (module) DO UPDATE SET migrations = migrations RETURNING migrations";
    let done: usize = transaction.query_row(sql, [schema.module], |row| row.get(0))?;
    for migration in schema.migrations.iter().skip(done) {
        transaction.execute_batch(migration)?;
    }
    let done = done.max(schema.migrations.len());
    transaction.execute("UPDATE schema SET migrations = ?2 WHERE module = ?1", params![schema.module, done])?;
    transaction.commit()
}

/// Opens a read-only connection to a database that is there, beside the writer's.
pub(super) fn open_reader(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    Ok(connection)
}
