//! Mailboxes as Maildirs, with files that are not messages.

use super::*;

#[cfg(target_os = "linux")]
#[test]
fn maildir_with_pipes_links_and_huge_files_is_synchronised_and_its_world_stops() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("world.toml"));
    let address = "address = \"203.0.113.26\"\n";
    let world =
        include_str!("../../config/journey.toml").replace(address, &format!("{address}mailboxes = \"maildir\"\n"));
    fs::write(&file, world).unwrap();
    let served = Served::start_world(&data, &file);
    let send = || assert_eq!(sendmail(served.at("smtp"), &["friend@sina.test"], "hello\n").status.code(), Some(0));
    send();
    let new = data.join("maildir/friend@sina.test/new");
    let messages = || fs::read_dir(&new).map_or(0, |all| all.filter(|entry| is_ours(entry.as_ref().unwrap())).count());
    eventually("the first message", || (messages() == 1).then_some(()));
    assert!(Command::new("mkfifo").arg(new.join("0.pipe")).status().unwrap().success());
    std::os::unix::fs::symlink("/dev/zero", new.join("1.zero")).unwrap();
    fs::File::create(new.join("2.sparse")).unwrap().set_len(3 << 30).unwrap();
    fs::write(new.join("3.other"), "Subject: from outside\n\n").unwrap();
    send();
    eventually("the second message", || (messages() == 2).then_some(()));
    eventually("the message of another program", || {
        let user = ["fetch", "--server", served.at("imap"), "--user", "friend@sina.test"];
        out(&postroad(&user)).contains("from outside").then_some(())
    });
    assert_eq!(served.terminate(), Some(0));
}

fn is_ours(entry: &fs::DirEntry) -> bool {
    entry.file_name().to_string_lossy().contains(".postroad,")
}
