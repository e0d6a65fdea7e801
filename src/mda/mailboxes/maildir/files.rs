//! Files of one Maildir folder: `new`, `cur` and `tmp`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::names;
use crate::world::{Links, read_regular};

/// The largest message that others may put there, in bytes.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// The three folders of a Maildir; a message lies in the first two.
pub(super) const NEW: &str = "new";
pub(super) const CUR: &str = "cur";
const TMP: &str = "tmp";

/// One folder.
#[derive(Clone, Debug)]
pub(super) struct Files(pub(super) PathBuf);

/// A message file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Where it lies in the folder.
    path: PathBuf,
    /// Its flags.
    pub(super) letters: String,
}

impl Files {
    /// Makes what is not there.
    pub(super) fn make(&self) -> io::Result<()> {
        [TMP, NEW, CUR].iter().try_for_each(|sub| fs::create_dir_all(self.0.join(sub)))?;
        sync(&self.0)
    }

    /// Whether it is there.
    pub(super) fn exists(&self) -> bool {
        self.0.join(CUR).is_dir()
    }

    /// When messages last came, went, or got other flags.
    pub(super) fn written(&self) -> io::Result<[SystemTime; 2]> {
        let of = |sub: &str| fs::metadata(self.0.join(sub))?.modified();
        Ok([of(NEW)?, of(CUR)?])
    }

    /// The messages, by the names that they keep. `new` is read first: from there others move them to `cur`.
    pub(super) fn list(&self) -> io::Result<BTreeMap<String, Found>> {
        let mut all = BTreeMap::new();
        for sub in [NEW, CUR] {
            for entry in fs::read_dir(self.0.join(sub))? {
                let entry = entry?;
                // What is no text is not a name of a message.
                let Ok(name) = entry.file_name().into_string() else { continue };
                if name.starts_with('.') || entry.file_type()?.is_dir() {
                    continue;
                }
                let (base, letters) = names::split(&name);
                let path = Path::new(sub).join(&name);
                all.insert(base.to_owned(), Found { path, letters: letters.to_owned() });
            }
        }
        Ok(all)
    }

    /// The octets of a message, and when it came. A link is no message: it may lead to what its maker may not read.
    pub(super) fn read(&self, found: &Found) -> io::Result<(Vec<u8>, SystemTime)> {
        let (octets, about) = read_regular(&self.path(found), Links::Refuse, MAX_MESSAGE_BYTES)?;
        Ok((octets, about.modified()?))
    }

    pub(super) fn path(&self, found: &Found) -> PathBuf {
        self.0.join(&found.path)
    }

    /// Puts a message there, durable: those without flags into `new`.
    pub(super) fn write(&self, base: &str, letters: &str, octets: &[u8]) -> io::Result<()> {
        let draft = self.0.join(TMP).join(base);
        // A crash may have left it there; a link of somebody else is not followed.
        if let Err(error) = fs::remove_file(&draft)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = File::create_new(&draft)?;
        file.write_all(octets)?;
        file.sync_all()?;
        let (sub, name) = match letters.is_empty() {
            true => (NEW, base.to_owned()),
            false => (CUR, names::join(base, letters)),
        };
        fs::rename(draft, self.0.join(sub).join(name))
    }

    /// Gives a message other flags.
    pub(super) fn mark(&self, base: &str, found: &Found, letters: &str) -> io::Result<()> {
        fs::rename(self.0.join(&found.path), self.0.join(CUR).join(names::join(base, letters)))
    }

    /// Takes a message away.
    pub(super) fn remove(&self, found: &Found) -> io::Result<()> {
        fs::remove_file(self.0.join(&found.path))
    }

    /// What was written, renamed and removed stays so.
    pub(super) fn sync(&self) -> io::Result<()> {
        [NEW, CUR].iter().try_for_each(|sub| sync(&self.0.join(sub)))
    }
}

/// The names in a folder stay as they are.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
