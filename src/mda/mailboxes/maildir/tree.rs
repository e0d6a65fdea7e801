//! Mailboxes and the folders that they lie in.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::params;

use super::files::{Files, sync};
use super::{Keeper, apart, names};
use crate::mda::Error;
use crate::store::Transaction;

/// What is known of one mailbox, or of a folder whose mailbox is gone.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) mailbox: i64,
    /// `None` when it is gone.
    name: Option<String>,
    /// The folder that was made for it.
    pub(super) directory: Option<String>,
    pub(super) modseq: u64,
}

/// What to note of what was found and done.
#[derive(Default)]
struct Outcome {
    /// Mailboxes that have these folders now.
    placed: Vec<(i64, String)>,
    /// Folders that were removed, as their mailboxes were.
    removed: Vec<i64>,
    /// Mailboxes whose folders somebody has removed.
    gone: Vec<String>,
    /// Folders that somebody has made, as mailboxes.
    made: Vec<String>,
    /// Folders that cannot be made, renamed or removed, and why; their mailboxes do without, or keep the one they have.
    passed_over: Vec<(PathBuf, io::Error)>,
}

impl Keeper {
    /// Brings the folders of an account what the tables have, and the other way round. The inner error is of files.
    pub(super) async fn tree(&mut self, account: i64, key: &str, root: &Path) -> Result<io::Result<()>, Error> {
        let (known, root) = (self.known(account)?, root.to_owned());
        let outcome = match apart(move || reconcile(known, &root)).await? {
            Ok(outcome) => outcome,
            Err(error) => return Ok(Err(error)),
        };
        let Outcome { placed, removed, gone, made, passed_over } = outcome;
        passed_over.iter().for_each(|(path, why)| self.complain(&path.display().to_string(), &why.to_string()));
        for name in gone {
            self.mailboxes.delete(key, &name).await?;
        }
        for name in made {
            match self.mailboxes.create(key, &name).await {
                Ok(()) | Err(Error::Exists(_)) => {}
                Err(error) => self.complain(&format!("{key} {name}"), &error.to_string()),
            }
        }
        if !(placed.is_empty() && removed.is_empty()) {
            let note = move |transaction: &Transaction<'_>| {
                for (mailbox, directory) in placed {
                    let sql = "INSERT INTO maildir (mailbox, account, directory) VALUES (?1, ?2, ?3)
                               ON CONFLICT (mailbox) DO UPDATE SET directory = excluded.directory";
                    transaction.prepare_cached(sql)?.execute(params![mailbox, account, directory])?;
                }
                for mailbox in removed {
                    transaction.execute("DELETE FROM maildir WHERE mailbox = ?1", [mailbox])?;
                    transaction.execute("DELETE FROM maildir_file WHERE mailbox = ?1", [mailbox])?;
                }
                Ok(())
            };
            self.mailboxes.write(note).await?;
        }
        Ok(Ok(()))
    }

    /// All mailboxes of an account, and folders whose mailboxes are gone.
    pub(super) fn known(&self, account: i64) -> Result<Vec<Known>, Error> {
        let sql = "SELECT mailbox.id, name, directory, modseq FROM mailbox LEFT JOIN maildir ON mailbox = mailbox.id
                   WHERE mailbox.account = ?1
                   UNION ALL SELECT mailbox, NULL, directory, 0 FROM maildir
                   WHERE account = ?1 AND NOT EXISTS (SELECT 1 FROM mailbox WHERE id = maildir.mailbox)";
        let known = self.mailboxes.0.store.read(|connection| {
            let mut all = connection.prepare_cached(sql)?;
            let row = |row: &rusqlite::Row<'_>| {
                Ok(Known { mailbox: row.get(0)?, name: row.get(1)?, directory: row.get(2)?, modseq: row.get(3)? })
            };
            all.query_map([account], row)?.collect::<Result<Vec<_>, _>>()
        })?;
        Ok(known)
    }
}

impl Outcome {
    /// Notes what cannot be done to one folder: a name may be too long for a file system, or taken. The others go on.
    fn is_done(&mut self, path: &Path, outcome: io::Result<()>) -> bool {
        outcome.map_err(|error| self.passed_over.push((path.to_owned(), error))).is_ok()
    }
}

/// Works on the folders: first what goes, then what moves, then what comes.
fn reconcile(known: Vec<Known>, root: &Path) -> io::Result<Outcome> {
    let inbox = Files(root.to_owned());
    if !inbox.exists() {
        if known.iter().any(|known| known.directory.as_deref() == Some("")) {
            return Err(io::Error::other("it was there and is not; nothing is done until it is back"));
        }
        inbox.make()?;
    }
    let mut there = directories(root)?;
    let (mut outcome, mut missing) = (Outcome::default(), Vec::new());
    for Known { mailbox, name, directory, .. } in known {
        let wanted = name.as_deref().map(names::directory);
        match (directory, name, wanted) {
            (Some(directory), None, _) => {
                let path = there.remove(&directory).filter(|_| !directory.is_empty());
                if path.is_none_or(|path| outcome.is_done(&path, fs::remove_dir_all(&path))) {
                    outcome.removed.push(mailbox);
                }
            }
            (Some(directory), Some(_), Some(wanted)) if directory == wanted && there.contains_key(&wanted) => {
                there.remove(&wanted);
            }
            (Some(directory), Some(_), Some(wanted)) if there.contains_key(&directory) => {
                there.remove(&directory);
                let to = root.join(&wanted);
                if outcome.is_done(&to, fs::rename(root.join(&directory), &to)) {
                    outcome.placed.push((mailbox, wanted));
                }
            }
            (Some(_), Some(name), _) => {
                outcome.removed.push(mailbox);
                outcome.gone.push(name);
            }
            (None, _, wanted) => missing.extend(wanted.map(|wanted| (mailbox, wanted))),
        }
    }
    for (mailbox, wanted) in missing {
        there.remove(&wanted);
        let files = Files(root.join(&wanted));
        if outcome.is_done(&files.0, files.make()) {
            outcome.placed.push((mailbox, wanted));
        }
    }
    sync(root)?;
    outcome.made = there.keys().filter_map(|directory| names::mailbox(directory)).collect();
    Ok(outcome)
}

/// All folders that are Maildirs, by name; the outermost has none.
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
