use std::path::Path;

use bytes::Bytes;
use futures_util::future::try_join_all;

use super::*;
use crate::imap::{Flags, StoreMode, SystemFlags};
use crate::mail::{JourneyId, Letter};
use crate::store::tests::left_behind;

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

pub(super) fn letter(subject: &str) -> Letter {
    Letter::new(Bytes::from(format!("Received: x\r\nSubject: {subject}\r\n\r\nhello\r\n")))
}

fn flags(system: SystemFlags, keywords: &[&str]) -> Flags {
    Flags { system, keywords: keywords.iter().map(|word| (*word).to_owned()).collect() }
}

/// Delivers letters with these subjects, one after the other.
pub(super) async fn deliver(mailboxes: &Mailboxes, subjects: &[&str]) -> Vec<Uid> {
    let mut uids = Vec::new();
    for subject in subjects {
        uids.push(mailboxes.deliver(ANN, None, &letter(subject)).await.unwrap().uid);
    }
    uids
}

/// A mailbox as text: `uid flags keywords`, with the subject.
fn draw(mailbox: &Mailbox) -> Vec<String> {
    let view = mailbox.view().unwrap();
    let draw = |message: &Message| {
        let Message {
            uid,
            flags: Flags { system, keywords },
            modseq: _,
            received: _,
            saved: _,
            size,
            content: _,
            email: _,
        } = message;
        let letter = mailbox.letter(*uid).unwrap().unwrap();
        assert_eq!(letter.len() as u64, *size);
        let text = String::from_utf8(letter.content.bytes().to_vec()).unwrap();
        let marks: String =
            SystemFlags::ALL.iter().filter(|(flag, _)| system.contains(*flag)).map(|(_, name)| *name).collect();
        let subject = text.lines().next().unwrap().trim_start_matches("Subject: ");
        let words = [uid.to_string(), marks, keywords.join("+"), subject.to_owned()];
        words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    };
    view.messages.iter().map(draw).collect()
}

fn names(mailboxes: &Mailboxes) -> Vec<String> {
    let draw = |listed: &Listed| {
        let Listed { name, id, has_children, subscribed, special_uses } = listed;
        let marks = [(id.is_none(), "!"), (*has_children, "/"), (*subscribed, "*"), (!special_uses.is_empty(), "\\")];
        let marks: String = marks.iter().filter(|(on, _)| *on).map(|(_, mark)| *mark).collect();
        format!("{name}{marks}")
    };
    mailboxes.list(ANN).unwrap().iter().map(draw).collect()
}

#[tokio::test]
async fn all_is_found_again_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let before = on_disk(folder.path());
    let journey = JourneyId::of(7);
    let stamped = letter("one").stamped(&format!("Received: from a by b id {}; now", journey.stay(1)));
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
    assert_eq!(inbox.letter(1).unwrap(), Some(stamped));
    assert_eq!(draw(&inbox), ["1 one", "2 \\Seen work+$Junk two"]);
    let next = after.deliver(ANN, None, &letter("four")).await.unwrap();
    assert_eq!((next.uid, next.uidvalidity), (4, delivered.uidvalidity), "no UID is given twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn uids_ascend_in_the_order_of_commits_and_deliveries_share_them() {
    let folder = tempfile::tempdir().unwrap();
    let mailboxes = on_disk(folder.path());
    mailboxes.ensure_account(ANN).await.unwrap();
    let start = mailboxes.0.store.commits();
    let tasks = (0..200).map(|number| {
        let mailboxes = mailboxes.clone();
        tokio::spawn(async move {
            let delivered = mailboxes.deliver(ANN, None, &letter(&number.to_string())).await.unwrap();
            // What was told to be filed is seen at once.
            let view = mailboxes.open(ANN, "INBOX").unwrap().view().unwrap();
            assert!(view.find(delivered.uid).is_some());
            delivered.uid
        })
    });
    let mut uids = try_join_all(tasks).await.unwrap();
    uids.sort_unstable();
    assert_eq!(uids, (1..=200).collect::<Vec<_>>());
    assert!(mailboxes.0.store.commits() - start < 200);
}

#[tokio::test]
async fn a_detail_names_a_mailbox_that_exists() {
    let mailboxes = mailboxes();
    let mut filed = Vec::new();
    mailboxes.create(ANN, "Lists").await.unwrap();
    for detail in [None, Some("lists"), Some("Lists"), Some("nowhere"), Some("a//b"), Some("inbox"), Some("")] {
        filed.push(mailboxes.deliver(ANN, detail, &letter("x")).await.unwrap().mailbox);
    }
    assert_eq!(filed, ["INBOX", "Lists", "Lists", "INBOX", "INBOX", "INBOX", "INBOX"]);
}

#[tokio::test]
async fn flags_are_added_removed_and_replaced() {
    let mailboxes = mailboxes();
    deliver(&mailboxes, &["one", "two"]).await;
    let inbox = mailboxes.open(ANN, "INBOX").unwrap();
    let before = inbox.view().unwrap();
    let both = flags(SystemFlags::SEEN.with(SystemFlags::FLAGGED), &["a", "b"]);
    inbox.store(vec![1, 9], StoreMode::Add, both).await.unwrap();
    inbox.store(vec![1], StoreMode::Remove, flags(SystemFlags::SEEN, &["A"])).await.unwrap();
    assert_eq!(draw(&inbox), ["1 \\Flagged b one", "2 two"]);
    inbox.store(vec![1, 2], StoreMode::Replace, flags(SystemFlags::DRAFT, &[])).await.unwrap();
    assert_eq!(draw(&inbox), ["1 \\Draft one", "2 \\Draft two"]);
    let unchanged = inbox.view().unwrap();
    inbox.store(vec![1, 2], StoreMode::Add, flags(SystemFlags::DRAFT, &[])).await.unwrap();
    assert_eq!(inbox.view().unwrap().messages, unchanged.messages, "who changes nothing leaves no trace");
    let changes = inbox.view().unwrap().changes_since(&before);
    assert_eq!(changes, Changes { changed: vec![1, 2], ..Changes::default() });
    let many = (0..65).map(|number| number.to_string()).collect();
    let many = Flags { keywords: many, ..Flags::default() };
    assert!(matches!(inbox.store(vec![1], StoreMode::Add, many).await, Err(Error::TooMany(_))));
}

#[tokio::test]
async fn a_view_keeps_step_with_arrivals_and_ends() {
    let mailboxes = mailboxes();
    deliver(&mailboxes, &["one", "two", "three"]).await;
    let inbox = mailboxes.open(ANN, "INBOX").unwrap();
    let before = inbox.view().unwrap();
    inbox.store(vec![1, 3], StoreMode::Add, flags(SystemFlags::DELETED, &[])).await.unwrap();
    assert_eq!(inbox.expunge(Some(vec![3, 2])).await.unwrap(), [3]);
    deliver(&mailboxes, &["four"]).await;
    let other = mailboxes.open(ANN, "INBOX").unwrap();
    assert_eq!(draw(&other), ["1 \\Deleted one", "2 two", "4 four"]);
    let changes = inbox.view().unwrap().changes_since(&before);
    assert_eq!(changes, Changes { expunged: vec![3], arrived: vec![4], changed: vec![1] });
    assert_eq!(inbox.expunge(None).await.unwrap(), [1]);
    assert_eq!(inbox.letter(1).unwrap(), None);
    assert_eq!(draw(&inbox), ["2 two", "4 four"]);
}

#[tokio::test]
async fn who_waits_for_changes_wakes() {
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
async fn copies_share_the_content_and_moves_leave_none() {
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
    assert_eq!(draw(&inbox), ["2 \\Seen work two"]);
    assert_eq!(draw(&archive), ["1 one", "2 \\Seen work two", "3 one", "4 three"]);
    let contents = |mailboxes: &Mailboxes| -> Vec<(i64, i64)> {
        let sql = "SELECT id, uses FROM content ORDER BY id";
        let rows = |connection: &rusqlite::Connection| {
            connection.prepare(sql)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        mailboxes.0.store.read(rows).unwrap()
    };
    assert_eq!(contents(&mailboxes), [(1, 2), (2, 2), (3, 1)]);
    archive.remove(vec![1, 2, 3, 4]).await.unwrap();
    inbox.remove(vec![2]).await.unwrap();
    assert_eq!(contents(&mailboxes), []);
}

#[tokio::test]
async fn the_tree_grows_and_shrinks() {
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
        (mailboxes.delete(ANN, "INBOX").await, "INBOX stays"),
        (mailboxes.delete(ANN, "x/y/b").await, "not there"),
        (mailboxes.rename(ANN, "x", "x/z").await, "below itself"),
        (mailboxes.rename(ANN, "x", "INBOX").await, "taken"),
        (mailboxes.rename(ANN, "nowhere", "z").await, "not there"),
        (mailboxes.rename(ANN, "x", &"long/".repeat(15)).await, "too deep below"),
    ] {
        assert!(outcome.is_err(), "{why}");
    }
    assert_eq!(
        names(&mailboxes),
        ["INBOX*", "gone!*", "x/", "x/y/", "x/y/b!/", "x/y/b/c"],
        "a refusal changes nothing"
    );
}

#[tokio::test]
async fn inbox_gives_its_messages_away_and_stays() {
    let mailboxes = mailboxes();
    deliver(&mailboxes, &["one", "two"]).await;
    mailboxes.rename(ANN, "INBOX", "old").await.unwrap();
    assert_eq!(draw(&mailboxes.open(ANN, "INBOX").unwrap()), Vec::<String>::new());
    assert_eq!(draw(&mailboxes.open(ANN, "old").unwrap()), ["1 one", "2 two"]);
    assert_eq!(deliver(&mailboxes, &["three"]).await, [3]);
}

#[tokio::test]
async fn a_mailbox_made_again_has_another_uidvalidity_and_its_old_sessions_learn_of_the_end() {
    let mailboxes = mailboxes();
    mailboxes.create(ANN, "x").await.unwrap();
    let old = mailboxes.open(ANN, "x").unwrap();
    let (uidvalidity, mut changes) = (old.view().unwrap().uidvalidity, old.changes());
    let brought = Brought { letter: letter("one"), flags: Flags::default(), received: None };
    mailboxes.append(ANN, "x", vec![brought]).await.unwrap();
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
async fn status_counts() {
    let mailboxes = mailboxes();
    deliver(&mailboxes, &["one", "two", "three"]).await;
    let inbox = mailboxes.open(ANN, "INBOX").unwrap();
    let both = SystemFlags::SEEN.with(SystemFlags::DELETED);
    inbox.store(vec![1], StoreMode::Add, flags(both, &[])).await.unwrap();
    assert_eq!(mailboxes.claim_recent(&inbox).await.unwrap(), 1);
    deliver(&mailboxes, &["four"]).await;
    let view = inbox.view().unwrap();
    let size = view.messages.iter().map(|message| message.size).sum();
    let (uidvalidity, modseq) = (view.uidvalidity, view.modseq);
    let deleted_size = size / 4;
    let status = Status {
        messages: 4,
        recent: 1,
        unseen: 3,
        deleted: 1,
        deleted_size,
        size,
        uidnext: 5,
        uidvalidity,
        modseq,
        id: 1,
    };
    assert_eq!(mailboxes.status(ANN, "inbox").unwrap(), status);
    assert_eq!(mailboxes.claim_recent(&inbox).await.unwrap(), 4);
    assert_eq!(mailboxes.claim_recent(&inbox).await.unwrap(), 5);
    let empty = mailboxes.status(ANN, "Sent").unwrap();
    assert_eq!((empty.messages, empty.recent, empty.unseen, empty.size, empty.uidnext), (0, 0, 0, 0, 1));
    assert!(mailboxes.status(ANN, "nowhere").is_err());
}

#[tokio::test]
async fn a_maildrop_has_one_holder_and_stable_names() {
    let mailboxes = mailboxes();
    deliver(&mailboxes, &["one", "two", "three"]).await;
    let mut drop_one = mailboxes.maildrop(ANN).await.unwrap();
    assert!(matches!(mailboxes.maildrop(ANN).await, Err(Error::InUse)));
    let names: Vec<_> = drop_one.entries().map(|(_, uid)| uid).collect();
    let inbox = mailboxes.open(ANN, "INBOX").unwrap();
    inbox.remove(vec![2]).await.unwrap();
    assert_eq!(drop_one.letter(0).unwrap(), Some(letter("one")));
    assert_eq!(drop_one.letter(1).unwrap(), None, "IMAP took it away");
    assert_eq!(drop_one.letter(3).unwrap(), None);
    drop_one.remove(&[0, 1]).await.unwrap();
    drop(drop_one);
    let drop_two = mailboxes.maildrop(ANN).await.unwrap();
    assert_eq!(drop_two.entries().map(|(_, uid)| uid).collect::<Vec<_>>(), names[2..]);
    assert_eq!(names[0], format!("{}.1", inbox.view().unwrap().uidvalidity));
}

/// What the index says of a message, and what it is made of.
fn known(mailbox: &Mailbox, uid: Uid) -> (String, usize) {
    let mut index = mailbox.index();
    let brief = index.find(uid).unwrap().unwrap();
    let structure = mailbox.structure(uid).unwrap().unwrap();
    (String::from_utf8(brief.fields[4].to_vec()).unwrap(), structure.part.header.len())
}

#[tokio::test]
async fn summaries_that_are_large_are_found_whole_and_kept_one_at_a_time() {
    let mailboxes = mailboxes();
    deliver(&mailboxes, &["one"]).await;
    let to: Vec<_> = (0..20_000).map(|at| format!("person{at}@example.test")).collect();
    for subject in ["two", "three"] {
        let text = format!("Subject: {subject}\r\nTo: {}\r\n\r\n", to.join(",\r\n "));
        mailboxes.deliver(ANN, None, &Letter::new(text.into())).await.unwrap();
    }
    let mut index = mailboxes.open(ANN, "INBOX").unwrap().index();
    for (uid, subject) in [(2, "two\0"), (3, "three\0"), (1, "one\0"), (3, "three\0"), (2, "two\0")] {
        let brief = index.find(uid).unwrap().unwrap();
        assert_eq!(String::from_utf8_lossy(brief.fields[4]), subject);
        let addresses = memchr::memmem::find_iter(brief.envelope, b"\"person").count();
        assert_eq!(addresses, if uid == 1 { 0 } else { to.len() });
    }
    let kept: usize = lock(&mailboxes.0.blocks).octets();
    assert!(kept < 2 * 1024 * 1024, "{kept}");
}

#[tokio::test]
async fn what_was_worked_out_at_delivery_serves_all_copies_and_ends_with_them() {
    let mailboxes = mailboxes();
    deliver(&mailboxes, &["one", "two"]).await;
    let inbox = mailboxes.open(ANN, "INBOX").unwrap();
    inbox.move_to(vec![1], "Sent").await.unwrap();
    let sent = mailboxes.open(ANN, "Sent").unwrap();
    assert_eq!(known(&sent, 1), ("one\0".to_owned(), 16));
    assert_eq!(known(&inbox, 2), ("two\0".to_owned(), 16));
    assert_eq!(inbox.index().find(1).unwrap(), None);
    let summaries = |mailboxes: &Mailboxes| -> i64 {
        let count = |connection: &rusqlite::Connection| {
            connection.query_row("SELECT count(*) FROM summary", [], |row| row.get(0))
        };
        mailboxes.0.store.read(count).unwrap()
    };
    assert_eq!(summaries(&mailboxes), 2);
    inbox.remove(vec![2]).await.unwrap();
    assert_eq!(summaries(&mailboxes), 1);
}

#[tokio::test]
async fn a_message_that_an_older_version_filed_is_worked_out_when_it_is_asked_for() {
    let mailboxes = mailboxes();
    deliver(&mailboxes, &["one", "two"]).await;
    mailboxes.write(|transaction| Ok(transaction.execute("DELETE FROM summary WHERE content = 1", [])?)).await.unwrap();
    let inbox = mailboxes.open(ANN, "INBOX").unwrap();
    assert_eq!(known(&inbox, 1), ("one\0".to_owned(), 16));
    assert_eq!(known(&inbox, 2), ("two\0".to_owned(), 16));
    let mut sieve = inbox.sieve(&["subject: two", "nowhere"]);
    assert_eq!(sieve.may_hold(1).unwrap().collect::<Vec<_>>(), [true, true]);
    assert_eq!(sieve.may_hold(2).unwrap().collect::<Vec<_>>(), [true, false]);
}

#[tokio::test]
async fn messages_in_a_row_come_by_one_read() {
    let mailboxes = mailboxes();
    deliver(&mailboxes, &["one", "two", "three", "four"]).await;
    let inbox = mailboxes.open(ANN, "INBOX").unwrap();
    inbox.remove(vec![2]).await.unwrap();
    let letters = inbox.letters(1, 3).unwrap();
    assert_eq!(letters, [(1, letter("one")), (3, letter("three"))]);
}

#[tokio::test]
async fn messages_of_a_view_are_the_same_out_of_the_tables_and_out_of_memory() {
    let folder = tempfile::tempdir().unwrap();
    deliver(&on_disk(folder.path()), &["one", "two", "three"]).await;
    let mailboxes = on_disk(folder.path());
    let inbox = mailboxes.open(ANN, "INBOX").unwrap();
    let view = inbox.view().unwrap();
    let all = || inbox.letters_of(view.messages.iter()).unwrap();
    assert!(inbox.at_hand(view.messages.iter()).is_none(), "nobody has read them");
    let read = all();
    assert_eq!(read, [(1, letter("one")), (2, letter("two")), (3, letter("three"))]);
    assert_eq!(inbox.at_hand(view.messages.iter()), Some(read.clone()));
    assert_eq!(all(), read);
    inbox.remove(vec![2]).await.unwrap();
    deliver(&mailboxes, &["four"]).await;
    let copy = left_behind(folder.path());
    let reopened = on_disk(copy.path()).open(ANN, "INBOX").unwrap();
    let uids = |view: &View| -> Vec<Uid> {
        reopened.letters_of(view.messages.iter()).unwrap().into_iter().map(|(uid, _)| uid).collect()
    };
    assert_eq!(uids(&view), [1, 3], "one that is gone is left out");
    assert_eq!(uids(&inbox.view().unwrap()), [1, 3, 4]);
    inbox.copy_to(vec![1], "INBOX").await.unwrap();
    let view = inbox.view().unwrap();
    let copy = left_behind(folder.path());
    let fresh = on_disk(copy.path()).open(ANN, "INBOX").unwrap();
    let read = fresh.letters_of(view.messages.iter()).unwrap();
    let wanted = [(1, "one"), (3, "three"), (4, "four"), (5, "one")].map(|(uid, text)| (uid, letter(text)));
    assert_eq!(read, wanted, "contents need not lie in a row");
}

#[tokio::test]
async fn a_change_is_seen_even_if_who_asked_for_it_waits_no_longer() {
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
    assert_eq!(draw(&inbox), ["1 \\Seen one"]);
}

/// Random changes, by two who look at one mailbox: what each sees is what the tables hold.
#[tokio::test]
async fn views_agree_with_the_tables_whatever_happens() {
    for seed in 0..20 {
        let dice = crate::world::Dice::seeded(seed);
        let mailboxes = mailboxes();
        deliver(&mailboxes, &["first"]).await;
        let inbox = mailboxes.open(ANN, "INBOX").unwrap();
        for step in 0..60 {
            let uids: Vec<Uid> = (0..4).map(|_| dice.below(20) as Uid).collect();
            match dice.below(6) {
                0 | 1 => drop(deliver(&mailboxes, &["more"]).await),
                2 => drop(inbox.store(uids, StoreMode::Add, flags(SystemFlags::DELETED, &[])).await.unwrap()),
                3 => drop(inbox.expunge(Some(uids)).await.unwrap()),
                4 => drop(inbox.copy_to(uids, "INBOX").await.unwrap()),
                _ => drop(inbox.move_to(uids, "INBOX").await.unwrap()),
            }
            let kept = if dice.below(3) == 0 { Some(inbox.view().unwrap()) } else { None };
            let stored = mailboxes.0.store.read(|connection| shelf::load(connection, inbox.shelf.id)).unwrap();
            assert!(kept.is_none_or(|kept| Some((*kept).clone()) == stored), "seed {seed}, step {step}");
        }
    }
}
