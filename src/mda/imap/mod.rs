//! Hands out mail over IMAP, and lets its owner keep it in order.
//!
//! ```text
//! Imap --a connection--> log in --> Visit --requests--> tree.rs      CREATE, LIST, STATUS ...
//!                                     |                 append.rs    APPEND, REPLACE
//!                                     |                 change.rs    STORE, COPY, EXPUNGE ...
//!                                     |                 metadata.rs  GETMETADATA, SETMETADATA
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

use super::{Site, User};
use crate::imap::{Event, Session, Setup};
use crate::net::{Conn, Error, Service, Stop, Stream};
use visit::Visit;

/// The IMAP side of one MDA, or of all of them behind one port. A [`Service`]; cheap to clone.
#[derive(Clone)]
pub struct Imap {
    site: Site,
    cleartext_login: bool,
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
    async fn log_in(&self, conn: &mut Conn<Session>) -> Result<Option<(User, String)>, Error> {
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
                    let user = self.open(&user).await;
                    if let Some((user, _)) = &user {
                        conn.machine.limit_append(user.home.setup().settings.size_max);
                    }
                    conn.machine.opened(user.is_some());
                    if user.is_some() {
                        return Ok(user);
                    }
                }
                Event::Request(_) | Event::IdleEnd => unreachable!("nobody is asked before a user is in"),
            }
        }
        Ok(None)
    }

    /// The user with the account of that user.
    async fn open(&self, login: &str) -> Option<(User, String)> {
        let user = self.site.user(login)?;
        let account = user.address.key();
        match user.home.mailboxes().ensure_account(&account).await {
            Ok(()) => Some((user, account)),
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
            Some((user, account)) => Visit::new(conn, user, account).run().await,
            None => Ok(()),
        }
    }

    fn farewell(&self) -> &'static str {
        "* BYE [LIMIT] too many connections from your address, try again later\r\n"
    }
}
