//! What happens in an account, for sessions that hear of more than the mailbox they look at: which mailboxes have
//! changed, which names, subscriptions and annotations. RFC 5465 §5.
//!
//! ```text
//! commit 17 --> Bulletin of the account --> changed   mailbox 3: messages 17, flags 9     one line for each mailbox
//!                                      '--> news      15 a is new   16 b is subscribed    the oldest are forgotten
//! ```
//!
//! Readers know up to which commit they have read, and who they are: nobody is told of what they did themselves.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};

use rusqlite::OptionalExtension;
use tokio::sync::watch;

use super::shelf::{Change, What};
use super::{Error, Inner, Mailboxes, lock};

/// So much news is kept of an account, in octets: more than what one command may bring.
const KEPT_OCTETS: usize = 128 * 1024;

/// Someone who changes things, and knows what they have changed themselves. Whoever delivers is nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Author(u64);

/// What has happened to more than messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A mailbox was made, deleted or renamed.
    Named {
        /// Its name.
        name: String,
        /// The name that it had before.
        was: Option<String>,
    },
    /// A name was subscribed, or is no longer.
    Subscribed(String),
    /// Annotations were set or removed. RFC 5464 §4.4.2.
    Annotated {
        /// Of which mailbox; `None` for the account as a whole.
        mailbox: Option<String>,
        /// The names of the entries.
        entries: Vec<String>,
    },
}

/// What a commit brings to those who look.
#[derive(Default)]
pub(super) struct Told {
    pub(super) changes: Vec<Change>,
    /// With the accounts where it happened.
    pub(super) news: Vec<(i64, News)>,
}

impl From<Vec<Change>> for Told {
    fn from(changes: Vec<Change>) -> Self {
        Self { changes, ..Self::default() }
    }
}

impl Told {
    /// Names of an account that have come or gone.
    pub(super) fn names(account: i64, names: impl IntoIterator<Item = String>) -> Self {
        let news = names.into_iter().map(|name| (account, News::Named { name, was: None })).collect();
        Self { news, ..Self::default() }
    }
}

/// All that is told of one account, as long as somebody reads it.
#[derive(Debug)]
pub(super) struct Bulletin {
    state: Mutex<State>,
    last: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    changed: BTreeMap<i64, Marks>,
    news: VecDeque<(u64, Author, Arc<News>)>,
    octets: usize,
    /// News up to this number may be forgotten.
    forgotten: u64,
}

/// When a mailbox has changed last.
#[derive(Debug, Default)]
struct Marks {
    /// Messages came or went.
    messages: Mark,
    flags: Mark,
}

/// The number of the last change, who made it, and the last one that somebody else made.
#[derive(Debug, Default)]
struct Mark {
    last: u64,
    by: Author,
    other: u64,
}

impl Mark {
    fn put(&mut self, number: u64, by: Author) {
        if by != self.by {
            (self.by, self.other) = (by, self.last);
        }
        self.last = number;
    }

    /// The last change that this reader did not make.
    fn last_to(&self, reader: Author) -> u64 {
        if self.by == reader { self.other } else { self.last }
    }
}

impl Bulletin {
    fn new() -> Self {
        Self { state: Mutex::default(), last: watch::Sender::new(0) }
    }

    /// Gives the next number to what is put there.
    fn put(&self, put: impl FnOnce(&mut State, u64)) {
        let mut state = lock(&self.state);
        state.last += 1;
        let number = state.last;
        put(&mut state, number);
        drop(state);
        self.last.send_replace(number);
    }
}

impl State {
    fn change(&mut self, change: &Change, number: u64, by: Author) {
        let marks = self.changed.entry(change.mailbox).or_default();
        match &change.what {
            What::Arrived(messages) if !messages.is_empty() => marks.messages.put(number, by),
            What::Expunged(uids) if !uids.is_empty() => marks.messages.put(number, by),
            What::Flagged(changed) if !changed.is_empty() => marks.flags.put(number, by),
            What::Arrived(_) | What::Expunged(_) | What::Flagged(_) => {}
            What::Gone => drop(self.changed.remove(&change.mailbox)),
        }
    }

    fn add(&mut self, news: News, number: u64, by: Author) {
        self.octets += octets(&news);
        self.news.push_back((number, by, news.into()));
        while KEPT_OCTETS < self.octets
            && let Some((number, _, news)) = self.news.pop_front()
        {
            self.octets -= octets(&news);
            self.forgotten = number;
        }
    }
}

/// What it costs to keep, about.
fn octets(news: &News) -> usize {
    let names = match news {
        News::Named { name, was } => name.len() + was.as_ref().map_or(0, String::len),
        News::Subscribed(name) => name.len(),
        News::Annotated { mailbox, entries } => {
            mailbox.as_ref().map_or(0, String::len) + entries.iter().map(|entry| entry.len() + 24).sum::<usize>()
        }
    };
    names + 128
}

/// Reads what happens in an account.
#[derive(Debug)]
pub struct Reader {
    bulletin: Arc<Bulletin>,
    read: u64,
    who: Author,
}

/// What has happened since it was read last, by others.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Ids of mailboxes where messages came or went.
    pub counted: Vec<u64>,
    /// Ids of mailboxes where messages have other flags.
    pub flagged: Vec<u64>,
    /// What else, in order.
    pub news: Vec<Arc<News>>,
    /// Whether there was more than is kept, of which the oldest are missing.
    pub missed: bool,
}

impl Reader {
    /// Wakes when there is more to read.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.bulletin.last.subscribe()
    }

    /// All that is new.
    pub fn read(&mut self) -> Heard {
        let state = lock(&self.bulletin.state);
        let (read, who) = (self.read, self.who);
        let among = |mark: fn(&Marks) -> &Mark| {
            let is_new = move |(_, marks): &(&i64, &Marks)| read < mark(marks).last_to(who);
            state.changed.iter().filter(is_new).map(|(mailbox, _)| *mailbox as u64).collect()
        };
        let first = state.news.partition_point(|(number, ..)| *number <= read);
        let news = state.news.range(first..).filter(|(_, by, _)| *by != who).map(|(.., news)| news.clone());
        let heard = Heard {
            counted: among(|marks| &marks.messages),
            flagged: among(|marks| &marks.flags),
            news: news.collect(),
            missed: read < state.forgotten,
        };
        self.read = state.last;
        heard
    }
}

impl Mailboxes {
    /// The same mailboxes, as somebody who is no other: what is changed this way is not told to this one's [`Reader`].
    pub fn as_somebody(&self) -> Self {
        Self(self.0.clone(), self.1.clone(), Author(self.0.authors.fetch_add(1, Ordering::Relaxed) + 1))
    }

    /// Follows what happens in an account from now on.
    ///
    /// # Errors
    /// There is no such account, or the store cannot be read.
    pub fn follow(&self, account: &str) -> Result<Reader, Error> {
        let sql = "SELECT id FROM account WHERE key = ?1";
        let find = |connection: &rusqlite::Connection| {
            connection.prepare_cached(sql)?.query_row([account], |row| row.get(0)).optional()
        };
        let id: i64 = self.0.store.read(find)?.ok_or_else(|| Error::NoMailbox(account.to_owned()))?;
        let mut bulletins = lock(&self.0.bulletins);
        let bulletin = match bulletins.get(&id).and_then(Weak::upgrade) {
            Some(bulletin) => bulletin,
            None => {
                let bulletin = Arc::new(Bulletin::new());
                bulletins.retain(|_, bulletin| 0 < bulletin.strong_count());
                bulletins.insert(id, Arc::downgrade(&bulletin));
                bulletin
            }
        };
        let read = lock(&bulletin.state).last;
        Ok(Reader { bulletin, read, who: self.2 })
    }
}

impl Inner {
    /// Puts on the bulletins what a commit has brought.
    pub(super) fn publish(&self, told: &Told, by: Author) {
        let bulletins = lock(&self.bulletins);
        if bulletins.is_empty() {
            return;
        }
        let of = |account: &i64| bulletins.get(account).and_then(Weak::upgrade);
        for change in &told.changes {
            if let Some(bulletin) = of(&change.account) {
                bulletin.put(|state, number| state.change(change, number, by));
            }
        }
        for (account, news) in &told.news {
            if let Some(bulletin) = of(account) {
                bulletin.put(|state, number| state.add(news.clone(), number, by));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::imap::{Flags, StoreMode, SystemFlags};
    use crate::mail::Letter;
    use crate::mda::SCHEMA;
    use crate::store::Store;
    use crate::world::Clock;

    const ANN: &str = "ann@a.test";

    async fn mailboxes() -> Mailboxes {
        let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
        let mailboxes = Mailboxes::new(Store::in_memory(&[SCHEMA]).unwrap(), clock);
        mailboxes.ensure_account(ANN).await.unwrap();
        mailboxes
    }

    fn named(name: &str, was: Option<&str>) -> News {
        News::Named { name: name.to_owned(), was: was.map(str::to_owned) }
    }

    #[tokio::test]
    async fn readers_hear_of_what_others_have_done_and_of_nothing_else() {
        let all = mailboxes().await;
        let (one, two) = (all.as_somebody(), all.as_somebody());
        let (mut first, mut second) = (one.follow(ANN).unwrap(), two.follow(ANN).unwrap());
        let letter = Letter::new(Bytes::from_static(b"Subject: x\r\n\r\n"));
        let seen = Flags { system: SystemFlags::SEEN, keywords: vec![] };
        all.deliver(ANN, None, &letter).await.unwrap();
        one.open(ANN, "INBOX").unwrap().store(vec![1], StoreMode::Add, seen.clone()).await.unwrap();
        one.create(ANN, "a/b").await.unwrap();
        two.rename(ANN, "a", "c").await.unwrap();
        one.subscribe(ANN, "c", true).await.unwrap();
        one.subscribe(ANN, "c", true).await.unwrap();
        let heard = first.read();
        assert_eq!((&heard.counted[..], &heard.flagged[..]), (&[1][..], &[][..]));
        assert_eq!(heard.news.iter().map(|news| (**news).clone()).collect::<Vec<_>>(), [named("c", Some("a"))]);
        let heard = second.read();
        assert_eq!((&heard.counted[..], &heard.flagged[..]), (&[1][..], &[1][..]));
        let news = [named("a", None), named("a/b", None), News::Subscribed("c".to_owned())];
        assert_eq!(heard.news.iter().map(|news| (**news).clone()).collect::<Vec<_>>(), news);
        // What one does after another does not hide what the other did.
        one.open(ANN, "INBOX").unwrap().store(vec![1], StoreMode::Remove, seen).await.unwrap();
        all.deliver(ANN, None, &letter).await.unwrap();
        one.open(ANN, "INBOX").unwrap().remove(vec![1]).await.unwrap();
        assert_eq!(first.read(), Heard { counted: vec![1], ..Heard::default() });
        assert_eq!(second.read(), Heard { counted: vec![1], flagged: vec![1], ..Heard::default() });
        assert_eq!((first.read(), second.read()), (Heard::default(), Heard::default()));
    }

    #[tokio::test]
    async fn what_changes_nothing_is_not_heard_of_and_what_is_deleted_is_forgotten() {
        let all = mailboxes().await;
        let mut reader = all.as_somebody().follow(ANN).unwrap();
        let flags = Flags { system: SystemFlags::SEEN, keywords: vec![] };
        let sent = all.open(ANN, "Sent").unwrap();
        sent.store(vec![1, 2], StoreMode::Add, flags).await.unwrap();
        assert_eq!(sent.expunge(None).await.unwrap(), Vec::<u32>::new());
        all.create_for("bob@a.test", "not of ann", &[]).await.unwrap();
        assert_eq!(reader.read(), Heard::default());
        all.append(ANN, "Sent", vec![]).await.unwrap();
        let letter = Letter::new(Bytes::from_static(b"Subject: x\r\n\r\n"));
        all.deliver(ANN, Some("sent"), &letter).await.unwrap();
        all.delete(ANN, "Sent").await.unwrap();
        let heard = reader.read();
        assert_eq!((heard.counted.len(), heard.news.len()), (0, 1));
    }

    #[tokio::test]
    async fn who_does_not_read_misses_the_oldest_and_knows_it() {
        let all = mailboxes().await;
        let mut reader = all.as_somebody().follow(ANN).unwrap();
        let name = "x".repeat(200);
        for _ in 0..KEPT_OCTETS / 328 {
            all.subscribe(ANN, &name, true).await.unwrap();
            all.subscribe(ANN, &name, false).await.unwrap();
        }
        let heard = reader.read();
        assert!(heard.missed && heard.news.len() == KEPT_OCTETS / 328, "{}", heard.news.len());
        all.subscribe(ANN, &name, true).await.unwrap();
        let heard = reader.read();
        assert!(!heard.missed && heard.news.len() == 1);
    }
}
