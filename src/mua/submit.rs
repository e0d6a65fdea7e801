//! Submits messages to the submission server of a user's provider. RFC 6409.

use super::{ClientContext, Error, Login, Security, Server, never_stopped};
use crate::mail::{Envelope, Message, Transcript};
use crate::net::Conn;
use crate::smtp::Reply;
use crate::smtp::client::{self, Config, Event, Session};

pub use crate::smtp::client::Verdict;

/// A connection to the provider, for one message after the other.
pub struct Submitter {
    conn: Box<Conn<Session>>,
    server: String,
}

impl Submitter {
    /// Connects, encrypts as configured, and logs in if there is a login.
    ///
    /// # Errors
    /// The connection failed, required encryption is not available, or the login was refused.
    pub async fn connect(context: &ClientContext, server: &Server, login: Option<&Login>) -> Result<Self, Error> {
        let stream = context.connect(server).await?;
        let config = Config { hello: context.hello.clone(), transcript: context.transcripts, ..Config::default() };
        let conn = Box::new(Conn::new(stream, Session::new(config), never_stopped()));
        let mut submitter = Self { conn, server: server.name.clone() };
        submitter.ready().await?;
        let offers = submitter.conn.machine.extensions().starttls;
        if server.security == Security::Upgrade || server.security == Security::UpgradeIfOffered && offers {
            submitter.upgrade(context).await?;
        }
        if let Some(login) = login {
            submitter.conn.machine.authenticate(&login.user, &login.password);
            match submitter.event().await? {
                Event::Ready => {}
                Event::LoginRefused(reply) => {
                    let (server, user) = (server.name.clone(), login.user.clone());
                    return Err(Error::Login { server, user, why: reply.to_string() });
                }
                Event::NoMechanism => {
                    let why = "it offers no login mechanism that this client supports".to_owned();
                    return Err(Error::Protocol { server: server.name.clone(), why });
                }
                _ => return Err(submitter.unexpected_reply()),
            }
        }
        Ok(submitter)
    }

    /// Submits one message; the verdicts are in the order of the envelope's recipients.
    ///
    /// # Errors
    /// The connection failed; the provider may or may not have accepted the message.
    pub async fn submit(&mut self, envelope: Envelope, message: &Message) -> Result<Vec<Verdict>, Error> {
        self.conn.machine.send(envelope, message);
        match self.event().await? {
            Event::Sent(outcome) => Ok(outcome.verdicts),
            _ => Err(self.unexpected_reply()),
        }
    }

    /// Ends the session, whatever the server replies, and returns the transcript, empty unless it is recorded.
    pub async fn quit(mut self) -> Transcript {
        self.conn.machine.quit();
        while let Ok(Some(_)) = self.conn.event().await {}
        self.take_transcript()
    }

    /// Takes the transcript since the last call, empty unless it is recorded.
    pub fn take_transcript(&mut self) -> Transcript {
        self.conn.machine.take_transcript()
    }

    /// Version and cipher of the connection, if it is encrypted.
    pub fn tls(&self) -> Option<String> {
        self.conn.stream().tls()
    }

    /// Waits until the session is ready for a request.
    async fn ready(&mut self) -> Result<(), Error> {
        match self.event().await? {
            Event::Ready => Ok(()),
            _ => Err(self.unexpected_reply()),
        }
    }

    /// Encrypts the connection by STARTTLS. An error if the server does not offer it or refuses it, or if the handshake
    /// fails.
    async fn upgrade(&mut self, context: &ClientContext) -> Result<(), Error> {
        if !self.conn.machine.extensions().starttls {
            return Err(Error::Protocol { server: self.server.clone(), why: "does not offer STARTTLS".to_owned() });
        }
        self.conn.machine.starttls();
        match self.event().await? {
            Event::StartTls => {}
            Event::TlsRefused(reply) => return Err(self.refusal(reply)),
            _ => return Err(self.unexpected_reply()),
        }
        let shake = self.conn.connect_tls(&context.trust, &self.server).await;
        shake.map_err(|why| Error::Net { server: self.server.clone(), why })?;
        self.conn.machine.encrypted();
        self.ready().await
    }

    /// The next event; what ends the session is an error.
    async fn event(&mut self) -> Result<Event, Error> {
        match self.conn.event().await {
            Ok(Some(Event::Failed(client::Failure { cause: client::Cause::Refused(reply), .. }))) => {
                Err(self.refusal(reply))
            }
            Ok(Some(Event::Failed(failure))) => {
                Err(Error::Protocol { server: self.server.clone(), why: failure.to_string() })
            }
            Ok(Some(event)) => Ok(event),
            Ok(None) => Err(Error::Net { server: self.server.clone(), why: crate::net::Error::Closed }),
            Err(why) => Err(Error::Net { server: self.server.clone(), why }),
        }
    }

    /// The error that the server refused a request, or ended the session, with this reply.
    fn refusal(&self, reply: Reply) -> Error {
        Error::Refused { server: self.server.clone(), reply }
    }

    /// The error that the server sent a reply that is not one to the request.
    fn unexpected_reply(&self) -> Error {
        Error::Protocol { server: self.server.clone(), why: "sent an unexpected reply".to_owned() }
    }
}
