//! Changes to mailboxes reach the folders, and changes to folders reach the mailboxes.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::imap::{Flags, StoreMode, SystemFlags};
use crate::mail::Message;
use crate::mda::SCHEMA;
use crate::mda::mailboxes::Mailbox;
use crate::mda::mailboxes::sqlite::tests::execute;
use crate::store::Store;
use crate::world::Clock;

const ANN: &str = "ann@a.test";

struct Fixture {
    data: TempDir,
    mailboxes: Mailboxes,
    sync: MaildirSync,
}

impl Fixture {
    async fn new() -> Self {
        Self::open(tempfile::tempdir().unwrap()).await
    }

    async fn open(data: TempDir) -> Self {
        let store = Store::open(&data.path().join("post.db"), &[SCHEMA]).unwrap();
        let mailboxes = Mailboxes::new(store, Clock::wall());
        mailboxes.ensure_account(ANN).await.unwrap();
        let sync = MaildirSync::new(&mailboxes, |_| true).unwrap();
        let mut fixture = Self { data, mailboxes, sync };
        fixture.sync.sync_once().await.unwrap();
        fixture
    }

    /// Reopens the same data, as after a restart.
    async fn restart(self) -> Self {
        let Self { data, mailboxes, sync } = self;
        drop((mailboxes, sync));
        Self::open(data).await
    }

    async fn deliver(&mut self, subject: &str) {
        let message = Message::new(Bytes::from(format!("Subject: {subject}\r\n\r\nhello\r\n")));
        self.mailboxes.deliver(ANN, None, &message).await.unwrap();
        self.sync.sync_once().await.unwrap();
    }

    fn inbox(&self) -> Mailbox {
        self.mailboxes.open(ANN, "INBOX").unwrap()
    }

    fn root(&self) -> PathBuf {
        self.data.path().join("maildir").join(ANN)
    }

    /// Names of the files of a mailbox folder, in order.
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

    /// UIDs, flags and subjects of a mailbox, from its view.
    fn messages(&self, name: &str) -> Vec<String> {
        let mailbox = self.mailboxes.open(ANN, name).unwrap();
        let view = mailbox.view().unwrap();
        let describe = |meta: &crate::mda::MessageMeta| {
            let message = mailbox.message(meta.uid).unwrap().unwrap().to_bytes();
            let text = String::from_utf8(message.to_vec()).unwrap();
            let subject = text.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap();
            format!("{} {}{} {subject}", meta.uid, names::flag_chars(&meta.all_flags(), ""), meta.keywords.join(","))
        };
        view.messages.iter().map(describe).collect()
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

fn add_file(folder: &Path, name: &str, subject: &str) {
    fs::write(folder.join("tmp").join("x"), format!("Subject: {subject}\n\nfrom outside\n")).unwrap();
    fs::rename(folder.join("tmp").join("x"), folder.join(name)).unwrap();
}

#[tokio::test]
async fn delivered_message_is_a_file_in_new_with_lf_line_ends() {
    let mut fixture = Fixture::new().await;
    fixture.deliver("a").await;
    let [file] = <[String; 1]>::try_from(fixture.files("")).unwrap();
    assert!(file.starts_with("new/") && file.contains("U1.postroad,S=18"), "{file}");
    assert_eq!(fs::read_to_string(fixture.root().join(file)).unwrap(), "Subject: a\n\nhello\n");
}

#[tokio::test]
async fn flags_are_carried_over_by_renames_in_both_directions() {
    let mut fixture = Fixture::new().await;
    fixture.deliver("a").await;
    fixture.inbox().store(vec![1], StoreMode::Replace, seen()).await.unwrap();
    fixture.sync.sync_once().await.unwrap();
    assert!(fixture.files("")[0].starts_with("cur/") && fixture.files("")[0].ends_with(":2,FS"));
    fixture.rename(|base| format!("cur/{base}:2,RSa"));
    let modseq = fixture.inbox().view().unwrap().modseq;
    fixture.sync.sync_once().await.unwrap();
    assert_eq!(fixture.messages("INBOX"), ["1 RSwork a"]);
    assert!(modseq < fixture.inbox().view().unwrap().modseq);
    fixture
        .inbox()
        .store(vec![1], StoreMode::Add, Flags { system: SystemFlags::DELETED, keywords: vec![] })
        .await
        .unwrap();
    fixture.sync.sync_once().await.unwrap();
    assert!(fixture.files("")[0].ends_with(":2,RSTa"), "an unknown flag is kept");
}

#[tokio::test]
async fn file_added_by_another_program_gets_a_uid_and_a_removed_one_is_expunged() {
    let mut fixture = Fixture::new().await;
    fixture.deliver("a").await;
    add_file(&fixture.root(), "new/1.other", "b");
    add_file(&fixture.root(), "cur/2.other:2,S", "c");
    fixture.sync.sync_once().await.unwrap();
    assert_eq!(fixture.messages("INBOX"), ["1  a", "2  b", "3 S c"]);
    let message = fixture.inbox().message(2).unwrap().unwrap();
    assert_eq!(&message.to_bytes()[..], b"Subject: b\r\n\r\nfrom outside\r\n");
    fs::remove_file(fixture.root().join("cur/2.other:2,S")).unwrap();
    fixture.sync.sync_once().await.unwrap();
    add_file(&fixture.root(), "new/3.other", "d");
    fixture.sync.sync_once().await.unwrap();
    assert_eq!(fixture.messages("INBOX"), ["1  a", "2  b", "4  d"], "no UID is reused");
}

#[tokio::test]
async fn file_of_an_expunged_or_moved_message_is_removed() {
    let mut fixture = Fixture::new().await;
    fixture.deliver("a").await;
    fixture.deliver("b").await;
    fixture.inbox().move_to(vec![1], "Archive").await.unwrap();
    fixture.inbox().remove(vec![2]).await.unwrap();
    fixture.sync.sync_once().await.unwrap();
    assert!(fixture.files("").is_empty());
    assert_eq!((fixture.files(".Archive").len(), fixture.messages("Archive")), (1, vec!["1  a".to_owned()]));
}

#[tokio::test]
async fn file_moved_by_another_program_moves_the_message() {
    let mut fixture = Fixture::new().await;
    fixture.deliver("a").await;
    fixture.rename(|base| format!(".Junk/cur/{base}:2,S"));
    fixture.sync.sync_once().await.unwrap();
    assert_eq!((fixture.messages("INBOX"), fixture.messages("Junk")), (vec![], vec!["1 S a".to_owned()]));
    assert_eq!((fixture.files("").len(), fixture.files(".Junk").len()), (0, 1));
}

#[tokio::test]
async fn folders_and_mailboxes_are_created_renamed_and_deleted_together() {
    let mut fixture = Fixture::new().await;
    fixture.mailboxes.create(ANN, "Work/2026").await.unwrap();
    fixture.sync.sync_once().await.unwrap();
    assert!(fixture.root().join(".Work.2026/cur").is_dir());
    fixture.mailboxes.rename(ANN, "Work", "Old").await.unwrap();
    fixture.sync.sync_once().await.unwrap();
    assert!(fixture.root().join(".Old.2026/cur").is_dir() && !fixture.root().join(".Work").exists());
    ["cur", "new", "tmp"].iter().for_each(|sub| fs::create_dir_all(fixture.root().join(".Made").join(sub)).unwrap());
    add_file(&fixture.root().join(".Made"), "new/1", "inside");
    fixture.sync.sync_once().await.unwrap();
    fixture.sync.sync_once().await.unwrap();
    assert_eq!(fixture.messages("Made"), ["1  inside"]);
    fixture.mailboxes.delete(ANN, "Made").await.unwrap();
    fs::remove_dir_all(fixture.root().join(".Old.2026")).unwrap();
    fixture.sync.sync_once().await.unwrap();
    assert!(!fixture.root().join(".Made").exists());
    assert!(fixture.mailboxes.open(ANN, "Old/2026").is_err() && fixture.mailboxes.open(ANN, "Old").is_ok());
}

#[tokio::test]
async fn restart_carries_over_changes_once() {
    let mut fixture = Fixture::new().await;
    fixture.deliver("a").await;
    fixture.rename(|base| format!("cur/{base}:2,F"));
    add_file(&fixture.root(), "new/1.other", "b");
    // Committed, but the process ended before the file was written.
    let message = Message::new(Bytes::from("Subject: c\r\n\r\n"));
    fixture.mailboxes.deliver(ANN, None, &message).await.unwrap();
    let mut fixture = fixture.restart().await;
    assert_eq!(fixture.messages("INBOX"), ["1 F a", "2  c", "3  b"]);
    assert_eq!(fixture.files("").len(), 3);
    // Written, but the process ended before the file was recorded.
    let forget = "DELETE FROM maildir_file WHERE base LIKE '%.postroad,%'";
    execute(&fixture.mailboxes, forget).await;
    fixture = fixture.restart().await;
    assert_eq!(fixture.files("").iter().filter(|file| file.contains("postroad")).count(), 2);
}

#[tokio::test]
async fn account_folder_missing_for_a_while_expunges_nothing() {
    let mut fixture = Fixture::new().await;
    fixture.deliver("a").await;
    let aside = fixture.data.path().join("aside");
    fs::rename(fixture.root(), &aside).unwrap();
    fixture.sync.sync_once().await.unwrap();
    assert_eq!(fixture.messages("INBOX"), ["1  a"]);
    fs::rename(&aside, fixture.root()).unwrap();
    fixture.sync.sync_once().await.unwrap();
    assert_eq!((fixture.messages("INBOX"), fixture.files("").len()), (vec!["1  a".to_owned()], 1));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn maildir_with_files_that_are_no_messages_imports_the_others_and_logs_once() {
    let mut fixture = Fixture::new().await;
    let at = |name: &str| fixture.root().join(name);
    assert!(std::process::Command::new("mkfifo").arg(at("new/0.pipe")).status().unwrap().success());
    std::os::unix::fs::symlink("/dev/zero", at("new/1.zero")).unwrap();
    fs::write(fixture.data.path().join("secret"), "Subject: secret\n\n").unwrap();
    std::os::unix::fs::symlink(fixture.data.path().join("secret"), at("new/2.link")).unwrap();
    fs::File::create(at("new/3.sparse")).unwrap().set_len(3 << 30).unwrap();
    fs::create_dir(at("cur/4.folder")).unwrap();
    add_file(&fixture.root(), "new/5.other", "b");
    tokio::time::timeout(Duration::from_secs(60), fixture.sync.sync_once())
        .await
        .expect("the sync does not block")
        .unwrap();
    assert_eq!(fixture.messages("INBOX"), ["1  b"]);
    assert_eq!(fixture.sync.logged_errors.len(), 4, "{:?}", fixture.sync.logged_errors);
    fixture.deliver("c").await;
    assert_eq!((fixture.messages("INBOX").len(), fixture.sync.logged_errors.len()), (2, 4));
}

#[cfg(unix)]
#[tokio::test]
async fn draft_file_that_is_a_link_is_replaced_and_not_followed() {
    let mut fixture = Fixture::new().await;
    let kept = fixture.data.path().join("kept");
    fs::write(&kept, "kept").unwrap();
    let message = Message::new(Bytes::from("Subject: a\r\n\r\n"));
    fixture.mailboxes.deliver(ANN, None, &message).await.unwrap();
    let meta = fixture.inbox().view().unwrap().messages.iter().next().unwrap().clone();
    let base = names::base(fixture.inbox().shared.id, &meta, "Subject: a\n\n".len());
    std::os::unix::fs::symlink(&kept, fixture.root().join("tmp").join(base)).unwrap();
    fixture.sync.sync_once().await.unwrap();
    assert_eq!((fixture.files("").len(), fs::read_to_string(kept).unwrap().as_str()), (1, "kept"));
}

#[tokio::test]
async fn mailbox_with_too_long_name_for_a_folder_does_not_stop_the_others() {
    let mut fixture = Fixture::new().await;
    let long = "\u{e9}".repeat(100);
    fixture.mailboxes.create(ANN, &long).await.unwrap();
    fixture.mailboxes.create(ANN, &format!("x{}", ".y".repeat(100))).await.unwrap();
    fixture.mailboxes.create(ANN, "Work").await.unwrap();
    fixture.deliver("a").await;
    assert!(fixture.root().join(".Work/cur").is_dir());
    assert_eq!((fixture.files("").len(), fixture.sync.logged_errors.is_empty()), (1, false));
    // A mailbox that is renamed to such a name keeps its folder.
    fixture.mailboxes.rename(ANN, "Work", &format!("{long}2")).await.unwrap();
    add_file(&fixture.root().join(".Work"), "new/1.other", "b");
    fixture.sync.sync_once().await.unwrap();
    fixture.sync.sync_once().await.unwrap();
    assert_eq!(fixture.messages(&format!("{long}2")), ["1  b"]);
    let logged = fixture.sync.logged_errors.clone();
    fixture.deliver("c").await;
    assert_eq!((fixture.files("").len(), &fixture.sync.logged_errors), (2, &logged));
}

#[tokio::test]
async fn changed_accounts_after_commits_are_those_of_the_commits() {
    let mut fixture = Fixture::new().await;
    fixture.mailboxes.ensure_account("bob@a.test").await.unwrap();
    fixture.sync.sync_once().await.unwrap();
    fixture.sync.changed_accounts();
    let message = Message::new(Bytes::from("Subject: a\r\n\r\n"));
    fixture.mailboxes.deliver("bob@a.test", None, &message).await.unwrap();
    let accounts: BTreeMap<_, _> = fixture.sync.accounts().unwrap().into_iter().map(|(id, key)| (key, id)).collect();
    let bob = accounts["bob@a.test"];
    assert_eq!(fixture.sync.changed_accounts(), [bob].into());
    assert_eq!(fixture.sync.changed_accounts(), [].into());
    add_file(&fixture.root(), "new/1.other", "not scanned");
    fixture.sync.sync_accounts(|account| account == bob).await.unwrap();
    assert!(fixture.messages("INBOX").is_empty());
    let bobs = fixture.data.path().join("maildir/bob@a.test/new");
    assert_eq!(fs::read_dir(bobs).unwrap().count(), 1);
    fixture.mailboxes.create(ANN, "Made").await.unwrap();
    assert_eq!(fixture.sync.changed_accounts(), [accounts[ANN]].into());
}

#[tokio::test]
async fn account_with_unusable_folder_does_not_stop_the_others() {
    let mut fixture = Fixture::new().await;
    fixture.mailboxes.ensure_account("aaa@a.test").await.unwrap();
    fs::write(fixture.data.path().join("maildir/aaa@a.test"), "no folder").unwrap();
    fixture.deliver("a").await;
    assert_eq!((fixture.files("").len(), fixture.sync.logged_errors.len()), (1, 1));
}

/// More than are written between two commits.
#[tokio::test]
async fn many_damaged_messages_do_not_keep_the_others_from_their_files() {
    let Fixture { data, mailboxes, sync } = Fixture::new().await;
    let deliver = async |number: u32| {
        let message = Message::new(Bytes::from(format!("Subject: {number}\r\n\r\nhello\r\n")));
        mailboxes.deliver(ANN, None, &message).await.unwrap();
    };
    futures_util::future::join_all((0..1_010).map(deliver)).await;
    let damage = "UPDATE content_bytes SET bytes = x'00' WHERE content <= (SELECT max(content) - 5 FROM content_bytes)";
    sqlite::tests::execute(&mailboxes, damage).await;
    drop((mailboxes, sync));
    let fixture = tokio::time::timeout(Duration::from_secs(60), Fixture::open(data)).await.expect("it ends");
    assert_eq!(fixture.files("").len(), 5);
}

#[tokio::test]
async fn many_new_files_are_imported_in_several_commits() {
    let mut fixture = Fixture::new().await;
    (0..1_100).for_each(|at| fs::write(fixture.root().join(format!("new/{at}.other")), "Subject: x\n\n").unwrap());
    fixture.sync.sync_once().await.unwrap();
    assert_eq!(fixture.messages("INBOX").len(), 1_100);
}
