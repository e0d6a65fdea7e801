//! Two sides, one set of mailboxes: what is done on either is found on the other.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::imap::{Flags, StoreMode, SystemFlags};
use crate::mail::Letter;
use crate::mda::SCHEMA;
use crate::mda::mailboxes::Mailbox;
use crate::store::Store;
use crate::world::Clock;

const ANN: &str = "ann@a.test";

struct Both {
    data: TempDir,
    mailboxes: Mailboxes,
    keeper: Keeper,
}

impl Both {
    async fn new() -> Self {
        Self::open(tempfile::tempdir().unwrap()).await
    }

    async fn open(data: TempDir) -> Self {
        let store = Store::open(&data.path().join("post.db"), &[SCHEMA]).unwrap();
        let mailboxes = Mailboxes::new(store, Clock::wall());
        mailboxes.ensure_account(ANN).await.unwrap();
        let keeper = Keeper::new(&mailboxes, |_| true).unwrap();
        let mut both = Self { data, mailboxes, keeper };
        both.keeper.look().await.unwrap();
        both
    }

    /// The process ends, and starts again on the same data.
    async fn again(self) -> Self {
        let Self { data, mailboxes, keeper } = self;
        drop((mailboxes, keeper));
        Self::open(data).await
    }

    async fn deliver(&mut self, subject: &str) {
        let letter = Letter::new(Bytes::from(format!("Subject: {subject}\r\n\r\nhello\r\n")));
        self.mailboxes.deliver(ANN, None, &letter).await.unwrap();
        self.keeper.look().await.unwrap();
    }

    fn inbox(&self) -> Mailbox {
        self.mailboxes.open(ANN, "INBOX").unwrap()
    }

    fn root(&self) -> PathBuf {
        self.data.path().join("maildir").join(ANN)
    }

    /// Names of files, below the account's folder, in order.
    fn files(&self, directory: &str) -> Vec<String> {
        let mut all = Vec::new();
        for sub in ["new", "cur"] {
            let folder = self.root().join(directory).join(sub);
            let names = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
            all.extend(names.map(|name| format!("{sub}/{name}")));
        }
        all.sort();
        all
    }

    /// UIDs, flags and subjects of a mailbox, as sessions see it.
    fn drawn(&self, name: &str) -> Vec<String> {
        let mailbox = self.mailboxes.open(ANN, name).unwrap();
        let view = mailbox.view().unwrap();
        let draw = |message: &crate::mda::Message| {
            let letter = mailbox.letter(message.uid).unwrap().unwrap().to_bytes();
            let text = String::from_utf8(letter.to_vec()).unwrap();
            let subject = text.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap();
            format!(
                "{} {}{} {subject}",
                message.uid,
                names::letters(&message.flags, ""),
                message.flags.keywords.join(",")
            )
        };
        view.messages.iter().map(draw).collect()
    }

    /// Renames the only file of INBOX as another program would.
    fn rename(&self, to: impl Fn(&str) -> String) {
        let [from] = <[String; 1]>::try_from(self.files("")).unwrap();
        let to = to(names::split(from.split_once('/').unwrap().1).0);
        fs::rename(self.root().join(from), self.root().join(to)).unwrap();
    }
}

fn seen() -> Flags {
    Flags { system: SystemFlags::SEEN.with(SystemFlags::FLAGGED), keywords: vec!["work".into()] }
}

fn put(folder: &Path, name: &str, subject: &str) {
    fs::write(folder.join("tmp").join("x"), format!("Subject: {subject}\n\nfrom outside\n")).unwrap();
    fs::rename(folder.join("tmp").join("x"), folder.join(name)).unwrap();
}

#[tokio::test]
async fn what_is_delivered_lies_in_new_as_a_file_with_line_feeds() {
    let mut both = Both::new().await;
    both.deliver("a").await;
    let [file] = <[String; 1]>::try_from(both.files("")).unwrap();
    assert!(file.starts_with("new/") && file.contains("U1.postroad,S=18"), "{file}");
    assert_eq!(fs::read_to_string(both.root().join(file)).unwrap(), "Subject: a\n\nhello\n");
}

#[tokio::test]
async fn flags_are_renames_and_renames_are_flags() {
    let mut both = Both::new().await;
    both.deliver("a").await;
    both.inbox().store(vec![1], StoreMode::Replace, seen()).await.unwrap();
    both.keeper.look().await.unwrap();
    assert!(both.files("")[0].starts_with("cur/") && both.files("")[0].ends_with(":2,FS"));
    both.rename(|base| format!("cur/{base}:2,RSa"));
    let modseq = both.inbox().view().unwrap().modseq;
    both.keeper.look().await.unwrap();
    assert_eq!(both.drawn("INBOX"), ["1 RSwork a"]);
    assert!(modseq < both.inbox().view().unwrap().modseq);
    both.inbox()
        .store(vec![1], StoreMode::Add, Flags { system: SystemFlags::DELETED, keywords: vec![] })
        .await
        .unwrap();
    both.keeper.look().await.unwrap();
    assert!(both.files("")[0].ends_with(":2,RSTa"), "a strange letter stays");
}

#[tokio::test]
async fn mail_that_others_add_gets_a_uid_and_what_they_remove_is_expunged() {
    let mut both = Both::new().await;
    both.deliver("a").await;
    put(&both.root(), "new/1.other", "b");
    put(&both.root(), "cur/2.other:2,S", "c");
    both.keeper.look().await.unwrap();
    assert_eq!(both.drawn("INBOX"), ["1  a", "2  b", "3 S c"]);
    let letter = both.inbox().letter(2).unwrap().unwrap();
    assert_eq!(&letter.to_bytes()[..], b"Subject: b\r\n\r\nfrom outside\r\n");
    fs::remove_file(both.root().join("cur/2.other:2,S")).unwrap();
    both.keeper.look().await.unwrap();
    put(&both.root(), "new/3.other", "d");
    both.keeper.look().await.unwrap();
    assert_eq!(both.drawn("INBOX"), ["1  a", "2  b", "4  d"], "no UID is used again");
}

#[tokio::test]
async fn what_sessions_expunge_and_move_others_no_longer_find() {
    let mut both = Both::new().await;
    both.deliver("a").await;
    both.deliver("b").await;
    both.inbox().move_to(vec![1], "Archive").await.unwrap();
    both.inbox().remove(vec![2]).await.unwrap();
    both.keeper.look().await.unwrap();
    assert!(both.files("").is_empty());
    assert_eq!((both.files(".Archive").len(), both.drawn("Archive")), (1, vec!["1  a".to_owned()]));
}

#[tokio::test]
async fn a_message_that_others_move_to_another_folder_moves() {
    let mut both = Both::new().await;
    both.deliver("a").await;
    both.rename(|base| format!(".Junk/cur/{base}:2,S"));
    both.keeper.look().await.unwrap();
    assert_eq!((both.drawn("INBOX"), both.drawn("Junk")), (vec![], vec!["1 S a".to_owned()]));
    assert_eq!((both.files("").len(), both.files(".Junk").len()), (0, 1));
}

#[tokio::test]
async fn folders_are_mailboxes_on_both_sides() {
    let mut both = Both::new().await;
    both.mailboxes.create(ANN, "Work/2026").await.unwrap();
    both.keeper.look().await.unwrap();
    assert!(both.root().join(".Work.2026/cur").is_dir());
    both.mailboxes.rename(ANN, "Work", "Old").await.unwrap();
    both.keeper.look().await.unwrap();
    assert!(both.root().join(".Old.2026/cur").is_dir() && !both.root().join(".Work").exists());
    ["cur", "new", "tmp"].iter().for_each(|sub| fs::create_dir_all(both.root().join(".Made").join(sub)).unwrap());
    put(&both.root().join(".Made"), "new/1", "inside");
    both.keeper.look().await.unwrap();
    both.keeper.look().await.unwrap();
    assert_eq!(both.drawn("Made"), ["1  inside"]);
    both.mailboxes.delete(ANN, "Made").await.unwrap();
    fs::remove_dir_all(both.root().join(".Old.2026")).unwrap();
    both.keeper.look().await.unwrap();
    assert!(!both.root().join(".Made").exists());
    assert!(both.mailboxes.open(ANN, "Old/2026").is_err() && both.mailboxes.open(ANN, "Old").is_ok());
}

#[tokio::test]
async fn a_start_finds_what_happened_meanwhile_and_nothing_twice() {
    let mut both = Both::new().await;
    both.deliver("a").await;
    both.rename(|base| format!("cur/{base}:2,F"));
    put(&both.root(), "new/1.other", "b");
    // Committed, and the process ended before there was a file.
    let letter = Letter::new(Bytes::from("Subject: c\r\n\r\n"));
    both.mailboxes.deliver(ANN, None, &letter).await.unwrap();
    let mut both = both.again().await;
    assert_eq!(both.drawn("INBOX"), ["1 F a", "2  c", "3  b"]);
    assert_eq!(both.files("").len(), 3);
    // Written, and the process ended before that was noted.
    let forget = "DELETE FROM maildir_file WHERE base LIKE '%.postroad,%'";
    both.mailboxes.write(move |transaction| Ok(drop(transaction.execute(forget, [])?))).await.unwrap();
    both = both.again().await;
    assert_eq!(both.files("").iter().filter(|file| file.contains("postroad")).count(), 2);
}

#[tokio::test]
async fn a_folder_that_is_not_there_for_a_while_takes_no_mail_with_it() {
    let mut both = Both::new().await;
    both.deliver("a").await;
    let aside = both.data.path().join("aside");
    fs::rename(both.root(), &aside).unwrap();
    both.keeper.look().await.unwrap();
    assert_eq!(both.drawn("INBOX"), ["1  a"]);
    fs::rename(&aside, both.root()).unwrap();
    both.keeper.look().await.unwrap();
    assert_eq!((both.drawn("INBOX"), both.files("").len()), (vec!["1  a".to_owned()], 1));
}
