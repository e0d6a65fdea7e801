//! The IMAP service of the mailboxes.
//!
//! ```text
//! Imap --connection--> log in --> ImapHandler --requests--> tree.rs      CREATE, LIST, STATUS ...
//!                                     |                 append.rs    APPEND, REPLACE
//!                                     |                 change.rs    STORE, COPY, EXPUNGE ...
//!                                     |                 metadata.rs  GETMETADATA, SETMETADATA
//!                                     |                 notify.rs    NOTIFY
//!                                     |                 quota.rs     GETQUOTA, GETQUOTAROOT
//!                                     |                 fetch.rs     FETCH
//!                                     |                 resync.rs    changes since the client last disconnected
//!                                     |                 search.rs    SEARCH
//!                                     |                 sort.rs      SORT, THREAD
//!                                     '-- Selected: the client's view of the selected mailbox, and its updates
//! ```
//!
//! A command is completed only after its changes are durable.

mod append;
mod change;
mod error_reply;
mod fetch;
mod handler;
mod message_batch;
mod metadata;
mod notify;
mod quota;
mod resync;
mod search;
mod selected;
mod sort;
#[cfg(test)]
mod tests;
mod tree;

use std::net::IpAddr;
use std::time::Duration;

use super::directory::HostOff;
use super::{FeedReader, Mailboxes, User, UserDirectory};
use crate::imap::{Event, Session, SessionConfig};
use crate::journey::{Protocol, Recorder};
use crate::net::{Conn, Error, Lifetime, Service, Stop, Stream};
use error_reply::{UNAVAILABLE, login_refusal};
use handler::ImapHandler;

/// The IMAP service of one MDA, or of all MDAs behind one port. A [`Service`]; cheap to clone.
#[derive(Clone)]
pub struct Imap(UserDirectory);

/// A user who has logged in.
struct AuthenticatedUser {
    user: User,
    /// The key of the user's account.
    account: String,
    /// The mailboxes of the account, with the session id of this connection.
    mailboxes: Mailboxes,
    /// Changes by other sessions.
    reader: FeedReader,
    /// How long the host with the mailboxes is on, behind a public port.
    lifetime: Option<Lifetime>,
}

impl Imap {
    /// Serves these users.
    pub fn new(users: UserDirectory) -> Self {
        Self(users)
    }

    /// A session for this connection, with the name and settings of the host that greets; encrypted if the stream is.
    fn session(&self, stream: &Stream, recorder: Recorder) -> Session {
        let host = self.0.greeting_host().context();
        let config = SessionConfig {
            host: self.0.greeting_host().fqdn().to_owned(),
            starttls: host.tls.offers_tls(),
            cleartext_login: self.0.has_cleartext_login(),
            max_message_bytes: host.settings.size_max,
            nonce: format!("{:016x}", host.rng.next_u64()),
            record: host.emitter.wants_transcripts(),
            recorder,
            uploads: host.uploads.clone(),
        };
        Session::new(config, stream.tls().is_some())
    }

    /// Handles the connection, STARTTLS included, until a user has logged in, and sets the largest APPEND of the host
    /// of that user; `None` if the session ended before.
    async fn log_in(&self, conn: &mut Conn<Session>, recorder: &Recorder) -> Result<Option<AuthenticatedUser>, Error> {
        while let Some(event) = conn.event().await? {
            match event {
                Event::StartTls => {
                    conn.accept_tls(&self.0.greeting_host().context().tls).await?;
                    recorder.encrypted(conn.stream().tls());
                    conn.machine.encrypted();
                }
                Event::NeedSecret(login) => {
                    recorder.login(&login);
                    let user = self.0.user(&login);
                    conn.machine.secret(user.as_ref().map(|user| user.password.as_str()));
                }
                Event::Open { user } => {
                    let opened = self.open(&user, conn).await;
                    if let Ok(user) = &opened {
                        conn.machine.limit_append(user.user.home.context().settings.size_max);
                    }
                    conn.machine.opened(opened.as_ref().map(drop).map_err(|why| *why));
                    if let Ok(user) = opened {
                        recorder.logged_in();
                        return Ok(Some(user));
                    }
                }
                Event::Request(_) | Event::IdleEnd(_) => unreachable!("requests need a logged-in user"),
            }
        }
        Ok(None)
    }

    /// Opens the account of a user, which is created at the first login, and binds the connection to its host. `Err` is
    /// the text of the reply: the user is unknown, the host is off, or the store fails.
    async fn open(&self, login: &str, conn: &mut Conn<Session>) -> Result<AuthenticatedUser, &'static str> {
        let user = self.0.user(login).ok_or(UNAVAILABLE)?;
        // RFC 5530 §3: also while the host with the mailboxes is off.
        let lifetime = self.0.enter(&user, conn).map_err(|HostOff| UNAVAILABLE)?;
        let account = user.address.key();
        let mailboxes = user.home.mailboxes().for_session();
        let opened = mailboxes.ensure_account(&account).await.and_then(|()| mailboxes.follow(&account));
        let reader = opened.map_err(|error| login_refusal(&account, &error))?;
        Ok(AuthenticatedUser { user, account, mailboxes, reader, lifetime })
    }
}

impl Service for Imap {
    async fn serve_connection(self, stream: Stream, stop: Stop) -> Result<(), Error> {
        let recorder = self.0.begin_record(Protocol::Imap, stream.peer().ip());
        recorder.encrypted(stream.tls());
        let session = self.session(&stream, recorder.clone());
        let mut conn = Conn::new(stream, session, stop);
        let ended = match Box::pin(self.log_in(&mut conn, &recorder)).await {
            Ok(Some(user)) => match user.lifetime.clone() {
                Some(lifetime) => lifetime.run(ImapHandler::new(conn, user).run()).await.unwrap_or(Ok(())),
                None => ImapHandler::new(conn, user).run().await,
            },
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        recorder.end(ended.as_ref().copied());
        ended
    }

    /// Records a connection whose TLS handshake failed after this time.
    fn handshake_failed(&self, client: IpAddr, took: Duration, error: &Error) {
        self.0.begin_record(Protocol::Imap, client).end_after(took, error);
    }

    fn too_many_reply(&self) -> &'static str {
        "* BYE [LIMIT] Too many connections from your address, try again later\r\n"
    }
}
