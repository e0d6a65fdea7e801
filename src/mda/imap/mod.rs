//! Hands out mail over IMAP, and lets its owner keep it in order.
//!
//! ```text
//! Imap --a connection--> log in --> Visit --requests--> tree.rs      CREATE, LIST, STATUS ...
//!                                     |                 append.rs    APPEND, REPLACE
//!                                     |                 change.rs    STORE, COPY, EXPUNGE ...
//!                                     |                 metadata.rs  GETMETADATA, SETMETADATA
//!                                     |                 notify.rs    NOTIFY
//!                                     |                 quota.rs     GETQUOTA, GETQUOTAROOT
//!                                     |                 fetch.rs     FETCH
//!                                     |                 resync.rs    what has changed since the client was here last
//!                                     |                 search.rs    SEARCH
//!                                     |                 sort.rs      SORT, THREAD
//!                                     '-- Selected: what the client knows of its mailbox, and what it is told
//! ```
//!
//! Nothing is said to be done before it is durable.

mod append;
mod change;
mod fetch;
mod letters;
mod metadata;
mod notify;
mod quota;
mod refusal;
mod resync;
mod search;
mod selected;
mod sort;
#[cfg(test)]
mod tests;
mod tree;
mod visit;

use super::{Mailboxes, Reader, Site, User};
use crate::imap::{Event, Session, Setup};
use crate::net::{Conn, Error, Service, Stop, Stream};
use visit::Visit;

/// The IMAP side of one MDA, or of all of them behind one port. A [`Service`]; cheap to clone.
#[derive(Clone)]
pub struct Imap {
    site: Site,
    cleartext_login: bool,
}

/// A user who is in.
struct Guest {
    user: User,
    /// The key of the user's account.
    account: String,
    /// Its mailboxes, and who we are when we change them.
    mailboxes: Mailboxes,
    /// What others do there.
    reader: Reader,
}

impl Imap {
    /// Serves the users of a site. With `cleartext_login`, passwords may pass before TLS is active.
    pub fn new(site: Site, cleartext_login: bool) -> Self {
        Self { site, cleartext_login }
    }

    fn session(&self, stream: &Stream) -> Session {
        let host = self.site.face().setup();
        let setup = Setup {
            host: self.site.face().fqdn().to_owned(),
            starttls: host.identity.is_shown(),
            cleartext_login: self.cleartext_login,
            message_octets_max: host.settings.size_max,
            nonce: format!("{:016x}", host.dice.draw()),
            record: host.recorder.wants_dialogues(),
        };
        Session::new(setup, stream.tls().is_some())
    }

    /// Goes on until a user is in; `None` when the client left before.
    async fn log_in(&self, conn: &mut Conn<Session>) -> Result<Option<Guest>, Error> {
        while let Some(event) = conn.event().await? {
            match event {
                Event::StartTls => {
                    conn.accept_tls(&self.site.face().setup().identity).await?;
                    conn.machine.encrypted();
                }
                Event::Who(login) => {
                    let user = self.site.user(&login);
                    conn.machine.secret(user.as_ref().map(|user| user.password.as_str()));
                }
                Event::Open { user } => {
                    let guest = self.open(&user).await;
                    if let Some(guest) = &guest {
                        conn.machine.limit_append(guest.user.home.setup().settings.size_max);
                    }
                    conn.machine.opened(guest.is_some());
                    if guest.is_some() {
                        return Ok(guest);
                    }
                }
                Event::Request(_) | Event::IdleEnd => unreachable!("nobody is asked before a user is in"),
            }
        }
        Ok(None)
    }

    /// The user with the mailboxes of that user.
    async fn open(&self, login: &str) -> Option<Guest> {
        let user = self.site.user(login)?;
        let account = user.address.key();
        let mailboxes = user.home.mailboxes().as_somebody();
        match mailboxes.ensure_account(&account).await.and_then(|()| mailboxes.follow(&account)) {
            Ok(reader) => Some(Guest { user, account, mailboxes, reader }),
            Err(error) => {
                tracing::error!(%error, account, "an account cannot be opened");
                None
            }
        }
    }
}

impl Service for Imap {
    async fn converse(self, stream: Stream, stop: Stop) -> Result<(), Error> {
        let session = self.session(&stream);
        let mut conn = Conn::new(stream, session, stop);
        match Box::pin(self.log_in(&mut conn)).await? {
            Some(guest) => Visit::new(conn, guest).run().await,
            None => Ok(()),
        }
    }

    fn farewell(&self) -> &'static str {
        "* BYE [LIMIT] too many connections from your address, try again later\r\n"
    }
}
