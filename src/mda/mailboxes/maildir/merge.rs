//! Computes what makes a mailbox and its folder equal again. A pure function: it reads and changes nothing.

use std::collections::BTreeMap;

use super::files::Found;
use super::names;
use crate::imap::Flags;
use crate::mda::{MessageMeta, Uid};

/// A file as it was last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::mda::mailboxes) struct KnownFile {
    pub(in crate::mda::mailboxes) base: String,
    pub(in crate::mda::mailboxes) flag_chars: String,
}

/// Changes to make to the files and to the tables.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// Messages without a file, with their flag characters.
    pub(super) write: Vec<(Uid, String)>,
    /// Files to rename: UID, base name, new flag characters.
    pub(super) rename: Vec<(Uid, String, String)>,
    /// Files to remove, if they exist, because their messages were expunged.
    pub(super) remove: Vec<(Uid, String)>,
    /// Files written before a crash that were not recorded.
    pub(super) record: Vec<(Uid, KnownFile)>,
    /// Messages whose flags another program changed.
    pub(super) adopt: Vec<(Uid, Flags, KnownFile)>,
    /// Messages whose files another program removed.
    pub(super) expunge: Vec<Uid>,
    /// Files that another program added.
    pub(super) add: Vec<String>,
}

/// Compares the messages of a mailbox, its recorded files and the files in its folder, and plans what makes both sides
/// equal. A file that another program changed wins over the flags in the tables.
pub(super) fn merge(
    mailbox: i64,
    messages: &BTreeMap<Uid, MessageMeta>,
    known: &BTreeMap<Uid, KnownFile>,
    files: &BTreeMap<String, Found>,
) -> Plan {
    let mut plan = Plan::default();
    let mut unknown: BTreeMap<&str, &Found> = files.iter().map(|(base, found)| (base.as_str(), found)).collect();
    for (uid, known) in known {
        unknown.remove(known.base.as_str());
        match messages.get(uid) {
            Some(message) => plan.compare(message, known, files.get(&known.base)),
            None => plan.remove.push((*uid, known.base.clone())),
        }
    }
    for (uid, message) in messages.iter().filter(|(uid, _)| !known.contains_key(uid)) {
        let base_prefix = names::base_prefix(mailbox, message);
        let own = unknown.range(base_prefix.as_str()..).next().filter(|(base, _)| base.starts_with(&base_prefix));
        match own.map(|(base, found)| (*base, found.flag_chars.clone())) {
            Some((base, flag_chars)) => {
                unknown.remove(base);
                plan.record.push((*uid, KnownFile { base: base.to_owned(), flag_chars }));
            }
            None => plan.write.push((*uid, names::flag_chars(&message.all_flags(), ""))),
        }
    }
    plan.add = unknown.into_keys().map(str::to_owned).collect();
    plan
}

impl Plan {
    /// Plans for a message with a recorded file, `found` being the file as it is now: to expunge the message if the
    /// file is gone, to adopt flags that another program gave the file, or else to rename the file after the flags of
    /// the message.
    fn compare(&mut self, message: &MessageMeta, known: &KnownFile, found: Option<&Found>) {
        let Some(found) = found else { return self.expunge.push(message.uid) };
        if found.flag_chars != known.flag_chars {
            let now = KnownFile { base: known.base.clone(), flag_chars: found.flag_chars.clone() };
            self.adopt.push((message.uid, names::flags(&found.flag_chars, &message.all_flags()), now));
            return;
        }
        let flag_chars = names::flag_chars(&message.all_flags(), &found.flag_chars);
        if flag_chars != found.flag_chars {
            self.rename.push((message.uid, known.base.clone(), flag_chars));
        }
    }

    /// Whether both sides are equal, so that there is nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
