//! SEARCH. RFC 9051 §6.4.4.

use jiff::Timestamp;

use super::refusal::Failure;
use super::selected::Selected;
use super::visit::Visit;
use crate::imap::search::{Facts, Key, Known, Search, SearchReturn, Text, judge};
use crate::imap::{Numbers, Reply};
use crate::mda::{Error, Index, Mailbox, Message, Sieve, Uid, View};

impl Visit {
    pub(super) async fn search(&mut self, search: &Search) -> Result<Reply, Failure> {
        let uids = self.find(&search.key).await?;
        let Some(selected) = &mut self.selected else { return Ok(Reply::ok("nothing is selected")) };
        let place = |uid| selected.view.messages.place(uid);
        let numbers: Numbers = uids.iter().filter_map(place).map(|place| place as u32 + 1).collect();
        if let Some(returns) = search.returns.filter(|returns| returns.save) {
            selected.saved = saved(&returns, uids.clone());
        }
        let modseq =
            search.key.asks_modseq().then(|| last_change(&selected.view, search.returns.as_ref(), &uids)).flatten();
        let found = if search.uid { &uids } else { &numbers };
        self.conn.machine.found(search.uid, search.returns.as_ref(), found, modseq);
        Ok(Reply::ok("searched"))
    }

    /// UIDs of the messages that a key finds.
    pub(super) async fn find(&self, key: &Key) -> Result<Numbers, Failure> {
        let mut uids = Numbers::default();
        let Some(selected) = &self.selected else { return Ok(uids) };
        let now = self.user.home.setup().clock.now();
        let mut seeker = Seeker::new(&selected.mailbox, key);
        for (place, message) in selected.view.messages.iter().enumerate() {
            if seeker.is_found(facts(selected, place, message, now))? {
                uids.push(message.uid);
            }
            // A long search gives way to others.
            tokio::task::consume_budget().await;
        }
        Ok(uids)
    }

    /// RFC 5182 §2.1: a search that fails leaves nothing saved.
    pub(super) fn unsave(&mut self) -> Reply {
        if let Some(selected) = &mut self.selected {
            selected.saved = Numbers::default();
        }
        Reply::bad_charset()
    }
}

/// RFC 9051 §6.4.4.4, RFC 9394 §3.2: who asks only for the lowest, the highest or a page saves only those.
fn saved(returns: &SearchReturn, uids: Numbers) -> Numbers {
    if returns.all || returns.count || !(returns.min || returns.max || returns.page.is_some()) {
        return uids;
    }
    let ends: [Option<Uid>; 2] = [uids.first().filter(|_| returns.min), uids.last().filter(|_| returns.max)];
    let page = returns.page.map(|page| uids.page(page));
    ends.into_iter().flatten().chain(page.iter().flat_map(Numbers::iter)).collect()
}

/// The last change of the messages that are told: who asks only for the ends is told of those. RFC 7162 §3.1.10.
pub(super) fn last_change(view: &View, returns: Option<&SearchReturn>, uids: &Numbers) -> Option<u64> {
    let told = match returns {
        Some(returns) => saved(returns, uids.clone()),
        None => uids.clone(),
    };
    told.iter().filter_map(|uid| view.find(uid)).map(|message| message.modseq).max()
}

/// What the view knows of a message.
fn facts<'a>(selected: &Selected, place: usize, message: &'a Message, now: Timestamp) -> Facts<'a> {
    Facts {
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

/// Asks for more about a message until it is clear whether it is found: the summary, the filter, the message itself.
struct Seeker<'a> {
    mailbox: &'a Mailbox,
    key: &'a Key,
    texts: Vec<&'a str>,
    index: Index,
    sieve: Sieve,
}

impl<'a> Seeker<'a> {
    fn new(mailbox: &'a Mailbox, key: &'a Key) -> Self {
        let texts = key.texts();
        Self { mailbox, key, index: mailbox.index(), sieve: mailbox.sieve(&texts), texts }
    }

    fn is_found(&mut self, facts: Facts<'_>) -> Result<bool, Error> {
        if let Some(found) = judge(self.key, &facts, None) {
            return Ok(found);
        }
        // What is gone meanwhile is not found.
        let Some(brief) = self.index.find(facts.uid)? else { return Ok(false) };
        let facts =
            Facts { known: Some(Known { fields: brief.fields, sent: brief.sent, standing: brief.standing }), ..facts };
        if let Some(found) = judge(self.key, &facts, None) {
            return Ok(found);
        }
        let may_hold = self.sieve.may_hold(facts.uid)?;
        let lacks: Vec<&str> = self.texts.iter().zip(may_hold).filter(|(_, may)| !may).map(|(text, _)| *text).collect();
        let facts = Facts { lacks: &lacks, ..facts };
        if let Some(found) = judge(self.key, &facts, None) {
            return Ok(found);
        }
        let Some(letter) = self.mailbox.letter(facts.uid)? else { return Ok(false) };
        let structure = self.mailbox.structure(facts.uid)?;
        let text = structure.as_ref().map(|structure| Text::new(&letter, structure));
        Ok(judge(self.key, &facts, text.as_ref()).unwrap_or(false))
    }
}
