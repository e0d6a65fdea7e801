//! FETCH. RFC 9051 §6.4.5.

use bytes::Bytes;

use super::refusal::{Failure, gone, no_such_message};
use super::selected::{Selected, Terms};
use super::visit::Visit;
use crate::imap::fetch::{Item, Section, SectionText};
use crate::imap::{
    Code, FetchReply, Flags, MessageSet, Out, Reply, StoreMode, Structure, SystemFlags, decode_body, partial,
};
use crate::journey::{Protocol, Step};
use crate::mail::Letter;
use crate::mda::{Error, Mailbox, Message, Uid};

/// So much is gathered before it is sent.
const PIECE_OCTETS: usize = 64 * 1024;
/// So many structures are kept by one commit.
const STRUCTURES_MAX: usize = 1_000;

/// How telling of one message went.
enum Told {
    /// All that was asked.
    Whole,
    /// A part cannot be decoded. RFC 3516 §4.3 (UNKNOWN-CTE).
    Undecodable,
    /// The message is gone.
    Gone,
}

/// What is asked of each message.
struct Wanted<'a> {
    items: &'a [Item],
    /// UIDs of messages that have just got `\Seen`, ascending; so their flags are told too.
    seen_now: &'a [Uid],
}

impl Visit {
    pub(super) async fn fetch(&mut self, set: &MessageSet, items: &[Item]) -> Result<Reply, Failure> {
        let Some(selected) = &self.selected else { return Ok(no_such_message()) };
        let Some(places) = selected.places(set) else { return Ok(no_such_message()) };
        let seen_now = self.mark_seen(&places, items).await?;
        let wanted = Wanted { items, seen_now: &seen_now };
        let (mut reply, mut new_structures) = (Reply::ok("fetched"), Vec::new());
        for place in places {
            let Some(selected) = &self.selected else { return Ok(gone()) };
            let mut message = Source::new(&selected.mailbox, &selected.view.messages[place]);
            match message.tell(self.conn.machine.out(), selected, place, &wanted)? {
                Told::Whole => {}
                Told::Undecodable => reply = Reply::no("a part cannot be decoded").with(Code::Word("UNKNOWN-CTE")),
                Told::Gone => reply = gone(),
            }
            new_structures.extend(message.new_structure());
            let retrieved = message.letter.filter(|letter| items.iter().any(|item| is_whole(item, letter.len())));
            if let Some(letter) = retrieved {
                self.report(&letter);
            }
            if PIECE_OCTETS <= self.conn.machine.out().len() {
                self.conn.flush().await?;
            }
            if STRUCTURES_MAX <= new_structures.len() {
                self.keep(std::mem::take(&mut new_structures)).await;
            }
        }
        self.keep(new_structures).await;
        Ok(reply)
    }

    /// RFC 9051 §6.4.5: who reads a message without peeking has seen it. Returns the UIDs of those that were not.
    async fn mark_seen(&mut self, places: &[usize], items: &[Item]) -> Result<Vec<Uid>, Failure> {
        let Some(selected) = &self.selected else { return Ok(vec![]) };
        if selected.read_only || !items.iter().any(Item::sets_seen) {
            return Ok(vec![]);
        }
        let messages = places.iter().map(|place| &selected.view.messages[*place]);
        let unseen = messages.filter(|message| !message.flags.system.contains(SystemFlags::SEEN));
        let uids: Vec<Uid> = unseen.map(|message| message.uid).collect();
        if uids.is_empty() {
            return Ok(vec![]);
        }
        let (mailbox, seen) = (selected.mailbox.clone(), Flags { system: SystemFlags::SEEN, keywords: vec![] });
        mailbox.store(uids.clone(), StoreMode::Add, seen).await?;
        self.tell(&Terms { hold_expunges: true, quiet: &uids, ..Terms::default() });
        Ok(uids)
    }

    /// Structures that had to be worked out need not be again.
    async fn keep(&self, structures: Vec<(Uid, Vec<u8>)>) {
        if let Some(selected) = &self.selected
            && !structures.is_empty()
            && let Err(error) = selected.mailbox.keep_structures(structures).await
        {
            tracing::debug!(%error, "structures are not kept");
        }
    }

    fn report(&mut self, letter: &Letter) {
        let Some(journey) = letter.journey() else { return };
        let step = Step::Retrieved { protocol: Protocol::Imap, account: self.account.clone(), size: letter.len() };
        let dialogue = self.conn.machine.take_dialogue();
        self.user.home.setup().recorder.report(journey, None, step, Some(dialogue));
    }
}

/// Whether the item brings the end of the whole message; who fetches it in pieces ends with that.
fn is_whole(item: &Item, len: usize) -> bool {
    let Item::Body { section, partial, .. } = item else { return false };
    let to_end = partial.is_none_or(|(first, count)| len as u64 <= u64::from(first) + u64::from(count));
    *section == Section::default() && to_end
}

/// A message with what had to be loaded of it.
struct Source<'a> {
    mailbox: &'a Mailbox,
    message: &'a Message,
    letter: Option<Letter>,
    structure: Option<Structure>,
    is_new: bool,
}

impl<'a> Source<'a> {
    fn new(mailbox: &'a Mailbox, message: &'a Message) -> Self {
        Self { mailbox, message, letter: None, structure: None, is_new: false }
    }

    fn tell(&mut self, out: &mut Out, selected: &Selected, place: usize, wanted: &Wanted<'_>) -> Result<Told, Error> {
        if !self.load(wanted.items)? {
            return Ok(Told::Gone);
        }
        let mut told = Told::Whole;
        let mut fetch = out.fetch(place as u32 + 1);
        for item in wanted.items {
            if !self.tell_item(&mut fetch, selected, item) {
                told = Told::Undecodable;
            }
        }
        if wanted.seen_now.binary_search(&self.message.uid).is_ok() && !wanted.items.contains(&Item::Flags) {
            self.tell_flags(&mut fetch, selected);
        }
        fetch.end();
        Ok(told)
    }

    /// Loads what the items need; `false` when the message is gone.
    fn load(&mut self, items: &[Item]) -> Result<bool, Error> {
        let uid = self.message.uid;
        if items.iter().any(Item::needs_octets) {
            self.letter = self.mailbox.letter(uid)?;
            if self.letter.is_none() {
                return Ok(false);
            }
        }
        if items.iter().any(Item::needs_structure) {
            (self.structure, self.is_new) = structure(self.mailbox, uid, self.letter.as_ref())?;
            return Ok(self.structure.is_some());
        }
        Ok(true)
    }

    fn new_structure(&self) -> Option<(Uid, Vec<u8>)> {
        let structure = self.structure.as_ref().filter(|_| self.is_new)?;
        Some((self.message.uid, structure.to_bytes()))
    }

    fn tell_flags(&self, fetch: &mut FetchReply<'_>, selected: &Selected) {
        let Flags { system, keywords } = &self.message.flags;
        fetch.flags(*system, selected.is_recent(self.message.uid), keywords);
    }

    /// Tells one item; `false` when it cannot be decoded.
    fn tell_item(&self, fetch: &mut FetchReply<'_>, selected: &Selected, item: &Item) -> bool {
        match (item, &self.structure, &self.letter) {
            (Item::Flags, ..) => self.tell_flags(fetch, selected),
            (Item::Uid, ..) => fetch.uid(self.message.uid),
            (Item::Size, ..) => fetch.size(self.message.size),
            (Item::InternalDate, ..) => fetch.internal_date(self.message.received),
            (Item::Envelope, Some(structure), _) => fetch.envelope(&structure.envelope),
            (Item::BodyStructure { extensible }, Some(structure), _) => {
                fetch.body_structure(&structure.part, *extensible);
            }
            (Item::Body { section, partial, name, .. }, structure, Some(letter)) => {
                let pieces = match structure {
                    Some(structure) => structure.section(section, letter),
                    None => Some(letter.pieces().to_vec()),
                };
                let octets = pieces.map(|pieces| cut(pieces, *partial));
                fetch.section(*name, section, partial.map(|(first, _)| first), octets.as_deref());
            }
            (Item::Binary { part, partial, .. }, Some(structure), Some(letter)) => {
                match decoded(structure, part, letter) {
                    Ok(octets) => {
                        let octets = octets.map(|pieces| cut(pieces, *partial));
                        fetch.binary(part, partial.map(|(first, _)| first), octets.as_deref());
                    }
                    Err(Undecodable) => return false,
                }
            }
            (Item::BinarySize(part), Some(structure), Some(letter)) => match decoded(structure, part, letter) {
                Ok(octets) => fetch.binary_size(part, octets.iter().flatten().map(|piece| piece.len() as u64).sum()),
                Err(Undecodable) => return false,
            },
            // What an item needs was loaded.
            (Item::Envelope | Item::BodyStructure { .. } | Item::Body { .. }, ..) => {}
            (Item::Binary { .. } | Item::BinarySize(_), ..) => {}
        }
        true
    }
}

fn cut(pieces: Vec<Bytes>, bounds: Option<(u32, u32)>) -> Vec<Bytes> {
    match bounds {
        Some(bounds) => partial(&pieces, bounds),
        None => pieces,
    }
}

struct Undecodable;

/// The body of a part without its transfer encoding; the message itself has none. `None` when there is no such part.
fn decoded(structure: &Structure, part: &[u32], letter: &Letter) -> Result<Option<Vec<Bytes>>, Undecodable> {
    if part.is_empty() {
        let whole = Section { part: vec![], text: SectionText::All };
        return Ok(structure.section(&whole, letter));
    }
    let Some(part) = structure.part(part) else { return Ok(None) };
    let octets = decode_body(part, letter.content.bytes()).ok_or(Undecodable)?;
    Ok(Some(vec![Bytes::copy_from_slice(&octets)]))
}

/// The structure of a message, and whether it was worked out just now; `None` when the message is gone.
pub(super) fn structure(
    mailbox: &Mailbox,
    uid: Uid,
    letter: Option<&Letter>,
) -> Result<(Option<Structure>, bool), Error> {
    if let Some(structure) = mailbox.structure(uid)?.and_then(|bytes| Structure::from_bytes(&bytes)) {
        return Ok((Some(structure), false));
    }
    let loaded = match letter {
        Some(_) => None,
        None => mailbox.letter(uid)?,
    };
    let letter = letter.or(loaded.as_ref());
    Ok((letter.map(|letter| Structure::of(letter.content.bytes())), true))
}
