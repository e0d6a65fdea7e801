//! SEARCH. RFC 9051 §6.4.4.

use std::borrow::Cow;

use bytes::Bytes;
use jiff::Timestamp;

use super::error_reply::Failure;
use super::handler::ImapHandler;
use super::message_batch::MessageBatch;
use super::selected::Selected;
use crate::imap::search::{Key, KnownFacts, MessageFacts, Search, SearchReturn, Text, evaluate};
use crate::imap::{Numbers, Reply, Structure};
use crate::mail::{Content, Message};
use crate::mda::{CachedSummary, Error, HeaderReader, MessageMeta, SummaryReader, TextFilter, Uid, View};
use crate::sync::{Turn, beside_others};

/// Messages that are decided before those that must be read are, with few queries.
const WINDOW: usize = 64;

impl ImapHandler {
    /// Executes SEARCH: writes `SEARCH` or `ESEARCH` with sequence numbers or UIDs, and with the highest modification
    /// sequence of the result if the key uses MODSEQ; stores the result as `$` if SAVE asks for that.
    pub(super) async fn search(&mut self, search: &Search) -> Result<Reply, Failure> {
        let uids = self.find(&search.key).await?;
        let Some(selected) = &mut self.selected else { return Ok(Reply::ok("No mailbox selected")) };
        let place = |uid| selected.view.messages.place(uid);
        let numbers: Numbers = uids.iter().filter_map(place).map(|place| place as u32 + 1).collect();
        if let Some(returns) = search.returns.filter(|returns| returns.save) {
            selected.saved = uids_to_save(&returns, uids.clone());
        }
        let modseq =
            search.key.uses_modseq().then(|| last_change(&selected.view, search.returns.as_ref(), &uids)).flatten();
        let found = if search.uid { &uids } else { &numbers };
        self.conn.machine.found(search.uid, search.returns.as_ref(), found, modseq);
        Ok(Reply::ok("SEARCH completed"))
    }

    /// The UIDs of the messages of the selected mailbox that match a key, ascending; none without a selected mailbox. A
    /// message that cannot be read, because it was expunged or is damaged, does not match where its text decides. Lets
    /// other tasks run on the way.
    pub(super) async fn find(&self, key: &Key) -> Result<Numbers, Failure> {
        let mut uids = Numbers::default();
        let Some(selected) = &self.selected else { return Ok(uids) };
        let messages = &selected.view.messages;
        let mut runner = SearchRunner::new(selected, key, self.user.home.context().clock.now());
        let mut turn = Turn::begin();
        for start in (0..messages.len()).step_by(WINDOW) {
            let (mut found, mut undecided) = (Vec::new(), Vec::new());
            for (place, message) in (start..).zip(messages.iter_from(start).take(WINDOW)) {
                turn.pass_on().await;
                match runner.decide(place, message)? {
                    Some(true) => found.push(message.uid),
                    Some(false) => {}
                    None => undecided.push(place),
                }
            }
            for at in 0..undecided.len() {
                turn.pass_on().await;
                if runner.read_first(&undecided[at..])? {
                    found.push(messages[undecided[at]].uid);
                }
            }
            found.sort_unstable();
            found.into_iter().for_each(|uid| uids.push(uid));
        }
        Ok(uids)
    }

    /// Answers a search with an unknown charset: returns the reply NO with BADCHARSET, and clears the saved result `$`,
    /// as any failed search does, RFC 5182 §2.1.
    pub(super) fn unsave(&mut self) -> Reply {
        if let Some(selected) = &mut self.selected {
            selected.saved = Numbers::default();
        }
        Reply::bad_charset()
    }
}

/// The part of the found UIDs to save as `$`, RFC 9051 §6.4.4.4, RFC 9394 §3.2: if the search asks for only the lowest
/// (MIN), the highest (MAX) or a page, only those; else all.
fn uids_to_save(returns: &SearchReturn, uids: Numbers) -> Numbers {
    if returns.all || returns.count || !(returns.min || returns.max || returns.page.is_some()) {
        return uids;
    }
    let ends: [Option<Uid>; 2] = [uids.first().filter(|_| returns.min), uids.last().filter(|_| returns.max)];
    let page = returns.page.map(|page| uids.page(page));
    ends.into_iter().flatten().chain(page.iter().flat_map(Numbers::iter)).collect()
}

/// The highest modification sequence among the found messages; if the search asks for only the lowest, the highest or a
/// page, among those. `None` if there are none. RFC 7162 §3.1.10.
pub(super) fn last_change(view: &View, returns: Option<&SearchReturn>, uids: &Numbers) -> Option<u64> {
    let reported = match returns {
        Some(returns) => uids_to_save(returns, uids.clone()),
        None => uids.clone(),
    };
    reported.iter().filter_map(|uid| view.find(uid)).map(|message| message.modseq).max()
}

/// The facts about the message at a place, from 0, that the view has; neither summary nor text.
fn facts<'a>(selected: &Selected, place: usize, message: &'a MessageMeta, now: Timestamp) -> MessageFacts<'a> {
    MessageFacts {
        number: place as u32 + 1,
        number_last: selected.view.messages.len() as u32,
        uid: message.uid,
        uid_last: selected.last_uid(),
        saved: selected.saved.contains(message.uid),
        flags: message.flags,
        recent: selected.is_recent(message.uid),
        email_id: message.email,
        save_date: message.saved_at(),
        now,
        modseq: message.modseq,
        keywords: &message.keywords,
        internal_date: message.received_at(),
        size: message.size,
        known: None,
        lacks: &[],
    }
}

/// Loads more about a message until the key can be evaluated: the summary, the trigram filter, the message itself.
struct SearchRunner<'a> {
    selected: &'a Selected,
    key: &'a Key,
    now: Timestamp,
    texts: Vec<Cow<'a, str>>,
    summaries: SummaryReader,
    filter: TextFilter,
    headers: HeaderReader,
    batch: MessageBatch,
}

impl<'a> SearchRunner<'a> {
    fn new(selected: &'a Selected, key: &'a Key, now: Timestamp) -> Self {
        let (mailbox, texts) = (&selected.mailbox, key.texts());
        let (summaries, filter) = (mailbox.summaries(), mailbox.text_filter(&texts));
        let (headers, batch) = (mailbox.headers(), MessageBatch::new(mailbox.clone()));
        Self { selected, key, now, summaries, filter, texts, headers, batch }
    }

    /// Whether the message at this place, from 0, matches the key, decided by the view, else with the summary, else
    /// with the text filter; `None` if the message itself must be read ([`Self::read_first`]). An expunged message
    /// without a summary does not match.
    fn decide(&mut self, place: usize, message: &MessageMeta) -> Result<Option<bool>, Error> {
        let facts = facts(self.selected, place, message, self.now);
        if let Some(found) = evaluate(self.key, &facts, None) {
            return Ok(Some(found));
        }
        // An expunged message does not match.
        let Some(summary) = self.summaries.find(message)? else { return Ok(Some(false)) };
        let facts = MessageFacts { known: Some(known_facts(&summary)), ..facts };
        if let Some(found) = evaluate(self.key, &facts, None) {
            return Ok(Some(found));
        }
        let may_hold = self.filter.may_hold(message.uid)?;
        let lacks: Vec<&str> =
            self.texts.iter().zip(may_hold).filter(|(_, may)| !may).map(|(text, _)| &**text).collect();
        Ok(evaluate(self.key, &MessageFacts { lacks: &lacks, ..facts }, None))
    }

    /// Reads the message at the first of these places, from 0, or only its header if that is enough and is kept, and
    /// returns whether it matches the key; the caller asks for the others next, so they are read ahead. A message that
    /// cannot be read, because it was expunged or is damaged, does not match.
    fn read_first(&mut self, places: &[usize]) -> Result<bool, Error> {
        let meta = &self.selected.view.messages[places[0]];
        let needs_body = self.key.needs_body();
        let header = if needs_body { None } else { self.header(meta)? };
        let message = match header {
            Some(header) => Some(header),
            None => match self.batch.first(&self.selected.view, places) {
                // A damaged message does not match where its text has to decide.
                Err(error) if error.is_damage() => None,
                message => message?,
            },
        };
        let Some(message) = message else { return Ok(false) };
        let structure = match needs_body {
            true => self.selected.mailbox.structure(meta)?,
            false => Some(Structure::of_header(message.content.bytes())),
        };
        let summary = self.summaries.find(meta)?;
        let facts = MessageFacts {
            known: summary.as_ref().map(known_facts),
            ..facts(self.selected, places[0], meta, self.now)
        };
        let text = structure.as_ref().map(|structure| Text::new(&message, structure));
        Ok(beside_others(message.len(), || evaluate(self.key, &facts, text.as_ref())).unwrap_or(false))
    }

    /// The whole header of a message as a message without a body, its trace lines included; `None` if it is not kept
    /// whole or the message was expunged.
    fn header(&mut self, meta: &MessageMeta) -> Result<Option<Message>, Error> {
        let header = self.headers.find(meta)?.filter(|header| header.is_whole);
        let Some(content) = header.map(|header| Content::new(Bytes::copy_from_slice(header.bytes))) else {
            return Ok(None);
        };
        Ok(self.selected.mailbox.trace(meta)?.map(|trace| Message { trace, content }))
    }
}

/// The facts of a summary that a search uses: searched fields, Date and sort keys.
fn known_facts<'a>(summary: &CachedSummary<'a>) -> KnownFacts<'a> {
    KnownFacts { fields: summary.fields, sent: summary.sent, sort_keys: summary.sort_keys }
}
