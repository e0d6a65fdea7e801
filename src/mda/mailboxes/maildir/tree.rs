//! Synchronises the mailbox tree of an account with its folders.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::files::{Files, sync};
use super::{MaildirSync, blocking, names};
use crate::mda::Error;
use crate::mda::mailboxes::sqlite;
use crate::store::Transaction;

/// A mailbox, or a folder whose mailbox was deleted.
#[derive(Clone, Debug)]
pub(in crate::mda::mailboxes) struct KnownFolder {
    pub(in crate::mda::mailboxes) mailbox: i64,
    /// `None` when the mailbox was deleted.
    pub(in crate::mda::mailboxes) name: Option<String>,
    /// The folder that was created for it.
    pub(in crate::mda::mailboxes) directory: Option<String>,
    pub(in crate::mda::mailboxes) modseq: u64,
}

/// What was done and found, to be recorded in the tables.
#[derive(Default)]
struct TreeOutcome {
    /// Mailboxes that now have these folders.
    placed: Vec<(i64, String)>,
    /// Folders that were removed because their mailboxes were deleted.
    removed: Vec<i64>,
    /// Mailboxes whose folders another program removed.
    deleted: Vec<String>,
    /// Mailboxes for folders that another program created.
    created: Vec<String>,
    /// Folders that cannot be created, renamed or removed, and why; the mailboxes have no folder, or keep the old one.
    skipped: Vec<(PathBuf, io::Error)>,
}

impl MaildirSync {
    /// Synchronises the folders of the account with this key, in the folder `root`, with its mailboxes: creates,
    /// renames and removes folders, and creates and deletes mailboxes where another program did that to folders. The
    /// inner error is that `root` is missing or cannot be used; errors of single folders are logged once.
    pub(super) async fn sync_tree(&mut self, account: i64, key: &str, root: &Path) -> Result<io::Result<()>, Error> {
        let (known, root) = (self.known_folders(account)?, root.to_owned());
        let outcome = match blocking(move || reconcile(known, &root)).await? {
            Ok(outcome) => outcome,
            Err(error) => return Ok(Err(error)),
        };
        let TreeOutcome { placed, removed, deleted, created, skipped } = outcome;
        skipped.iter().for_each(|(path, error)| self.log_once(&path.display().to_string(), &error.to_string()));
        for name in deleted {
            self.mailboxes.delete(key, &name).await?;
        }
        for name in created {
            match self.mailboxes.create(key, &name).await {
                Ok(()) | Err(Error::Exists(_)) => {}
                Err(error) => self.log_once(&format!("{key} {name}"), &error.to_string()),
            }
        }
        if !(placed.is_empty() && removed.is_empty()) {
            let record = move |transaction: &Transaction<'_>| {
                for (mailbox, directory) in &placed {
                    sqlite::record_folder(transaction, account, *mailbox, directory)?;
                }
                for mailbox in &removed {
                    sqlite::delete_folder(transaction, *mailbox)?;
                }
                Ok(())
            };
            self.mailboxes.write(record).await?;
        }
        Ok(Ok(()))
    }

    /// All mailboxes of an account with their recorded folders, if they have one, and recorded folders whose mailboxes
    /// were deleted.
    pub(super) fn known_folders(&self, account: i64) -> Result<Vec<KnownFolder>, Error> {
        Ok(self.mailboxes.store.read(|connection| sqlite::folders(connection, account))?)
    }
}

impl TreeOutcome {
    /// Returns whether an operation on the folder at this path succeeded; its error, as for a name that is too long or
    /// taken, is noted as skipped.
    fn ok_or_note(&mut self, path: &Path, result: io::Result<()>) -> bool {
        result.map_err(|error| self.skipped.push((path.to_owned(), error))).is_ok()
    }
}

/// Removes, renames and creates folders as the mailboxes require. Returns what to record, and which mailboxes to create
/// or delete because another program did that to their folders. Fails if a recorded account folder is missing.
fn reconcile(known: Vec<KnownFolder>, root: &Path) -> io::Result<TreeOutcome> {
    let inbox = Files(root.to_owned());
    if !inbox.exists() {
        if known.iter().any(|known| known.directory.as_deref() == Some("")) {
            return Err(io::Error::other("the account folder is missing; sync is suspended until it exists again"));
        }
        inbox.create()?;
    }
    let mut found = directories(root)?;
    let (mut outcome, mut without_folder) = (TreeOutcome::default(), Vec::new());
    for KnownFolder { mailbox, name, directory, .. } in known {
        let expected = name.as_deref().map(names::directory);
        match (directory, name, expected) {
            (Some(directory), None, _) => {
                let path = found.remove(&directory).filter(|_| !directory.is_empty());
                if path.is_none_or(|path| outcome.ok_or_note(&path, fs::remove_dir_all(&path))) {
                    outcome.removed.push(mailbox);
                }
            }
            (Some(directory), Some(_), Some(expected)) if directory == expected && found.contains_key(&expected) => {
                found.remove(&expected);
            }
            (Some(directory), Some(_), Some(expected)) if found.contains_key(&directory) => {
                found.remove(&directory);
                let to = root.join(&expected);
                if outcome.ok_or_note(&to, fs::rename(root.join(&directory), &to)) {
                    outcome.placed.push((mailbox, expected));
                }
            }
            (Some(_), Some(name), _) => {
                outcome.removed.push(mailbox);
                outcome.deleted.push(name);
            }
            (None, _, expected) => without_folder.extend(expected.map(|expected| (mailbox, expected))),
        }
    }
    for (mailbox, expected) in without_folder {
        found.remove(&expected);
        let files = Files(root.join(&expected));
        if outcome.ok_or_note(&files.0, files.create()) {
            outcome.placed.push((mailbox, expected));
        }
    }
    sync(root)?;
    outcome.created = found.keys().filter_map(|directory| names::mailbox(directory)).collect();
    Ok(outcome)
}

/// The paths of all folders below `root` that are Maildirs and whose names begin with a dot, by name; the account
/// folder is there too, with an empty name.
fn directories(root: &Path) -> io::Result<BTreeMap<String, PathBuf>> {
    let mut all: BTreeMap<String, PathBuf> = [(String::new(), root.to_owned())].into();
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).filter(|name| name.starts_with('.'));
        if let Some(name) = name
            && Files(path.clone()).exists()
        {
            all.insert(name.to_owned(), path);
        }
    }
    Ok(all)
}
