//! The data folder of a world: its database, and its certificate authority.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::Error;
use crate::net::Authority;
use crate::store::Store;
use crate::world::{Clock, World};
use crate::{mda, mta};

/// A data folder.
pub struct DataDir {
    folder: PathBuf,
}

/// The files of the certificate authority.
const AUTHORITY_FILES: [&str; 2] = ["ca.pem", "ca-key.pem"];

impl DataDir {
    /// Creates the folder, readable by its owner only, if it does not exist.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        create_private(folder).map_err(|error| Error::Data { path: folder.into(), why: error.to_string() })?;
        Ok(Self { folder: folder.into() })
    }

    /// Opens the database, which one process at a time may do.
    ///
    /// # Errors
    /// It cannot be created, another process uses it, or it is not ours.
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

    /// Copies the data folder that a store lies in, as it is at one moment, into an empty folder. Blocks for as long as
    /// the copy takes.
    ///
    /// # Errors
    /// The target holds something, or a file cannot be read or written.
    pub fn backup(store: &Store, target: &Path) -> Result<(), Error> {
        store.backup(target)?;
        let Some(folder) = store.folder() else { return Ok(()) };
        for file in AUTHORITY_FILES.into_iter().filter(|file| folder.join(file).exists()) {
            let copied = fs::copy(folder.join(file), target.join(file));
            copied.map_err(|error| Error::Data { path: target.join(file), why: error.to_string() })?;
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

/// Makes a folder that is readable by its owner only, with those above it. One that is there stays as it is.
fn create_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
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
