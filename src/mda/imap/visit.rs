//! One user at their mailboxes: each request in turn, and the news that belong between.

use std::future::pending;

use tokio::sync::watch;

use super::Guest;
use super::refusal::{Failure, refusal};
use super::selected::{Selected, Terms};
use crate::imap::{Code, Event, Notify, Reply, Request, Resync, Session};
use crate::mda::{Error, Mailboxes, Reader, Uid, User};
use crate::net::{self, Conn};

/// A user who is in.
pub(super) struct Visit {
    pub(super) conn: Conn<Session>,
    pub(super) user: User,
    /// The key of the user's account.
    pub(super) account: String,
    /// Its mailboxes, and who we are when we change them.
    pub(super) mailboxes: Mailboxes,
    pub(super) selected: Option<Selected>,
    /// What others do in the account.
    pub(super) reader: Reader,
    /// What of it is told all the time, if the client has ever said so.
    pub(super) notify: Option<Notify>,
}

impl Visit {
    pub(super) fn new(conn: Conn<Session>, Guest { user, account, mailboxes, reader }: Guest) -> Self {
        Self { conn, user, account, mailboxes, selected: None, reader, notify: None }
    }

    pub(super) async fn run(mut self) -> Result<(), net::Error> {
        let outcome = self.serve().await;
        self.leave().await;
        outcome
    }

    async fn serve(&mut self) -> Result<(), net::Error> {
        while let Some(event) = self.event().await? {
            match event {
                Event::Request(Request::Idle) => self.idle(),
                Event::Request(request) => self.answer(request).await?,
                Event::IdleEnd => self.finish(&Reply::ok("that was the news"), &Terms::default()).await?,
                Event::StartTls | Event::Who(_) | Event::Open { .. } => unreachable!("nobody logs in twice"),
            }
        }
        Ok(())
    }

    async fn answer(&mut self, request: Request) -> Result<(), net::Error> {
        let terms = Terms { hold_expunges: request.holds_expunges(), ..Terms::default() };
        if request.enables_condstore() {
            self.begin_modseqs();
        }
        // Apart, so that who waits between two requests, or in IDLE, does not hold room for the largest of them.
        let reply = match Box::pin(self.handle(request)).await {
            Ok(reply) => reply,
            Err(Failure::Mailboxes(error)) => refusal(&error),
            Err(Failure::Net(error)) => return Err(error),
        };
        self.finish(&reply, &terms).await
    }

    /// Tells what is new and ends the command.
    async fn finish(&mut self, reply: &Reply, terms: &Terms<'_>) -> Result<(), net::Error> {
        self.tell(terms);
        self.tell_news();
        while self.has_new() {
            self.conn.flush().await?;
            self.tell_new();
        }
        self.conn.machine.done(reply);
        Ok(())
    }

    async fn handle(&mut self, request: Request) -> Result<Reply, Failure> {
        match request {
            Request::Noop | Request::Idle => Ok(Reply::ok("done")),
            Request::Notify(notify) => self.set_notify(notify).await,
            Request::Select { mailbox, read_only, resync, .. } => {
                self.select(&mailbox, read_only, resync.as_ref()).await
            }
            Request::Create { mailbox, uses } => self.create(&mailbox, &uses).await,
            Request::Delete(mailbox) => self.delete(&mailbox).await,
            Request::Rename { from, to } => self.rename(&from, &to).await,
            Request::Subscribe { mailbox, on } => self.subscribe(&mailbox, on).await,
            Request::List(list) => self.list(&list),
            Request::Lsub { reference, pattern } => self.lsub(&reference, &pattern),
            Request::Namespace => Ok(self.namespace()),
            Request::Status { mailbox, items } => self.status(&mailbox, &items),
            Request::Metadata(request) => self.metadata(request).await,
            Request::Quota(request) => self.quota(&request),
            Request::Append(append) => self.append(append).await,
            Request::Replace(replace) => self.replace(replace).await,
            Request::Close { expunge } => self.close(expunge).await,
            Request::Expunge(only) => self.expunge(only).await,
            Request::Sort(sort) => self.sort(&sort).await,
            Request::Thread(thread) => self.thread(&thread).await,
            Request::Unsave => Ok(self.unsave()),
            Request::Search(search) => self.search(&search).await,
            Request::Fetch { set, items, since, page } => self.fetch(&set, &items, (since, page)).await,
            Request::Store(store) => self.store(store).await,
            Request::Copy { set, mailbox, leave } => self.copy(&set, &mailbox, leave).await,
        }
    }

    /// Tells the client what is new in its mailbox, if it has selected one.
    pub(super) fn tell(&mut self, terms: &Terms<'_>) {
        let terms = Terms { enabled: self.conn.machine.enabled(), wants: self.wants(), ..*terms };
        let Some(selected) = &mut self.selected else { return };
        match selected.tell(self.conn.machine.out(), &terms) {
            Ok(()) => {}
            Err(Error::NoMailbox(_)) => {
                self.selected = None;
                self.conn.machine.deselect();
            }
            // The next command will tell what this one could not.
            Err(error) => tracing::error!(%error, account = self.account, "a mailbox cannot be read"),
        }
    }

    /// RFC 9051 §6.3.2, §6.3.3.
    async fn select(&mut self, name: &str, read_only: bool, known: Option<&Resync>) -> Result<Reply, Failure> {
        self.leave().await;
        let mailboxes = &self.mailboxes;
        let mailbox = mailboxes.open(&self.account, name)?;
        let (recent, view) = match (self.conn.machine.enabled().rev2, read_only) {
            (true, _) => (Uid::MAX, mailbox.view()?),
            (false, false) => (mailboxes.claim_recent(&mailbox).await?, mailbox.view()?),
            (false, true) => {
                // Who only looks does not claim: as many of the last ones are recent as the store says.
                let (view, count) = (mailbox.view()?, mailboxes.status(&self.account, name)?.recent as usize);
                let first = view.messages.len().saturating_sub(count);
                (view.messages.get(first).map_or(Uid::MAX, |message| message.uid), view)
            }
        };
        self.describe(name, Selected::new(mailbox, read_only, view, recent));
        if let Some(known) = known {
            self.resync(known)?;
        }
        let (text, code) = if read_only { ("to be read only", "READ-ONLY") } else { ("to be used", "READ-WRITE") };
        Ok(Reply::ok(text).with(Code::Word(code)))
    }

    /// What a client must know of a mailbox from the start. RFC 9051 §6.3.2, RFC 3501 §6.3.1.
    fn describe(&mut self, name: &str, selected: Selected) {
        let rev2 = self.conn.machine.enabled().rev2;
        let out = self.conn.machine.out();
        let (view, flags) = (&selected.view, selected.known_flags());
        out.flags(&flags);
        out.exists(view.messages.len() as u32);
        if rev2 {
            Self::list_selected(out, name);
        } else {
            out.recent(selected.recent_count());
            let seen = crate::imap::SystemFlags::SEEN;
            if let Some(place) = view.messages.iter().position(|message| !message.flags.system.contains(seen)) {
                out.note(&Code::Unseen(place as u32 + 1), "is the first that is not read");
            }
        }
        let permanent = if selected.read_only { Default::default() } else { flags };
        out.note(&Code::PermanentFlags(permanent, !selected.read_only), "are kept");
        out.note(&Code::UidValidity(view.uidvalidity), "holds for all UIDs");
        out.note(&Code::UidNext(view.uidnext), "comes next");
        out.note(&Code::HighestModSeq(view.modseq), "is the last change");
        out.note(&Code::MailboxId(selected.mailbox.id()), "is the mailbox under any name");
        self.selected = Some(selected);
    }

    /// RFC 9051 §6.4.1, §6.4.2: the client is told of nothing that goes.
    async fn close(&mut self, expunge: bool) -> Result<Reply, Failure> {
        if expunge
            && let Some(selected) = &self.selected
            && !selected.read_only
        {
            selected.mailbox.expunge(None).await?;
        }
        self.leave().await;
        Ok(Reply::ok("closed"))
    }

    async fn leave(&mut self) {
        if let Some(selected) = self.selected.take() {
            selected.leave(&self.mailboxes).await;
        }
    }

    fn idle(&mut self) {
        self.tell(&Terms::default());
        self.conn.machine.idle();
    }

    /// The next event. Until it comes, who idles (RFC 9051 §6.3.13) or listens all the time (RFC 5465 §3.1) is told what
    /// changes.
    async fn event(&mut self) -> Result<Option<Event>, net::Error> {
        let (idles, listens) = (self.conn.machine.is_idling(), self.notify.is_some());
        if !idles && !listens {
            return self.conn.event().await;
        }
        let terms = Terms { hold_expunges: self.holds_expunges(), ..Terms::default() };
        let mut changes = self.selected.as_ref().map(|selected| selected.mailbox.changes());
        let mut news = (listens || self.conn.machine.enabled().metadata).then(|| self.reader.changes());
        // What came before we followed.
        self.tell(&terms);
        self.tell_news();
        loop {
            // A client that does not read is told no more; what changes meanwhile is told as one.
            if let Some(event) = self.conn.catch_up().await? {
                return Ok(Some(event));
            }
            if self.has_new() {
                self.tell_new();
                continue;
            }
            tokio::select! {
                biased;
                event = self.conn.event() => return event,
                Ok(()) = changed(&mut changes) => self.tell(&terms),
                Ok(()) = changed(&mut news) => self.tell_news(),
            }
        }
    }
}

/// Waits for the next change, if there is anything that is followed.
async fn changed(changes: &mut Option<watch::Receiver<u64>>) -> Result<(), watch::error::RecvError> {
    match changes {
        Some(changes) => changes.changed().await,
        None => pending().await,
    }
}
