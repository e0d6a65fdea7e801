//! A mailbox, as tests use it.

use std::time::Duration;

use bytes::Bytes;
use mail_parser::MessageParser;
use tokio::time::Instant;

use super::Error;
use crate::control;
use crate::host::RunningWorld;
use crate::mail::Address;
use crate::mda::Error as MailboxError;

/// One mailbox of one user.
#[derive(Clone)]
pub struct Mailbox<'a> {
    running: &'a RunningWorld,
    user: String,
    name: String,
    timeout: Duration,
}

/// A message in a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its UID in the mailbox.
    pub uid: u32,
    /// All bytes, including the trace lines of the hosts.
    pub raw: Bytes,
}

impl<'a> Mailbox<'a> {
    /// Returns the INBOX of a user, with this timeout of [`Mailbox::wait_for`]. The user is not checked here.
    pub(super) fn of(running: &'a RunningWorld, user: &str, timeout: Duration) -> Self {
        Self { running, user: user.to_owned(), name: "INBOX".to_owned(), timeout }
    }

    /// Returns another mailbox of the same user, such as `Junk`, by its name in IMAP.
    #[must_use]
    pub fn folder(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Sets how long [`Mailbox::wait_for`] waits; by default 10 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Returns the messages that are in the mailbox now, the oldest first. A mailbox that does not exist yet is empty.
    ///
    /// # Errors
    /// The user is not a valid address, or the store cannot be read.
    pub fn messages(&self) -> Result<Vec<Message>, Error> {
        self.messages_from(0)
    }

    /// Returns the messages that are in the mailbox now, with this UID or a higher one, the oldest first; none if it
    /// does not exist yet.
    fn messages_from(&self, uid: u32) -> Result<Vec<Message>, Error> {
        let address: Address = self.user.parse().map_err(|_| Error::NoAddress(self.user.clone()))?;
        let mailbox = match self.running.mailboxes.open(&address.key(), &self.name) {
            Ok(mailbox) => mailbox,
            Err(MailboxError::NoMailbox(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut messages = Vec::new();
        for message in mailbox.view()?.messages.iter().filter(|message| uid <= message.uid) {
            if let Some(content) = mailbox.message(message.uid)? {
                messages.push(Message { uid: message.uid, raw: content.to_bytes() });
            }
        }
        Ok(messages)
    }

    /// Waits for the first message that `wanted` accepts, which may be in the mailbox already, and returns it. Each
    /// message is given to `wanted` once, the oldest first, until one is accepted.
    ///
    /// # Errors
    /// None arrived in time, the user is not a valid address, or the store cannot be read.
    pub async fn wait_for(&self, mut wanted: impl FnMut(&Message) -> bool) -> Result<Message, Error> {
        let deadline = Instant::now() + self.timeout;
        let mut next = 0;
        let found = control::until(self.running, deadline, || {
            for message in self.messages_from(next)? {
                next = message.uid + 1;
                if wanted(&message) {
                    return Ok(Some(message));
                }
            }
            Ok::<_, Error>(None)
        });
        if let Some(message) = found.await? {
            return Ok(message);
        }
        let held = self.messages()?.iter().map(Message::subject).collect();
        let (user, mailbox, within) = (self.user.clone(), self.name.clone(), self.timeout);
        Err(Error::TimedOut { user, mailbox, within, held })
    }
}

impl Message {
    /// Returns the decoded subject; empty if there is none.
    pub fn subject(&self) -> String {
        self.parsed().and_then(|message| message.subject().map(str::to_owned)).unwrap_or_default()
    }

    /// Returns the decoded text of the message, or that of its HTML; empty if it has neither.
    pub fn text(&self) -> String {
        self.parsed().and_then(|message| message.body_text(0).map(Into::into)).unwrap_or_default()
    }

    /// Parses the message with `mail_parser`, at each call; `None` if that finds no message in it.
    pub fn parsed(&self) -> Option<mail_parser::Message<'_>> {
        MessageParser::default().parse(self.raw.as_ref())
    }
}
