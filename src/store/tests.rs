use std::fs;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join, join_all};

use super::*;

mod contents;

const NOTES: Schema = Schema {
    module: "notes",
    migrations: &["CREATE TABLE note (text TEXT NOT NULL UNIQUE) STRICT"],
    on_content_deleted: None,
    content_owners: None,
    content_uses: None,
};

const NAMES: Schema = Schema {
    module: "names",
    migrations: &["CREATE TABLE name (text TEXT NOT NULL, content INTEGER NOT NULL REFERENCES content (id)) STRICT"],
    on_content_deleted: Some("DELETE FROM name WHERE content = ?1"),
    content_owners: Some("SELECT 'the name ' || text FROM name WHERE content = ?1"),
    content_uses: Some("SELECT content, count(*) FROM name GROUP BY 1"),
};

/// A store in a folder of its own.
struct Fixture {
    folder: tempfile::TempDir,
    store: Store,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).unwrap();
        Self { folder, store }
    }

    fn reopen(self) -> Self {
        let Self { folder, store } = self;
        drop(store);
        let store = open(folder.path()).unwrap();
        Self { folder, store }
    }

    fn segments(&self) -> Vec<String> {
        segments(&self.folder.path().join(CONTENTS))
    }
}

fn open(folder: &Path) -> Result<Store, Error> {
    Store::open(&folder.join("post.db"), &[NOTES, NAMES])
}

fn reason(folder: &Path) -> String {
    open(folder).err().unwrap().to_string()
}

/// A store in memory, and its segment files.
fn in_memory() -> (Store, Arc<MemoryFiles>) {
    let store = Store::in_memory(&[NOTES, NAMES]).unwrap();
    let Backend::Memory(memory) = &store.inner.backend else { unreachable!() };
    let files = memory.files.clone();
    (store, files)
}

/// A store on a disk whose segment files are in memory, to make them fail.
fn with_memory_files(folder: &Path) -> (Store, Arc<MemoryFiles>) {
    let (path, files) = (folder.join("post.db"), Arc::new(MemoryFiles::default()));
    let disk_files = Arc::new(DiskFiles::new(folder.join(CONTENTS)));
    let connection = open::open_writer(&path, &disk_files, &[NOTES, NAMES]).unwrap();
    let cache = Arc::new(Cache::default());
    let segments = Segments::open(files.clone(), &connection).unwrap();
    let state = CommitState::new(segments, ContentRegistry::new(cache.clone(), &[NAMES]));
    let (stopped, counters) = (state.stopped(), state.counters());
    let writer = Writer::start(connection, state, Reserve::new(folder.join("post.db-reserve"))).unwrap();
    let lock = open::lock_database(&path).unwrap();
    let disk = Disk { readers: Mutex::default(), writer, path, files: disk_files, _lock: lock };
    let inner = Inner { backend: Backend::Disk(disk), cache, schemas: vec![NOTES, NAMES], stopped, counters };
    (Store::with(inner), files)
}

fn note(text: &'static str) -> impl Fn(&Transaction<'_>) -> Result<(), Error> + Send {
    move |transaction| Ok(transaction.execute("INSERT INTO note VALUES (?1)", [text]).map(drop)?)
}

fn long_note(bytes: usize) -> impl Fn(&Transaction<'_>) -> Result<(), Error> + Send {
    move |transaction| Ok(transaction.execute("INSERT INTO note VALUES (?1)", ["x".repeat(bytes)]).map(drop)?)
}

fn notes(store: &Store) -> Vec<String> {
    let query = |connection: &Connection| {
        connection.prepare("SELECT text FROM note ORDER BY rowid")?.query_map([], |row| row.get(0))?.collect()
    };
    store.read(query).unwrap()
}

fn content(fill: u8, bytes: usize) -> Content {
    Content::new(Bytes::from(vec![fill; bytes]))
}

async fn put(store: &Store, content: Content) -> Result<i64, Error> {
    store.write(move |tx| Ok(content::put(tx, &content)?.0)).await
}

async fn release(store: &Store, id: i64) {
    store.write(move |tx| Ok::<_, Error>(content::release(tx, id)?)).await.unwrap();
}

/// A content, and a row that names it.
async fn put_named(store: &Store, content: Content) -> Result<i64, Error> {
    let job = move |tx: &Transaction<'_>| {
        let (id, _) = content::put(tx, &content)?;
        tx.execute("INSERT INTO name VALUES ('x', ?1)", [id])?;
        Ok(id)
    };
    store.write(job).await
}

fn segments(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What a process that ends now leaves in its data folder.
pub(crate) fn copy_of_data_dir(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    fs::create_dir(copy.path().join(CONTENTS)).unwrap();
    let segments = segments(&folder.join(CONTENTS)).into_iter().map(|file| format!("{CONTENTS}/{file}"));
    for file in ["post.db", "post.db-wal"].map(str::to_owned).into_iter().chain(segments) {
        fs::copy(folder.join(&file), copy.path().join(&file)).unwrap();
    }
    copy
}

#[tokio::test]
async fn write_when_answered_is_there_after_reopening() {
    let fixture = Fixture::new();
    fixture.store.write(note("a")).await.unwrap();
    assert_eq!(notes(&fixture.reopen().store), ["a"]);
}

#[tokio::test]
async fn open_when_another_process_uses_it_is_refused() {
    let fixture = Fixture::new();
    let second = reason(fixture.folder.path());
    assert!(second.contains("another postroad uses it"), "{second}");
    fixture.store.write(note("a")).await.unwrap();
    assert_eq!(notes(&fixture.store), ["a"]);
}

#[tokio::test]
async fn write_when_a_job_fails_keeps_the_others_of_its_commit() {
    let fixture = Fixture::new();
    for store in [in_memory().0, fixture.store] {
        let outcomes = join_all(["a", "b", "a", "c"].map(|text| store.write(note(text)))).await;
        assert_eq!(outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false, true]);
        assert_eq!(notes(&store), ["a", "b", "c"]);
    }
}

#[tokio::test]
async fn write_when_jobs_fail_after_changes_leaves_nothing_of_them() {
    let fixture = Fixture::new();
    for store in [in_memory().0, fixture.store] {
        let outcomes = join_all(["a", "no", "b", "panic", "c", "no"].map(|text| {
            store.write(move |transaction| {
                note(text)(transaction)?;
                assert_ne!(text, "panic");
                if text == "no" { Err(Error::Missing(7)) } else { Ok(transaction.last_insert_rowid()) }
            })
        }))
        .await;
        let rows: Vec<_> = outcomes.iter().map(|outcome| outcome.as_ref().ok().copied()).collect();
        assert_eq!(rows, [Some(1), None, Some(2), None, Some(3), None]);
        assert!(matches!(outcomes[1], Err(Error::Missing(7))) && matches!(outcomes[3], Err(Error::Panicked)));
        assert_eq!(notes(&store), ["a", "b", "c"]);
    }
}

/// A caller's own error type.
#[derive(Debug)]
enum Refusal {
    Own,
    Store,
}

impl From<Error> for Refusal {
    fn from(_: Error) -> Self {
        Self::Store
    }
}

#[tokio::test]
async fn write_when_a_job_fails_returns_the_error_of_its_caller() {
    let (store, _) = in_memory();
    assert!(matches!(store.write(|_| Err::<(), _>(Refusal::Own)).await, Err(Refusal::Own)));
    let faults = DiskFaults::default();
    faults.inject(DiskFault::Full);
    let full = store.with_disk_faults(faults).write(|_| Err::<(), _>(Refusal::Own)).await;
    assert!(matches!(full, Err(Refusal::Store)));
}

#[tokio::test]
async fn write_when_many_wait_shares_one_commit() {
    let Fixture { folder: _folder, store } = Fixture::new();
    // The first job keeps the store thread busy until all the others wait.
    let (open, gate) = mpsc::channel::<()>();
    let first = store.write(move |_| Ok::<_, Error>(gate.recv().is_err()));
    let rest = (0..100).map(|number| {
        store.write(move |tx| Ok::<_, Error>(tx.execute("INSERT INTO note VALUES (?1)", [number.to_string()])?))
    });
    let all = join(first, join_all(rest));
    tokio::pin!(all);
    assert!(futures_util::poll!(&mut all).is_pending());
    drop(open);
    let (_, outcomes) = all.await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(notes(&store).len(), 100);
    assert!(store.commits() <= 3, "{} commits", store.commits());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_when_alone_commits_on_the_store_thread() {
    let fixture = Fixture::new();
    let name = |_: &Transaction<'_>| Ok::<_, Error>(std::thread::current().name().map(str::to_owned));
    let tell = |name: Option<String>| (name, std::thread::current().name().map(str::to_owned));
    let (job, completion) = fixture.store.write_with(name, tell).await.unwrap();
    assert_eq!((job.as_deref(), completion.as_deref()), (Some("store"), Some("store")));
}

#[tokio::test]
async fn write_batched_when_no_other_writes_is_committed_soon_and_else_with_them() {
    let Fixture { folder: _folder, store } = Fixture::new();
    store.write_batched(note("a")).await.unwrap();
    let (open, gate) = mpsc::channel::<()>();
    let first = store.write(move |_| Ok::<_, Error>(gate.recv().is_err()));
    let all = join(first, join(store.write_batched(note("b")), store.write(note("c"))));
    tokio::pin!(all);
    assert!(futures_util::poll!(&mut all).is_pending());
    drop(open);
    let (_, (batched, now)) = all.await;
    assert!(batched.is_ok() && now.is_ok());
    assert_eq!((notes(&store), store.commits() <= 3), (["a", "b", "c"].map(str::to_owned).to_vec(), true));
}

#[tokio::test]
async fn in_memory_jobs_of_one_moment_share_a_commit_and_a_dropped_caller_stores_nothing() {
    let (store, _) = in_memory();
    let mut dropped = Box::pin(store.write(note("dropped")));
    let mut others = Box::pin(join_all(["a", "b", "c"].map(|text| store.write(note(text)))));
    assert!(futures_util::poll!(&mut dropped).is_pending() && futures_util::poll!(&mut others).is_pending());
    drop(dropped);
    assert!(others.await.iter().all(Result::is_ok));
    assert_eq!((notes(&store), store.commits()), (vec!["a".to_owned(), "b".to_owned(), "c".to_owned()], 1));
}

#[tokio::test]
async fn commit_when_the_database_is_full_refuses_what_does_not_fit_and_goes_on() {
    let Fixture { folder: _folder, store } = Fixture::new();
    let pages = |count: u32| {
        store.write(move |tx| Ok::<_, Error>(tx.pragma_update_and_check(None, "max_page_count", count, |_| Ok(()))?))
    };
    pages(64).await.unwrap();
    store.write(note("a")).await.unwrap();
    let (fits, large) = join(store.write(note("b")), store.write(long_note(1 << 20))).await;
    assert!(matches!(large, Err(Error::Full)), "{large:?}");
    assert_eq!(fits.is_ok(), notes(&store).contains(&"b".to_owned()), "what was answered is there");
    pages(100_000).await.unwrap();
    store.write(long_note(1 << 20)).await.unwrap();
    assert!(notes(&store).contains(&"a".to_owned()));
    store.health().unwrap();
}

#[tokio::test]
async fn commit_when_sqlite_gives_up_the_transaction_tells_each_job_the_reason_and_runs_the_rest() {
    let Fixture { folder: _folder, store } = Fixture::new();
    let (open, gate) = mpsc::channel::<()>();
    let (begin, begun) = mpsc::channel();
    let first = store.write(move |_| {
        begin.send(()).unwrap();
        Ok::<_, Error>(gate.recv().is_err())
    });
    tokio::pin!(first);
    assert!(futures_util::poll!(&mut first).is_pending());
    // The others are in the next transaction, all three.
    begun.recv().unwrap();
    // It does what SQLite does when there is no room for what it has to write before the commit.
    let aborts = store.write(|tx| Ok::<_, Error>(tx.execute_batch("ROLLBACK")?));
    let all = join(first, join(join(store.write(note("before")), aborts), store.write(note("after"))));
    tokio::pin!(all);
    assert!(futures_util::poll!(&mut all).is_pending());
    drop(open);
    let (_, ((before, aborts), after)) = all.await;
    assert!(matches!((&before, &aborts), (Err(Error::Full), Err(Error::Full))), "{before:?} {aborts:?}");
    after.unwrap();
    assert_eq!(notes(&store), ["after"]);
}

#[tokio::test]
async fn commit_when_a_segment_has_no_room_refuses_the_rows_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    for (store, files) in [in_memory(), with_memory_files(folder.path())] {
        let first = put(&store, content(1, 50_000)).await.unwrap();
        files.set_full(true);
        assert!(matches!(put_named(&store, content(2, 50_000)).await, Err(Error::Full)));
        put(&store, content(3, 100)).await.unwrap();
        files.set_full(false);
        put(&store, content(2, 50_000)).await.unwrap();
        let names = store.read(|connection| connection.query_row("SELECT count(*) FROM name", [], |row| row.get(0)));
        assert_eq!((names.unwrap(), store.get(first).unwrap() == content(1, 50_000)), (0, true));
        assert_eq!(files.list().unwrap(), [(1, 100_000)].into(), "the place of what was refused is used");
    }
}

#[tokio::test]
async fn commit_when_a_segment_cannot_be_made_refuses_the_rows_and_goes_on() {
    let fixture = Fixture::new();
    fs::write(fixture.folder.path().join(CONTENTS), "in the way").unwrap();
    assert!(put_named(&fixture.store, content(1, 200_000)).await.is_err());
    fs::remove_file(fixture.folder.path().join(CONTENTS)).unwrap();
    let id = put(&fixture.store, content(1, 200_000)).await.unwrap();
    assert_eq!(fixture.reopen().store.get(id).unwrap(), content(1, 200_000));
}

#[tokio::test]
async fn commit_when_a_sync_fails_stops_the_store_and_every_caller_is_told_why() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [one, other] = folders.each_ref().map(|folder| with_memory_files(folder.path()));
    // The sync of a segment, and that of a new segment's name.
    for ((store, files), large) in [(in_memory(), true), (one, true), (other, false)] {
        let kept = put(&store, content(1, if large { 50_000 } else { 500 })).await.unwrap();
        store.health().unwrap();
        files.fail_next_sync();
        let failed = join(put(&store, content(2, 50_000)), store.write(note("small"))).await;
        for error in [failed.0.unwrap_err(), store.write(note("later")).await.unwrap_err(), store.health().unwrap_err()]
        {
            let text = "storage failed: write failed: the device reports an error; check the disk, then restart";
            assert_eq!(error.to_string(), text);
        }
        assert!(matches!(store.stopped().await, Error::Stopped(_)));
        assert!(store.get(kept).is_ok(), "it goes on reading");
        let acknowledged = failed.1.is_ok();
        assert_eq!(notes(&store).len(), usize::from(acknowledged));
    }
}

#[tokio::test]
async fn completion_when_it_panics_strands_no_other_caller() {
    let Fixture { folder: _folder, store } = Fixture::new();
    for _ in 0..3 {
        let panics = store.write_with(|_| Ok::<_, Error>(()), |()| -> () { panic!("a bug") });
        let (panicked, others) = join(panics, join_all((0..10).map(|_| store.write(|_| Ok::<_, Error>(()))))).await;
        assert!(matches!(panicked, Err(Error::Panicked)));
        assert!(others.iter().all(Result::is_ok));
    }
}

#[tokio::test]
async fn job_when_it_panics_fails_alone() {
    let Fixture { folder: _folder, store } = Fixture::new();
    let panics = store.write(|_| -> Result<(), Error> { panic!("a bug") });
    let (panicked, kept) = join(panics, store.write(note("kept"))).await;
    assert!(matches!(panicked, Err(Error::Panicked)) && kept.is_ok());
    assert_eq!(notes(&store), ["kept"]);
}

#[tokio::test]
async fn open_when_another_build_or_program_wrote_the_database_is_refused_with_what_to_do() {
    let older = "an older build wrote it, which this one cannot read; export its mail with that build";
    let with_mirror = tempfile::tempdir().unwrap();
    fs::write(with_mirror.path().join("post.db-mirror"), "x").unwrap();
    assert!(reason(with_mirror.path()).contains(older));
    for (sql, text) in [
        ("CREATE TABLE schema (room TEXT PRIMARY KEY, steps INTEGER NOT NULL) STRICT", older),
        ("CREATE TABLE cooking (recipe TEXT)", "it is no database of Postroad"),
        ("PRAGMA application_id = 7", "it is no database of Postroad"),
        ("PRAGMA application_id = 0x504f5354; PRAGMA user_version = 9", "a newer build wrote it"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        Connection::open(folder.path().join("post.db")).unwrap().execute_batch(sql).unwrap();
        let reason = reason(folder.path());
        assert!(reason.contains(text), "{sql}: {reason}");
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("post.db"), "x".repeat(5000)).unwrap();
    assert!(reason(folder.path()).contains("cannot be used"));
}

#[cfg(unix)]
#[tokio::test]
async fn database_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::new();
    fixture.store.write(note("a")).await.unwrap();
    for file in ["post.db", "post.db-wal"] {
        let mode = fs::metadata(fixture.folder.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file}");
    }
}

#[tokio::test]
async fn wal_when_it_is_long_is_copied_into_the_database_behind_the_answers() {
    let fixture = Fixture::new();
    for _ in 0..30 {
        fixture
            .store
            .write(|tx| {
                tx.execute("DELETE FROM note", [])?;
                long_note(1 << 20)(tx)
            })
            .await
            .unwrap();
    }
    fixture.store.write(|_| Ok::<_, Error>(())).await.unwrap();
    let wal = fs::metadata(fixture.folder.path().join("post.db-wal")).unwrap().len();
    assert!((8 << 20..12 << 20).contains(&wal), "{wal}");
}

#[tokio::test]
async fn write_when_its_caller_is_gone_is_stored_all_the_same() {
    let Fixture { folder: _folder, store } = Fixture::new();
    let mut gone = Box::pin(store.write(note("a")));
    assert!(futures_util::poll!(&mut gone).is_pending());
    drop(gone);
    tokio::time::timeout(Duration::from_secs(10), store.write(|_| Ok::<_, Error>(()))).await.unwrap().unwrap();
    assert_eq!(notes(&store), ["a"]);
}

#[tokio::test]
async fn write_when_the_disk_is_full_passes_if_it_frees_room() {
    let (store, faults) = (in_memory().0, DiskFaults::default());
    let store = store.with_disk_faults(faults.clone());
    faults.inject(DiskFault::Full);
    assert!(matches!(store.write(note("a")).await, Err(Error::Full)));
    store.freeing().write(note("b")).await.unwrap();
    store.freeing().write_batched(note("c")).await.unwrap();
    faults.inject(DiskFault::Failing);
    assert!(matches!(store.freeing().write(note("d")).await, Err(Error::Io(_))));
    assert_eq!(notes(&store), ["b", "c"]);
}

/// The length of the reserve while a job runs.
fn reserve_bytes(folder: &Path) -> impl Fn(&Transaction<'_>) -> Result<u64, Error> + Send + 'static {
    let path = folder.join("post.db-reserve");
    move |_| Ok(fs::metadata(&path)?.len())
}

#[tokio::test]
async fn reserve_when_the_disk_is_full_is_given_up_for_jobs_that_free_room_only() {
    let fixture = Fixture::new();
    let (store, folder) = (&fixture.store, fixture.folder.path());
    store.write(note("a")).await.unwrap();
    for round in 0..2 {
        // What SQLite does when it finds no room.
        let full = |transaction: &Transaction<'_>| Ok::<_, Error>(transaction.execute_batch("ROLLBACK")?);
        assert!(matches!(store.write(full).await, Err(Error::Full)));
        // The first finds the disk full; afterwards it seems to have room.
        let freeing = store.freeing();
        let (given_up, kept) = (freeing.write(reserve_bytes(folder)), store.write(reserve_bytes(folder)));
        let (given_up, kept) = join(given_up, kept).await;
        assert_eq!((given_up.unwrap(), 1 << 20 <= kept.unwrap()), (0, true), "round {round}");
    }
    let again = store.freeing().write(reserve_bytes(folder)).await.unwrap();
    assert!(1 << 20 <= again, "with room, it stays");
}

/// So that a commit which deletes has the room that the WAL takes.
#[tokio::test]
async fn wal_when_the_disk_is_full_is_copied_into_the_database() {
    let fixture = Fixture::new();
    fixture.store.write(note("a")).await.unwrap();
    let in_database = || {
        let copy = tempfile::tempdir().unwrap();
        fs::copy(fixture.folder.path().join("post.db"), copy.path().join("post.db")).unwrap();
        let connection = Connection::open(copy.path().join("post.db")).unwrap();
        connection.query_row("SELECT count(*) FROM note", [], |row| row.get::<_, i64>(0)).unwrap_or(0)
    };
    assert_eq!(in_database(), 0);
    // What SQLite does when it finds no room.
    let full = |transaction: &Transaction<'_>| Ok::<_, Error>(transaction.execute_batch("ROLLBACK")?);
    assert!(matches!(fixture.store.write(full).await, Err(Error::Full)));
    // The copy is made behind the answer; one more job comes behind that.
    fixture.store.write(|_| Ok::<_, Error>(())).await.unwrap();
    assert_eq!(in_database(), 1);
}
