//! Names in a Maildir: of account folders, of mailbox folders (Maildir++), and of message files with their flags.
//!
//! A message is `1790000000.M12U345.postroad,S=1234:2,FS`: date of arrival, mailbox and UID, size, flags.

use crate::imap::{Flags, utf7_decode, utf7_encode};
use crate::mda::MessageMeta;
use crate::mda::mailboxes::name::{INBOX, canonical};

/// Separates the base name of a message file from its flags.
const FLAGS_SEPARATOR: &str = ":2,";
/// The name of the folder of an account: its key, with `%` and two hexadecimal digits for each byte that is not
/// alphanumeric or in `@._+-`, and for a dot at the beginning.
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

/// The name of the folder of a mailbox within the account folder; empty for INBOX. It is in modified UTF-7, each level
/// starts with a dot, and a dot in a level is written `%2E`: mailbox names contain no `%`.
pub(super) fn directory(mailbox: &str) -> String {
    if mailbox == INBOX {
        return String::new();
    }
    let levels = mailbox.split('/').map(|level| utf7_encode(level).replace('.', "%2E"));
    levels.map(|level| format!(".{level}")).collect()
}

/// The name of the mailbox of a folder with this name, the inverse of [`directory`]; `None` if that would be INBOX or
/// no valid mailbox name.
pub(super) fn mailbox(directory: &str) -> Option<String> {
    let levels: Option<Vec<String>> = directory.strip_prefix('.')?.split('.').map(level).collect();
    let name = levels?.join("/");
    canonical(&name).ok().filter(|canonical| *canonical == name && name != INBOX)
}

/// Decodes one level of a folder name into that of a mailbox name, from modified UTF-7 and `%2E`; `None` if it cannot
/// be decoded or would contain `/`.
fn level(wire: &str) -> Option<String> {
    let level = utf7_decode(&wire.replace("%2E", "."))?;
    (!level.contains('/')).then_some(level)
}

/// The base name of the file that is written here for a message: from the date of arrival, the id of the mailbox, the
/// UID, and `bytes`, the size of the file. Always the same for a message.
pub(super) fn base(mailbox: i64, message: &MessageMeta, bytes: usize) -> String {
    let MessageMeta { uid, received, .. } = message;
    format!("{}.M{mailbox}U{uid}.postroad,S={bytes}", received)
}

/// What [`base`] returns, without the size: up to the comma in front of `S=`. It finds the file of a message whose size
/// is not known.
pub(super) fn base_prefix(mailbox: i64, message: &MessageMeta) -> String {
    format!("{}.M{mailbox}U{}.postroad,", message.received, message.uid)
}

/// Splits the name of a message file into base name and flag characters, those after `:2,`; they are empty without it.
pub(super) fn split(name: &str) -> (&str, &str) {
    name.split_once(FLAGS_SEPARATOR).unwrap_or((name, ""))
}

/// The name in `cur` of a message file, from its base name and flag characters.
pub(super) fn join(base: &str, flag_chars: &str) -> String {
    format!("{base}{FLAGS_SEPARATOR}{flag_chars}")
}

/// The flags of a message as the flag characters of its file, sorted, each once; with those characters of `foreign`,
/// the present ones of the file, that stand for no flag.
pub(super) fn flag_chars(flags: &Flags, foreign: &str) -> String {
    let known = |flag_char: &char| Flags::is_letter(*flag_char);
    let mut all: Vec<char> =
        flags.to_letters().chars().chain(foreign.chars().filter(|flag_char| !known(flag_char))).collect();
    all.sort_unstable();
    all.dedup();
    all.into_iter().collect()
}

/// The flags of a message whose file has these flag characters; keywords for which there is no character are kept from
/// `before`, the present flags.
pub(super) fn flags(flag_chars: &str, before: &Flags) -> Flags {
    let mut flags = Flags::from_letters(flag_chars);
    before.without_letters().iter().for_each(|word| flags.add_keyword(word));
    flags
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::SystemFlags;

    #[test]
    fn folder_names_convert_to_mailbox_names_and_back() {
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
        let invalid = ["", ".", "..", "cur", ".a..b", ".INBOX", ".inbox", ".a*", ".&AC8-", ".a\nb"];
        assert!(invalid.iter().all(|folder| mailbox(folder).is_none()), "{invalid:?}");
    }

    #[test]
    fn account_folder_escapes_unusual_characters() {
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
    fn flag_chars_are_sorted_and_unknown_ones_are_kept() {
        let system = SystemFlags::SEEN.with(SystemFlags::ANSWERED).with(SystemFlags::DELETED);
        let seen = Flags { system, keywords: vec!["$Forwarded".into(), "work".into()] };
        assert_eq!(flag_chars(&seen, ""), "PRST");
        assert_eq!(flag_chars(&seen, "aDb"), "PRSTab");
        assert_eq!(flags("PRST", &Flags { keywords: vec!["work".into()], ..Flags::default() }).system, system);
        assert_eq!(flags("FS", &seen).keywords, ["work"]);
        assert_eq!(split("1.a.b,S=3:2,FS"), ("1.a.b,S=3", "FS"));
        assert_eq!(split("1.a.b"), ("1.a.b", ""));
    }
}
