//! One mailbox and its folder: does what the plan says, to the files and then to the tables.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::files::{Files, Found};
use super::merge::{Noted, Plan, plan};
use super::{FRESH, Keeper, Seen, apart, names};
use crate::imap::{Flags, StoreMode, Summary};
use crate::mail::{Letter, normalize, with_line_feeds};
use crate::mda::mailboxes::change::{remove, set_flags};
use crate::mda::mailboxes::file::{Arrival, file};
use crate::mda::mailboxes::shelf::{self, Change};
use crate::mda::mailboxes::{Mailbox, Mailboxes, Shelf};
use crate::mda::{Error, Message, Uid};
use crate::store::Transaction;

/// So many files are written between two commits.
const WRITTEN_MAX: usize = 1_000;
/// When this many octets of others' messages were read, they are committed first.
const TAKEN_OCTETS: usize = 64 * 1024 * 1024;

/// What was done to files, and what the tables are to hold of it.
#[derive(Default)]
struct Outcome {
    noted: Vec<(Uid, Noted)>,
    removed: Vec<Uid>,
    adopted: Vec<(Uid, Flags)>,
    expunged: Vec<Uid>,
    added: Vec<(Noted, Arrival)>,
    /// Files that are no messages, and why.
    passed_over: Vec<(PathBuf, String)>,
    /// Whether there is more to do.
    unfinished: bool,
}

impl Keeper {
    /// All mailboxes of an account in which something has changed, on either side.
    pub(super) async fn folders(&mut self, account: i64, root: &Path) -> Result<(), Error> {
        for known in self.known(account)? {
            let Some(directory) = known.directory else { continue };
            let files = Files(root.join(directory));
            let seen = files.written().map(|written| Seen { modseq: known.modseq, written });
            if seen.as_ref().is_ok_and(|seen| self.seen.get(&known.mailbox) == Some(seen)) {
                continue;
            }
            let mailbox = self.mailboxes.by_id(account, known.mailbox);
            let folder = files.0.display().to_string();
            let settled = match settle(&mailbox, files).await {
                Ok(settled) => settled.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            let passed_over = match settled {
                Ok(passed_over) => passed_over,
                Err(why) => {
                    self.complain(&folder, &why);
                    continue;
                }
            };
            self.withdraw(&folder);
            passed_over.iter().for_each(|(path, why)| self.complain(&path.display().to_string(), why));
            match seen {
                Ok(seen) if seen.is_old(self.mailboxes.0.clock.now()) => self.seen.insert(known.mailbox, seen),
                _ => self.seen.remove(&known.mailbox),
            };
        }
        Ok(())
    }
}

impl Seen {
    /// Whether a later change would show.
    fn is_old(&self, now: Timestamp) -> bool {
        let now = SystemTime::from(now);
        self.written.iter().all(|written| now.duration_since(*written).is_ok_and(|age| FRESH < age))
    }
}

impl Mailboxes {
    /// A mailbox that is there.
    fn by_id(&self, account: i64, id: i64) -> Mailbox {
        let mut open = super::super::lock(&self.0.open);
        let shelf = open.get(&id).and_then(std::sync::Weak::upgrade);
        let shelf = shelf.unwrap_or_else(|| {
            let shelf = Arc::new(Shelf::new(id));
            open.insert(id, Arc::downgrade(&shelf));
            shelf
        });
        Mailbox { mailboxes: self.clone(), account, shelf }
    }
}

/// Makes both sides alike, and returns what was passed over. The inner error is of files.
async fn settle(mailbox: &Mailbox, files: Files) -> Result<io::Result<Vec<(PathBuf, String)>>, Error> {
    let mut passed_over = Vec::new();
    loop {
        let (own, files) = (mailbox.clone(), files.clone());
        let mut outcome = match apart(move || work(&own, &files)).await? {
            Ok(Some(outcome)) => outcome,
            Ok(None) => return Ok(Ok(passed_over)),
            Err(error) => return Ok(Err(error)),
        };
        let unfinished = outcome.unfinished;
        passed_over = std::mem::take(&mut outcome.passed_over);
        let id = mailbox.shelf.id;
        mailbox.mailboxes.change(move |transaction| outcome.store(transaction, id)).await?;
        if !unfinished {
            return Ok(Ok(passed_over));
        }
    }
}

/// Everything that concerns files; `None` when there is nothing to do.
fn work(mailbox: &Mailbox, files: &Files) -> io::Result<Option<Outcome>> {
    let id = mailbox.shelf.id;
    let read = |connection: &Connection| Ok((messages(connection, id)?, noted(connection, id)?));
    // Files first: what the tables get meanwhile is written by ourselves, and is no file that somebody has removed.
    let mut there = files.list()?;
    let (messages, noted) = mailbox.mailboxes.0.store.read(read).map_err(io::Error::other)?;
    let mut what = plan(id, &messages, &noted, &there);
    if !what.expunge.is_empty() {
        // A file that is renamed while a folder is read may not be seen; nobody removes twice.
        let again = files.list()?;
        there.extend(again);
        what = plan(id, &messages, &noted, &there);
    }
    if what.is_empty() {
        return Ok(None);
    }
    let mut outcome = Outcome { unfinished: WRITTEN_MAX < what.write.len(), ..Outcome::default() };
    outcome.change_files(files, &there, &what)?;
    outcome.write(mailbox, files, &messages, &what)?;
    files.sync()?;
    outcome.take(files, &there, what);
    Ok(Some(outcome))
}

impl Outcome {
    /// Renames and removes what the tables have changed.
    fn change_files(&mut self, files: &Files, there: &BTreeMap<String, Found>, plan: &Plan) -> io::Result<()> {
        for (uid, base, letters) in &plan.mark {
            let Some(found) = there.get(base) else { continue };
            if is_done(files.mark(base, found, letters))? {
                self.noted.push((*uid, Noted { base: base.clone(), letters: letters.clone() }));
            }
        }
        for (uid, base) in &plan.remove {
            if let Some(found) = there.get(base) {
                is_done(files.remove(found))?;
            }
            self.removed.push(*uid);
        }
        Ok(())
    }

    /// Writes what has no file. Line ends are those of this system's files.
    fn write(
        &mut self,
        mailbox: &Mailbox,
        files: &Files,
        messages: &BTreeMap<Uid, Message>,
        plan: &Plan,
    ) -> io::Result<()> {
        for (uid, letters) in plan.write.iter().take(WRITTEN_MAX) {
            let letter = mailbox.letter(*uid).map_err(io::Error::other)?;
            let (Some(letter), Some(message)) = (letter, messages.get(uid)) else { continue };
            let octets = with_line_feeds(&letter.to_bytes());
            let base = names::base(mailbox.shelf.id, message, octets.len());
            files.write(&base, letters, &octets)?;
            self.noted.push((*uid, Noted { base, letters: letters.clone() }));
        }
        Ok(())
    }

    /// What somebody has done to the files.
    fn take(&mut self, files: &Files, there: &BTreeMap<String, Found>, plan: Plan) {
        self.noted.extend(plan.note);
        for (uid, flags, noted) in plan.adopt {
            self.adopted.push((uid, flags));
            self.noted.push((uid, noted));
        }
        self.removed.extend(&plan.expunge);
        self.expunged = plan.expunge;
        let mut taken = 0;
        for base in plan.add {
            if TAKEN_OCTETS <= taken || WRITTEN_MAX <= self.added.len() {
                self.unfinished = true;
                break;
            }
            let Some(found) = there.get(&base) else { continue };
            let (octets, written) = match files.read(found) {
                Ok(read) => read,
                // Who moved it meanwhile will be noticed at the next look.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    self.passed_over.push((files.path(found), error.to_string()));
                    continue;
                }
            };
            taken += octets.len();
            let letter = Letter::new(Bytes::from(normalize(&octets).0.into_owned()));
            let received = Timestamp::try_from(written).unwrap_or(Timestamp::UNIX_EPOCH).as_second();
            let summary = Some(Arc::new(Summary::of(&letter.content)));
            let flags = names::flags(&found.letters, &Flags::default());
            let arrival = Arrival { letter, summary, flags, received, saved: received };
            self.added.push((Noted { base, letters: found.letters.clone() }, arrival));
        }
    }

    /// All of it in one commit.
    fn store(self, transaction: &Transaction<'_>, mailbox: i64) -> Result<((), Vec<Change>), Error> {
        let mut changes = Vec::new();
        for (uid, flags) in &self.adopted {
            changes.extend(set_flags(transaction, mailbox, &[*uid], StoreMode::Replace, flags)?.1);
        }
        if !self.expunged.is_empty() {
            changes.push(remove(transaction, mailbox, &self.expunged)?);
        }
        let sql = "DELETE FROM maildir_file WHERE mailbox = ?1 AND uid = ?2";
        let mut forget = transaction.prepare_cached(sql)?;
        for uid in &self.removed {
            forget.execute(params![mailbox, uid])?;
        }
        let sql = "INSERT INTO maildir_file (mailbox, uid, base, letters) VALUES (?1, ?2, ?3, ?4)
                   ON CONFLICT (mailbox, uid) DO UPDATE SET base = excluded.base, letters = excluded.letters";
        let mut note = transaction.prepare_cached(sql)?;
        for (uid, Noted { base, letters }) in &self.noted {
            note.execute(params![mailbox, uid, base, letters])?;
        }
        for (Noted { base, letters }, arrival) in &self.added {
            let (filed, more) = file(transaction, mailbox, String::new(), arrival)?;
            note.execute(params![mailbox, filed.delivered.uid, base, letters])?;
            changes.extend(more);
        }
        Ok(((), changes))
    }
}

fn messages(connection: &Connection, mailbox: i64) -> rusqlite::Result<BTreeMap<Uid, Message>> {
    let view = shelf::load(connection, mailbox)?.unwrap_or_default();
    Ok(view.messages.iter().map(|message| (message.uid, message.clone())).collect())
}

fn noted(connection: &Connection, mailbox: i64) -> rusqlite::Result<BTreeMap<Uid, Noted>> {
    let sql = "SELECT uid, base, letters FROM maildir_file WHERE mailbox = ?1";
    let mut all = connection.prepare_cached(sql)?;
    all.query_map([mailbox], |row| Ok((row.get(0)?, Noted { base: row.get(1)?, letters: row.get(2)? })))?.collect()
}

/// `false` when somebody was quicker, and the file is no longer there.
fn is_done(outcome: io::Result<()>) -> io::Result<bool> {
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
