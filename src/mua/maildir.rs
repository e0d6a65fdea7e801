//! Reads Maildirs of other programs: <https://cr.yp.to/proto/maildir.html>, with the folders of Maildir++ and the
//! keywords of Dovecot.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::imap::{Flags, utf7_decode};
use crate::world::{Links, read_regular};

/// The subfolders with messages.
pub(super) const MESSAGE_FOLDERS: [&str; 2] = ["new", "cur"];
/// The file in which Dovecot names the keywords `a` to `z`.
const KEYWORDS_FILE: &str = "dovecot-keywords";
const MAX_KEYWORDS_BYTES: usize = 64 * 1024;

/// The names of the keywords, by the lower-case letter in file names.
pub(super) type Keywords = Arc<BTreeMap<char, String>>;

/// Whether a folder is a Maildir, with `new` and `cur`; links to these are not followed.
pub(super) fn is_maildir(folder: &Path) -> bool {
    let is_folder = |name: &str| folder.join(name).symlink_metadata().is_ok_and(|about| about.is_dir());
    MESSAGE_FOLDERS.iter().all(|name| is_folder(name))
}

/// The mailbox of a folder `.Archive.2026` of a Maildir: `Archive/2026`. Decodes modified UTF-7, and `%2E` as a dot.
pub(super) fn mailbox(folder: &str) -> String {
    let levels = folder.trim_start_matches('.').split('.').map(|level| level.replace("%2E", "."));
    levels.map(|level| utf7_decode(&level).unwrap_or(level)).collect::<Vec<_>>().join("/")
}

/// The keywords of the Maildir in this folder; none if their file is missing or cannot be read.
pub(super) fn keywords(maildir: &Path) -> Keywords {
    let read = read_regular(&maildir.join(KEYWORDS_FILE), Links::Follow, MAX_KEYWORDS_BYTES);
    let text = read.map(|(bytes, _)| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let keyword = |line: &str| {
        let (number, name) = line.split_once(' ')?;
        let letter = number.parse().ok().and_then(|number| ('a'..='z').nth(number))?;
        Some((letter, name.trim().to_owned()))
    };
    Arc::new(text.lines().filter_map(keyword).collect())
}

/// The flags in the name of a message's file, after `:2,`; none without that.
pub(super) fn flags(name: &str, keywords: &Keywords) -> Flags {
    let letters = name.rsplit_once(":2,").map(|(_, letters)| letters).unwrap_or_default();
    let mut flags = Flags::from_letters(letters);
    letters.chars().filter_map(|letter| keywords.get(&letter)).for_each(|name| flags.add_keyword(name));
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailbox_of_a_folder_is_its_decoded_name() {
        for (folder, name) in [
            (".Archive", "Archive"),
            (".Archive.2026", "Archive/2026"),
            (".lists.rust-lang%2Eorg", "lists/rust-lang.org"),
            (".Z&APw-rich", "Z\u{fc}rich"),
            (".Z\u{fc}rich", "Z\u{fc}rich"),
            (".R&D", "R&D"),
        ] {
            assert_eq!(mailbox(folder), name);
        }
    }

    #[test]
    fn flags_of_a_name_are_standard_letters_and_dovecot_keywords() {
        let folder = tempfile::tempdir().unwrap();
        assert!(keywords(folder.path()).is_empty());
        std::fs::write(folder.path().join(KEYWORDS_FILE), "0 $Forwarded\n1 Junk\nx y\n99 Z\n").unwrap();
        let keywords = keywords(folder.path());
        let flags = flags("1.a.b:2,FSbz", &keywords);
        assert_eq!((flags.to_letters().as_str(), flags.keywords), ("FS", vec!["Junk".to_owned()]));
        assert_eq!(super::flags("1.a.b", &keywords), Flags::default());
    }
}
