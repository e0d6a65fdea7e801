//! What is to be done so that the messages of a mailbox and the files of its folder are the same again. Pure: it reads
//! nothing and changes nothing.

use std::collections::BTreeMap;

use super::files::Found;
use super::names;
use crate::imap::Flags;
use crate::mda::{Message, Uid};

/// A file as we last saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Noted {
    pub(super) base: String,
    pub(super) letters: String,
}

/// What to do, to files and to the tables.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// Messages that have no file yet, and their flags in letters.
    pub(super) write: Vec<(Uid, String)>,
    /// Files to rename: message, name, new letters.
    pub(super) mark: Vec<(Uid, String, String)>,
    /// Files to remove, if they are there, of messages that are gone.
    pub(super) remove: Vec<(Uid, String)>,
    /// Files that are ours and were not noted before a crash.
    pub(super) note: Vec<(Uid, Noted)>,
    /// Messages that somebody gave other flags.
    pub(super) adopt: Vec<(Uid, Flags, Noted)>,
    /// Messages whose files somebody has removed.
    pub(super) expunge: Vec<Uid>,
    /// Files that somebody has put there.
    pub(super) add: Vec<String>,
}

/// Compares what is in the tables, what was noted, and what is there.
pub(super) fn plan(
    mailbox: i64,
    messages: &BTreeMap<Uid, Message>,
    noted: &BTreeMap<Uid, Noted>,
    files: &BTreeMap<String, Found>,
) -> Plan {
    let mut plan = Plan::default();
    let mut strangers: BTreeMap<&str, &Found> = files.iter().map(|(base, found)| (base.as_str(), found)).collect();
    for (uid, noted) in noted {
        strangers.remove(noted.base.as_str());
        match messages.get(uid) {
            Some(message) => plan.compare(message, noted, files.get(&noted.base)),
            None => plan.remove.push((*uid, noted.base.clone())),
        }
    }
    for (uid, message) in messages.iter().filter(|(uid, _)| !noted.contains_key(uid)) {
        let stem = names::stem(mailbox, message);
        let ours = strangers.range(stem.as_str()..).next().filter(|(base, _)| base.starts_with(&stem));
        match ours.map(|(base, found)| (*base, found.letters.clone())) {
            Some((base, letters)) => {
                strangers.remove(base);
                plan.note.push((*uid, Noted { base: base.to_owned(), letters }));
            }
            None => plan.write.push((*uid, names::letters(&message.flags, ""))),
        }
    }
    plan.add = strangers.into_keys().map(str::to_owned).collect();
    plan
}

impl Plan {
    /// A message that has, or had, a file.
    fn compare(&mut self, message: &Message, noted: &Noted, found: Option<&Found>) {
        let Some(found) = found else { return self.expunge.push(message.uid) };
        if found.letters != noted.letters {
            let now = Noted { base: noted.base.clone(), letters: found.letters.clone() };
            self.adopt.push((message.uid, names::flags(&found.letters, &message.flags), now));
            return;
        }
        let letters = names::letters(&message.flags, &found.letters);
        if letters != found.letters {
            self.mark.push((message.uid, noted.base.clone(), letters));
        }
    }

    /// Whether there is nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
