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
    both.mailboxes.write(move |transaction| Ok(transaction.execute(forget, []).map(|_| ())?)).await.unwrap();
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

#[cfg(target_os = "linux")]
#[tokio::test]
async fn maildir_with_files_that_are_no_messages_takes_the_others_and_says_so_once() {
    let mut both = Both::new().await;
    let at = |name: &str| both.root().join(name);
    assert!(std::process::Command::new("mkfifo").arg(at("new/0.pipe")).status().unwrap().success());
    std::os::unix::fs::symlink("/dev/zero", at("new/1.zero")).unwrap();
    fs::write(both.data.path().join("secret"), "Subject: secret\n\n").unwrap();
    std::os::unix::fs::symlink(both.data.path().join("secret"), at("new/2.link")).unwrap();
    fs::File::create(at("new/3.sparse")).unwrap().set_len(3 << 30).unwrap();
    fs::create_dir(at("cur/4.folder")).unwrap();
    put(&both.root(), "new/5.other", "b");
    tokio::time::timeout(Duration::from_secs(60), both.keeper.look()).await.expect("it does not wait").unwrap();
    assert_eq!(both.drawn("INBOX"), ["1  b"]);
    assert_eq!(both.keeper.complaints.len(), 4, "{:?}", both.keeper.complaints);
    both.deliver("c").await;
    assert_eq!((both.drawn("INBOX").len(), both.keeper.complaints.len()), (2, 4));
}

#[cfg(unix)]
#[tokio::test]
async fn draft_that_is_a_link_is_replaced_and_not_followed() {
    let mut both = Both::new().await;
    let kept = both.data.path().join("kept");
    fs::write(&kept, "kept").unwrap();
    let letter = Letter::new(Bytes::from("Subject: a\r\n\r\n"));
    both.mailboxes.deliver(ANN, None, &letter).await.unwrap();
    let message = both.inbox().view().unwrap().messages.iter().next().unwrap().clone();
    let base = names::base(both.inbox().shelf.id, &message, "Subject: a\n\n".len());
    std::os::unix::fs::symlink(&kept, both.root().join("tmp").join(base)).unwrap();
    both.keeper.look().await.unwrap();
    assert_eq!((both.files("").len(), fs::read_to_string(kept).unwrap().as_str()), (1, "kept"));
}

#[tokio::test]
async fn mailbox_whose_name_is_too_long_for_a_folder_stops_no_other() {
    let mut both = Both::new().await;
    let long = "\u{e9}".repeat(100);
    both.mailboxes.create(ANN, &long).await.unwrap();
    both.mailboxes.create(ANN, &format!("x{}", ".y".repeat(100))).await.unwrap();
    both.mailboxes.create(ANN, "Work").await.unwrap();
    both.deliver("a").await;
    assert!(both.root().join(".Work/cur").is_dir());
    assert_eq!((both.files("").len(), both.keeper.complaints.is_empty()), (1, false));
    // One that gets such a name keeps the folder that it has.
    both.mailboxes.rename(ANN, "Work", &format!("{long}2")).await.unwrap();
    put(&both.root().join(".Work"), "new/1.other", "b");
    both.keeper.look().await.unwrap();
    both.keeper.look().await.unwrap();
    assert_eq!(both.drawn(&format!("{long}2")), ["1  b"]);
    let complaints = both.keeper.complaints.clone();
    both.deliver("c").await;
    assert_eq!((both.files("").len(), &both.keeper.complaints), (2, &complaints));
}

#[tokio::test]
async fn commits_name_the_accounts_that_they_change() {
    let mut both = Both::new().await;
    both.mailboxes.ensure_account("bob@a.test").await.unwrap();
    both.keeper.look().await.unwrap();
    both.keeper.changed();
    let letter = Letter::new(Bytes::from("Subject: a\r\n\r\n"));
    both.mailboxes.deliver("bob@a.test", None, &letter).await.unwrap();
    let accounts: BTreeMap<_, _> = both.keeper.accounts().unwrap().into_iter().map(|(id, key)| (key, id)).collect();
    let bob = accounts["bob@a.test"];
    assert_eq!(both.keeper.changed(), [bob].into());
    assert_eq!(both.keeper.changed(), [].into());
    put(&both.root(), "new/1.other", "not looked at");
    both.keeper.look_at(|account| account == bob).await.unwrap();
    assert!(both.drawn("INBOX").is_empty());
    let bobs = both.data.path().join("maildir/bob@a.test/new");
    assert_eq!(fs::read_dir(bobs).unwrap().count(), 1);
    both.mailboxes.create(ANN, "Made").await.unwrap();
    assert_eq!(both.keeper.changed(), [accounts[ANN]].into());
}

#[tokio::test]
async fn account_whose_folder_cannot_be_used_stops_no_other() {
    let mut both = Both::new().await;
    both.mailboxes.ensure_account("aaa@a.test").await.unwrap();
    fs::write(both.data.path().join("maildir/aaa@a.test"), "no folder").unwrap();
    both.deliver("a").await;
    assert_eq!((both.files("").len(), both.keeper.complaints.len()), (1, 1));
}

#[tokio::test]
async fn many_files_that_others_put_there_are_taken_in_several_commits() {
    let mut both = Both::new().await;
    (0..1_100).for_each(|at| fs::write(both.root().join(format!("new/{at}.other")), "Subject: x\n\n").unwrap());
    both.keeper.look().await.unwrap();
    assert_eq!(both.drawn("INBOX").len(), 1_100);
}
