//! The copies of entries of the catalogue: by folder, moved, deleted.

use bytes::Bytes;

use super::{AppendMessage, CopyFilter, Mailboxes};
use crate::catalogue::{self, Arrival, Catalogue, Filter, Page, Search, Window};
use crate::imap::Flags;
use crate::journey;
use crate::mail::{Address, JourneyId, Message};
use crate::store::{Error, Store, Transaction};
use crate::world::Clock;

const ANN: &str = "ann@a.test";

fn world() -> (Mailboxes, Catalogue) {
    let store = Store::in_memory(&[super::SCHEMA, catalogue::SCHEMA, journey::SCHEMA]).unwrap();
    let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
    let catalogue = Catalogue::new(store.clone());
    (Mailboxes::with_catalogue(store, clock, Some(catalogue.clone())), catalogue)
}

/// Puts a message with this subject into a mailbox.
async fn put(mailboxes: &Mailboxes, account: &str, mailbox: &str, subject: &str) {
    mailboxes.ensure_account(account).await.unwrap();
    let message = Message::new(Bytes::from(format!("Subject: {subject}\r\n\r\n")));
    let message = AppendMessage { message, flags: Flags::default(), received: None };
    mailboxes.append(account, mailbox, vec![message]).await.unwrap();
}

fn in_folder(mailboxes: &Mailboxes, mailbox: &str) -> CopyFilter {
    CopyFilter { account: Some(ANN.to_owned()), mailbox: Some(mailboxes.status(ANN, mailbox).unwrap().id) }
}

async fn page(mailboxes: &Mailboxes, catalogue: &Catalogue, mailbox: &str, words: &str) -> Page {
    let CopyFilter { account, mailbox } = in_folder(mailboxes, mailbox);
    let search = Search::parse(words, &jiff::tz::TimeZone::UTC);
    let filter = Filter { mailbox: account, folder: mailbox, search };
    catalogue.page(&filter, Window { below: i64::MAX, skip: 0, limit: 10 }).await.unwrap()
}

/// The numbers of the entries in a folder of Ann's, newest first.
async fn numbers(mailboxes: &Mailboxes, catalogue: &Catalogue, mailbox: &str, words: &str) -> Vec<i64> {
    let page = page(mailboxes, catalogue, mailbox, words).await;
    let numbers: Vec<i64> = page.entries.iter().map(|entry| entry.number).collect();
    assert_eq!((page.matches, page.unread), (numbers.len() as u64, numbers.len() as u64));
    numbers
}

#[tokio::test]
async fn folder_lists_each_entry_with_a_copy_in_it_once() {
    let (mailboxes, catalogue) = world();
    for (account, mailbox, subject) in [
        (ANN, "INBOX", "hello one"),
        (ANN, "Sent", "hello two"),
        (ANN, "INBOX", "three"),
        ("bob@a.test", "INBOX", "hello"),
    ] {
        put(&mailboxes, account, mailbox, subject).await;
    }
    let inbox = mailboxes.open(ANN, "INBOX").unwrap();
    inbox.copy_to(vec![1], "INBOX").await.unwrap();
    inbox.copy_to(vec![1], "Sent").await.unwrap();
    assert_eq!(numbers(&mailboxes, &catalogue, "INBOX", "").await, [3, 1]);
    assert_eq!(numbers(&mailboxes, &catalogue, "INBOX", "hello").await, [1]);
    assert_eq!(numbers(&mailboxes, &catalogue, "Sent", "").await, [2, 1]);
    assert_eq!(numbers(&mailboxes, &catalogue, "Trash", "").await, [0; 0]);
}

#[tokio::test]
async fn moved_entries_are_in_the_new_folder_only() {
    let (mailboxes, catalogue) = world();
    for subject in ["one", "two", "three"] {
        put(&mailboxes, ANN, "INBOX", subject).await;
    }
    mailboxes.open(ANN, "INBOX").unwrap().copy_to(vec![2], "Sent").await.unwrap();
    let inbox = in_folder(&mailboxes, "INBOX");
    assert_eq!(mailboxes.move_entries(&[1, 2], &inbox, "Work/2026").await.unwrap(), 2);
    assert_eq!(numbers(&mailboxes, &catalogue, "INBOX", "").await, [3]);
    assert_eq!(numbers(&mailboxes, &catalogue, "Work/2026", "").await, [2, 1]);
    assert_eq!(numbers(&mailboxes, &catalogue, "Sent", "").await, [2], "a copy elsewhere stays");
    assert_eq!(mailboxes.move_entries(&[1, 2, 9], &CopyFilter::default(), "work/2026").await.unwrap(), 3);
    let other = CopyFilter { account: Some("bob@a.test".to_owned()), mailbox: None };
    assert_eq!(mailboxes.move_entries(&[3], &other, "INBOX").await.unwrap(), 0);
    assert!(mailboxes.move_entries(&[3], &inbox, "").await.is_err());
}

#[tokio::test]
async fn delete_in_a_folder_keeps_the_entry_while_another_folder_has_it() {
    let (mailboxes, catalogue) = world();
    put(&mailboxes, ANN, "INBOX", "one").await;
    put(&mailboxes, ANN, "INBOX", "two").await;
    mailboxes.open(ANN, "INBOX").unwrap().copy_to(vec![1], "Sent").await.unwrap();
    let gone = mailboxes.delete_entries(&[1, 2], &in_folder(&mailboxes, "INBOX")).await.unwrap();
    assert_eq!(gone.ids().count(), 1, "the journey of the message without another copy");
    assert_eq!(catalogue.count(&Filter::default()).unwrap(), (1, 1));
    assert_eq!(numbers(&mailboxes, &catalogue, "Sent", "").await, [1]);
    let gone = mailboxes.delete_entries(&[1], &in_folder(&mailboxes, "Sent")).await.unwrap();
    assert_eq!(gone.ids().count(), 1);
    assert_eq!(catalogue.count(&Filter::default()).unwrap(), (0, 0));
}

/// A message on its way to Ann alone is read when it arrives; one to others, too, is marked only where it has copies.
#[tokio::test]
async fn mark_in_a_mailbox_counts_for_what_arrives_there_unless_it_goes_to_others_too() {
    let (mailboxes, _) = world();
    let store = mailboxes.store.clone();
    let under_way = |number, recipients: &[&str]| {
        let recipients: Vec<Address> = recipients.iter().map(|text| text.parse().unwrap()).collect();
        Arrival {
            journey: JourneyId::from_random(number),
            reverse_path: None,
            addresses: recipients.iter().map(Address::key).collect(),
            recipients,
            login: None,
            message: Message::new(Bytes::from_static(b"Subject: x\r\n\r\n")),
            arrived: jiff::Timestamp::UNIX_EPOCH,
        }
    };
    let arrivals = [under_way(1, &[ANN]), under_way(2, &[ANN, "bob@a.test"])];
    let insert = move |transaction: &Transaction<'_>| {
        arrivals.iter().map(|arrival| catalogue::insert(transaction, arrival)).collect::<Result<Vec<_>, Error>>()
    };
    let numbers = store.write(insert).await.unwrap();
    let which = CopyFilter { account: Some(ANN.to_owned()), mailbox: None };
    for seen in [true, false] {
        mailboxes.mark_entries(&numbers, &which, seen).await.unwrap();
        let expected = |journey| {
            move |transaction: &Transaction<'_>| {
                Ok::<_, Error>(catalogue::find_expected(transaction, JourneyId::from_random(journey))?.unwrap().seen)
            }
        };
        assert_eq!(store.write(expected(1)).await.unwrap(), seen);
        assert!(!store.write(expected(2)).await.unwrap());
    }
}
