//! Hands out mail over POP3.

use super::{Error, Maildrop, Site, User};
use crate::journey::{Protocol, Step};
use crate::mail::Letter;
use crate::net::{self, Conn, Service, Stop, Stream};
use crate::pop3::server::{Entry, Event, Refusal, Session, Setup};

/// The POP3 side of one MDA, or of all of them behind one port.
#[derive(Clone)]
pub struct Pop3(Site);

impl Pop3 {
    /// Serves the users of a site.
    pub fn new(site: Site) -> Self {
        Self(site)
    }
}

impl Service for Pop3 {
    async fn converse(self, stream: Stream, stop: Stop) -> Result<(), net::Error> {
        Box::new(Conversation::new(self.0, stream, stop)).run().await
    }

    fn farewell(&self) -> &'static str {
        "-ERR [SYS/TEMP] too many connections from your address, try again later\r\n"
    }
}

/// One connection.
struct Conversation {
    site: Site,
    conn: Conn<Session>,
    /// Who is in, once the password was right, and what is held for them.
    open: Option<(User, Maildrop)>,
}

impl Conversation {
    fn new(site: Site, stream: Stream, stop: Stop) -> Self {
        let face = site.face();
        let setup = Setup {
            host: face.fqdn().to_owned(),
            starttls: face.setup().identity.is_shown(),
            nonce: format!("{:016x}", face.setup().dice.draw()),
            record: face.setup().recorder.wants_dialogues(),
        };
        let session = Session::new(setup, stream.tls().is_some());
        Self { conn: Conn::new(stream, session, stop), site, open: None }
    }

    async fn run(mut self: Box<Self>) -> Result<(), net::Error> {
        while let Some(event) = self.conn.event().await? {
            match event {
                Event::StartTls => {
                    self.conn.accept_tls(&self.site.face().setup().identity).await?;
                    self.conn.machine.encrypted();
                }
                Event::Who(user) => {
                    let user = self.site.user(&user);
                    self.conn.machine.secret(user.as_ref().map(|user| user.password.as_str()));
                }
                Event::Open { user } => {
                    let outcome = self.open(&user).await;
                    self.conn.machine.opened(outcome);
                }
                Event::Retrieve { index, whole } => {
                    let outcome = self.letter(index);
                    self.conn.machine.message(outcome.as_ref().map_err(|refusal| *refusal));
                    if let (Ok(letter), true) = (&outcome, whole) {
                        self.report(letter);
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

    /// RFC 1939 §4: the maildrop is ours alone before the session goes on.
    async fn open(&mut self, login: &str) -> Result<Vec<Entry>, Refusal> {
        let user = self.site.user(login).ok_or(Refusal::Permanent)?;
        let maildrop = user.home.mailboxes().maildrop(&user.address.key()).await.map_err(|error| refusal(&error))?;
        let entries = maildrop.entries().map(|(size, uid)| Entry { size, uid }).collect();
        self.open = Some((user, maildrop));
        Ok(entries)
    }

    fn letter(&mut self, index: usize) -> Result<Letter, Refusal> {
        let (_, maildrop) = self.open.as_mut().ok_or(Refusal::Permanent)?;
        maildrop.letter(index).map_err(|error| refusal(&error))?.ok_or(Refusal::Gone)
    }

    /// RFC 1939 §6: what is marked goes, and the next session may come, before the client hears goodbye.
    async fn update(&mut self, deleted: &[usize]) -> Result<(), Refusal> {
        let (_, maildrop) = self.open.take().ok_or(Refusal::Permanent)?;
        maildrop.remove(deleted).await.map_err(|error| refusal(&error))
    }

    fn report(&mut self, letter: &Letter) {
        let (Some((user, _)), Some(journey)) = (&self.open, letter.journey()) else { return };
        let account = user.address.key();
        let step = Step::Retrieved { protocol: Protocol::Pop3, account, size: letter.len() };
        let dialogue = self.conn.machine.take_dialogue();
        user.home.setup().recorder.report(journey, None, step, Some(dialogue));
    }
}

/// What the client hears; the cause goes to the log.
fn refusal(error: &Error) -> Refusal {
    if matches!(error, Error::InUse) {
        return Refusal::InUse;
    }
    tracing::error!(%error, "a maildrop cannot be used");
    Refusal::Temporary
}
