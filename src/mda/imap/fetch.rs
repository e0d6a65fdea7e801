//! FETCH. RFC 9051 §6.4.5.

use std::borrow::Cow;

use bytes::Bytes;

use super::error_reply::{Failure, error_reply, expunged_reply, no_such_message_reply};
use super::handler::ImapHandler;
use super::message_batch::MessageBatch;
use super::selected::{Selected, UpdateOptions};
use crate::imap::fetch::{Item, Section, SectionText};
use crate::imap::{
    ChangedSince, Code, Enabled, FetchReply, Flags, KeptHeader, MessageSet, Reply, ResponseBuffer, StoreMode,
    Structure, SystemFlags, Window, decode_body, header_section, message_section, partial, pick_fields,
};
use crate::journey::{EventKind, Protocol};
use crate::mail::Message;
use crate::mda::{CachedSummary, Error, HeaderReader, Mailbox, MessageMeta, SummaryReader, Uid};
use crate::sync::{Turn, beside_others};

/// Output is flushed once it is this long.
pub(super) const FLUSH_BYTES: usize = 64 * 1024;
const OUTPUT_BUFFER_BYTES: usize = FLUSH_BYTES + 16 * 1024;

/// With more messages than this, the output buffer is reserved at once.
const LARGE_FETCH_COUNT: usize = 64;

/// The requested items, and what affects their output.
pub(super) struct FetchOptions<'a> {
    pub(super) items: &'a [Item],
    /// UIDs of messages that this command has marked `\Seen`, ascending; their flags are reported too.
    pub(super) seen_now: &'a [Uid],
    /// Whether no FETCH asked for the responses.
    pub(super) is_unsolicited: bool,
    pub(super) enabled: Enabled,
}

impl ImapHandler {
    /// Executes FETCH, RFC 9051 §6.4.5, of a set: only of messages changed after `since` (with `VANISHED` for the
    /// expunged ones if asked for), and only of a `page` of them. Sets `\Seen`, records events for messages retrieved
    /// whole, and flushes long output. Replies BAD for a number without a message; after the rest is written, NO for a
    /// damaged message or undecodable part; NO with EXPUNGEISSUED if nothing is left of any message.
    pub(super) async fn fetch(
        &mut self,
        set: &MessageSet,
        items: &[Item],
        (since, page): (Option<ChangedSince>, Option<Window>),
    ) -> Result<Reply, Failure> {
        let Some(selected) = &self.selected else { return Ok(no_such_message_reply()) };
        let places = match since {
            Some(since) => selected.changed_places(set, since.modseq),
            None => selected.places(set),
        };
        let Some(mut places) = places else { return Ok(no_such_message_reply()) };
        if let Some(since) = since {
            self.write_vanished(set, since)?;
        }
        // RFC 9394 §3.3.
        if let Some(page) = page {
            places = places[page.places(places.len())].to_vec();
        }
        let seen_now = self.mark_seen(&places, items).await?;
        let enabled = self.conn.machine.enabled();
        let options = FetchOptions { items, seen_now: &seen_now, is_unsolicited: false, enabled };
        let Some(selected) = &self.selected else { return Ok(expunged_reply()) };
        let mut sources = Sources::of(&selected.mailbox, items);
        let (mut reply, mut damage, mut has_answered) = (Reply::ok("FETCH completed"), None, places.is_empty());
        let is_long = LARGE_FETCH_COUNT < places.len();
        let mut turn = Turn::begin();
        for at in 0..places.len() {
            turn.pass_on().await;
            let Some(selected) = &self.selected else { return Ok(expunged_reply()) };
            let source = match sources.next(selected, &places[at..]) {
                Ok(source) => source,
                // The others are sent, and the reply says that one was not.
                Err(error) if error.is_damage() => {
                    let uid = selected.view.messages[places[at]].uid;
                    if seen_now.binary_search(&uid).is_ok() {
                        selected.write_flags_of(self.conn.machine.out(), uid, set.uid, options.enabled);
                    }
                    damage = Some(error);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if is_long && self.conn.machine.out().is_empty() {
                self.conn.machine.out().reserve(OUTPUT_BUFFER_BYTES);
            }
            if !source.answers_any(items) {
                continue;
            }
            has_answered = true;
            if !source.write(self.conn.machine.out(), selected, places[at], &options) {
                reply = Reply::no("Cannot decode a part").with(Code::Word("UNKNOWN-CTE"));
            }
            let retrieved = source.message.filter(|message| items.iter().any(|item| reaches_end(item, message.len())));
            if let Some(message) = retrieved {
                self.report(&message);
            }
            if FLUSH_BYTES <= self.conn.machine.out().len() {
                self.conn.flush().await?;
            }
        }
        match damage {
            Some(error) => Ok(error_reply(&error)),
            None if !has_answered => Ok(expunged_reply()),
            None => Ok(reply),
        }
    }

    /// Sets `\Seen` on the messages at these places, from 0, if an item asks for a message without PEEK (RFC 9051
    /// §6.4.5); not in a read-only mailbox, nor if the store fails, as on a full disk. If it sets any, writes pending
    /// updates, without expunges. Returns the UIDs that got it, ascending, without those expunged meanwhile; FETCH
    /// reports their flags.
    async fn mark_seen(&mut self, places: &[usize], items: &[Item]) -> Result<Vec<Uid>, Failure> {
        let Some(selected) = &self.selected else { return Ok(vec![]) };
        if selected.read_only || !items.iter().any(Item::sets_seen) {
            return Ok(vec![]);
        }
        let messages = places.iter().map(|place| &selected.view.messages[*place]);
        let unseen = messages.filter(|message| !message.flags.contains(SystemFlags::SEEN));
        let mut uids: Vec<Uid> = unseen.map(|message| message.uid).collect();
        if uids.is_empty() {
            return Ok(vec![]);
        }
        let (mailbox, seen) = (selected.mailbox.clone(), Flags { system: SystemFlags::SEEN, keywords: vec![] });
        match mailbox.store(uids.clone(), StoreMode::Add, seen).await {
            Err(Error::Store(error)) => {
                tracing::warn!(%error, account = self.account, "cannot set \\Seen");
                return Ok(vec![]);
            }
            stored => stored?,
        };
        self.write_updates(&UpdateOptions {
            hold_expunges: true,
            reported_by_command: &uids,
            ..UpdateOptions::default()
        });
        if let Some(selected) = &self.selected {
            uids.retain(|uid| !selected.has_held_expunge(*uid));
        }
        Ok(uids)
    }

    /// Records the event that a message was retrieved, with the transcript since the last such event, which it takes;
    /// nothing for a message without a journey.
    fn report(&mut self, message: &Message) {
        let Some(journey) = message.journey() else { return };
        let step =
            EventKind::Retrieved { protocol: Protocol::Imap, account: self.account.clone(), size: message.len() };
        self.conn.machine.recorder().retrieved(journey);
        let transcript = self.conn.machine.take_transcript();
        self.user.home.context().emitter.report(journey, None, step, Some(transcript));
    }
}

/// Whether the item reads the message (`BODY[]`, `RFC822`) up to or beyond its end, wherever it begins, `len` being its
/// size: a client that fetches in pieces ends with such an item.
fn reaches_end(item: &Item, len: usize) -> bool {
    let Item::Body { section, partial, .. } = item else { return false };
    let to_end = partial.is_none_or(|(first, count)| len as u64 <= u64::from(first) + u64::from(count));
    *section == Section::default() && to_end
}

/// Loads what the items need of each message.
pub(super) struct Sources {
    mailbox: Mailbox,
    summaries: Option<SummaryReader>,
    /// For items of the header only.
    headers: Option<HeaderReader>,
    /// Whether the listed fields are enough for all of these.
    listed: bool,
    batch: MessageBatch,
    /// Whether each message is needed itself.
    messages: bool,
    structures: bool,
    previews: bool,
}

impl Sources {
    /// A loader of what these items need of the messages of this mailbox, for [`Self::next`]; reads nothing yet.
    pub(super) fn of(mailbox: &Mailbox, items: &[Item]) -> Self {
        let needs = |need: fn(&Item) -> bool| items.iter().any(need);
        Self {
            summaries: needs(Item::needs_summary).then(|| mailbox.summaries()),
            headers: needs(Item::is_of_header).then(|| mailbox.headers()),
            listed: !needs(|item| item.is_of_header() && item.listed_fields().is_none()),
            batch: MessageBatch::new(mailbox.clone()),
            messages: needs(|item| item.needs_message() && !item.is_of_header()),
            structures: needs(Item::needs_structure),
            previews: items.contains(&Item::Preview),
            mailbox: mailbox.clone(),
        }
    }

    /// Loads what the items need of the message at the first of these places, from 0, at least one; the caller asks for
    /// the others next, so they are read ahead. What an expunged message lacks is left out of the source; a damaged
    /// message is an error.
    pub(super) fn next<'a>(&'a mut self, selected: &'a Selected, places: &[usize]) -> Result<Source<'a>, Error> {
        let meta = &selected.view.messages[places[0]];
        let mut source = Source { listed: self.listed, ..Source::of(meta) };
        let mut needs_message = self.messages;
        let needs_trace = self.headers.is_some() && !self.listed;
        if let Some(headers) = self.headers.as_mut().filter(|_| !needs_message) {
            source.header = headers.find(meta)?.filter(|header| self.listed || header.is_whole);
            needs_message = source.header.is_none();
        }
        if needs_message {
            source.message = self.batch.first(&selected.view, places)?;
        } else if needs_trace {
            source.trace = self.mailbox.trace(meta)?;
        }
        if self.structures {
            source.structure = self.mailbox.structure(meta)?;
        }
        if self.previews {
            source.preview = self.mailbox.preview(meta)?;
        }
        if let Some(summaries) = &mut self.summaries {
            source.summary = summaries.find(meta)?;
        }
        Ok(source)
    }
}

/// A message with the loaded data. What is missing went when the message was expunged, which the client does not know
/// yet: it gets the rest, and the data as long as it is there. RFC 2180 §4.1.
pub(super) struct Source<'a> {
    meta: &'a MessageMeta,
    summary: Option<CachedSummary<'a>>,
    /// Whether the listed fields are enough for all items of the header.
    listed: bool,
    /// The header without the message, and its trace lines if they are needed.
    header: Option<KeptHeader<&'a [u8]>>,
    trace: Option<Bytes>,
    message: Option<Message>,
    structure: Option<Structure>,
    preview: Option<String>,
}

impl<'a> Source<'a> {
    /// A source with the metadata only.
    fn of(meta: &'a MessageMeta) -> Self {
        Self {
            meta,
            summary: None,
            listed: false,
            header: None,
            trace: None,
            message: None,
            structure: None,
            preview: None,
        }
    }

    /// Whether an item other than its UID, which the client knows, can be answered; always if there is no other item.
    pub(super) fn answers_any(&self, items: &[Item]) -> bool {
        let mut more = items.iter().filter(|item| **item != Item::Uid).peekable();
        more.peek().is_none() || more.any(|item| self.answers(item))
    }

    /// Whether what the item asks for was loaded; always for items of the metadata, such as FLAGS.
    fn answers(&self, item: &Item) -> bool {
        match item {
            Item::Envelope | Item::BodyStructure { extensible: true } | Item::ThreadId => self.summary.is_some(),
            Item::BodyStructure { extensible: false } => self.structure.is_some(),
            Item::Preview => self.preview.is_some(),
            Item::Body { .. } if item.is_of_header() => {
                self.message.is_some() || self.trace.is_some() || self.listed_names(item).is_some()
            }
            Item::Body { .. } | Item::Binary { .. } | Item::BinarySize(_) => {
                self.message.is_some() && (!item.needs_structure() || self.structure.is_some())
            }
            Item::Flags | Item::Uid | Item::InternalDate | Item::Size | Item::EmailId => true,
            Item::SaveDate | Item::ModSeq => true,
        }
    }

    /// Writes one FETCH response, for the message at this place, from 0, with all items that can be answered; also its
    /// flags if the command has set `\Seen`, and with CONDSTORE UID and MODSEQ if it has or the response is
    /// unsolicited. Returns `false` if a part cannot be decoded, which is left out. RFC 3516 §4.3 (UNKNOWN-CTE).
    pub(super) fn write(
        &self,
        out: &mut ResponseBuffer,
        selected: &Selected,
        place: usize,
        options: &FetchOptions<'_>,
    ) -> bool {
        let mut complete = true;
        let FetchOptions { items, seen_now, is_unsolicited, enabled } = options;
        let mut fetch = out.fetch(place as u32 + 1);
        let is_seen_now = seen_now.binary_search(&self.meta.uid).is_ok();
        // RFC 7162 §3.2.4.
        let reports_change = enabled.condstore && (is_seen_now || *is_unsolicited);
        if reports_change && !items.contains(&Item::Uid) {
            fetch.uid(self.meta.uid);
        }
        for item in items.iter().filter(|item| self.answers(item)) {
            complete &= self.write_item(&mut fetch, selected, item);
        }
        if is_seen_now && !items.contains(&Item::Flags) {
            self.write_flags(&mut fetch, selected);
        }
        if reports_change && !items.contains(&Item::ModSeq) {
            fetch.modseq(self.meta.modseq);
        }
        fetch.end();
        complete
    }

    /// Writes the item FLAGS, with `\Recent` if the message is recent in this session.
    fn write_flags(&self, fetch: &mut FetchReply<'_>, selected: &Selected) {
        fetch.flags(self.meta.flags, selected.is_recent(self.meta.uid), &self.meta.keywords);
    }

    /// Writes one item that can be answered; returns `false`, and writes nothing, if the transfer encoding of its part
    /// cannot be decoded.
    fn write_item(&self, fetch: &mut FetchReply<'_>, selected: &Selected, item: &Item) -> bool {
        match (item, &self.structure, &self.message) {
            (Item::Flags, ..) => self.write_flags(fetch, selected),
            (Item::Uid, ..) => fetch.uid(self.meta.uid),
            (Item::EmailId, ..) => fetch.email_id(self.meta.email),
            (Item::ThreadId, ..) => fetch.thread_id(self.summary.map_or(0, |summary| summary.thread(self.meta.email))),
            (Item::Preview, ..) => fetch.preview(self.preview.as_deref().unwrap_or_default()),
            (Item::SaveDate, ..) => fetch.save_date(self.meta.saved_at()),
            (Item::ModSeq, ..) => fetch.modseq(self.meta.modseq),
            (Item::Size, ..) => fetch.size(self.meta.size),
            (Item::InternalDate, ..) => fetch.internal_date(self.meta.received_at()),
            (Item::Envelope, ..) => fetch.stored_envelope(self.summary.map_or(b"NIL", |summary| summary.envelope)),
            (Item::BodyStructure { extensible: true }, ..) => {
                fetch.stored_body_structure(self.summary.map_or(b"NIL", |summary| summary.body_structure));
            }
            (Item::BodyStructure { extensible: false }, Some(structure), _) => fetch.body(&structure.part),
            (Item::Body { section, partial, name, .. }, ..) => {
                let pieces = self.section(section, self.listed_names(item));
                let bytes = pieces.map(|pieces| cut(pieces, *partial));
                fetch.section(*name, section, partial.map(|(first, _)| first), bytes.as_deref());
            }
            (Item::Binary { part, partial, .. }, Some(structure), Some(message)) => {
                match decoded(structure, part, message) {
                    Ok(bytes) => {
                        let bytes = bytes.map(|pieces| cut(pieces, *partial));
                        fetch.binary(part, partial.map(|(first, _)| first), bytes.as_deref());
                    }
                    Err(Undecodable) => return false,
                }
            }
            (Item::BinarySize(part), Some(structure), Some(message)) => match decoded(structure, part, message) {
                Ok(bytes) => fetch.binary_size(part, bytes.iter().flatten().map(|piece| piece.len() as u64).sum()),
                Err(Undecodable) => return false,
            },
            // Only what can be answered is written.
            (Item::BodyStructure { .. } | Item::Binary { .. } | Item::BinarySize(_), ..) => {}
        }
        true
    }
}

impl Source<'_> {
    /// The names of the header fields that an item asks for, if the kept header has all of them and no trace lines were
    /// loaded; else `None`, and [`Self::section`] needs the trace lines or the message.
    fn listed_names<'a>(&self, item: &'a Item) -> Option<&'a [String]> {
        match (self.header, &self.trace) {
            (Some(_), None) if self.listed => item.field_names(),
            (Some(_), None) => item.listed_fields(),
            _ => None,
        }
    }

    /// The bytes of a section, in pieces. If `names` is given, which [`Self::listed_names`] returned for the item of
    /// this section, they are these fields of the kept header; else they come from the kept header and its trace lines,
    /// if both were loaded, else from the message. `None` if the part does not exist or does not have such a section,
    /// as for [`Structure::section`].
    fn section(&self, section: &Section, names: Option<&[String]>) -> Option<Vec<Bytes>> {
        match (self.header, names, &self.trace, &self.message, &self.structure) {
            (Some(header), Some(names), ..) => Some(vec![pick_fields(&[header.bytes], names, false)]),
            (Some(header), _, Some(trace), ..) => {
                header_section(&section.text, [trace.clone(), Bytes::copy_from_slice(header.bytes)])
            }
            // It may be fields of a long header.
            (.., Some(message), _) if section.part.is_empty() => {
                beside_others(message.len(), || message_section(&section.text, message))
            }
            (.., Some(message), Some(structure)) => {
                beside_others(message.len(), || structure.section(section, message))
            }
            _ => None,
        }
    }
}

/// The bytes of the pieces within `bounds`, the place of the first byte, from 0, and a count; all of them if that is
/// `None`.
fn cut(pieces: Vec<Bytes>, bounds: Option<(u32, u32)>) -> Vec<Bytes> {
    match bounds {
        Some(bounds) => partial(&pieces, bounds),
        None => pieces,
    }
}

struct Undecodable;

/// The body of a part without its transfer encoding, in pieces; without a part number, the message as it is. `None` if
/// the part does not exist; fails if it cannot be decoded.
fn decoded(structure: &Structure, part: &[u32], message: &Message) -> Result<Option<Vec<Bytes>>, Undecodable> {
    if part.is_empty() {
        let whole = Section { part: vec![], text: SectionText::All };
        return Ok(structure.section(&whole, message));
    }
    let Some(part) = structure.part(part) else { return Ok(None) };
    let content = message.content.bytes();
    let decode = || {
        decode_body(part, content).map(|body| match body {
            Cow::Borrowed(body) => content.slice_ref(body),
            Cow::Owned(body) => body.into(),
        })
    };
    Ok(Some(vec![beside_others(part.body.len(), decode).ok_or(Undecodable)?]))
}
