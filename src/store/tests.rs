use bytes::Bytes;
use futures_util::future::join_all;

use super::*;

const NOTES: Schema = Schema { room: "notes", steps: &["CREATE TABLE note (text TEXT NOT NULL UNIQUE) STRICT"] };

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
    let all = futures_util::future::join(first, join_all(rest));
    tokio::pin!(all);
    assert!(futures_util::poll!(&mut all).is_pending());
    drop(open);
    let (_, outcomes) = all.await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(notes(&store).len(), 100);
    assert!(store.commits() <= 3, "{} commits", store.commits());
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
    assert!(store.read(|connection| content::load(connection, first)).unwrap().is_some());
    store.write(move |tx| content::release(tx, first)).await.unwrap();
    assert!(store.read(|connection| content::load(connection, first)).unwrap().is_none());
}

#[test]
fn equal_contents_share_one_buffer() {
    let store = Store::in_memory(&[]).unwrap();
    let kept = Content::new(Bytes::from(b"one".to_vec()));
    store.remember(1, &kept);
    let shared = store.share(Content::new(Bytes::from(b"one".to_vec())));
    assert_eq!(shared.bytes().as_ptr(), kept.bytes().as_ptr());
}

#[tokio::test]
async fn a_full_disk_refuses_what_does_not_fit_and_the_store_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("post.db"), &[]).unwrap();
    let pages =
        |count: u32| store.write(move |tx| tx.pragma_update_and_check(None, "max_page_count", count, |_| Ok(())));
    pages(64).await.unwrap();
    let put = |fill: u8, octets: usize| {
        let content = Content::new(Bytes::from(vec![fill; octets]));
        store.write(move |tx| content::put(tx, &content))
    };
    let small = put(1, 1000).await.unwrap();
    let (fits, large) = futures_util::future::join(put(2, 1000), put(3, 1 << 20)).await;
    assert!(large.is_err());
    if let Ok(id) = fits {
        assert!(store.content(id).is_ok(), "what was answered is there");
    }
    pages(100_000).await.unwrap();
    let large = put(3, 1 << 20).await.unwrap();
    assert_eq!(store.content(large).unwrap().bytes().len(), 1 << 20);
    assert_eq!(store.content(small).unwrap().bytes().len(), 1000);
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
