//! SEARCH. RFC 9051 §6.4.4.

use super::fetch::structure;
use super::refusal::Failure;
use super::selected::Selected;
use super::visit::Visit;
use crate::imap::search::{Facts, Search, SearchReturn, Text, judge};
use crate::imap::{Numbers, Reply};
use crate::mda::{Error, Message, Uid};

impl Visit {
    pub(super) async fn search(&mut self, search: &Search) -> Result<Reply, Failure> {
        let Some(selected) = &mut self.selected else { return Ok(Reply::ok("nothing is selected")) };
        let (mut numbers, mut uids) = (Numbers::default(), Numbers::default());
        for place in 0..selected.view.messages.len() {
            let message = &selected.view.messages[place];
            if is_found(selected, search, place, message)? {
                numbers.push(place as u32 + 1);
                uids.push(message.uid);
            }
            // A long search gives way to others.
            tokio::task::consume_budget().await;
        }
        if let Some(returns) = search.returns.filter(|returns| returns.save) {
            selected.saved = saved(&returns, uids.clone());
        }
        self.conn.machine.found(search.uid, search.returns.as_ref(), if search.uid { &uids } else { &numbers });
        Ok(Reply::ok("searched"))
    }
}

/// RFC 9051 §6.4.4.4: who asks only for the lowest or highest saves only those.
fn saved(returns: &SearchReturn, uids: Numbers) -> Numbers {
    if returns.all || returns.count || !(returns.min || returns.max) {
        return uids;
    }
    let ends: [Option<Uid>; 2] = [uids.first().filter(|_| returns.min), uids.last().filter(|_| returns.max)];
    ends.into_iter().flatten().collect()
}

fn is_found(selected: &Selected, search: &Search, place: usize, message: &Message) -> Result<bool, Error> {
    let facts = Facts {
        number: place as u32 + 1,
        number_last: selected.view.messages.len() as u32,
        uid: message.uid,
        uid_last: selected.last_uid(),
        saved: selected.saved.contains(message.uid),
        flags: message.flags.system,
        recent: selected.is_recent(message.uid),
        keywords: &message.flags.keywords,
        internal_date: message.received,
        size: message.size,
    };
    if let Some(found) = judge(&search.key, &facts, None) {
        return Ok(found);
    }
    // What is gone meanwhile is not found.
    let Some(letter) = selected.mailbox.letter(message.uid)? else { return Ok(false) };
    let (structure, _) = structure(&selected.mailbox, message.uid, Some(&letter))?;
    let text = structure.as_ref().map(|structure| Text::new(&letter, structure));
    Ok(judge(&search.key, &facts, text.as_ref()).unwrap_or(false))
}
