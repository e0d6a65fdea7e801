use bytes::Bytes;
use futures_util::future::{join, join_all};

use super::*;

const NOTES: Schema = Schema {
    room: "notes",
    steps: &["CREATE TABLE note (text TEXT NOT NULL UNIQUE) STRICT"],
    forget: None,
    recount: None,
};

fn note(text: &'static str) -> impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()> + Send {
    move |transaction| transaction.execute("INSERT INTO note VALUES (?1)", [text]).map(drop)
}

fn notes(store: &Store) -> Vec<String> {
    let query = |connection: &Connection| {
        connection.prepare("SELECT text FROM note ORDER BY rowid")?.query_map([], |row| row.get(0))?.collect()
    };
    store.read(query).unwrap()
}

#[tokio::test]
async fn what_was_answered_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("post.db");
    let store = Store::open(&path, &[NOTES]).unwrap();
    store.write(note("a")).await.unwrap();
    drop(store);
    let store = Store::open(&path, &[NOTES]).unwrap();
    assert_eq!(notes(&store), ["a"]);
}

#[tokio::test]
async fn a_store_is_one_process_s() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("post.db");
    let store = Store::open(&path, &[NOTES]).unwrap();
    let second = Store::open(&path, &[NOTES]).err().unwrap().to_string();
    assert!(second.ends_with("post.db cannot be used: another process uses it"), "{second}");
    store.write(note("a")).await.unwrap();
    assert_eq!(notes(&store), ["a"]);
}

#[tokio::test]
async fn a_job_that_fails_harms_no_other_of_its_commit() {
    let folder = tempfile::tempdir().unwrap();
    for store in [Store::in_memory(&[NOTES]).unwrap(), Store::open(&folder.path().join("post.db"), &[NOTES]).unwrap()] {
        let jobs = ["a", "b", "a", "c"].map(|text| store.write(note(text)));
        let outcomes = join_all(jobs).await;
        assert_eq!(outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false, true]);
        assert_eq!(notes(&store), ["a", "b", "c"]);
    }
}

#[tokio::test]
async fn whoever_waits_shares_one_commit() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("post.db"), &[NOTES]).unwrap();
    // The first job keeps the writer busy until all the others wait.
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let first = store.write(move |_| Ok(gate.recv().is_err()));
    let rest =
        (0..100).map(|number| store.write(move |tx| tx.execute("INSERT INTO note VALUES (?1)", [number.to_string()])));
    let all = join(first, join_all(rest));
    tokio::pin!(all);
    assert!(futures_util::poll!(&mut all).is_pending());
    drop(open);
    let (_, outcomes) = all.await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(notes(&store).len(), 100);
    assert!(store.commits() <= 3, "{} commits", store.commits());
}

/// The thread on which a job is done.
async fn place(store: &Store) -> String {
    store.write(|_| Ok(std::thread::current().name().unwrap_or_default().to_owned())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_writes_alone_commits_without_handing_over_and_who_does_not_leaves_it_to_the_writer() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("post.db"), &[NOTES]).unwrap();
    assert_ne!(place(&store).await, "store");
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let busy = tokio::spawn({
        let store = store.clone();
        async move { store.write(move |_| Ok(gate.recv().is_err())).await }
    });
    let other = tokio::spawn({
        let store = store.clone();
        async move { (store.write(note("a")).await, place(&store).await) }
    });
    drop(open);
    assert!(busy.await.unwrap().unwrap());
    assert!(other.await.unwrap().0.is_ok());
    assert_eq!(notes(&store), ["a"]);
}

#[tokio::test]
async fn what_nobody_waits_for_shares_a_commit_or_gets_one_soon() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("post.db"), &[NOTES]).unwrap();
    store.write_soon(note("a")).await.unwrap();
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let first = store.write(move |_| Ok(gate.recv().is_err()));
    let all = join(first, join(store.write_soon(note("b")), store.write(note("c"))));
    tokio::pin!(all);
    assert!(futures_util::poll!(&mut all).is_pending());
    drop(open);
    let (_, (soon, now)) = all.await;
    assert!(soon.is_ok() && now.is_ok());
    assert_eq!((notes(&store), store.commits() <= 3), (["a", "b", "c"].map(str::to_owned).to_vec(), true));
}

#[tokio::test]
async fn in_memory_those_of_one_moment_share_a_commit_and_who_is_killed_before_it_stores_nothing() {
    let store = Store::in_memory(&[NOTES]).unwrap();
    let mut killed = Box::pin(store.write(note("killed")));
    let others = ["a", "b", "c"].map(|text| store.write(note(text)));
    let mut others = Box::pin(join_all(others));
    assert!(futures_util::poll!(&mut killed).is_pending() && futures_util::poll!(&mut others).is_pending());
    drop(killed);
    assert!(others.await.iter().all(Result::is_ok));
    assert_eq!((notes(&store), store.commits()), (vec!["a".to_owned(), "b".to_owned(), "c".to_owned()], 1));
}

#[tokio::test]
async fn a_content_is_stored_once_and_goes_with_its_last_use() {
    let store = Store::in_memory(&[]).unwrap();
    let content = Content::new(Bytes::from_static(b"Subject: hello\r\n\r\nHello!\r\n"));
    let put = |content: Content| store.write(move |tx| content::put(tx, &content));
    let (first, second) = (put(content.clone()).await.unwrap(), put(content.clone()).await.unwrap());
    assert_eq!(first, second);
    assert_eq!(store.content(first).unwrap(), content);
    store.write(move |tx| content::release(tx, first)).await.unwrap();
    assert!(store.content(first).is_ok());
    store.write(move |tx| content::release(tx, first)).await.unwrap();
    assert!(matches!(store.content(first), Err(Error::Missing(_))));
}

#[test]
fn equal_contents_share_one_buffer() {
    let store = Store::in_memory(&[]).unwrap();
    let kept = Content::new(Bytes::from(b"one".to_vec()));
    store.remember(1, &kept);
    let shared = store.share(Content::new(Bytes::from(b"one".to_vec())));
    assert_eq!(shared.bytes().as_ptr(), kept.bytes().as_ptr());
}

fn long_note(octets: usize) -> impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()> + Send {
    move |transaction| transaction.execute("INSERT INTO note VALUES (?1)", ["x".repeat(octets)]).map(drop)
}

#[tokio::test]
async fn a_full_disk_refuses_what_does_not_fit_and_the_store_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("post.db"), &[NOTES]).unwrap();
    let pages =
        |count: u32| store.write(move |tx| tx.pragma_update_and_check(None, "max_page_count", count, |_| Ok(())));
    pages(64).await.unwrap();
    store.write(note("a")).await.unwrap();
    let (fits, large) = join(store.write(note("b")), store.write(long_note(1 << 20))).await;
    assert!(large.is_err());
    assert_eq!(fits.is_ok(), notes(&store).contains(&"b".to_owned()), "what was answered is there");
    pages(100_000).await.unwrap();
    store.write(long_note(1 << 20)).await.unwrap();
    assert!(notes(&store).contains(&"a".to_owned()));
}

fn content(fill: u8, octets: usize) -> Content {
    Content::new(Bytes::from(vec![fill; octets]))
}

async fn put(store: &Store, content: Content) -> Result<i64, Error> {
    store.write(move |tx| content::put(tx, &content)).await
}

#[tokio::test]
async fn a_content_that_cannot_be_written_is_refused_with_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("post.db"), &[NOTES]).unwrap();
    // The first segment cannot be made.
    let segment = folder.path().join("contents/1");
    std::fs::create_dir(&segment).unwrap();
    let with_note = store.write(|tx| {
        note("a")(tx)?;
        content::put(tx, &content(1, 200_000))
    });
    assert!(with_note.await.is_err());
    assert!(notes(&store).is_empty());
    std::fs::remove_dir(&segment).unwrap();
    let id = put(&store, content(1, 200_000)).await.unwrap();
    assert_eq!(store.content(id).unwrap(), content(1, 200_000));
}

/// What a process that ends now leaves behind.
pub(crate) fn left_behind(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    std::fs::create_dir(copy.path().join("contents")).unwrap();
    let contents = segments(&folder.join("contents")).into_iter().map(|file| format!("contents/{file}"));
    for file in ["post.db", "post.db-wal", "post.db-mirror"].map(str::to_owned).into_iter().chain(contents) {
        std::fs::copy(folder.join(&file), copy.path().join(&file)).unwrap();
    }
    copy
}

#[tokio::test]
async fn contents_that_are_not_large_come_to_their_file_later_and_are_there_all_the_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("post.db");
    let store = Store::open(&path, &[NAMES]).unwrap();
    // Room is made once something was written.
    let first = named(&store, content(0, 100)).await;
    let held = || std::fs::metadata(folder.path().join("contents/1")).map_or(0, |file| file.len());
    let mut ids = Vec::new();
    for fill in 1..=100 {
        ids.push(named(&store, content(fill, 50_000)).await);
        if fill == 20 {
            assert_eq!(held(), 0, "nothing yet");
        }
    }
    assert!((30 * 50_000..100 * 50_000).contains(&held()), "{}", held());
    let is_there = |store: &Store| {
        ids.iter().zip(1..).for_each(|(id, fill)| assert_eq!(store.content(*id).unwrap(), content(fill, 50_000)));
        assert_eq!(store.content(first).unwrap(), content(0, 100));
    };
    is_there(&store);
    // Another program may have looked into the database in between, and put the log into it.
    for is_visited in [false, true] {
        let copy = left_behind(folder.path());
        let path = copy.path().join("post.db");
        if is_visited {
            Connection::open(&path).unwrap().execute_batch("SELECT * FROM name").unwrap();
            assert!(!copy.path().join("post.db-wal").exists());
        }
        is_there(&Store::open(&path, &[NAMES]).unwrap());
    }
    drop(store);
    let blocks = 100 * 50_000_u64.div_ceil(4096);
    assert!((blocks..blocks + 10).contains(&(held() / 4096)), "they lie one after the other");
    is_there(&Store::open(&path, &[NAMES]).unwrap());
}

#[tokio::test]
async fn contents_of_all_sizes_that_come_and_go_are_what_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("post.db");
    for seed in 0..4 {
        let (rng, mut there) = (crate::world::Rng::seeded(seed), std::collections::BTreeMap::new());
        let store = Store::open(&path, &[]).unwrap();
        for fill in 0..200 {
            let octets = [500, 1_500, 5_000, 4_096, 30_000, 100_000, 200_000][rng.below(7) as usize] + rng.below(3);
            there.insert(put(&store, content(fill, octets as usize)).await.unwrap(), content(fill, octets as usize));
            let gone: Vec<i64> = there.keys().copied().filter(|_| rng.below(20) == 0).collect();
            for id in gone {
                store.write(move |tx| content::release(tx, id)).await.unwrap();
                there.remove(&id);
            }
            if rng.below(20) == 0 {
                there.iter().for_each(|(id, content)| assert_eq!(&store.content(*id).unwrap(), content));
            }
        }
        let copy = left_behind(folder.path());
        drop(store);
        for path in [&path, &copy.path().join("post.db")] {
            let store = Store::open(path, &[]).unwrap();
            there.iter().for_each(|(id, content)| assert_eq!(&store.content(*id).unwrap(), content));
        }
        let store = Store::open(&path, &[]).unwrap();
        for id in there.into_keys() {
            store.write(move |tx| content::release(tx, id)).await.unwrap();
        }
    }
}

#[tokio::test]
async fn contents_that_are_gone_by_then_never_come_to_their_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("post.db"), &[]).unwrap();
    put(&store, content(0, 100)).await.unwrap();
    let kept = put(&store, content(1, 50_000)).await.unwrap();
    for fill in 2..100 {
        let id = put(&store, content(fill, 50_000)).await.unwrap();
        store.write(move |tx| content::release(tx, id)).await.unwrap();
    }
    assert_eq!(store.content(kept).unwrap(), content(1, 50_000));
    drop(store);
    // The last one of each time that some are written is there still.
    let file = std::fs::metadata(folder.path().join("contents/1")).unwrap();
    let held = std::os::unix::fs::MetadataExt::blocks(&file) * 512;
    assert!((1..=5).contains(&(held / 50_000)), "{held}");
}

#[tokio::test]
async fn contents_whose_file_cannot_be_written_are_not_lost_and_no_more_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("post.db");
    let store = Store::open(&path, &[]).unwrap();
    put(&store, content(0, 100)).await.unwrap();
    let segment = folder.path().join("contents/1");
    std::fs::create_dir(&segment).unwrap();
    let (mut taken, mut refused) = (Vec::new(), 0);
    for fill in 1..150 {
        match put(&store, content(fill, 50_000)).await {
            Ok(id) => taken.push((id, fill)),
            Err(_) => refused += 1,
        }
    }
    assert!(30 < taken.len() && 30 < refused, "{} and {refused}", taken.len());
    for (id, fill) in &taken {
        assert_eq!(store.content(*id).unwrap(), content(*fill, 50_000));
    }
    drop(store);
    std::fs::remove_dir(&segment).unwrap();
    let store = Store::open(&path, &[]).unwrap();
    for (id, fill) in &taken {
        assert_eq!(store.content(*id).unwrap(), content(*fill, 50_000));
    }
}

#[tokio::test]
async fn contents_that_are_gone_since_they_were_found_are_not_read_as_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("post.db"), &[]).unwrap();
    put(&store, content(0, 100)).await.unwrap();
    let gone = put(&store, content(1, 50_000)).await.unwrap();
    let find = |id| store.read(|connection| content::find(connection, id)).unwrap().unwrap();
    let found = [find(gone), find(gone)];
    store.write(move |tx| content::release(tx, gone)).await.unwrap();
    let mut found = found.into_iter();
    assert!(matches!(store.found(found.next().unwrap()), Err(Error::Missing(_))), "there is no file");
    // It leaves a hole in the file.
    let large = put(&store, content(2, 200_000)).await.unwrap();
    assert!(matches!(store.found(found.next().unwrap()), Err(Error::Missing(_))));
    assert_eq!(store.contents(&[gone, large]).unwrap(), [None, Some(content(2, 200_000))]);
    assert!(store.share(content(1, 50_000)) == content(1, 50_000));
}

#[tokio::test]
async fn a_segment_in_which_nothing_lives_when_it_is_sealed_goes() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("post.db"), &[]).unwrap();
    for fill in 0..9 {
        let id = put(&store, content(fill, segments::SEGMENT_OCTETS as usize / 8)).await.unwrap();
        store.write(move |tx| content::release(tx, id)).await.unwrap();
    }
    assert_eq!(segments(&folder.path().join("contents")), ["2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_answer_once_what_they_saw_is_durable() {
    let unsure = keeper::Unsure::default();
    let guard = unsure.begin();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            unsure.wait();
            tell.send(()).unwrap();
        });
        assert!(told.recv_timeout(std::time::Duration::from_millis(50)).is_err());
        drop(guard);
        told.recv().unwrap();
    });
    unsure.wait();
}

#[tokio::test]
async fn contents_are_found_after_reopening_and_come_after_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("post.db");
    let mut ids = Vec::new();
    for round in 0..3 {
        let store = Store::open(&path, &[]).unwrap();
        let contents =
            [content(round, 50_000), content(round, 0), content(round, 20_000)].map(|content| put(&store, content));
        ids.extend(join_all(contents).await.into_iter().map(Result::unwrap));
    }
    let store = Store::open(&path, &[]).unwrap();
    let found: Vec<_> = ids.iter().map(|id| store.content(*id).unwrap().bytes().len()).collect();
    assert_eq!(found, [50_000, 0, 20_000].repeat(3));
    assert_eq!(store.content(ids[3]).unwrap(), content(1, 50_000));
}

const NAMES: Schema = Schema {
    room: "names",
    steps: &["CREATE TABLE name (text TEXT NOT NULL, content INTEGER NOT NULL REFERENCES content (id)) STRICT"],
    forget: None,
    recount: None,
};

/// A content, and a row that names it.
async fn named(store: &Store, content: Content) -> i64 {
    let job = move |tx: &Transaction<'_>| {
        let id = content::put(tx, &content)?;
        tx.execute("INSERT INTO name VALUES ('x', ?1)", [id])?;
        Ok(id)
    };
    store.write(job).await.unwrap()
}

#[tokio::test]
async fn contents_that_share_a_commit_lie_in_a_file_even_when_they_are_small() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("post.db");
    let store = Store::open(&path, &[]).unwrap();
    let ((open, gate), (begun, wait)) = (std::sync::mpsc::channel::<()>(), std::sync::mpsc::channel::<()>());
    let mut first = Box::pin(store.write(move |_| Ok(begun.send(()).is_ok() && gate.recv().is_err())));
    // The others must not share its commit.
    assert!(futures_util::poll!(&mut first).is_pending());
    wait.recv().unwrap();
    let mut all = Box::pin(join(first, join_all((0..30).map(|fill| put(&store, content(fill, 4096))))));
    assert!(futures_util::poll!(&mut all).is_pending());
    drop(open);
    let ids: Vec<_> = all.await.1.into_iter().map(Result::unwrap).collect();
    drop(store);
    assert_eq!(std::fs::metadata(folder.path().join("contents/1")).unwrap().len(), 30 * 4096);
    let store = Store::open(&path, &[]).unwrap();
    for (fill, id) in ids.iter().enumerate() {
        assert_eq!(store.content(*id).unwrap(), content(fill as u8, 4096));
    }
    // Those that are left when the others go are moved to another file, and not into their rows.
    for id in &ids[1..] {
        let id = *id;
        store.write(move |tx| content::release(tx, id)).await.unwrap();
    }
    store.write(|_| Ok(())).await.unwrap();
    assert_eq!(store.content(ids[0]).unwrap(), content(0, 4096));
    drop(store);
    assert_eq!(segments(&folder.path().join("contents")), ["2"]);
    assert_eq!(Store::open(&path, &[]).unwrap().content(ids[0]).unwrap(), content(0, 4096));
}

#[tokio::test]
async fn rows_whose_bytes_a_crash_has_cut_off_are_forgotten_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("post.db");
    let store = Store::open(&path, &[NAMES]).unwrap();
    let (whole, torn) = (named(&store, content(1, 200_000)).await, named(&store, content(2, 200_000)).await);
    let copy = left_behind(folder.path());
    // The power failed when the rows were on the disk, and of the bytes only some.
    let segment = std::fs::File::options().write(true).open(copy.path().join("contents/1")).unwrap();
    segment.set_len(300_000).unwrap();
    segment.set_len(400_000).unwrap();
    let store = Store::open(&copy.path().join("post.db"), &[NAMES]).unwrap();
    assert_eq!(store.content(whole).unwrap(), content(1, 200_000));
    assert!(matches!(store.content(torn), Err(Error::Missing(_))));
    let named: i64 = store.read(|sql| sql.query_row("SELECT sum(content) FROM name", [], |row| row.get(0))).unwrap();
    assert_eq!(named, whole);
}

fn segments(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn what_lives_in_a_sparse_segment_is_moved_and_the_file_goes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("post.db");
    let store = Store::open(&path, &[]).unwrap();
    let (mut ids, octets) = (Vec::new(), segments::SEGMENT_OCTETS as usize / 8);
    for fill in 0..10 {
        ids.push(put(&store, content(fill, octets)).await.unwrap());
    }
    assert_eq!(segments(&folder.path().join("contents")), ["1", "2"]);
    let last = ids.remove(7);
    for id in ids {
        store.write(move |tx| content::release(tx, id)).await.unwrap();
    }
    // The writer tidies up after it has answered; one more job comes after that.
    store.write(|_| Ok(())).await.unwrap();
    assert_eq!(segments(&folder.path().join("contents")), ["2"]);
    assert_eq!(store.content(last).unwrap(), content(7, octets));
    drop(store);
    let store = Store::open(&path, &[]).unwrap();
    assert_eq!(store.content(last).unwrap(), content(7, octets));
}

#[test]
fn the_oldest_contents_are_written_aside_unless_they_are_gone() {
    const OCTETS: u64 = 100_000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("contents");
    let files = Arc::new(Files::new(path.clone()));
    let mut segments = Segments::open(files.clone(), &Default::default()).unwrap();
    let keep = |fill| {
        let place = segments::Place { octets: OCTETS, ..segments.end() };
        let piece = segments.piece(&[(0, content(fill, OCTETS as usize))]);
        segments.settle(OCTETS, place.start + OCTETS, Some(piece), &[]);
        place
    };
    let places: Vec<_> = (0..30).map(keep).collect();
    // The third is the last of the first row; nothing of the second row lives.
    let (gone, third) = ([&places[..2], &places[3..6]].concat(), places[2]);
    segments.settle(0, 0, None, &gone);
    // What cannot be written stays.
    std::fs::remove_dir(&path).unwrap();
    segments.thin(20 * OCTETS);
    assert_eq!(segments.unwritten(), 30 * OCTETS);
    std::fs::create_dir(&path).unwrap();
    while 20 * OCTETS < segments.unwritten() {
        segments.thin(20 * OCTETS);
    }
    segments.thin(20 * OCTETS);
    assert_eq!(segments.unwritten(), 18 * OCTETS);
    let live = (0..).zip(&places).filter(|(_, place)| !gone.contains(place));
    let all_are_there =
        || live.clone().all(|(fill, place)| files.read(*place).unwrap() == *content(fill, OCTETS as usize).bytes());
    assert!(all_are_there());
    segments.sync().unwrap();
    assert!(all_are_there());
    let file = std::fs::read(path.join("1")).unwrap();
    let octets = |place: segments::Place| &file[place.start as usize..][..OCTETS as usize];
    assert_eq!(octets(third), content(2, OCTETS as usize).bytes());
    assert!(places[3..6].iter().all(|place| octets(*place).iter().all(|octet| *octet == 0)));
}

#[tokio::test]
async fn a_job_that_panics_fails_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("post.db"), &[NOTES]).unwrap();
    let panics = store.write(|_| -> rusqlite::Result<()> { panic!("a bug") });
    let (panicked, kept) = futures_util::future::join(panics, store.write(note("kept"))).await;
    assert!(panicked.is_err() && kept.is_ok());
    assert_eq!(notes(&store), ["kept"]);
}
