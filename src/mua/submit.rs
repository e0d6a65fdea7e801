//! Submits messages to a user's provider. RFC 6409.

use super::{Desk, Error, Login, Security, Server, unstoppable};
use crate::mail::{Dialogue, Envelope, Letter};
use crate::net::Conn;
use crate::smtp::Reply;
use crate::smtp::client::{self, Config, Event, Session};

pub use crate::smtp::client::Verdict;

/// A connection to the provider that takes one message after the other.
pub struct Submitter {
    conn: Box<Conn<Session>>,
    server: String,
}

impl Submitter {
    /// Connects, encrypts as the server's entry says, and logs in if there is a login.
    ///
    /// # Errors
    /// No connection, no encryption where it is asked for, or the login was refused.
    pub async fn connect(desk: &Desk, server: &Server, login: Option<&Login>) -> Result<Self, Error> {
        let stream = desk.connect(server).await?;
        let config = Config { hello: desk.hello.clone(), dialogue: desk.dialogues, ..Config::default() };
        let conn = Box::new(Conn::new(stream, Session::new(config), unstoppable()));
        let mut submitter = Self { conn, server: server.name.clone() };
        submitter.ready().await?;
        if server.security == Security::Upgrade {
            submitter.upgrade(desk).await?;
        }
        if let Some(login) = login {
            submitter.conn.machine.authenticate(&login.user, &login.password);
            match submitter.event().await? {
                Event::Ready => {}
                Event::LoginRefused(reply) => {
                    let (server, user) = (server.name.clone(), login.user.clone());
                    return Err(Error::Login { server, user, why: reply.to_string() });
                }
                _ => return Err(submitter.odd()),
            }
        }
        Ok(submitter)
    }

    /// Hands over one message; the verdicts are in the order of the envelope's recipients.
    ///
    /// # Errors
    /// The connection broke; the provider may or may not have taken the message.
    pub async fn submit(&mut self, envelope: Envelope, letter: &Letter) -> Result<Vec<Verdict>, Error> {
        self.conn.machine.send(envelope, letter);
        match self.event().await? {
            Event::Sent(outcome) => Ok(outcome.verdicts),
            _ => Err(self.odd()),
        }
    }

    /// Says goodbye, and returns what was said all the while, if the desk keeps records.
    pub async fn quit(mut self) -> Dialogue {
        self.conn.machine.quit();
        while let Ok(Some(_)) = self.conn.event().await {}
        self.take_dialogue()
    }

    /// What was said since the last call.
    pub fn take_dialogue(&mut self) -> Dialogue {
        self.conn.machine.take_dialogue()
    }

    /// Version and cipher of the connection, if it is encrypted.
    pub fn tls(&self) -> Option<String> {
        self.conn.stream().tls()
    }

    async fn ready(&mut self) -> Result<(), Error> {
        match self.event().await? {
            Event::Ready => Ok(()),
            _ => Err(self.odd()),
        }
    }

    async fn upgrade(&mut self, desk: &Desk) -> Result<(), Error> {
        if !self.conn.machine.offers().starttls {
            return Err(Error::Protocol { server: self.server.clone(), why: "offers no STARTTLS".to_owned() });
        }
        self.conn.machine.starttls();
        match self.event().await? {
            Event::StartTls => {}
            Event::TlsRefused(reply) => return Err(self.refused(reply)),
            _ => return Err(self.odd()),
        }
        let shake = self.conn.connect_tls(&desk.trust, &self.server).await;
        shake.map_err(|why| Error::Net { server: self.server.clone(), why })?;
        self.conn.machine.encrypted();
        self.ready().await
    }

    /// The next event that does not end the conversation.
    async fn event(&mut self) -> Result<Event, Error> {
        match self.conn.event().await {
            Ok(Some(Event::Failed(client::Failure { cause: client::Cause::Refused(reply), .. }))) => {
                Err(self.refused(reply))
            }
            Ok(Some(Event::Failed(failure))) => {
                Err(Error::Protocol { server: self.server.clone(), why: failure.to_string() })
            }
            Ok(Some(event)) => Ok(event),
            Ok(None) => Err(Error::Net { server: self.server.clone(), why: crate::net::Error::Closed }),
            Err(why) => Err(Error::Net { server: self.server.clone(), why }),
        }
    }

    fn refused(&self, reply: Reply) -> Error {
        Error::Refused { server: self.server.clone(), reply }
    }

    fn odd(&self) -> Error {
        Error::Protocol { server: self.server.clone(), why: "answered out of turn".to_owned() }
    }
}
