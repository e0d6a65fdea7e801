//! The data folder of a world: its database, its certificate authority, and a lock that keeps other processes out.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::Error;
use crate::net::Authority;
use crate::store::Store;
use crate::world::{Clock, World};
use crate::{mda, mta};

/// A data folder that is locked by this process.
pub struct DataDir {
    folder: PathBuf,
    /// The operating system releases the lock when the process ends.
    _lock: File,
}

impl DataDir {
    /// Creates the folder if it does not exist, and locks it.
    ///
    /// # Errors
    /// It cannot be created, or another process has locked it.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let fail = |why: String| Error::Data { path: folder.into(), why };
        fs::create_dir_all(folder).map_err(|error| fail(error.to_string()))?;
        let lock = File::create(folder.join("lock")).map_err(|error| fail(error.to_string()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { folder: folder.into(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(fail(
                "another postroad process uses it; stop that process, or choose another folder with --data".to_owned(),
            )),
            Err(TryLockError::Error(error)) => Err(fail(error.to_string())),
        }
    }

    /// Opens the database.
    ///
    /// # Errors
    /// It cannot be created or opened, or is not a Postroad database.
    pub fn store(&self) -> Result<Store, Error> {
        Ok(Store::open(&self.folder.join("post.db"), &[mta::SCHEMA, mda::SCHEMA])?)
    }

    /// The certificate authority of this folder, created at the first start.
    ///
    /// # Errors
    /// Its files cannot be read or written.
    pub fn authority(&self, world: &World, clock: Clock) -> Result<Authority, Error> {
        Self::authority_in(&self.folder, world, clock)
    }

    /// The certificate authority of a folder that processes may share; the first of them creates it.
    ///
    /// # Errors
    /// Its files cannot be read or written.
    pub fn authority_in(folder: &Path, world: &World, clock: Clock) -> Result<Authority, Error> {
        let fail = |error: std::io::Error| Error::Data { path: folder.into(), why: error.to_string() };
        fs::create_dir_all(folder).map_err(fail)?;
        let lock = File::create(folder.join("ca.lock")).map_err(fail)?;
        lock.lock().map_err(fail)?;
        let (root, key) = (folder.join("ca.pem"), folder.join("ca-key.pem"));
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

/// Writes a file that only its owner can read.
fn write_secret(path: &Path, text: &str) -> Result<(), Error> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| Error::Data { path: path.into(), why: error.to_string() })
}
