//! Names in a Maildir: of accounts, of folders (Maildir++), of messages and the flags in them.
//!
//! A message is `1790000000.M12U345.postroad,S=1234:2,FS`: when it arrived, which one it is, its octets, its flags.

use crate::imap::{Flags, utf7_decode, utf7_encode};
use crate::mda::Message;
use crate::mda::mailboxes::name::{INBOX, canonical};

/// What stands between the name of a message and its flags.
const MARK: &str = ":2,";
/// The folder of an account: its address, with what file systems may not like in hexadecimal.
pub(super) fn account(key: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"@._+-".contains(&byte);
    let mut name = String::new();
    for byte in key.bytes() {
        match plain(byte) && !(name.is_empty() && byte == b'.') {
            true => name.push(char::from(byte)),
            false => name.push_str(&format!("%{byte:02X}")),
        }
    }
    name
}

/// The folder of a mailbox within that of its account; empty for INBOX. Names are in modified UTF-7, levels end in a
/// dot, and a dot in a name is `%2E`: names hold no `%` of their own.
pub(super) fn directory(mailbox: &str) -> String {
    if mailbox == INBOX {
        return String::new();
    }
    let levels = mailbox.split('/').map(|level| utf7_encode(level).replace('.', "%2E"));
    levels.map(|level| format!(".{level}")).collect()
}

/// The mailbox of a folder; `None` when it can be none of ours.
pub(super) fn mailbox(directory: &str) -> Option<String> {
    let levels: Option<Vec<String>> = directory.strip_prefix('.')?.split('.').map(level).collect();
    let name = levels?.join("/");
    canonical(&name).ok().filter(|canonical| *canonical == name && name != INBOX)
}

fn level(wire: &str) -> Option<String> {
    let level = utf7_decode(&wire.replace("%2E", "."))?;
    (!level.contains('/')).then_some(level)
}

/// The name that a message of ours gets; the same whenever it is asked for. `octets` is the size of its file.
pub(super) fn base(mailbox: i64, message: &Message, octets: usize) -> String {
    let Message { uid, received, .. } = message;
    format!("{}.M{mailbox}U{uid}.postroad,S={octets}", received.as_second())
}

/// What of such a name is known without the file.
pub(super) fn stem(mailbox: i64, message: &Message) -> String {
    format!("{}.M{mailbox}U{}.postroad,", message.received.as_second(), message.uid)
}

/// A file name without and with its flags.
pub(super) fn split(name: &str) -> (&str, &str) {
    name.split_once(MARK).unwrap_or((name, ""))
}

/// A file name in `cur`.
pub(super) fn join(base: &str, letters: &str) -> String {
    format!("{base}{MARK}{letters}")
}

/// The flags of a message as letters. Those of `foreign`, which mean something to others, stay.
pub(super) fn letters(flags: &Flags, foreign: &str) -> String {
    let known = |letter: &char| Flags::is_letter(*letter);
    let mut all: Vec<char> =
        flags.to_letters().chars().chain(foreign.chars().filter(|letter| !known(letter))).collect();
    all.sort_unstable();
    all.dedup();
    all.into_iter().collect()
}

/// The flags that letters stand for; keywords that have no letter are as they were.
pub(super) fn flags(letters: &str, before: &Flags) -> Flags {
    let mut flags = Flags::from_letters(letters);
    before.without_letters().iter().for_each(|word| flags.add_keyword(word));
    flags
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::SystemFlags;

    #[test]
    fn mailboxes_and_folders_name_each_other() {
        for (name, folder) in [
            ("Archive", ".Archive"),
            ("Archive/2026", ".Archive.2026"),
            ("lists/rust-lang.org", ".lists.rust-lang%2Eorg"),
            ("Z\u{fc}rich & mehr", ".Z&APw-rich &- mehr"),
            ("INBOX/Later", ".INBOX.Later"),
        ] {
            assert_eq!((directory(name).as_str(), mailbox(folder).as_deref()), (folder, Some(name)));
        }
        assert_eq!(directory("INBOX"), "");
        let strange = ["", ".", "..", "cur", ".a..b", ".INBOX", ".inbox", ".a*", ".&AC8-", ".a\nb"];
        assert!(strange.iter().all(|folder| mailbox(folder).is_none()), "{strange:?}");
    }

    #[test]
    fn no_account_leaves_its_folder() {
        for (key, folder) in [
            ("ann@a.test", "ann@a.test"),
            ("..@a.test", "%2E.@a.test"),
            ("\"a/b\"@c.test", "%22a%2Fb%22@c.test"),
            ("\u{fc}@a.test", "%C3%BC@a.test"),
        ] {
            assert_eq!(account(key), folder);
        }
    }

    #[test]
    fn flags_are_letters_in_order_and_strange_letters_stay() {
        let system = SystemFlags::SEEN.with(SystemFlags::ANSWERED).with(SystemFlags::DELETED);
        let seen = Flags { system, keywords: vec!["$Forwarded".into(), "work".into()] };
        assert_eq!(letters(&seen, ""), "PRST");
        assert_eq!(letters(&seen, "aDb"), "PRSTab");
        assert_eq!(flags("PRST", &Flags { keywords: vec!["work".into()], ..Flags::default() }).system, system);
        assert_eq!(flags("FS", &seen).keywords, ["work"]);
        assert_eq!(split("1.a.b,S=3:2,FS"), ("1.a.b,S=3", "FS"));
        assert_eq!(split("1.a.b"), ("1.a.b", ""));
    }
}
