//! The POP3 service of the mailboxes.

use std::net::IpAddr;
use std::time::Duration;

use super::directory::HostOff;
use super::{Error, Maildrop, User, UserDirectory};
use crate::journey::{EventKind, Protocol, Recorder};
use crate::mail::Message;
use crate::net::{self, Conn, Lifetime, Service, Stop, Stream};
use crate::pop3::server::{Config, Entry, Event, Refusal, Session};
use crate::store;

/// The POP3 service of one MDA, or of all MDAs behind one port.
#[derive(Clone)]
pub struct Pop3(UserDirectory);

impl Pop3 {
    /// Serves these users.
    pub fn new(users: UserDirectory) -> Self {
        Self(users)
    }
}

impl Service for Pop3 {
    async fn serve_connection(self, stream: Stream, stop: Stop) -> Result<(), net::Error> {
        let recorder = self.0.begin_record(Protocol::Pop3, stream.peer().ip());
        recorder.encrypted(stream.tls());
        let ended = Box::new(Pop3Handler::new(self.0, stream, stop, recorder.clone())).run().await;
        recorder.end(ended.as_ref().copied());
        ended
    }

    /// Records a connection whose TLS handshake failed after this time.
    fn handshake_failed(&self, client: IpAddr, took: Duration, error: &net::Error) {
        self.0.begin_record(Protocol::Pop3, client).end_after(took, error);
    }

    fn too_many_reply(&self) -> &'static str {
        "-ERR [SYS/TEMP] too many connections from your address, try again later\r\n"
    }
}

/// Handles one connection.
struct Pop3Handler {
    users: UserDirectory,
    conn: Conn<Session>,
    /// The logged-in user and the locked maildrop.
    open: Option<(User, Maildrop)>,
    /// How long the host with the maildrop is on, behind a public port.
    lifetime: Option<Lifetime>,
    recorder: Recorder,
}

impl Pop3Handler {
    fn new(users: UserDirectory, stream: Stream, stop: Stop, recorder: Recorder) -> Self {
        let greeting_host = users.greeting_host();
        let config = Config {
            host: greeting_host.fqdn().to_owned(),
            starttls: greeting_host.context().tls.offers_tls(),
            nonce: format!("{:016x}", greeting_host.context().rng.next_u64()),
            transcript: greeting_host.context().emitter.wants_transcripts(),
            recorder: recorder.clone(),
        };
        let session = Session::new(config, stream.tls().is_some());
        Self { conn: Conn::new(stream, session, stop), users, open: None, lifetime: None, recorder }
    }

    /// Carries out what the session asks for, TLS, logins, maildrops and messages, until the session ends. Fails if the
    /// connection or the TLS handshake does.
    async fn run(mut self: Box<Self>) -> Result<(), net::Error> {
        while let Some(event) = self.event().await? {
            match event {
                Event::StartTls => {
                    self.conn.accept_tls(&self.users.greeting_host().context().tls).await?;
                    self.recorder.encrypted(self.conn.stream().tls());
                    self.conn.machine.encrypted();
                }
                Event::NeedSecret(user) => {
                    self.recorder.login(&user);
                    let user = self.users.user(&user);
                    self.conn.machine.secret(user.as_ref().map(|user| user.password.as_str()));
                }
                Event::Open { user } => {
                    let outcome = self.open(&user).await;
                    if outcome.is_ok() {
                        self.recorder.logged_in();
                    }
                    self.conn.machine.opened(outcome);
                }
                Event::Retrieve { index, whole } => {
                    let outcome = self.message(index);
                    self.conn.machine.message(outcome.as_ref().map_err(|refusal| *refusal));
                    if let (Ok(message), true) = (&outcome, whole) {
                        self.report(message);
                    }
                }
                Event::Update { deleted } => {
                    let outcome = self.update(&deleted).await;
                    self.conn.machine.updated(outcome);
                }
            }
        }
        Ok(())
    }

    /// The next event; `None` at the end of the session, or once the host with the maildrop goes off and the session
    /// does not end in time.
    async fn event(&mut self) -> Result<Option<Event>, net::Error> {
        match self.lifetime.clone() {
            Some(lifetime) => lifetime.run(self.conn.event()).await.unwrap_or(Ok(None)),
            None => self.conn.event().await,
        }
    }

    /// Locks and opens the maildrop of a login name, before the session continues, RFC 1939 §4. Returns its messages in
    /// the order of their numbers; `Refusal::Permanent` for an unknown user, `Refusal::InUse` for a locked maildrop,
    /// `Refusal::Temporary` also while the host with the maildrop is off.
    async fn open(&mut self, login: &str) -> Result<Vec<Entry>, Refusal> {
        let user = self.users.user(login).ok_or(Refusal::Permanent)?;
        // RFC 3206 §4: the client need not ask for another password.
        self.lifetime = self.users.enter(&user, &mut self.conn).map_err(|HostOff| Refusal::Temporary)?;
        let maildrop = user.home.mailboxes().maildrop(&user.address.key()).await.map_err(|error| refusal(&error))?;
        let entries = maildrop.entries().map(|(size, uid)| Entry { size, uid }).collect();
        self.open = Some((user, maildrop));
        Ok(entries)
    }

    /// The message at a place in the opened maildrop, from 0; `Refusal::Gone` if it was removed meanwhile,
    /// `Refusal::Permanent` if no maildrop is open.
    fn message(&mut self, index: usize) -> Result<Message, Refusal> {
        let (_, maildrop) = self.open.as_mut().ok_or(Refusal::Permanent)?;
        maildrop.message(index).map_err(|error| refusal(&error))?.ok_or(Refusal::Gone)
    }

    /// Removes the messages at these places, from 0, and closes the maildrop, so that its lock is released before the
    /// client gets its reply, even if the removal fails. RFC 1939 §6.
    async fn update(&mut self, deleted: &[usize]) -> Result<(), Refusal> {
        let (_, maildrop) = self.open.take().ok_or(Refusal::Permanent)?;
        maildrop.remove(deleted).await.map_err(|error| refusal(&error))
    }

    /// Records the event that a message was retrieved, with the transcript since the last such event, which it takes;
    /// nothing for a message without a journey.
    fn report(&mut self, message: &Message) {
        let (Some((user, _)), Some(journey)) = (&self.open, message.journey()) else { return };
        let account = user.address.key();
        let step = EventKind::Retrieved { protocol: Protocol::Pop3, account, size: message.len() };
        self.recorder.retrieved(journey);
        let transcript = self.conn.machine.take_transcript();
        user.home.context().emitter.report(journey, None, step, Some(transcript));
    }
}

/// The refusal for the client after an error of a maildrop: that of a locked maildrop, damage or a full disk, else
/// `Temporary`. Logs the error, except of a locked maildrop, and damage, which the store has logged.
fn refusal(error: &Error) -> Refusal {
    match error {
        Error::InUse => return Refusal::InUse,
        // The store has reported it.
        error if error.is_damage() => return Refusal::Damaged,
        error => tracing::error!(%error, "maildrop operation failed"),
    }
    if matches!(error, Error::Store(store::Error::Full)) { Refusal::DiskFull } else { Refusal::Temporary }
}
