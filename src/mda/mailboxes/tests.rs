use std::path::Path;

use bytes::Bytes;
use futures_util::future::try_join_all;

use super::sqlite::tests::{contents, count, execute};
use super::*;
use crate::imap::{Flags, StoreMode, SystemFlags};
use crate::mail::{JourneyId, Message};
use crate::store::tests::copy_of_data_dir;

pub(super) const ANN: &str = "ann@a.test";

fn clock() -> Clock {
    Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap())
}

fn mailboxes() -> Mailboxes {
    Mailboxes::new(Store::in_memory(&[SCHEMA]).unwrap(), clock())
}

pub(super) fn on_disk(folder: &Path) -> Mailboxes {
    Mailboxes::new(Store::open(&folder.join("post.db"), &[SCHEMA]).unwrap(), clock())
}

pub(super) fn message(subject: &str) -> Message {
    Message::new(Bytes::from(format!("Received: x\r\nSubject: {subject}\r\n\r\nhello\r\n")))
}

fn flags(system: SystemFlags, keywords: &[&str]) -> Flags {
    Flags { system, keywords: keywords.iter().map(|word| (*word).to_owned()).collect() }
}

/// Delivers messages with these subjects, in order.
pub(super) async fn deliver(mailboxes: &Mailboxes, subjects: &[&str]) -> Vec<Uid> {
    let mut uids = Vec::new();
    for subject in subjects {
        uids.push(mailboxes.deliver(ANN, None, &message(subject)).await.unwrap().uid);
    }
    uids
}

/// A mailbox as text: UID, flags, keywords, subject.
fn describe(mailbox: &Mailbox) -> Vec<String> {
    let view = mailbox.view().unwrap();
    let describe = |meta: &MessageMeta| {
        let MessageMeta { uid, flags: system, keywords, modseq: _, received: _, saved: _, size, content: _, email: _ } =
            meta;
        let message = mailbox.message(*uid).unwrap().unwrap();
        assert_eq!(message.len() as u64, *size);
        let text = String::from_utf8(message.content.bytes().to_vec()).unwrap();
        let marks: String =
            SystemFlags::ALL.iter().filter(|(flag, _)| system.contains(*flag)).map(|(_, name)| *name).collect();
        let subject = text.lines().next().unwrap().trim_start_matches("Subject: ");
        let words = [uid.to_string(), marks, keywords.join("+"), subject.to_owned()];
        words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    };
    view.messages.iter().map(describe).collect()
}

fn names(mailboxes: &Mailboxes) -> Vec<String> {
    let describe = |listed: &Listed| {
        let Listed { name, status, has_children, subscribed, special_uses } = listed;
        let marks =
            [(status.is_none(), "!"), (*has_children, "/"), (*subscribed, "*"), (!special_uses.is_empty(), "\\")];
        let marks: String = marks.iter().filter(|(on, _)| *on).map(|(_, mark)| *mark).collect();
        format!("{name}{marks}")
    };
    mailboxes.list(ANN).unwrap().iter().map(describe).collect()
}

#[tokio::test]
async fn mailboxes_after_reopening_are_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let before = on_disk(folder.path());
    let journey = JourneyId::from_random(7);
    let stamped = message("one").with_header(&format!("Received: from a by b id {}; now", journey.queue_id(1)));
    let delivered = before.deliver(ANN, None, &stamped).await.unwrap();
    deliver(&before, &["two", "three"]).await;
    let inbox = before.open(ANN, "inbox").unwrap();
    inbox.store(vec![2], StoreMode::Add, flags(SystemFlags::SEEN, &["work", "$Junk"])).await.unwrap();
    inbox.remove(vec![3]).await.unwrap();
    before.create(ANN, "Lists/rust").await.unwrap();
    before.subscribe(ANN, "Lists/rust", true).await.unwrap();
    let (view, listed) = (inbox.view().unwrap(), before.list(ANN).unwrap());
    drop((inbox, before));

    let after = on_disk(folder.path());
    let inbox = after.open(ANN, "INBOX").unwrap();
    assert_eq!((inbox.view().unwrap(), after.list(ANN).unwrap()), (view, listed));
    assert_eq!(inbox.message(1).unwrap(), Some(stamped));
    assert_eq!(describe(&inbox), ["1 one", "2 \\Seen work+$Junk two"]);
    let next = after.deliver(ANN, None, &message("four")).await.unwrap();
    assert_eq!((next.uid, next.uidvalidity), (4, delivered.uidvalidity), "no UID is reused");
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_in_parallel_share_commits_and_get_ascending_uids() {
    let folder = tempfile::tempdir().unwrap();
    let mailboxes = on_disk(folder.path());
    mailboxes.ensure_account(ANN).await.unwrap();
    let start = mailboxes.store.commits();
    let tasks = (0..200).map(|number| {
        let mailboxes = mailboxes.clone();
        tokio::spawn(async move {
            let delivered = mailboxes.deliver(ANN, None, &message(&number.to_string())).await.unwrap();
            // An acknowledged message is visible at once.
            let view = mailboxes.open(ANN, "INBOX").unwrap().view().unwrap();
            assert!(view.find(delivered.uid).is_some());
            delivered.uid
        })
    });
    let mut uids = try_join_all(tasks).await.unwrap();
    uids.sort_unstable();
    assert_eq!(uids, (1..=200).collect::<Vec<_>>());
    assert!(mailboxes.store.commits() - start < 200);
}

#[tokio::test]
async fn deliver_with_detail_uses_the_mailbox_of_that_name_if_it_exists() {
    let mailboxes = mailboxes();
    let mut mailbox_names = Vec::new();
    mailboxes.create(ANN, "Lists").await.unwrap();
    for detail in [None, Some("lists"), Some("Lists"), Some("nowhere"), Some("a//b"), Some("inbox"), Some("")] {
        mailbox_names.push(mailboxes.deliver(ANN, detail, &message("x")).await.unwrap().mailbox);
    }
    assert_eq!(mailbox_names, ["INBOX", "Lists", "Lists", "INBOX", "INBOX", "INBOX", "INBOX"]);
}

#[tokio::test]
async fn store_adds_removes_and_replaces_flags() {
    let mailboxes = mailboxes();
    deliver(&mailboxes, &["one", "two"]).await;
    let inbox = mailboxes.open(ANN, "INBOX").unwrap();
    let before = inbox.view().unwrap();
    let both = flags(SystemFlags::SEEN.with(SystemFlags::FLAGGED), &["a", "b"]);
    inbox.store(vec![1, 9], StoreMode::Add, both).await.unwrap();
    inbox.store(vec![1], StoreMode::Remove, flags(SystemFlags::SEEN, &["A"])).await.unwrap();
    assert_eq!(describe(&inbox), ["1 \\Flagged b one", "2 two"]);
    inbox.store(vec![1, 2], StoreMode::Replace, flags(SystemFlags::DRAFT, &[])).await.unwrap();
    assert_eq!(describe(&inbox), ["1 \\Draft one", "2 \\Draft two"]);
    let unchanged = inbox.view().unwrap();
    inbox.store(vec![1, 2], StoreMode::Add, flags(SystemFlags::DRAFT, &[])).await.unwrap();
    assert_eq!(inbox.view().unwrap().messages, unchanged.messages, "a STORE without effect changes nothing");
    let changes = inbox.view().unwrap().changes_since(&before);
    assert_eq!(changes, Changes { changed: vec![1, 2], ..Changes::default() });
    let many = (0..65).map(|number| number.to_string()).collect();
    let many = Flags { keywords: many, ..Flags::default() };
    assert!(matches!(inbox.store(vec![1], StoreMode::Add, many).await, Err(Error::TooMany(_))));
}

#[tokio::test]
async fn view_follows_deliveries_and_expunges() {
    let mailboxes = mailboxes();
    deliver(&mailboxes, &["one", "two", "three"]).await;
    let inbox = mailboxes.open(ANN, "INBOX").unwrap();
    let before = inbox.view().unwrap();
    inbox.store(vec![1, 3], StoreMode::Add, flags(SystemFlags::DELETED, &[])).await.unwrap();
    assert_eq!(inbox.expunge(Some(vec![3, 2])).await.unwrap(), [3]);
    deliver(&mailboxes, &["four"]).await;
    let other = mailboxes.open(ANN, "INBOX").unwrap();
    assert_eq!(describe(&other), ["1 \\Deleted one", "2 two", "4 four"]);
    let changes = inbox.view().unwrap().changes_since(&before);
    assert_eq!(changes, Changes { expunged: vec![3], arrived: vec![4], changed: vec![1] });
    assert_eq!(inbox.expunge(None).await.unwrap(), [1]);
    assert_eq!(inbox.message(1).unwrap(), None);
    assert_eq!(describe(&inbox), ["2 two", "4 four"]);
}

#[tokio::test]
async fn changes_wakes_waiting_sessions() {
    let mailboxes = mailboxes();
    deliver(&mailboxes, &["one"]).await;
    let inbox = mailboxes.open(ANN, "INBOX").unwrap();
    let mut changes = inbox.changes();
    let writer = mailboxes.clone();
    let wait = tokio::spawn(async move { changes.changed().await.is_ok() });
    deliver(&writer, &["two"]).await;
    assert!(wait.await.unwrap());
    assert_eq!(inbox.view().unwrap().messages.len(), 2);
}

#[tokio::test]
async fn copies_share_their_content_and_moves_leave_no_original() {
    let mailboxes = mailboxes();
    deliver(&mailboxes, &["one", "two", "three"]).await;
    let inbox = mailboxes.open(ANN, "INBOX").unwrap();
    inbox.store(vec![2], StoreMode::Add, flags(SystemFlags::SEEN, &["work"])).await.unwrap();
    let copied = inbox.copy_to(vec![2, 9, 1, 2], "Archive").await.unwrap();
    assert_eq!(copied.uids, [(1, 1), (2, 2)]);
    let moved = inbox.move_to(vec![1, 3], "archive").await;
    assert!(matches!(moved, Err(Error::NoMailbox(name)) if name == "archive"));
    inbox.move_to(vec![1, 3], "Archive").await.unwrap();
    let archive = mailboxes.open(ANN, "Archive").unwrap();
    assert_eq!(describe(&inbox), ["2 \\Seen work two"]);
    assert_eq!(describe(&archive), ["1 one", "2 \\Seen work two", "3 one", "4 three"]);
    assert_eq!(contents(&mailboxes), [(1, 2), (2, 2), (3, 1)]);
    archive.remove(vec![1, 2, 3, 4]).await.unwrap();
    inbox.remove(vec![2]).await.unwrap();
    assert_eq!(contents(&mailboxes), []);
}

#[tokio::test]
async fn tree_follows_create_delete_and_rename() {
    let mailboxes = mailboxes();
    assert_eq!(names(&mailboxes), Vec::<String>::new());
    mailboxes.ensure_account(ANN).await.unwrap();
    assert_eq!(names(&mailboxes), ["Archive*\\", "Drafts*\\", "INBOX*", "Junk*\\", "Sent*\\", "Trash*\\"]);
    for special in ["Archive", "Drafts", "Junk", "Sent", "Trash"] {
        mailboxes.delete(ANN, special).await.unwrap();
        mailboxes.subscribe(ANN, special, false).await.unwrap();
    }
    mailboxes.create(ANN, "a/b/c/").await.unwrap();
    mailboxes.subscribe(ANN, "gone", true).await.unwrap();
    assert_eq!(names(&mailboxes), ["INBOX*", "a/", "a/b/", "a/b/c", "gone!*"]);
    mailboxes.delete(ANN, "a/b").await.unwrap();
    assert_eq!(names(&mailboxes), ["INBOX*", "a/", "a/b!/", "a/b/c", "gone!*"]);
    mailboxes.rename(ANN, "a", "x/y").await.unwrap();
    assert_eq!(names(&mailboxes), ["INBOX*", "gone!*", "x/", "x/y/", "x/y/b!/", "x/y/b/c"]);
    for (outcome, why) in [
        (mailboxes.create(ANN, "Inbox").await, "taken"),
        (mailboxes.delete(ANN, "INBOX").await, "INBOX cannot be deleted"),
        (mailboxes.delete(ANN, "x/y/b").await, "does not exist"),
        (mailboxes.rename(ANN, "x", "x/z").await, "below itself"),
        (mailboxes.rename(ANN, "x", "INBOX").await, "taken"),
        (mailboxes.rename(ANN, "nowhere", "z").await, "does not exist"),
        (mailboxes.rename(ANN, "x", &"long/".repeat(15)).await, "too deep below"),
    ] {
        assert!(outcome.is_err(), "{why}");
    }
    assert_eq!(
        names(&mailboxes),
        ["INBOX*", "gone!*", "x/", "x/y/", "x/y/b!/", "x/y/b/c"],
        "a refused command changes nothing"
    );
}

#[tokio::test]
async fn rename_of_inbox_moves_its_messages_and_keeps_inbox() {
    let mailboxes = mailboxes();
    deliver(&mailboxes, &["one", "two"]).await;
    mailboxes.rename(ANN, "INBOX", "old").await.unwrap();
    assert_eq!(describe(&mailboxes.open(ANN, "INBOX").unwrap()), Vec::<String>::new());
    assert_eq!(describe(&mailboxes.open(ANN, "old").unwrap()), ["1 one", "2 two"]);
    assert_eq!(deliver(&mailboxes, &["three"]).await, [3]);
}

#[tokio::test]
async fn mailbox_created_again_has_a_new_uidvalidity_and_old_handles_fail() {
    let mailboxes = mailboxes();
    mailboxes.create(ANN, "x").await.unwrap();
    let old = mailboxes.open(ANN, "x").unwrap();
    let (uidvalidity, mut changes) = (old.view().unwrap().uidvalidity, old.changes());
    let appended = AppendMessage { message: message("one"), flags: Flags::default(), received: None };
    mailboxes.append(ANN, "x", vec![appended]).await.unwrap();
    changes.changed().await.unwrap();
    mailboxes.delete(ANN, "x").await.unwrap();
    assert!(changes.has_changed().unwrap());
    assert!(matches!(old.view(), Err(Error::NoMailbox(_))));
    mailboxes.create(ANN, "x").await.unwrap();
    let new = mailboxes.open(ANN, "x").unwrap();
    assert!(uidvalidity < new.view().unwrap().uidvalidity);
    assert!(matches!(old.store(vec![1], StoreMode::Add, Flags::default()).await, Err(Error::Store(_))));
}

#[tokio::test]
async fn status_counts_messages_by_flag() {
    let mailboxes = mailboxes();
    deliver(&mailboxes, &["one", "two", "three"]).await;
    let inbox = mailboxes.open(ANN, "INBOX").unwrap();
    let both = SystemFlags::SEEN.with(SystemFlags::DELETED);
    inbox.store(vec![1], StoreMode::Add, flags(both, &[])).await.unwrap();
    assert_eq!(inbox.claim_recent(&inbox.view().unwrap()), 1);
    deliver(&mailboxes, &["four"]).await;
    let view = inbox.view().unwrap();
    let octets = view.messages.iter().map(|message| message.size).sum();
    let (uidvalidity, modseq) = (view.uidvalidity, view.modseq);
    let counters = Counters { messages: 4, recents: 1, unseen: 3, deleted: 1, deleted_octets: octets / 4, octets };
    let status = mailboxes.status(ANN, "inbox").unwrap();
    assert_eq!(status, Status { counters, uidnext: 5, uidvalidity, modseq, id: 1, recent_from: 1 });
    inbox.record_recent().await.unwrap();
    assert_eq!(mailboxes.status(ANN, "inbox").unwrap(), Status { recent_from: 4, ..status });
    assert_eq!((inbox.claim_recent(&view), inbox.claim_recent(&view)), (4, 5));
    assert_eq!(mailboxes.status(ANN, "inbox").unwrap().counters.recents, 0);
    let empty = mailboxes.status(ANN, "Sent").unwrap();
    assert_eq!((empty.counters, empty.uidnext), (Counters::default(), 1));
    assert_eq!(mailboxes.miscounts().unwrap(), []);
    assert!(mailboxes.status(ANN, "nowhere").is_err());
}

#[tokio::test]
async fn maildrop_is_locked_by_one_session_and_has_stable_unique_ids() {
    let mailboxes = mailboxes();
    deliver(&mailboxes, &["one", "two", "three"]).await;
    let mut drop_one = mailboxes.maildrop(ANN).await.unwrap();
    assert!(matches!(mailboxes.maildrop(ANN).await, Err(Error::InUse)));
    let names: Vec<_> = drop_one.entries().map(|(_, uid)| uid).collect();
    let inbox = mailboxes.open(ANN, "INBOX").unwrap();
    inbox.remove(vec![2]).await.unwrap();
    assert_eq!(drop_one.message(0).unwrap(), Some(message("one")));
    assert_eq!(drop_one.message(1).unwrap(), None, "it was removed over IMAP");
    assert_eq!(drop_one.message(3).unwrap(), None);
    drop_one.remove(&[0, 1]).await.unwrap();
    drop(drop_one);
    let drop_two = mailboxes.maildrop(ANN).await.unwrap();
    assert_eq!(drop_two.entries().map(|(_, uid)| uid).collect::<Vec<_>>(), names[2..]);
    assert_eq!(names[0], format!("{}.1", inbox.view().unwrap().uidvalidity));
}

/// The summary and structure of a message.
fn summary_of(mailbox: &Mailbox, uid: Uid) -> (String, usize) {
    let mut index = mailbox.summaries();
    let view = mailbox.view().unwrap();
    let message = view.find(uid).unwrap();
    let summary = index.find(message).unwrap().unwrap();
    let structure = mailbox.structure(message).unwrap().unwrap();
    (String::from_utf8(summary.fields[4].to_vec()).unwrap(), structure.part.header.len())
}

#[tokio::test]
async fn large_summaries_are_found_complete_and_cached_one_at_a_time() {
    let mailboxes = mailboxes();
    deliver(&mailboxes, &["one"]).await;
    let to: Vec<_> = (0..20_000).map(|at| format!("person{at}@example.test")).collect();
    for subject in ["two", "three"] {
        let text = format!("Subject: {subject}\r\nTo: {}\r\n\r\n", to.join(",\r\n "));
        mailboxes.deliver(ANN, None, &Message::new(text.into())).await.unwrap();
    }
    let inbox = mailboxes.open(ANN, "INBOX").unwrap();
    let (view, mut reader) = (inbox.view().unwrap(), inbox.summaries());
    for (uid, subject) in [(2, "two\0"), (3, "three\0"), (1, "one\0"), (3, "three\0"), (2, "two\0")] {
        let summary = reader.find(view.find(uid).unwrap()).unwrap().unwrap();
        assert_eq!(String::from_utf8_lossy(summary.fields[4]), subject);
        let addresses = memchr::memmem::find_iter(summary.envelope, b"\"person").count();
        assert_eq!(addresses, if uid == 1 { 0 } else { to.len() });
    }
    let cached = mailboxes.memory_use().bytes;
    assert!(cached < 2 * 1024 * 1024, "{cached}");
}

#[tokio::test]
async fn summary_is_shared_by_copies_and_deleted_with_the_last() {
    let mailboxes = mailboxes();
    deliver(&mailboxes, &["one", "two"]).await;
    let inbox = mailboxes.open(ANN, "INBOX").unwrap();
    let before = inbox.view().unwrap();
    inbox.move_to(vec![1], "Sent").await.unwrap();
    let sent = mailboxes.open(ANN, "Sent").unwrap();
    assert_eq!(summary_of(&sent, 1), ("one\0".to_owned(), 16));
    assert_eq!(summary_of(&inbox, 2), ("two\0".to_owned(), 16));
    let gone = before.find(1).unwrap();
    assert!(inbox.summaries().find(gone).unwrap().is_some(), "its content is still there");
    sent.remove(vec![1]).await.unwrap();
    assert_eq!(inbox.summaries().find(gone).unwrap(), None);
    inbox.copy_to(vec![2], "Sent").await.unwrap();
    assert_eq!(count(&mailboxes, "summary"), 1);
    inbox.remove(vec![2]).await.unwrap();
    assert_eq!(count(&mailboxes, "summary"), 1);
    sent.remove(vec![2]).await.unwrap();
    assert_eq!(count(&mailboxes, "summary"), 0);
}

#[tokio::test]
async fn summary_missing_in_an_older_store_is_computed_when_read() {
    let mailboxes = mailboxes();
    deliver(&mailboxes, &["one", "two"]).await;
    execute(&mailboxes, "DELETE FROM summary WHERE content = 1").await;
    let inbox = mailboxes.open(ANN, "INBOX").unwrap();
    assert_eq!(summary_of(&inbox, 1), ("one\0".to_owned(), 16));
    assert_eq!(summary_of(&inbox, 2), ("two\0".to_owned(), 16));
    let mut filter = inbox.text_filter(&["subject: two", "nowhere"]);
    assert_eq!(filter.may_hold(1).unwrap().collect::<Vec<_>>(), [true, true]);
    assert_eq!(filter.may_hold(2).unwrap().collect::<Vec<_>>(), [true, false]);
}

#[tokio::test]
async fn messages_reads_a_range_of_uids() {
    let mailboxes = mailboxes();
    deliver(&mailboxes, &["one", "two", "three", "four"]).await;
    let inbox = mailboxes.open(ANN, "INBOX").unwrap();
    inbox.remove(vec![2]).await.unwrap();
    let messages = inbox.messages(1, 3).unwrap();
    assert_eq!(messages, [(1, message("one")), (3, message("three"))]);
}

#[tokio::test]
async fn messages_of_are_equal_from_cache_and_tables() {
    let folder = tempfile::tempdir().unwrap();
    deliver(&on_disk(folder.path()), &["one", "two", "three"]).await;
    let mailboxes = on_disk(folder.path());
    let inbox = mailboxes.open(ANN, "INBOX").unwrap();
    let view = inbox.view().unwrap();
    let all = || inbox.messages_of(view.messages.iter()).unwrap();
    let read = all();
    assert_eq!(read, [(1, message("one")), (2, message("two")), (3, message("three"))]);
    assert_eq!(all(), read);
    inbox.remove(vec![2]).await.unwrap();
    deliver(&mailboxes, &["four"]).await;
    let copy = copy_of_data_dir(folder.path());
    let reopened = on_disk(copy.path()).open(ANN, "INBOX").unwrap();
    let uids = |view: &View| -> Vec<Uid> {
        reopened.messages_of(view.messages.iter()).unwrap().into_iter().map(|(uid, _)| uid).collect()
    };
    assert_eq!(uids(&view), [1, 3], "an expunged one is left out");
    assert_eq!(uids(&inbox.view().unwrap()), [1, 3, 4]);
    inbox.copy_to(vec![1], "INBOX").await.unwrap();
    let view = inbox.view().unwrap();
    let copy = copy_of_data_dir(folder.path());
    let fresh = on_disk(copy.path()).open(ANN, "INBOX").unwrap();
    let read = fresh.messages_of(view.messages.iter()).unwrap();
    let wanted = [(1, "one"), (3, "three"), (4, "four"), (5, "one")].map(|(uid, text)| (uid, message(text)));
    assert_eq!(read, wanted, "contents need not be adjacent");
}

#[tokio::test]
async fn change_is_applied_even_if_its_caller_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let mailboxes = on_disk(folder.path());
    deliver(&mailboxes, &["one"]).await;
    let inbox = mailboxes.open(ANN, "INBOX").unwrap();
    inbox.view().unwrap();
    let mut changes = inbox.changes();
    let mut storing = Box::pin(inbox.store(vec![1], StoreMode::Add, flags(SystemFlags::SEEN, &[])));
    assert!(futures_util::poll!(&mut storing).is_pending());
    drop(storing);
    changes.changed().await.unwrap();
    assert_eq!(describe(&inbox), ["1 \\Seen one"]);
}

/// Random changes by two sessions of one mailbox: every view equals the tables.
#[tokio::test]
async fn view_after_random_changes_equals_the_tables() {
    for seed in 0..20 {
        let rng = crate::world::Rng::seeded(seed);
        let mailboxes = mailboxes();
        deliver(&mailboxes, &["first"]).await;
        let inbox = mailboxes.open(ANN, "INBOX").unwrap();
        for step in 0..60 {
            let uids: Vec<Uid> = (0..4).map(|_| rng.below(20) as Uid).collect();
            match rng.below(6) {
                0 | 1 => drop(deliver(&mailboxes, &["more"]).await),
                2 => drop(inbox.store(uids, StoreMode::Add, flags(SystemFlags::DELETED, &[])).await.unwrap()),
                3 => drop(inbox.expunge(Some(uids)).await.unwrap()),
                4 => drop(inbox.copy_to(uids, "INBOX").await.unwrap()),
                _ => drop(inbox.move_to(uids, "INBOX").await.unwrap()),
            }
            let held_view = if rng.below(3) == 0 { Some(inbox.view().unwrap()) } else { None };
            let stored = mailboxes.store.read(|connection| sqlite::view(connection, inbox.shared.id)).unwrap();
            assert!(
                held_view.is_none_or(|held_view| Some((*held_view).clone()) == stored.map(|(view, _)| view)),
                "seed {seed}, step {step}"
            );
            assert_eq!(mailboxes.miscounts().unwrap(), [], "seed {seed}, step {step}");
        }
    }
}

/// RFC 9051 §9 (flag-keyword): a keyword is sent as it is, so it must not end a response.
#[tokio::test]
async fn keyword_that_is_no_atom_is_neither_stored_nor_read() {
    let mailboxes = mailboxes();
    deliver(&mailboxes, &["one"]).await;
    let inbox = mailboxes.open(ANN, "INBOX").unwrap();
    for word in ["x)\r\n* BYE", "a b", "\\Recent", "\"", "", "\u{e4}"] {
        let flags = flags(SystemFlags::NONE, &[word]);
        let stored = inbox.store(vec![1], StoreMode::Add, flags.clone()).await;
        assert!(matches!(stored, Err(Error::BadKeyword(_))), "{word:?}");
        let appended = AppendMessage { message: message("two"), flags, received: None };
        assert!(matches!(mailboxes.append(ANN, "INBOX", vec![appended]).await, Err(Error::BadKeyword(_))), "{word:?}");
    }
    inbox.store(vec![1], StoreMode::Add, flags(SystemFlags::NONE, &["good"])).await.unwrap();
    sqlite::tests::set_keywords(&mailboxes, "good x)\r\n* (BYE $Junk").await;
    drop(inbox);
    mailboxes.limit_memory(0);
    let view = mailboxes.open(ANN, "INBOX").unwrap().view().unwrap();
    assert_eq!(*view.messages[0].keywords, ["good", "$Junk"]);
}

#[tokio::test]
async fn message_with_a_header_without_end_is_refused() {
    let mailboxes = mailboxes();
    mailboxes.ensure_account(ANN).await.unwrap();
    for (bytes, accepted) in [(900_000, true), (1_200_000, false)] {
        let text = format!("Subject: {}\r\n\r\n{}\r\n", "x".repeat(bytes), "y".repeat(2_000_000));
        let message = AppendMessage { message: Message::new(text.into()), flags: Flags::default(), received: None };
        assert_eq!(mailboxes.append(ANN, "INBOX", vec![message]).await.is_ok(), accepted, "{bytes}");
    }
}
