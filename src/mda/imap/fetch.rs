//! FETCH. RFC 9051 §6.4.5.

use bytes::Bytes;

use super::letters::Letters;
use super::refusal::{Failure, gone, no_such_message};
use super::selected::{Selected, Terms};
use super::visit::Visit;
use crate::imap::fetch::{Item, Section, SectionText};
use crate::imap::{
    ChangedSince, Code, Enabled, FetchReply, Flags, MessageSet, Out, Reply, StoreMode, Structure, SystemFlags, Window,
    decode_body, partial,
};
use crate::journey::{Protocol, Step};
use crate::mail::Letter;
use crate::mda::{Brief, Error, Index, Mailbox, Message, Uid};

/// So much is gathered before it is sent, and has room at once in a long answer.
pub(super) const PIECE_OCTETS: usize = 64 * 1024;
const ROOM_OCTETS: usize = PIECE_OCTETS + 16 * 1024;

/// So many messages make a long answer.
const MANY: usize = 64;

/// What is asked of each message.
pub(super) struct Wanted<'a> {
    pub(super) items: &'a [Item],
    /// UIDs of messages that have just got `\Seen`, ascending; so their flags are told too.
    pub(super) seen_now: &'a [Uid],
    pub(super) enabled: Enabled,
}

impl Visit {
    pub(super) async fn fetch(
        &mut self,
        set: &MessageSet,
        items: &[Item],
        (since, page): (Option<ChangedSince>, Option<Window>),
    ) -> Result<Reply, Failure> {
        let Some(selected) = &self.selected else { return Ok(no_such_message()) };
        let Some(mut places) = selected.places(set) else { return Ok(no_such_message()) };
        if let Some(since) = since {
            places = self.changed(set, places, since)?;
        }
        // RFC 9394 §3.3.
        if let Some(page) = page {
            places = places[page.places(places.len())].to_vec();
        }
        let seen_now = self.mark_seen(&places, items).await?;
        let wanted = Wanted { items, seen_now: &seen_now, enabled: self.conn.machine.enabled() };
        let Some(selected) = &self.selected else { return Ok(gone()) };
        let mut sources = Sources::of(&selected.mailbox, items);
        let mut reply = Reply::ok("fetched");
        let is_long = MANY < places.len();
        for at in 0..places.len() {
            let Some(selected) = &self.selected else { return Ok(gone()) };
            let Some(message) = sources.next(selected, &places[at..])? else {
                reply = gone();
                continue;
            };
            if is_long && self.conn.machine.out().is_empty() {
                self.conn.machine.out().widen(ROOM_OCTETS);
            }
            if !message.tell(self.conn.machine.out(), selected, places[at], &wanted) {
                reply = Reply::no("a part cannot be decoded").with(Code::Word("UNKNOWN-CTE"));
            }
            let retrieved = message.letter.filter(|letter| items.iter().any(|item| is_whole(item, letter.len())));
            if let Some(letter) = retrieved {
                self.report(&letter);
            }
            if PIECE_OCTETS <= self.conn.machine.out().len() {
                self.conn.flush().await?;
            }
        }
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

/// Where messages come from, as far as the items need it.
pub(super) struct Sources {
    mailbox: Mailbox,
    index: Option<Index>,
    letters: Option<Letters>,
    structures: bool,
    previews: bool,
}

impl Sources {
    pub(super) fn of(mailbox: &Mailbox, items: &[Item]) -> Self {
        let needs = |need: fn(&Item) -> bool| items.iter().any(need);
        Self {
            index: needs(Item::needs_summary).then(|| mailbox.index()),
            letters: needs(Item::needs_octets).then(|| Letters::new(mailbox.clone())),
            structures: needs(Item::needs_structure),
            previews: items.contains(&Item::Preview),
            mailbox: mailbox.clone(),
        }
    }

    /// The message at the first of these places, where the others come next; `None` when it is gone.
    pub(super) fn next<'a>(
        &'a mut self,
        selected: &'a Selected,
        places: &[usize],
    ) -> Result<Option<Source<'a>>, Error> {
        let message = &selected.view.messages[places[0]];
        let mut source = Source { message, brief: None, letter: None, structure: None, preview: None };
        if let Some(letters) = &mut self.letters {
            source.letter = letters.first(&selected.view, places)?;
            if source.letter.is_none() {
                return Ok(None);
            }
        }
        if self.structures {
            source.structure = self.mailbox.structure(message.uid)?;
            if source.structure.is_none() {
                return Ok(None);
            }
        }
        if self.previews {
            source.preview = self.mailbox.preview(message.uid)?;
            if source.preview.is_none() {
                return Ok(None);
            }
        }
        if let Some(index) = &mut self.index {
            source.brief = index.find(message.uid)?;
            if source.brief.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(source))
    }
}

/// A message with what had to be loaded of it.
pub(super) struct Source<'a> {
    message: &'a Message,
    brief: Option<Brief<'a>>,
    letter: Option<Letter>,
    structure: Option<Structure>,
    preview: Option<String>,
}

impl Source<'_> {
    /// Tells all items; `false` when a part cannot be decoded. RFC 3516 §4.3 (UNKNOWN-CTE).
    pub(super) fn tell(&self, out: &mut Out, selected: &Selected, place: usize, wanted: &Wanted<'_>) -> bool {
        let mut told = true;
        let mut fetch = out.fetch(place as u32 + 1);
        for item in wanted.items {
            told &= self.tell_item(&mut fetch, selected, item);
        }
        let is_seen_now = wanted.seen_now.binary_search(&self.message.uid).is_ok();
        if is_seen_now && !wanted.items.contains(&Item::Flags) {
            self.tell_flags(&mut fetch, selected);
        }
        if is_seen_now && wanted.enabled.condstore && !wanted.items.contains(&Item::ModSeq) {
            fetch.modseq(self.message.modseq);
        }
        fetch.end();
        told
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
            (Item::EmailId, ..) => fetch.email_id(self.message.email),
            (Item::ThreadId, ..) => fetch.thread_id(self.brief.map_or(0, |brief| brief.thread(self.message.email))),
            (Item::Preview, ..) => fetch.preview(self.preview.as_deref().unwrap_or_default()),
            (Item::SaveDate, ..) => fetch.save_date(self.message.saved),
            (Item::ModSeq, ..) => fetch.modseq(self.message.modseq),
            (Item::Size, ..) => fetch.size(self.message.size),
            (Item::InternalDate, ..) => fetch.internal_date(self.message.received),
            (Item::Envelope, ..) => fetch.kept_envelope(self.brief.map_or(b"NIL", |brief| brief.envelope)),
            (Item::BodyStructure { extensible: true }, ..) => {
                fetch.kept_body_structure(self.brief.map_or(b"NIL", |brief| brief.body_structure));
            }
            (Item::BodyStructure { extensible: false }, Some(structure), _) => fetch.body(&structure.part),
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
            (Item::BodyStructure { .. } | Item::Body { .. } | Item::Binary { .. } | Item::BinarySize(_), ..) => {}
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
