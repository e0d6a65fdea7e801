//! SEARCH. RFC 9051 §6.4.4.

use jiff::Timestamp;

use super::error_reply::Failure;
use super::handler::ImapHandler;
use super::selected::Selected;
use crate::imap::search::{Key, KnownFacts, MessageFacts, Search, SearchReturn, Text, evaluate};
use crate::imap::{Numbers, Reply};
use crate::mda::{Error, Mailbox, MessageMeta, SummaryReader, TextFilter, Uid, View};
use crate::sync::{Turn, beside_others};

impl ImapHandler {
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

    /// The UIDs of the messages that match a key.
    pub(super) async fn find(&self, key: &Key) -> Result<Numbers, Failure> {
        let mut uids = Numbers::default();
        let Some(selected) = &self.selected else { return Ok(uids) };
        let now = self.user.home.context().clock.now();
        let mut runner = SearchRunner::new(&selected.mailbox, key);
        let mut turn = Turn::begin();
        for (place, message) in selected.view.messages.iter().enumerate() {
            turn.pass_on().await;
            if runner.matches(facts(selected, place, message, now))? {
                uids.push(message.uid);
            }
        }
        Ok(uids)
    }

    /// RFC 5182 §2.1: a failed search clears the saved result.
    pub(super) fn unsave(&mut self) -> Reply {
        if let Some(selected) = &mut self.selected {
            selected.saved = Numbers::default();
        }
        Reply::bad_charset()
    }
}

/// RFC 9051 §6.4.4.4, RFC 9394 §3.2: a search for only the lowest, the highest or a page saves only those.
fn saved(returns: &SearchReturn, uids: Numbers) -> Numbers {
    if returns.all || returns.count || !(returns.min || returns.max || returns.page.is_some()) {
        return uids;
    }
    let ends: [Option<Uid>; 2] = [uids.first().filter(|_| returns.min), uids.last().filter(|_| returns.max)];
    let page = returns.page.map(|page| uids.page(page));
    ends.into_iter().flatten().chain(page.iter().flat_map(Numbers::iter)).collect()
}

/// The highest modification sequence of the reported messages; a search for only the ends reports only those. RFC 7162
/// §3.1.10.
pub(super) fn last_change(view: &View, returns: Option<&SearchReturn>, uids: &Numbers) -> Option<u64> {
    let reported = match returns {
        Some(returns) => saved(returns, uids.clone()),
        None => uids.clone(),
    };
    reported.iter().filter_map(|uid| view.find(uid)).map(|message| message.modseq).max()
}

/// The facts about a message that the view has.
fn facts<'a>(selected: &Selected, place: usize, message: &'a MessageMeta, now: Timestamp) -> MessageFacts<'a> {
    MessageFacts {
        number: place as u32 + 1,
        number_last: selected.view.messages.len() as u32,
        uid: message.uid,
        uid_last: selected.last_uid(),
        saved: selected.saved.contains(message.uid),
        flags: message.flags.system,
        recent: selected.is_recent(message.uid),
        email_id: message.email,
        save_date: message.saved,
        now,
        modseq: message.modseq,
        keywords: &message.flags.keywords,
        internal_date: message.received,
        size: message.size,
        known: None,
        lacks: &[],
    }
}

/// Loads more about a message until the key can be evaluated: the summary, the trigram filter, the message itself.
struct SearchRunner<'a> {
    mailbox: &'a Mailbox,
    key: &'a Key,
    texts: Vec<&'a str>,
    summaries: SummaryReader,
    filter: TextFilter,
}

impl<'a> SearchRunner<'a> {
    fn new(mailbox: &'a Mailbox, key: &'a Key) -> Self {
        let texts = key.texts();
        Self { mailbox, key, summaries: mailbox.summaries(), filter: mailbox.text_filter(&texts), texts }
    }

    fn matches(&mut self, facts: MessageFacts<'_>) -> Result<bool, Error> {
        if let Some(found) = evaluate(self.key, &facts, None) {
            return Ok(found);
        }
        // An expunged message does not match.
        let Some(summary) = self.summaries.find(facts.uid)? else { return Ok(false) };
        let facts = MessageFacts {
            known: Some(KnownFacts { fields: summary.fields, sent: summary.sent, sort_keys: summary.sort_keys }),
            ..facts
        };
        if let Some(found) = evaluate(self.key, &facts, None) {
            return Ok(found);
        }
        let may_hold = self.filter.may_hold(facts.uid)?;
        let lacks: Vec<&str> = self.texts.iter().zip(may_hold).filter(|(_, may)| !may).map(|(text, _)| *text).collect();
        let facts = MessageFacts { lacks: &lacks, ..facts };
        if let Some(found) = evaluate(self.key, &facts, None) {
            return Ok(found);
        }
        let message = match self.mailbox.message(facts.uid) {
            // A damaged message does not match what only its text could tell.
            Err(error) if error.is_damage() => None,
            message => message?,
        };
        let Some(message) = message else { return Ok(false) };
        let structure = self.mailbox.structure(facts.uid)?;
        let text = structure.as_ref().map(|structure| Text::new(&message, structure));
        Ok(beside_others(message.len(), || evaluate(self.key, &facts, text.as_ref())).unwrap_or(false))
    }
}
