//! Handles one authenticated IMAP connection: executes requests and sends unsolicited updates between them.

use std::future::pending;

use tokio::sync::watch;

use super::AuthenticatedUser;
use super::error_reply::{Failure, error_reply};
use super::selected::{Selected, UpdateOptions};
use crate::imap::{Code, Event, Notify, Reply, Request, Resync, Session};
use crate::mda::{Error, FeedReader, Mailboxes, User};
use crate::net::{self, Conn};

/// One authenticated IMAP connection.
pub(super) struct ImapHandler {
    pub(super) conn: Conn<Session>,
    pub(super) user: User,
    /// The key of the user's account.
    pub(super) account: String,
    /// The mailboxes of the account, with the session id of this connection.
    pub(super) mailboxes: Mailboxes,
    pub(super) selected: Option<Selected>,
    /// Changes by other sessions.
    pub(super) reader: FeedReader,
    /// The events that the client asked for with NOTIFY; `None` without NOTIFY.
    pub(super) notify: Option<Notify>,
}

impl ImapHandler {
    pub(super) fn new(
        conn: Conn<Session>,
        AuthenticatedUser { user, account, mailboxes, reader, .. }: AuthenticatedUser,
    ) -> Self {
        Self { conn, user, account, mailboxes, selected: None, reader, notify: None }
    }

    /// Serves the connection until the session ends, then closes the selected mailbox. Fails if the connection does.
    pub(super) async fn run(mut self) -> Result<(), net::Error> {
        let outcome = self.serve().await;
        self.deselect().await;
        outcome
    }

    /// Answers requests until the session ends. Fails if the connection does.
    async fn serve(&mut self) -> Result<(), net::Error> {
        while let Some(event) = self.event().await? {
            match event {
                Event::Request(Request::Idle) => self.idle(),
                Event::Request(request) => self.answer(request).await?,
                Event::IdleEnd(reply) => self.finish(&reply, &UpdateOptions::default()).await?,
                Event::StartTls | Event::NeedSecret(_) | Event::Open { .. } => {
                    unreachable!("login events end with the login")
                }
            }
        }
        Ok(())
    }

    /// Executes a request, then writes updates and its reply. New messages that the request must see are reported
    /// first. An error of a mailbox becomes a NO reply; only a failed connection is returned.
    async fn answer(&mut self, mut request: Request) -> Result<(), net::Error> {
        let options = UpdateOptions { hold_expunges: request.holds_expunges(), ..UpdateOptions::default() };
        if request.enables_condstore() {
            self.enable_condstore();
        }
        if request.sees_arrivals() {
            // To a command that changes messages, `*` is the last one that the client knew.
            if let (Some((set, by_uid)), Some(selected)) = (request.changed_set(), &self.selected) {
                set.fix_last(if by_uid { selected.last_uid() } else { selected.view.messages.len() as u32 });
            }
            self.write_updates(&UpdateOptions { hold_expunges: true, ..UpdateOptions::default() });
        }
        // Boxed, so that a connection that waits between requests, or in IDLE, does not hold the memory of the largest
        // one.
        if request.sees_arrivals() && self.selected.is_none() {
            let reply = Reply::no("The mailbox was deleted").with(Code::Word("NONEXISTENT"));
            return self.finish(&reply, &options).await;
        }
        let reply = match Box::pin(self.handle(request)).await {
            Ok(reply) => reply,
            Err(Failure::Mailboxes(error)) => error_reply(&error),
            Err(Failure::Net(error)) => return Err(error),
        };
        self.finish(&reply, &options).await
    }

    /// Writes pending updates of the selected mailbox as the options allow, the events and new messages of NOTIFY, and
    /// completes the command with the tagged reply.
    async fn finish(&mut self, reply: &Reply, options: &UpdateOptions<'_>) -> Result<(), net::Error> {
        self.write_updates(options);
        self.write_events();
        while self.has_new_messages() {
            self.conn.flush().await?;
            self.write_new_messages();
        }
        self.conn.machine.done(reply);
        Ok(())
    }

    /// Executes a request: writes its untagged responses and returns the tagged reply.
    async fn handle(&mut self, request: Request) -> Result<Reply, Failure> {
        match request {
            Request::Noop | Request::Idle => Ok(Reply::ok("NOOP completed")),
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
            Request::Copy { set, mailbox, remove_originals } => self.copy(&set, &mailbox, remove_originals).await,
        }
    }

    /// Writes the changes of the selected mailbox, if any, as the options and NOTIFY allow. Deselects it if it was
    /// deleted; any other error is logged.
    pub(super) fn write_updates(&mut self, options: &UpdateOptions<'_>) {
        let options = UpdateOptions { enabled: self.conn.machine.enabled(), filter: self.update_filter(), ..*options };
        let Some(selected) = &mut self.selected else { return };
        match selected.write_updates(self.conn.machine.out(), &options) {
            Ok(()) => {}
            Err(Error::NoMailbox(_)) => {
                self.selected = None;
                self.conn.machine.deselect();
            }
            // The updates of the next command include these changes.
            Err(error) => tracing::error!(%error, account = self.account, "cannot read the selected mailbox"),
        }
    }

    /// Executes SELECT, or EXAMINE if `read_only`; writes the state of the mailbox, and what has changed since the
    /// client last had it open if the client gave its `known` state. The mailbox selected before is closed even if this
    /// fails. RFC 9051 §6.3.2, §6.3.3.
    async fn select(&mut self, name: &str, read_only: bool, known: Option<&Resync>) -> Result<Reply, Failure> {
        self.deselect().await;
        let mailbox = self.mailboxes.open(&self.account, name)?;
        let view = mailbox.view()?;
        self.write_selected(name, Selected::new(mailbox, read_only, view, self.conn.machine.enabled().rev2));
        if let Some(known) = known {
            self.resync(known)?;
        }
        let (text, code) =
            if read_only { ("EXAMINE completed", "READ-ONLY") } else { ("SELECT completed", "READ-WRITE") };
        Ok(Reply::ok(text).with(Code::Word(code)))
    }

    /// Makes this the selected mailbox and writes the untagged responses of SELECT and EXAMINE. RFC 9051 §6.3.2, RFC
    /// 3501 §6.3.1.
    fn write_selected(&mut self, name: &str, selected: Selected) {
        let rev2 = self.conn.machine.enabled().rev2;
        let out = self.conn.machine.out();
        let (view, flags) = (&selected.view, selected.known_flags());
        out.flags(&flags);
        out.exists(view.messages.len() as u32);
        if rev2 {
            Self::list_selected(out, name);
        } else {
            out.recent(selected.recent_count());
            if let Some(place) = view.messages.first_unseen() {
                out.note(&Code::Unseen(place as u32 + 1), "First unseen message");
            }
        }
        let permanent = if selected.read_only { Default::default() } else { flags };
        out.note(&Code::PermanentFlags(permanent, !selected.read_only), "Permanent flags");
        out.note(&Code::UidValidity(view.uidvalidity), "UIDs valid");
        out.note(&Code::UidNext(view.uidnext), "Predicted next UID");
        out.note(&Code::HighestModSeq(view.modseq), "Highest modification sequence");
        out.note(&Code::MailboxId(selected.mailbox.id()), "Mailbox id");
        self.selected = Some(selected);
    }

    /// Executes CLOSE if `expunge`, else UNSELECT: CLOSE removes the messages with `\Deleted`, unless the mailbox is
    /// read-only. Both deselect the mailbox; expunged messages are not reported. RFC 9051 §6.4.1, §6.4.2.
    async fn close(&mut self, expunge: bool) -> Result<Reply, Failure> {
        if expunge
            && let Some(selected) = &self.selected
            && !selected.read_only
        {
            let expunged = selected.mailbox.expunge(None).await;
            // A mailbox that was deleted meanwhile is closed, too.
            if expunged.is_err() && !matches!(selected.mailbox.view(), Err(Error::NoMailbox(_))) {
                expunged?;
            }
        }
        self.deselect().await;
        Ok(Reply::ok(if expunge { "CLOSE completed" } else { "UNSELECT completed" }))
    }

    /// Closes the selected mailbox, if any, without a response.
    async fn deselect(&mut self) {
        if let Some(selected) = self.selected.take() {
            selected.close().await;
        }
    }

    /// Writes pending updates, then begins IDLE, which [`Self::event`] serves until the client ends it.
    fn idle(&mut self) {
        self.write_updates(&UpdateOptions::default());
        self.conn.machine.idle();
    }

    /// The next event; `None` at the end of the session. While it waits, it writes changes to a client in IDLE (RFC
    /// 9051 §6.3.13) or with NOTIFY (RFC 5465 §3.1); to any other client nothing.
    async fn event(&mut self) -> Result<Option<Event>, net::Error> {
        let (is_idle, has_notify) = (self.conn.machine.is_idling(), self.notify.is_some());
        if !is_idle && !has_notify {
            return self.conn.event().await;
        }
        let options = UpdateOptions { hold_expunges: self.holds_expunges(), ..UpdateOptions::default() };
        let mut changes = self.selected.as_ref().map(|selected| selected.mailbox.changes());
        let mut events = (has_notify || self.conn.machine.enabled().metadata).then(|| self.reader.changes());
        // Changes before the subscription.
        self.write_updates(&options);
        self.write_events();
        loop {
            // A client that does not read gets no updates; later changes are then reported together.
            if let Some(event) = self.conn.flush_and_poll().await? {
                return Ok(Some(event));
            }
            if self.has_new_messages() {
                self.write_new_messages();
                continue;
            }
            tokio::select! {
                biased;
                event = self.conn.event() => return event,
                Ok(()) = changed(&mut changes) => self.write_updates(&options),
                Ok(()) = changed(&mut events) => self.write_events(),
            }
        }
    }
}

/// Waits for the next change of the mailbox or account that this receiver follows; forever if it is `None`. Fails if
/// the sender is gone.
async fn changed(changes: &mut Option<watch::Receiver<u64>>) -> Result<(), watch::error::RecvError> {
    match changes {
        Some(changes) => changes.changed().await,
        None => pending().await,
    }
}
