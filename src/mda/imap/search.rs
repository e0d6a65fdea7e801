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
    /// sequence of the result if the key uses MODSEQ; stores the result as `$` if the client asked for that.
    pub(super) async fn search(&mut self, search: &Search) -> Result<Reply, Failure> {
        let uids = self.find(&search.key).await?;
        let Some(selected) = &mut self.selected else { return Ok(Reply::ok("No mailbox selected")) };
        let place = |uid| selected.view.messages.place(uid);
        let numbers: Numbers = uids.iter().filter_map(place).map(|place| place as u32 + 1).collect();
        if let Some(returns) = search.returns.filter(|returns| returns.save) {
            selected.saved = saved(&returns, uids.clone());
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

    /// The reply NO with BADCHARSET to a search with an unknown charset. As a failed search, it clears the saved
    /// result, RFC 5182 §2.1.
    pub(super) fn unsave(&mut self) -> Reply {
        if let Some(selected) = &mut self.selected {
            selected.saved = Numbers::default();
        }
        Reply::bad_charset()
    }
}

/// The part of the found UIDs that is saved as `$`, RFC 9051 §6.4.4.4, RFC 9394 §3.2: a search for only the lowest, the
/// highest or a page saves only those; any other saves all.
fn saved(returns: &SearchReturn, uids: Numbers) -> Numbers {
    if returns.all || returns.count || !(returns.min || returns.max || returns.page.is_some()) {
        return uids;
    }
    let ends: [Option<Uid>; 2] = [uids.first().filter(|_| returns.min), uids.last().filter(|_| returns.max)];
    let page = returns.page.map(|page| uids.page(page));
    ends.into_iter().flatten().chain(page.iter().flat_map(Numbers::iter)).collect()
}

/// The highest modification sequence of the reported messages; a search for only the ends reports only those. `None` if
/// there is none. RFC 7162 §3.1.10.
pub(super) fn last_change(view: &View, returns: Option<&SearchReturn>, uids: &Numbers) -> Option<u64> {
    let reported = match returns {
        Some(returns) => saved(returns, uids.clone()),
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

    /// Whether the message at a place matches, from the view, the summary and the text filter; `None` if that takes the
    /// message itself. An expunged message without a summary does not match.
    fn decide(&mut self, place: usize, message: &MessageMeta) -> Result<Option<bool>, Error> {
        let facts = facts(self.selected, place, message, self.now);
        if let Some(found) = evaluate(self.key, &facts, None) {
            return Ok(Some(found));
        }
        // An expunged message does not match.
        let Some(summary) = self.summaries.find(message)? else { return Ok(Some(false)) };
        let facts = MessageFacts { known: Some(known(&summary)), ..facts };
        if let Some(found) = evaluate(self.key, &facts, None) {
            return Ok(Some(found));
        }
        let may_hold = self.filter.may_hold(message.uid)?;
        let lacks: Vec<&str> =
            self.texts.iter().zip(may_hold).filter(|(_, may)| !may).map(|(text, _)| &**text).collect();
        Ok(evaluate(self.key, &MessageFacts { lacks: &lacks, ..facts }, None))
    }

    /// Reads the message at the first of these places, or only its header if that is enough and is kept, and returns
    /// whether it matches; the others are asked for next. One that cannot be read, because it was expunged or is
    /// damaged, does not match.
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
        let facts =
            MessageFacts { known: summary.as_ref().map(known), ..facts(self.selected, places[0], meta, self.now) };
        let text = structure.as_ref().map(|structure| Text::new(&message, structure));
        Ok(beside_others(message.len(), || evaluate(self.key, &facts, text.as_ref())).unwrap_or(false))
    }

    /// The whole header of a message, trace included, without its body; `None` if it is not kept or the message was
    /// expunged.
    fn header(&mut self, meta: &MessageMeta) -> Result<Option<Message>, Error> {
        let header = self.headers.find(meta)?.filter(|header| header.is_whole);
        let Some(content) = header.map(|header| Content::new(Bytes::copy_from_slice(header.bytes))) else {
            return Ok(None);
        };
        Ok(self.selected.mailbox.trace(meta)?.map(|trace| Message { trace, content }))
    }
}

/// What a search uses of a summary.
fn known<'a>(summary: &CachedSummary<'a>) -> KnownFacts<'a> {
    KnownFacts { fields: summary.fields, sent: summary.sent, sort_keys: summary.sort_keys }
}
