//! Contents: stored once, in rows and segments, compacted, compared with their hash, and backed up.

use super::*;
use crate::world::Rng;

const LARGE: usize = segments::SEGMENT_BYTES as usize / 8;

#[tokio::test]
async fn content_when_equal_is_stored_once_shares_its_buffer_and_goes_with_its_last_use() {
    let fixture = Fixture::new();
    for (store, bytes) in [(&fixture.store, 100), (&fixture.store, 100_000), (&in_memory().0, 100_000)] {
        let id = put(store, content(1, bytes)).await.unwrap();
        let again = content(1, bytes);
        let (same, shared) = store.write(move |tx| Ok::<_, Error>(content::put(tx, &again)?)).await.unwrap();
        assert_eq!((same, shared.bytes().as_ptr()), (id, store.get(id).unwrap().bytes().as_ptr()));
        release(store, id).await;
        assert!(store.get(id).is_ok());
        release(store, id).await;
        assert!(matches!(store.get(id), Err(Error::Missing(_))));
        let next = put(store, content(1, bytes)).await.unwrap();
        assert!(id < next, "an id is never given twice");
    }
}

#[tokio::test]
async fn contents_of_all_sizes_that_come_and_go_are_what_they_were() {
    let mut fixture = Fixture::new();
    for seed in 0..4 {
        let (rng, mut there) = (Rng::seeded(seed), std::collections::BTreeMap::new());
        for fill in 0..200 {
            let bytes = [500, 1_500, 5_000, 4_096, 30_000, 100_000, 200_000][rng.below(7) as usize] + rng.below(3);
            let content = content(fill, bytes as usize);
            there.insert(put(&fixture.store, content.clone()).await.unwrap(), content);
            let gone: Vec<i64> = there.keys().copied().filter(|_| rng.below(20) == 0).collect();
            for id in gone {
                release(&fixture.store, id).await;
                there.remove(&id);
            }
        }
        let copy = copy_of_data_dir(fixture.folder.path());
        fixture = fixture.reopen();
        for store in [&fixture.store, &open(copy.path()).unwrap()] {
            let ids: Vec<i64> = there.keys().copied().collect();
            for (found, wanted) in store.get_many(&ids).unwrap().into_iter().zip(there.values()) {
                assert_eq!(&found.unwrap(), wanted);
            }
        }
        for id in there.into_keys() {
            release(&fixture.store, id).await;
        }
    }
    assert_eq!(fixture.segments().len(), 1);
}

#[tokio::test]
async fn contents_after_reopening_lie_one_after_the_other_in_the_same_segment() {
    let mut fixture = Fixture::new();
    let mut ids = Vec::new();
    for round in 0..3 {
        let contents = [content(round, 50_000), content(round, 0), content(round, 20_000)]
            .map(|content| put(&fixture.store, content));
        ids.extend(join_all(contents).await.into_iter().map(Result::unwrap));
        fixture = fixture.reopen();
    }
    let found: Vec<_> = ids.iter().map(|id| fixture.store.get(*id).unwrap().bytes().len()).collect();
    assert_eq!(found, [50_000, 0, 20_000].repeat(3));
    assert_eq!(fixture.segments(), ["1"]);
}

#[tokio::test]
async fn segment_when_nothing_of_it_is_needed_is_removed_and_when_it_is_sparse_compacted() {
    let fixture = Fixture::new();
    let mut ids = Vec::new();
    for fill in 0..10 {
        ids.push(put(&fixture.store, content(fill, LARGE)).await.unwrap());
    }
    assert_eq!(fixture.segments(), ["1", "2"]);
    let last = ids.remove(7);
    for id in ids {
        release(&fixture.store, id).await;
    }
    // Compaction comes behind the answer; one more job comes behind that.
    fixture.store.write(|_| Ok::<_, Error>(())).await.unwrap();
    assert_eq!(fixture.segments(), ["2"]);
    fixture.store.inner.cache.clear();
    assert_eq!(fixture.store.get(last).unwrap(), content(7, LARGE));
    let fixture = fixture.reopen();
    assert_eq!(fixture.store.get(last).unwrap(), content(7, LARGE));
    for fill in 0..9 {
        let id = put(&fixture.store, content(fill, LARGE)).await.unwrap();
        release(&fixture.store, id).await;
    }
    fixture.store.write(|_| Ok::<_, Error>(())).await.unwrap();
    assert_eq!(fixture.segments(), ["3"], "the one that was moved was moved again");
}

#[tokio::test]
async fn compaction_of_a_store_with_many_contents_looks_only_at_its_segment() {
    let fixture = Fixture::new();
    let plan = fixture.store.read(|connection| {
        let sql = "EXPLAIN QUERY PLAN SELECT id FROM content WHERE segment = 1 ORDER BY start";
        connection.query_row(sql, [], |row| row.get::<_, String>("detail"))
    });
    let plan = plan.unwrap();
    assert!(plan.contains("USING INDEX content_segment") || plan.contains("USING COVERING INDEX"), "{plan}");
}

#[tokio::test]
async fn compaction_when_power_is_cut_at_any_moment_loses_nothing() {
    let (store, files) = in_memory();
    let kept = put(&store, content(200, 1000 * 32)).await.unwrap();
    for fill in 0..20 {
        let id = put(&store, content(fill, LARGE)).await.unwrap();
        store.cut_power().unwrap();
        assert_eq!(store.get(id).unwrap(), content(fill, LARGE));
        release(&store, id).await;
        store.cut_power().unwrap();
        assert_eq!(store.get(kept).unwrap(), content(200, 1000 * 32));
    }
    assert!(files.list().unwrap().len() <= 2);
}

#[tokio::test]
async fn commit_after_a_failed_one_does_not_use_its_place_again() {
    let folder = tempfile::tempdir().unwrap();
    let (store, files) = with_memory_files(folder.path());
    put(&store, content(1, 50_000)).await.unwrap();
    // The rows are refused at COMMIT, when the bytes are in the segment already.
    let refuse = |tx: &Transaction<'_>| {
        content::put(tx, &content(2, 50_000))?;
        tx.commit_hook(Some(|| true));
        Ok::<_, Error>(())
    };
    store.write(refuse).await.unwrap_err();
    assert_eq!(files.list().unwrap()[&1], 100_000, "the bytes were written");
    let accept = |tx: &Transaction<'_>| {
        tx.commit_hook(None::<fn() -> bool>);
        Ok::<_, Error>(())
    };
    store.write(accept).await.unwrap();
    put(&store, content(3, 50_000)).await.unwrap();
    assert_eq!(files.list().unwrap()[&1], 150_000);
    let bytes = |start: u64| {
        let mut bytes = vec![0; 1];
        files.read(1, start, &mut bytes).map(|()| bytes[0]).unwrap()
    };
    assert_eq!((bytes(0), bytes(50_000), bytes(100_000)), (1, 2, 3));
}

#[tokio::test]
async fn content_when_a_bit_of_it_flipped_is_refused_by_name_and_the_rest_is_served() {
    let fixture = Fixture::new();
    let ids = [
        put_named(&fixture.store, content(1, 50_000)).await.unwrap(),
        put_named(&fixture.store, content(2, 50_000)).await.unwrap(),
        put_named(&fixture.store, content(3, 100)).await.unwrap(),
        put_named(&fixture.store, content(4, 100)).await.unwrap(),
    ];
    let fixture = {
        let Fixture { folder, store } = fixture;
        drop(store);
        let segment = folder.path().join("contents/1");
        let mut bytes = fs::read(&segment).unwrap();
        bytes[60_000] ^= 4;
        fs::write(&segment, bytes).unwrap();
        let sql = "UPDATE content_bytes SET bytes = zeroblob(100) WHERE content = ?1";
        Connection::open(folder.path().join("post.db")).unwrap().execute(sql, [ids[2]]).unwrap();
        Fixture { store: open(folder.path()).unwrap(), folder }
    };
    let damaged = |error: Error| matches!(error, Error::Damaged { .. });
    assert_eq!(
        fixture.store.get(ids[1]).unwrap_err().to_string(),
        "content 2 is damaged: the bytes in contents/1 at 50000 do not match their hash"
    );
    assert!(damaged(fixture.store.get(ids[2]).unwrap_err()));
    let many = fixture.store.get_many(&ids).unwrap();
    assert_eq!(many.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, false, true]);
    assert_eq!(fixture.store.owners(ids[1]).unwrap(), ["the name x"]);
}

#[tokio::test]
async fn content_that_equals_a_damaged_one_is_stored_anew_and_heals_it() {
    for (bytes, large) in [(50_000, 1), (100, 0)] {
        let fixture = Fixture::new();
        let ids = [content(1, bytes), content(2, bytes), content(3, bytes)].map(|it| put_named(&fixture.store, it));
        let ids: Vec<i64> = join_all(ids).await.into_iter().map(Result::unwrap).collect();
        let Fixture { folder, store } = fixture;
        drop(store);
        if large == 1 {
            let segment = folder.path().join("contents/1");
            fs::write(&segment, vec![0; fs::read(&segment).unwrap().len()]).unwrap();
        }
        Connection::open(folder.path().join("post.db"))
            .unwrap()
            .execute("UPDATE content_bytes SET bytes = zeroblob(100)", [])
            .unwrap();
        let store = open(folder.path()).unwrap();
        for _ in 0..2 {
            assert!(matches!(store.get(ids[0]), Err(Error::Damaged { .. })));
        }
        assert!(matches!(store.get(ids[1]), Err(Error::Damaged { .. })));
        // Two of one commit, and one later.
        let twice = join(put_named(&store, content(1, bytes)), put_named(&store, content(1, bytes))).await;
        let again = put_named(&store, content(1, bytes)).await.unwrap();
        assert_eq!((twice.0.unwrap(), twice.1.unwrap(), again), (ids[0], ids[0], ids[0]));
        release(&store, ids[1]).await;
        store.inner.cache.clear();
        assert_eq!(store.get(ids[0]).unwrap(), content(1, bytes));
        assert!(matches!(store.get(ids[2]), Err(Error::Damaged { .. })), "it was not known to be damaged");
        // One that was deleted meanwhile is a new content.
        let new = put(&store, content(2, bytes)).await.unwrap();
        assert!(ids[2] < new);
        for _ in 0..4 {
            release(&store, ids[0]).await;
        }
        assert!(matches!(store.get(ids[0]), Err(Error::Missing(_))));
        drop(store);
        let store = open(folder.path()).unwrap();
        assert_eq!(store.get(new).unwrap(), content(2, bytes));
    }
}

#[tokio::test]
async fn compaction_that_found_no_room_is_tried_again_once_there_is_some() {
    let (store, files) = in_memory();
    let mut ids = Vec::new();
    for fill in 0..9 {
        ids.push(put(&store, content(fill, LARGE)).await.unwrap());
    }
    files.set_full(true);
    for id in ids.drain(..7) {
        release(&store, id).await;
    }
    store.write(|_| Ok::<_, Error>(())).await.unwrap();
    assert!(files.list().unwrap().contains_key(&1), "there was no room for what it holds");
    files.set_full(false);
    store.write(|_| Ok::<_, Error>(())).await.unwrap();
    assert!(files.list().unwrap().contains_key(&1), "nobody knows of the room");
    put(&store, content(100, 50_000)).await.unwrap();
    assert_eq!(files.list().unwrap().into_keys().collect::<Vec<_>>(), [2]);
    assert_eq!(store.get(ids[0]).unwrap(), content(7, LARGE));
}

#[tokio::test]
async fn open_when_a_segment_is_missing_or_short_or_the_database_is_gone_is_refused() {
    let fixture = Fixture::new();
    put(&fixture.store, content(1, 50_000)).await.unwrap();
    let Fixture { folder, store } = fixture;
    drop(store);
    let (segment, database) = (folder.path().join("contents/1"), folder.path().join("post.db"));
    let whole = fs::read(&segment).unwrap();
    fs::write(&segment, &whole[..40_000]).unwrap();
    let short = reason(folder.path());
    assert!(short.contains("contents/1 has 40000 bytes, and 50000 were stored in it; restore"), "{short}");
    fs::remove_file(&segment).unwrap();
    let missing = reason(folder.path());
    assert!(missing.contains("segment contents/1 is missing; restore"), "{missing}");
    fs::write(&segment, &whole).unwrap();
    open(folder.path()).unwrap();
    fs::write(&database, "").unwrap();
    let emptied = reason(folder.path());
    assert!(emptied.contains("the database is missing or empty, but contents beside it holds 1 segments"), "{emptied}");
    fs::remove_file(&database).unwrap();
    assert_eq!(reason(folder.path()), emptied);
    assert_eq!(fs::read(&segment).unwrap(), whole, "nothing was removed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_while_segments_are_compacted_holds_all_that_was_acknowledged_before() {
    let fixture = Fixture::new();
    let mut ids = Vec::new();
    for fill in 0..20 {
        ids.push(put(&fixture.store, content(fill, LARGE)).await.unwrap());
    }
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("backup");
    let copying = tokio::task::spawn_blocking({
        let (store, target) = (fixture.store.clone(), target.clone());
        move || store.backup(&target)
    });
    // All but three go, so that two segments are compacted or removed under the copy.
    for id in ids.iter().enumerate().filter(|(at, _)| at % 7 != 0).map(|(_, id)| *id) {
        release(&fixture.store, id).await;
    }
    copying.await.unwrap().unwrap();
    fixture.store.write(|_| Ok::<_, Error>(())).await.unwrap();
    let copy = open(&target).unwrap();
    let mut there = 0;
    for (fill, id) in (0..).zip(&ids) {
        match copy.get(*id) {
            Ok(found) => {
                assert_eq!(found, content(fill, LARGE));
                there += 1;
            }
            Err(error) => assert!(matches!(error, Error::Missing(_)), "{error}"),
        }
    }
    assert!(3 <= there, "{there}");
    let again = fixture.store.backup(&target).unwrap_err().to_string();
    assert!(again.contains("is not empty"), "{again}");
    // What waited for the copy is removed.
    assert!(fixture.segments().len() <= 2, "{:?}", fixture.segments());
}
