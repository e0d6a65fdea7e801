//! The data folder of a world: its database, and its certificate authority.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::Error;
use crate::net::Authority;
use crate::store::{Store, private_file, private_folder, sync_folder};
use crate::world::{Clock, World};
use crate::{catalogue, journey, mda, mta};

/// A data folder.
pub struct DataDir {
    folder: PathBuf,
}

/// The files of the certificate authority.
const AUTHORITY_FILES: [&str; 2] = ["ca.pem", "ca-key.pem"];

impl DataDir {
    /// Opens a data folder. Creates it, and the folders above it, readable by their owner only, if it does not exist.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        private_folder().create(folder).map_err(|error| Error::Data { path: folder.into(), why: error.to_string() })?;
        Ok(Self { folder: folder.into() })
    }

    /// Opens the database, which one process at a time may do.
    ///
    /// # Errors
    /// It cannot be created, another process uses it, or it is not ours.
    pub fn store(&self) -> Result<Store, Error> {
        let schemas = [catalogue::SCHEMA, mta::SCHEMA, mda::SCHEMA, journey::SCHEMA];
        Ok(Store::open(&self.folder.join("post.db"), &schemas)?)
    }

    /// The certificate authority of this folder, created at the first start.
    ///
    /// # Errors
    /// Its files cannot be read or written.
    pub fn authority(&self, world: &World, clock: Clock) -> Result<Authority, Error> {
        Self::authority_in(&self.folder, world, clock)
    }

    /// The certificate authority of a folder that processes may share: restored from its two files, or created, with
    /// new files, if one of them is missing or cannot be read. Creates the folder, and waits for another process that
    /// does the same.
    ///
    /// # Errors
    /// Its files cannot be read or written.
    pub fn authority_in(folder: &Path, world: &World, clock: Clock) -> Result<Authority, Error> {
        let fail = |error: std::io::Error| Error::Data { path: folder.into(), why: error.to_string() };
        private_folder().create(folder).map_err(fail)?;
        let lock =
            private_file().write(true).create(true).truncate(false).open(folder.join("ca.lock")).map_err(fail)?;
        lock.lock().map_err(fail)?;
        let [root, key] = AUTHORITY_FILES.map(|file| folder.join(file));
        match (fs::read_to_string(&root), fs::read_to_string(&key)) {
            (Ok(root), Ok(key)) => Authority::from_pem(&world.name, &root, &key, clock).map_err(Error::Authority),
            _ => {
                let authority = Authority::create(&world.name, clock).map_err(Error::Authority)?;
                write_secret(&key, &authority.key_pem())?;
                write_secret(&root, &authority.root_pem())?;
                Ok(authority)
            }
        }
    }

    /// Copies the data folder of a store, as it is at one moment, into an empty folder: the store, and the files of the
    /// certificate authority if they exist. Blocks for as long as the copy takes.
    ///
    /// # Errors
    /// The target holds something, a file cannot be read or written, or the store is in memory.
    pub fn backup(store: &Store, target: &Path) -> Result<(), Error> {
        store.backup(target)?;
        let Some(folder) = store.folder() else { return Ok(()) };
        for file in AUTHORITY_FILES.into_iter().filter(|file| folder.join(file).exists()) {
            let text = fs::read_to_string(folder.join(file));
            write_secret(&target.join(file), &text.map_err(|error| data_error(&folder.join(file), &error))?)?;
        }
        Ok(())
    }

    /// The root certificate in a data folder, for clients. The folder may be in use.
    ///
    /// # Errors
    /// It does not exist yet, or cannot be read.
    pub fn root_pem(folder: &Path) -> Result<String, Error> {
        let path = folder.join("ca.pem");
        let why =
            |error: std::io::Error| format!("{error}; it is created when `postroad serve` starts for the first time");
        fs::read_to_string(&path).map_err(|error| Error::Data { why: why(error), path })
    }
}

/// Writes a file that only its owner can read, in the place of an existing one. A power cut leaves it whole or
/// unchanged.
fn write_secret(path: &Path, text: &str) -> Result<(), Error> {
    let new = path.with_extension("new");
    let written = private_file().write(true).create(true).truncate(true).open(&new).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        sync_folder(path.parent().unwrap_or(Path::new(".")))
    });
    written.map_err(|error| data_error(path, &error))
}

/// The [`Error::Data`] of this file.
fn data_error(path: &Path, error: &std::io::Error) -> Error {
    Error::Data { path: path.into(), why: error.to_string() }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    /// All files and folders that others can read.
    fn open_to_others(folder: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if fs::metadata(&path).unwrap().mode() & 0o077 != 0 {
                found.push(path.clone());
            }
            if path.is_dir() {
                found.extend(open_to_others(&path));
            }
        }
        found
    }

    #[tokio::test]
    async fn data_dir_is_readable_by_its_owner_only() {
        let temporary = tempfile::tempdir().unwrap();
        // One folder is made by us, the other was there, open to all.
        let (own, other) = (temporary.path().join("a/own"), temporary.path().join("other"));
        fs::create_dir(&other).unwrap();
        fs::set_permissions(&other, fs::Permissions::from_mode(0o755)).unwrap();
        for folder in [&own, &other] {
            let data = DataDir::open(folder).unwrap();
            let store = data.store().unwrap();
            data.authority(&World::journey(), Clock::wall()).unwrap();
            let mailboxes = mda::Mailboxes::new(store, Clock::wall());
            let large = crate::mail::Message::new(vec![b'x'; 100_000].into());
            mailboxes.deliver("ann@a.test", None, &large).await.unwrap();
            let mut sync = mda::MaildirSync::new(&mailboxes, |_| true).unwrap();
            sync.sync_once().await.unwrap();
            assert!(folder.join("maildir/ann@a.test/new").is_dir());
            assert!(fs::read_dir(folder.join("contents")).unwrap().next().is_some());
            assert_eq!(open_to_others(folder), [""; 0].map(PathBuf::from), "{}", folder.display());
        }
        assert_eq!(fs::metadata(&own).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(temporary.path().join("a")).unwrap().mode() & 0o777, 0o700);
    }
}
