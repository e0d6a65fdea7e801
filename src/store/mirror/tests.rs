use bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::*;
use crate::mail::Content;
use crate::store::segments::Files;

/// What is on a disk, or in the system's memory for its files.
#[derive(Clone, Default)]
struct State {
    database: Vec<u8>,
    log: Vec<u8>,
    mirror: Vec<u8>,
    contents: Vec<u8>,
}

impl State {
    fn of(database: &Path) -> Self {
        let read = |path: &Path| fs::read(path).unwrap();
        let (log, mirror) = (read(&beside(database, "wal")), read(&beside(database, "mirror")));
        Self { database: read(database), log, mirror, contents: Vec::new() }
    }

    /// The rows that a start finds here: those from 1 up to this one. So many of them at least are whole.
    fn rows(&self, least: i64) -> i64 {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("post.db");
        fs::write(&database, &self.database).unwrap();
        fs::write(beside(&database, "wal"), &self.log).unwrap();
        fs::write(beside(&database, "mirror"), &self.mirror).unwrap();
        fs::write(folder.path().join("1"), &self.contents).unwrap();
        assert!(restore(&database, &Files::new(folder.path().into())).unwrap());
        assert!(!beside(&database, "mirror").exists());
        let connection = Connection::open(&database).unwrap();
        let sql = "SELECT (SELECT * FROM pragma_integrity_check), count(*), coalesce(max(id), 0) FROM row";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let (sound, rows, last): (String, i64, i64) = connection.query_row(sql, [], read).unwrap();
        assert_eq!((sound.as_str(), rows), ("ok", last));
        assert!(least <= rows, "{rows} rows of {least}");
        let contents = fs::read(folder.path().join("1")).unwrap();
        let mut statement = connection.prepare("SELECT id, start, octets FROM row WHERE id <= ?1").unwrap();
        let found = statement.query_map([least], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        for (id, start, octets) in found.map(Result::<(u8, usize, usize), _>::unwrap) {
            assert!(contents[start..start + octets].iter().all(|octet| *octet == id), "the content of row {id}");
        }
        rows
    }
}

fn open(database: &Path) -> (Connection, Mirror) {
    let connection = Connection::open(database).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.pragma_update(None, "synchronous", "FULL").unwrap();
    let columns = "id INTEGER PRIMARY KEY, bytes BLOB NOT NULL, start INTEGER NOT NULL, octets INTEGER NOT NULL";
    connection.execute_batch(&format!("CREATE TABLE row ({columns})")).unwrap();
    let mirror = Mirror::start(&connection, database).unwrap().expect("nobody reads it");
    (connection, mirror)
}

fn insert(connection: &Connection, octets: u32) {
    let sql = "INSERT INTO row (bytes, start, octets) VALUES (randomblob(?1), 0, 0)";
    connection.execute(sql, [octets]).unwrap();
}

/// A row whose content lies in segment 1 from here on, as the octet of its number; and that content.
fn insert_with(connection: &Connection, start: usize, octets: usize) -> Piece {
    let sql = "INSERT INTO row (bytes, start, octets) VALUES ('', ?1, ?2)";
    connection.execute(sql, [start, octets]).unwrap();
    let fill = connection.last_insert_rowid() as u8;
    Piece::new(1, start as u64, vec![Content::new(Bytes::from(vec![fill; octets]))])
}

/// Some blocks of one, the others of the other, as if the disk had not come further.
fn mix(rng: &mut ChaCha8Rng, before: &[u8], after: &[u8]) -> Vec<u8> {
    let length = if rng.next_u32().is_multiple_of(2) { before.len() } else { after.len() };
    let (bias, mut mixed) = (rng.next_u32() % 4, Vec::new());
    for at in (0..length).step_by(BLOCK_OCTETS) {
        let (one, other) = if rng.next_u32() % 4 <= bias { (before, after) } else { (after, before) };
        let end = length.min(at + BLOCK_OCTETS);
        mixed.extend(one.get(at..end).or(other.get(at..end)).unwrap_or(&vec![0; end - at]));
    }
    mixed
}

#[test]
fn whenever_the_power_fails_what_was_kept_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("post.db");
    let (connection, mut mirror) = open(&database);
    let rng = &mut ChaCha8Rng::seed_from_u64(7);
    let mut past = vec![State::of(&database)];
    // What is in the file of contents, and what of it is on the disk.
    let (mut contents, mut synced, mut restored) = (Vec::new(), Vec::new(), 0);
    for kept in 0..60 {
        let before = past.last().unwrap().clone();
        let piece = match rng.next_u32() % 3 {
            0 => {
                insert(&connection, rng.next_u32() % 30_000);
                None
            }
            _ => Some(insert_with(&connection, contents.len(), 1 + rng.next_u32() as usize % 50_000)),
        };
        // The process ends before the mirror has it, which names no log before the first.
        let unknown = State { mirror: before.mirror.clone(), contents: synced.clone(), ..State::of(&database) };
        assert_eq!(unknown.rows(kept), if kept == 0 { 0 } else { kept + 1 });
        assert!(mirror.keep(piece.as_ref()).unwrap());
        for part in piece.iter().flat_map(Piece::parts) {
            contents.extend_from_slice(part);
            contents.resize(contents.len().next_multiple_of(BLOCK_OCTETS), 0);
        }
        let after = State { contents: synced.clone(), ..State::of(&database) };
        past.push(after.clone());
        for _ in 0..6 {
            // The mirror is on its way to the disk; its headers were there before.
            let mut torn = mix(rng, &before.mirror, &after.mirror);
            let heads = RECORDS_AT as usize;
            torn[..heads].copy_from_slice(&after.mirror[..heads]);
            let torn = match rng.next_u32() % 3 {
                0 => before.mirror.clone(),
                1 => torn,
                _ => after.mirror.clone(),
            };
            // The log is there as the system saw fit, at any time since the start, and so are contents.
            let [one, other] = [(); 2].map(|()| past[rng.next_u32() as usize % past.len()].log.clone());
            let log = mix(rng, &one, &other);
            let contents = mix(rng, &synced, &contents);
            let state = State { database: before.database.clone(), log, mirror: torn, contents };
            let least = if state.mirror == after.mirror { kept + 1 } else { kept };
            assert!(state.rows(least) <= kept + 1);
            restored += usize::from(state.log != after.log);
        }
        mirror.make_room().unwrap();
        if rng.next_u32().is_multiple_of(8) {
            let before = std::mem::replace(&mut synced, contents.clone());
            let sync = || {
                // The power fails before the contents are synced.
                let contents = mix(rng, &before, &contents);
                let state = State { contents, ..State::of(&database) };
                assert_eq!(state.rows(kept + 1), kept + 1);
                Ok(())
            };
            mirror.checkpoint(&connection, sync).unwrap();
            let whole = State { contents: synced.clone(), ..State::of(&database) };
            let log = past[rng.next_u32() as usize % past.len()].log.clone();
            let halfway = mix(rng, &after.database, &whole.database);
            let state = State { database: halfway, log, mirror: after.mirror, contents: synced.clone() };
            assert_eq!(state.rows(kept + 1), kept + 1);
            past.push(whole);
        }
    }
    assert!(100 < restored, "{restored}");
    mirror.close(&connection).unwrap();
    drop(connection);
    assert!(!beside(&database, "wal").exists() && !beside(&database, "mirror").exists());
    let whole = State { database: fs::read(&database).unwrap(), contents, ..State::default() };
    assert_eq!(whole.rows(60), 60);
}

/// A log with two rows, and a mirror that has one of them and was full then; and what it is without that.
fn lacking(database: &Path) -> (Connection, Mirror, Straight) {
    let (connection, mut mirror) = open(database);
    insert(&connection, 10_000);
    assert!(mirror.keep(None).unwrap());
    let full = Straight::create(Path::new("/dev/full")).unwrap();
    let copy = std::mem::replace(&mut mirror.copy, full);
    insert(&connection, 10_000);
    assert!(!mirror.keep(None).unwrap() && mirror.is_long());
    (connection, mirror, copy)
}

#[test]
fn what_cannot_be_mirrored_is_kept_by_the_log_and_mirrored_with_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("post.db");
    let (connection, mut mirror, copy) = lacking(&database);
    let state = State::of(&database);
    assert_eq!(state.rows(2), 2);
    assert_eq!(State { log: Vec::new(), ..state }.rows(1), 1, "of the mirror alone");
    mirror.copy = copy;
    insert(&connection, 10_000);
    assert!(mirror.keep(None).unwrap() && !mirror.is_long());
    assert_eq!(State { log: Vec::new(), ..State::of(&database) }.rows(3), 3);
}

#[test]
fn what_the_mirror_lacks_is_brought_into_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("post.db");
    let (connection, mut mirror, copy) = lacking(&database);
    assert!(mirror.checkpoint(&connection, || Ok(())).is_err(), "a mirror that lacks something must not stay");
    mirror.copy = copy;
    let names_a_log = || State::of(&database).mirror[..RECORDS_AT as usize].iter().any(|octet| *octet != 0);
    assert!(mirror.checkpoint(&connection, || Err(io::ErrorKind::Other.into())).is_err());
    assert!(names_a_log(), "contents of its records may be nowhere else");
    mirror.checkpoint(&connection, || Ok(())).unwrap();
    assert!(!mirror.is_long() && !names_a_log());
    let old = State::of(&database);
    assert_eq!((old.rows(2), State { log: Vec::new(), ..old.clone() }.rows(2)), (2, 2));
    insert(&connection, 10_000);
    assert!(mirror.keep(None).unwrap());
    assert_eq!(State { log: old.log, ..State::of(&database) }.rows(3), 3);
}

#[test]
fn a_mirror_that_lacks_something_is_not_left_beside_an_empty_log() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("post.db");
    let (connection, mut mirror, copy) = lacking(&database);
    assert!(mirror.close(&connection).is_err());
    assert_eq!(State::of(&database).rows(2), 2);
    assert!(!State::of(&database).log.is_empty());
    mirror.copy = copy;
    mirror.close(&connection).unwrap();
    drop(connection);
    assert!(!beside(&database, "wal").exists() && !beside(&database, "mirror").exists());
    let whole = State { database: fs::read(&database).unwrap(), ..State::default() };
    assert_eq!(whole.rows(2), 2);
}

#[test]
fn a_log_that_another_program_puts_away_keeps_its_contents() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("post.db");
    let (connection, mut mirror) = open(&database);
    let piece = insert_with(&connection, 0, 20_000);
    assert!(mirror.keep(Some(&piece)).unwrap());
    let other = Connection::open(&database).unwrap();
    other.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
    insert(&connection, 10_000);
    assert!(!mirror.keep(None).unwrap(), "the log has begun anew");
    assert_eq!(State::of(&database).rows(2), 2);
    mirror.checkpoint(&connection, || Ok(())).unwrap();
    insert(&connection, 10_000);
    assert!(mirror.keep(None).unwrap());
}

#[test]
fn a_large_commit_is_mirrored_in_pieces_and_room_is_made_for_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("post.db");
    let (connection, mut mirror) = open(&database);
    insert(&connection, 3 << 20);
    assert!(mirror.keep(None).unwrap() && !mirror.has_room(1));
    mirror.make_room().unwrap();
    assert!(mirror.has_room(1 << 20) && !mirror.has_room(2 << 20));
    let length = || fs::metadata(beside(&database, "mirror")).unwrap().len();
    assert_eq!(length(), mirror.room);
    insert(&connection, 1 << 20);
    assert!(mirror.keep(None).unwrap());
    assert_eq!(length(), mirror.room, "it has not grown");
    assert_eq!(State { log: Vec::new(), ..State::of(&database) }.rows(2), 2);
}

#[test]
fn a_log_goes_into_the_database_when_it_is_long_and_later_if_somebody_reads_an_old_state() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("post.db");
    let (connection, mut mirror) = open(&database);
    let reader = Connection::open(&database).unwrap();
    insert(&connection, 1);
    assert!(mirror.keep(None).unwrap() && !mirror.is_long());
    reader.execute_batch("BEGIN; SELECT * FROM row").unwrap();
    insert(&connection, LOG_OCTETS as u32);
    assert!(mirror.keep(None).unwrap() && mirror.is_long());
    mirror.checkpoint(&connection, || Ok(())).unwrap();
    assert!(!mirror.is_long(), "it is tried again, but not at once");
    insert(&connection, PATIENCE_OCTETS as u32);
    assert!(mirror.keep(None).unwrap() && mirror.is_long());
    reader.execute_batch("END").unwrap();
    mirror.checkpoint(&connection, || Ok(())).unwrap();
    insert(&connection, 1);
    assert!(mirror.keep(None).unwrap());
    assert!(mirror.end < 1 << 20, "the log and the mirror begin anew");
    let piece = Piece::new(1, 0, vec![Content::new(Bytes::from(vec![0; MIRROR_OCTETS as usize]))]);
    insert(&connection, 1);
    assert!(mirror.keep(Some(&piece)).unwrap() && mirror.is_long());
}

#[test]
fn a_log_without_a_mirror_is_left_alone_and_one_that_nobody_was_told_of_goes() {
    let folder = tempfile::tempdir().unwrap();
    let (database, files) = (folder.path().join("post.db"), Files::new(folder.path().into()));
    assert!(!restore(&database, &files).unwrap());
    fs::write(beside(&database, "wal"), "a log").unwrap();
    assert!(restore(&database, &files).unwrap());
    assert_eq!(fs::read(beside(&database, "wal")).unwrap(), b"a log");
    fs::write(beside(&database, "mirror"), [0; RECORDS_AT as usize]).unwrap();
    assert!(restore(&database, &files).unwrap());
    assert_eq!(fs::read(beside(&database, "wal")).unwrap(), b"");
    assert!(!beside(&database, "mirror").exists());
}
