//! Mail that is there from the start: `serve --import`.
//!
//! The folder has one for each account, named by its address: its files, or a Maildir, are for INBOX, and each folder in it is for
//! the mailbox of that name. What was imported is noted beside the data, by the hash of account, mailbox and bytes, so that a
//! message that was deleted is not imported again; those that a killed start imported without a note are found in their mailbox.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{Error, RunningWorld};
use crate::mail::{Address, Message};
use crate::mda::{self, AppendMessage};
use crate::mua::{MessageFile, SourceError, read_mail_files};
use crate::store::private_file;

/// Messages that are stored in one commit.
const BATCH: usize = 100;
/// Their bytes, after which no more are added.
const MAX_BATCH_BYTES: usize = 16 * 1024 * 1024;

/// What an import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Messages that were stored.
    pub stored: usize,
    /// Messages that an earlier start had stored.
    pub known: usize,
}

impl std::ops::AddAssign for Imported {
    /// Adds the numbers of a further import.
    fn add_assign(&mut self, more: Self) {
        self.stored += more.stored;
        self.known += more.known;
    }
}

/// Imports the mail of a folder into the mailboxes of a world. The folder has a folder for each account, named by its
/// address: a Maildir, or files for INBOX and a folder for each other mailbox. `notes` is the file in the data folder
/// that lists what was imported before, which is left out; what is stored is added to it.
///
/// # Errors
/// A folder is not named by an address with a mailbox in this world, or something cannot be read or stored.
pub async fn import(running: &RunningWorld, folder: &Path, notes: &Path) -> Result<Imported, Error> {
    let mut import =
        Import { running, notes: Notes::read(notes)?, before: BTreeMap::new(), imported: Imported::default() };
    for (path, name) in folders(folder)? {
        let address = name.parse::<Address>().ok().filter(|_| running.env.world.secret(&name).is_some());
        let account =
            address.ok_or_else(|| import_error(&path, "its name is no address with a mailbox in this world"))?.key();
        if path.join("cur").is_dir() {
            import.import_path(&account, "INBOX", &path).await?;
            continue;
        }
        for (path, name) in entries(&path)? {
            let mailbox = if path.is_dir() { name.as_str() } else { "INBOX" };
            import.import_path(&account, mailbox, &path).await?;
        }
    }
    Ok(import.imported)
}

/// The [`Error::Import`] of this file, folder or account.
fn import_error(path: &Path, why: impl ToString) -> Error {
    Error::Import { path: path.into(), why: why.to_string() }
}

/// Paths and names of what a folder holds, sorted, without names that begin with `.` or end with `.md`.
fn entries(folder: &Path) -> Result<Vec<(PathBuf, String)>, Error> {
    let read = || -> io::Result<Vec<_>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            entries.push((entry.path(), entry.file_name().to_string_lossy().into_owned()));
        }
        entries.retain(|(_, name)| !name.starts_with('.') && !name.ends_with(".md"));
        entries.sort();
        Ok(entries)
    };
    read().map_err(|error| import_error(folder, error))
}

/// As [`entries`], all of which must be folders.
fn folders(folder: &Path) -> Result<Vec<(PathBuf, String)>, Error> {
    let entries = entries(folder)?;
    match entries.iter().find(|(path, _)| !path.is_dir()) {
        Some((path, _)) => Err(import_error(path, "it is no folder named by an address, with the mail of its account")),
        None => Ok(entries),
    }
}

struct Import<'a> {
    running: &'a RunningWorld,
    notes: Notes,
    /// What mailboxes held before this import that is not noted: how often which message, by account and mailbox.
    before: BTreeMap<(String, String), BTreeMap<Hash, usize>>,
    imported: Imported,
}

/// Messages for one mailbox, and what will be noted about them.
#[derive(Default)]
struct Batch {
    messages: Vec<AppendMessage>,
    keys: Vec<Key>,
    bytes: usize,
}

impl Import<'_> {
    /// Imports a file or a folder into the mailbox `base` and those below it, in batches. What is noted, or was stored
    /// before, is only counted as known. An empty folder imports nothing; an empty message is an error.
    async fn import_path(&mut self, account: &str, base: &str, path: &Path) -> Result<(), Error> {
        let files = match read_mail_files(path) {
            Ok(files) => files,
            Err(SourceError::Empty(_)) => return Ok(()),
            Err(error) => return Err(import_error(path, error)),
        };
        // The messages of a mailbox come together.
        let (mut mailbox, mut batch) = (base.to_owned(), Batch::default());
        for file in files {
            let MessageFile { name, mailbox: below, flags, received, message } =
                file.map_err(|error| import_error(path, error))?;
            if message.is_empty() {
                return Err(import_error(Path::new(&name), "it is empty"));
            }
            let own = match below {
                Some(below) if base.eq_ignore_ascii_case("INBOX") => below,
                Some(below) => format!("{base}/{below}"),
                None => base.to_owned(),
            };
            if own != mailbox || BATCH <= batch.keys.len() || MAX_BATCH_BYTES <= batch.bytes {
                self.store(account, &mailbox, std::mem::take(&mut batch)).await?;
            }
            mailbox = own;
            let key = key(account, &mailbox, &message);
            if self.notes.take(&key) {
                self.imported.known += 1;
                continue;
            }
            batch.keys.push(key);
            if self.take_stored(account, &mailbox, &message)? {
                self.imported.known += 1;
                continue;
            }
            batch.bytes += message.len();
            batch.messages.push(AppendMessage { message: Message::new(message), flags, received });
        }
        self.store(account, &mailbox, batch).await
    }

    /// Whether a start that was killed has stored this message without a note; each stored copy counts once. The first
    /// call for a mailbox looks into it, before this import adds to it.
    fn take_stored(&mut self, account: &str, mailbox: &str, message: &[u8]) -> Result<bool, Error> {
        let place = (account.to_owned(), mailbox.to_owned());
        if !self.before.contains_key(&place) {
            let stored = self.stored(account, mailbox)?;
            self.before.insert(place.clone(), stored);
        }
        let left = self.before.get_mut(&place).and_then(|stored| stored.get_mut(&hash(message)));
        Ok(left.is_some_and(|left| match left.checked_sub(1) {
            Some(fewer) => {
                *left = fewer;
                true
            }
            None => false,
        }))
    }

    /// How often a mailbox has which message that is not noted, by hash; empty if there is no such mailbox.
    fn stored(&self, account: &str, mailbox: &str) -> Result<BTreeMap<Hash, usize>, Error> {
        let failed = |error| import_error(Path::new(account), error);
        let mut stored = BTreeMap::new();
        let opened = match self.running.mailboxes.open(account, mailbox) {
            Ok(opened) => opened,
            Err(mda::Error::NoMailbox(_)) => return Ok(stored),
            Err(error) => return Err(failed(error)),
        };
        for message in opened.view().map_err(failed)?.messages.iter_from(0) {
            let Some(message) = opened.message(message.uid).map_err(failed)? else { continue };
            let bytes = message.to_bytes();
            if !self.notes.has(&key(account, mailbox, &bytes)) {
                *stored.entry(hash(&bytes)).or_default() += 1;
            }
        }
        Ok(stored)
    }

    /// Appends a batch to a mailbox, which is created if needed, and then notes its keys. Some keys may have no
    /// message: those that a killed start has stored.
    async fn store(&mut self, account: &str, mailbox: &str, batch: Batch) -> Result<(), Error> {
        let failed = |error| import_error(Path::new(account), error);
        let (mailboxes, count) = (&self.running.mailboxes, batch.messages.len());
        if count != 0 {
            mailboxes.ensure_account(account).await.map_err(failed)?;
            if matches!(mailboxes.open(account, mailbox), Err(mda::Error::NoMailbox(_))) {
                mailboxes.create(account, mailbox).await.map_err(failed)?;
            }
            mailboxes.append(account, mailbox, batch.messages).await.map_err(failed)?;
        }
        self.imported.stored += count;
        self.notes.add(&batch.keys)
    }
}

type Hash = [u8; blake3::OUT_LEN];

/// The BLAKE3 hash of a message, by which [`Import::take_stored`] compares.
fn hash(message: &[u8]) -> Hash {
    *blake3::hash(message).as_bytes()
}

/// What is noted of a message.
type Key = blake3::Hash;

/// What is noted of this message in this mailbox: the hash of account, mailbox and bytes.
fn key(account: &str, mailbox: &str, message: &[u8]) -> Key {
    let mut hash = blake3::Hasher::new();
    for part in [account.as_bytes(), b"\0", mailbox.as_bytes(), b"\0", message] {
        hash.update(part);
    }
    hash.finalize()
}

/// The file that lists what was imported: a line for each message.
struct Notes {
    path: PathBuf,
    file: File,
    /// How often which message was imported, and how often this import has met it.
    imported: BTreeMap<String, (usize, usize)>,
}

impl Notes {
    /// Reads the file, which is created if it does not exist.
    fn read(path: &Path) -> Result<Self, Error> {
        let file = private_file().append(true).create(true).open(path).map_err(|error| import_error(path, error))?;
        let mut imported: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        for line in fs::read_to_string(path).map_err(|error| import_error(path, error))?.lines() {
            imported.entry(line.to_owned()).or_default().0 += 1;
        }
        Ok(Self { path: path.to_owned(), file, imported })
    }

    /// Whether a message was noted by an earlier start, even if this import has met it.
    fn has(&self, key: &Key) -> bool {
        self.imported.contains_key(key.to_hex().as_str())
    }

    /// Counts one more copy of a message that this import meets; returns whether earlier starts imported as many
    /// copies, so that it is left out.
    fn take(&mut self, key: &Key) -> bool {
        let met = self.imported.get_mut(key.to_hex().as_str());
        met.is_some_and(|(noted, met)| {
            *met += 1;
            *met <= *noted
        })
    }

    /// Notes messages, durable.
    fn add(&mut self, keys: &[Key]) -> Result<(), Error> {
        let lines: String = keys.iter().map(|key| format!("{}\n", key.to_hex())).collect();
        let written = self.file.write_all(lines.as_bytes()).and_then(|()| self.file.sync_data());
        written.map_err(|error| import_error(&self.path, error))
    }
}
