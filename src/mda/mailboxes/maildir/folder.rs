//! Synchronises one mailbox with its folder: applies the plan to the files, then to the tables.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use jiff::Timestamp;

use super::files::{Files, Found};
use super::merge::{KnownFile, Plan, merge};
use super::{LastState, MaildirSync, RECENT_CHANGE, blocking, names};
use crate::imap::{Flags, StoreMode};
use crate::mail::{Message, normalize, with_line_feeds};
use crate::mda::mailboxes::append::{Listing, MessageToInsert, insert_message};
use crate::mda::mailboxes::change::set_flags;
use crate::mda::mailboxes::open_mailbox::Change;
use crate::mda::mailboxes::{Mailbox, Mailboxes, sqlite};
use crate::mda::{Error, MessageMeta, Uid};
use crate::store::Transaction;

/// Most files written, or read as new messages, between two commits.
const MAX_FILES: usize = 1_000;
/// New messages of other programs are committed after this many bytes.
const MAX_READ_BYTES: usize = 64 * 1024 * 1024;

/// What was done to the files, to be recorded in the tables.
#[derive(Default)]
struct FolderOutcome {
    known_files: Vec<(Uid, KnownFile)>,
    removed: Vec<Uid>,
    adopted: Vec<(Uid, Flags)>,
    expunged: Vec<Uid>,
    added: Vec<(KnownFile, MessageToInsert)>,
    /// Files that are not messages, and why.
    skipped: Vec<(PathBuf, String)>,
    /// Whether more files are to be written or read.
    unfinished: bool,
}

impl MaildirSync {
    /// Synchronises the messages of the mailboxes of an account that have a folder in `root`, if the mailbox or the
    /// folder has changed since both were last equal. Errors of a folder or file are logged once, and the others are
    /// synchronised.
    pub(super) async fn sync_folders(&mut self, account: i64, root: &Path) -> Result<(), Error> {
        for known in self.known_folders(account)? {
            let Some(directory) = known.directory else { continue };
            let files = Files(root.join(directory));
            let seen = files.modified().map(|written| LastState { modseq: known.modseq, written });
            if seen.as_ref().is_ok_and(|seen| self.last_states.get(&known.mailbox) == Some(seen)) {
                continue;
            }
            let mailbox = self.mailboxes.by_id(account, known.mailbox);
            let folder = files.0.display().to_string();
            let synced = match sync_mailbox(&mailbox, files).await {
                Ok(synced) => synced.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            let skipped = match synced {
                Ok(skipped) => skipped,
                Err(error) => {
                    self.log_once(&folder, &error);
                    continue;
                }
            };
            self.clear_logged(&folder);
            skipped.iter().for_each(|(path, error)| self.log_once(&path.display().to_string(), error));
            match seen {
                Ok(seen) if seen.is_old(self.mailboxes.inner.clock.now()) => {
                    self.last_states.insert(known.mailbox, seen)
                }
                _ => self.last_states.remove(&known.mailbox),
            };
        }
        Ok(())
    }
}

impl LastState {
    /// Whether `new` and `cur` were last modified long enough before `now` that a later modification gets another
    /// timestamp.
    fn is_old(&self, now: Timestamp) -> bool {
        let now = SystemTime::from(now);
        self.written.iter().all(|written| now.duration_since(*written).is_ok_and(|age| RECENT_CHANGE < age))
    }
}

/// Synchronises a mailbox with its folder, until nothing is left to do. Returns the files that are not messages, and
/// why. The inner error is from the file system.
async fn sync_mailbox(mailbox: &Mailbox, files: Files) -> Result<io::Result<Vec<(PathBuf, String)>>, Error> {
    let mut skipped = Vec::new();
    loop {
        let (own, files) = (mailbox.clone(), files.clone());
        let mut outcome = match blocking(move || sync_files(&own, &files)).await? {
            Ok(Some(outcome)) => outcome,
            Ok(None) => return Ok(Ok(skipped)),
            Err(error) => return Ok(Err(error)),
        };
        let unfinished = outcome.unfinished;
        skipped = std::mem::take(&mut outcome.skipped);
        let id = mailbox.shared.id;
        mailbox.mailboxes.change(move |transaction| outcome.store(transaction, id)).await?;
        if !unfinished {
            return Ok(Ok(skipped));
        }
    }
}

/// Compares a mailbox with its folder and changes the files; reads new files, but changes no tables. Returns what to
/// record in the tables; `None` if there is nothing to do.
fn sync_files(mailbox: &Mailbox, files: &Files) -> io::Result<Option<FolderOutcome>> {
    let id = mailbox.shared.id;
    // The files are listed first: a message added to the tables in between then has a known file that is missing in no
    // list.
    let mut listed = files.list()?;
    let read = mailbox.mailboxes.store.read(|connection| sqlite::folder(connection, id));
    let (view, known_files) = read.map_err(io::Error::other)?;
    let messages = view.messages.iter().map(|message| (message.uid, message.clone())).collect();
    let mut plan = merge(id, &messages, &known_files, &listed);
    if !plan.expunge.is_empty() {
        // A rename during the listing may hide a file, so a removal must be seen twice.
        let second_listing = files.list()?;
        listed.extend(second_listing);
        plan = merge(id, &messages, &known_files, &listed);
    }
    if plan.is_empty() {
        return Ok(None);
    }
    let mut outcome = FolderOutcome::default();
    outcome.change_files(files, &listed, &plan)?;
    outcome.write(mailbox, files, &messages, &plan)?;
    files.sync()?;
    outcome.take(&mailbox.mailboxes, files, &listed, plan);
    Ok(Some(outcome))
}

impl FolderOutcome {
    /// Renames the files of messages whose flags changed in the tables, and removes those of expunged messages, as
    /// planned; files that are gone are skipped. Notes what to record in the tables.
    fn change_files(&mut self, files: &Files, listed: &BTreeMap<String, Found>, plan: &Plan) -> io::Result<()> {
        for (uid, base, flag_chars) in &plan.rename {
            let Some(found) = listed.get(base) else { continue };
            if file_existed(files.set_flags(base, found, flag_chars))? {
                self.known_files.push((*uid, KnownFile { base: base.clone(), flag_chars: flag_chars.clone() }));
            }
        }
        for (uid, base) in &plan.remove {
            if let Some(found) = listed.get(base) {
                file_existed(files.remove(found))?;
            }
            self.removed.push(*uid);
        }
        Ok(())
    }

    /// Writes the files of messages that have none, as planned, at most [`MAX_FILES`], with LF as line end; sets
    /// `unfinished` if some are left. Damaged and expunged messages are left out. Notes what to record in the tables.
    fn write(
        &mut self,
        mailbox: &Mailbox,
        files: &Files,
        messages: &BTreeMap<Uid, MessageMeta>,
        plan: &Plan,
    ) -> io::Result<()> {
        let mut written = 0;
        for (uid, flag_chars) in &plan.write {
            if written == MAX_FILES {
                self.unfinished = true;
                break;
            }
            let message = match mailbox.message(*uid) {
                // The others get their files.
                Err(error) if error.is_damage() => continue,
                message => message.map_err(io::Error::other)?,
            };
            let (Some(message), Some(meta)) = (message, messages.get(uid)) else { continue };
            let bytes = with_line_feeds(&message.to_bytes());
            let base = names::base(mailbox.shared.id, meta, bytes.len());
            files.write(&base, flag_chars, &bytes)?;
            written += 1;
            self.known_files.push((*uid, KnownFile { base, flag_chars: flag_chars.clone() }));
        }
        Ok(())
    }

    /// Notes, for the tables, what other programs did to the files, as planned: flags, removals, new files. Reads new
    /// messages, with CR LF as line end, up to [`MAX_FILES`] and [`MAX_READ_BYTES`]; sets `unfinished` if some are
    /// left. Files that cannot be read are noted as skipped.
    fn take(&mut self, mailboxes: &Mailboxes, files: &Files, listed: &BTreeMap<String, Found>, plan: Plan) {
        self.known_files.extend(plan.record);
        for (uid, flags, known_file) in plan.adopt {
            self.adopted.push((uid, flags));
            self.known_files.push((uid, known_file));
        }
        self.removed.extend(&plan.expunge);
        self.expunged = plan.expunge;
        let mut read_bytes = 0;
        for base in plan.add {
            if MAX_READ_BYTES <= read_bytes || MAX_FILES <= self.added.len() {
                self.unfinished = true;
                break;
            }
            let Some(found) = listed.get(&base) else { continue };
            let (bytes, written) = match files.read(found) {
                Ok(read) => read,
                // A file that was moved meanwhile is found by the next scan.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    self.skipped.push((files.path(found), error.to_string()));
                    continue;
                }
            };
            read_bytes += bytes.len();
            let message = Message::new(Bytes::from(normalize(&bytes).0.into_owned()));
            let (message, summary) = mailboxes.without_binary(message);
            let received = Timestamp::try_from(written).unwrap_or(Timestamp::UNIX_EPOCH).as_second();
            let flags = names::flags(&found.flag_chars, &Flags::default());
            let listing = mailboxes.listing(Listing::Entry);
            let new_message = MessageToInsert { message, summary, flags, received, saved: received, listing };
            self.added.push((KnownFile { base, flag_chars: found.flag_chars.clone() }, new_message));
        }
    }

    /// Records the outcome in the tables of the mailbox with this id: flags, expunged and new messages, and known
    /// files. Returns the changes of messages, for [`Mailboxes::change`].
    fn store(&self, transaction: &Transaction<'_>, mailbox: i64) -> Result<((), Vec<Change>), Error> {
        let mut changes = Vec::new();
        for (uid, flags) in &self.adopted {
            changes.push(set_flags(transaction, mailbox, &[*uid], StoreMode::Replace, flags)?);
        }
        if !self.expunged.is_empty() {
            changes.push(sqlite::remove(transaction, mailbox, &self.expunged)?);
        }
        for uid in &self.removed {
            sqlite::delete_file(transaction, mailbox, *uid)?;
        }
        for (uid, file) in &self.known_files {
            sqlite::record_file(transaction, mailbox, *uid, file)?;
        }
        for (file, new_message) in &self.added {
            let (inserted, more) = insert_message(transaction, mailbox, String::new(), new_message)?;
            sqlite::record_file(transaction, mailbox, inserted.uid, file)?;
            changes.extend(more);
        }
        Ok(((), changes))
    }
}

/// Whether a file operation found its file: `Ok(true)` for success, `Ok(false)` for the error that the file does not
/// exist; passes other errors on.
fn file_existed(outcome: io::Result<()>) -> io::Result<bool> {
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
