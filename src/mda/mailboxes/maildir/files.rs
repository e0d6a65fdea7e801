//! The files of one Maildir folder: `new`, `cur` and `tmp`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::names;
use crate::world::{Links, read_regular};

/// The largest message that is imported, in bytes.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;
use crate::store::{private_file, private_folder};

/// The subfolders of a Maildir; delivered messages are in the first two.
pub(super) const NEW: &str = "new";
pub(super) const CUR: &str = "cur";
const TMP: &str = "tmp";

/// One Maildir folder.
#[derive(Clone, Debug)]
pub(super) struct Files(pub(super) PathBuf);

/// A message file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Its path relative to the folder.
    path: PathBuf,
    /// Its flag characters.
    pub(super) flag_chars: String,
}

impl Files {
    /// Creates the folder, with `tmp`, `new` and `cur` in it and any missing folders above, on Unix open only to their
    /// owner; what is there stays as it is. Syncs the folder, but not the one above.
    pub(super) fn create(&self) -> io::Result<()> {
        [TMP, NEW, CUR].iter().try_for_each(|sub| private_folder().create(self.0.join(sub)))?;
        sync(&self.0)
    }

    /// Whether the folder exists, with a subfolder `cur`.
    pub(super) fn exists(&self) -> bool {
        self.0.join(CUR).is_dir()
    }

    /// When `new` and `cur`, in this order, were last modified.
    pub(super) fn modified(&self) -> io::Result<[SystemTime; 2]> {
        let of = |sub: &str| fs::metadata(self.0.join(sub))?.modified();
        Ok([of(NEW)?, of(CUR)?])
    }

    /// The message files in `new` and `cur` by base name; directories, hidden files and names that are not UTF-8 are
    /// left out. `new` is read first, because other programs move files from there to `cur`, and what `cur` has wins.
    pub(super) fn list(&self) -> io::Result<BTreeMap<String, Found>> {
        let mut all = BTreeMap::new();
        for sub in [NEW, CUR] {
            for entry in fs::read_dir(self.0.join(sub))? {
                let entry = entry?;
                // A message name is always UTF-8.
                let Ok(name) = entry.file_name().into_string() else { continue };
                if name.starts_with('.') || entry.file_type()?.is_dir() {
                    continue;
                }
                let (base, flag_chars) = names::split(&name);
                let path = Path::new(sub).join(&name);
                all.insert(base.to_owned(), Found { path, flag_chars: flag_chars.to_owned() });
            }
        }
        Ok(all)
    }

    /// The bytes of a message and its modification time. Refuses files of more than 64 MiB, and links: the program that
    /// created one may not have access to the target.
    pub(super) fn read(&self, found: &Found) -> io::Result<(Vec<u8>, SystemTime)> {
        let (bytes, about) = read_regular(&self.path(found), Links::Refuse, MAX_MESSAGE_BYTES)?;
        Ok((bytes, about.modified()?))
    }

    /// The path of a message file: its own, which is relative, below that of this folder.
    pub(super) fn path(&self, found: &Found) -> PathBuf {
        self.0.join(&found.path)
    }

    /// Writes and syncs a message under this base name, by way of `tmp`: into `new` if it has no flags, else into
    /// `cur`. The directories are not synced.
    pub(super) fn write(&self, base: &str, flag_chars: &str, bytes: &[u8]) -> io::Result<()> {
        let draft = self.0.join(TMP).join(base);
        // A crash may have left a draft; a link of another program is not followed.
        if let Err(error) = fs::remove_file(&draft)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = private_file().write(true).create_new(true).open(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        let (sub, name) = match flag_chars.is_empty() {
            true => (NEW, base.to_owned()),
            false => (CUR, names::join(base, flag_chars)),
        };
        fs::rename(draft, self.0.join(sub).join(name))
    }

    /// Changes the flag characters of a message file by renaming it; it is in `cur` then. Fails if the file is gone.
    pub(super) fn set_flags(&self, base: &str, found: &Found, flag_chars: &str) -> io::Result<()> {
        fs::rename(self.0.join(&found.path), self.0.join(CUR).join(names::join(base, flag_chars)))
    }

    /// Removes a message file. Fails if the file is gone.
    pub(super) fn remove(&self, found: &Found) -> io::Result<()> {
        fs::remove_file(self.0.join(&found.path))
    }

    /// Syncs the directories `new` and `cur`, so that files written, renamed and removed in them stay so after a crash.
    pub(super) fn sync(&self) -> io::Result<()> {
        [NEW, CUR].iter().try_for_each(|sub| sync(&self.0.join(sub)))
    }
}

/// Syncs a directory, so that changes of its entries stay after a crash.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
