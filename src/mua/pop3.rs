//! Fetches messages from a maildrop over POP3.

use bytes::Bytes;

use super::{ClientContext, Error, Login, Security, Server, never_stopped};
use crate::mail::Transcript;
use crate::net::Conn;
use crate::pop3::client::{Config, Entry, Event, Session, StartTls};

/// The largest message that is read into memory.
const MAX_MESSAGE_BYTES: usize = 256 * 1024 * 1024;

/// A session with a maildrop.
pub struct Maildrop {
    conn: Conn<Session>,
    server: String,
}

impl Maildrop {
    /// Connects, encrypts as configured, and logs in.
    ///
    /// # Errors
    /// The connection failed, required encryption is not available, or the login was refused.
    pub async fn open(context: &ClientContext, server: &Server, login: &Login) -> Result<Self, Error> {
        let stream = context.connect(server).await?;
        let setup = Config {
            user: login.user.clone(),
            password: login.password.clone(),
            starttls: match server.security {
                Security::Upgrade => StartTls::Required,
                Security::UpgradeIfOffered => StartTls::IfOffered,
                Security::Plain | Security::Immediate => StartTls::Never,
            },
            max_message_bytes: MAX_MESSAGE_BYTES,
            transcript: context.transcripts,
        };
        let session = Session::new(setup, server.security == Security::Immediate);
        let mut maildrop = Self { conn: Conn::new(stream, session, never_stopped()), server: server.name.clone() };
        loop {
            match maildrop.event().await? {
                Event::Ready => return Ok(maildrop),
                Event::StartTls => {
                    let shake = maildrop.conn.connect_tls(&context.trust, &server.name).await;
                    shake.map_err(|why| Error::Net { server: server.name.clone(), why })?;
                    maildrop.conn.machine.encrypted();
                }
                Event::LoginRefused(why) => {
                    return Err(Error::Login { server: server.name.clone(), user: login.user.clone(), why });
                }
                _ => return Err(maildrop.unexpected_reply()),
            }
        }
    }

    /// Lists the messages.
    ///
    /// # Errors
    /// The server refused, or the connection failed.
    pub async fn list(&mut self) -> Result<Vec<Entry>, Error> {
        self.conn.machine.list();
        match self.event().await? {
            Event::Listing(entries) => Ok(entries),
            _ => Err(self.unexpected_reply()),
        }
    }

    /// Fetches these messages, in order, and calls `each` with the number and the bytes, without dot stuffing; requests
    /// are pipelined if the server supports it.
    ///
    /// # Errors
    /// As [`Maildrop::list`].
    pub async fn retrieve(&mut self, numbers: &[usize], mut each: impl FnMut(usize, Bytes)) -> Result<(), Error> {
        for number in numbers {
            self.conn.machine.retrieve(*number);
        }
        for _ in numbers {
            match self.event().await? {
                Event::Message { number, bytes } => each(number, bytes),
                _ => return Err(self.unexpected_reply()),
            }
        }
        Ok(())
    }

    /// Marks a message for deletion by [`Maildrop::quit`].
    ///
    /// # Errors
    /// As [`Maildrop::list`].
    pub async fn delete(&mut self, number: usize) -> Result<(), Error> {
        self.conn.machine.delete(number);
        match self.event().await? {
            Event::Deleted { .. } => Ok(()),
            _ => Err(self.unexpected_reply()),
        }
    }

    /// Ends the session, which deletes the marked messages. Returns the transcript, empty unless it is recorded.
    ///
    /// # Errors
    /// As [`Maildrop::list`]; the marked messages may or may not have been deleted then.
    pub async fn quit(mut self) -> Result<Transcript, Error> {
        self.conn.machine.quit();
        match self.event().await? {
            Event::Closed => Ok(self.conn.machine.transcript().cloned().unwrap_or_default()),
            _ => Err(self.unexpected_reply()),
        }
    }

    /// The next event; a failure of the session, a refused command and the end of the connection are errors.
    async fn event(&mut self) -> Result<Event, Error> {
        let protocol = |why: String| Error::Protocol { server: self.server.clone(), why };
        match self.conn.event().await {
            Ok(Some(Event::Failed(failure))) => Err(protocol(failure.to_string())),
            Ok(Some(Event::Refused { command, text })) => Err(protocol(format!("replied to {command} with: {text}"))),
            Ok(Some(event)) => Ok(event),
            Ok(None) => Err(protocol("closed the connection".to_owned())),
            Err(why) => Err(Error::Net { server: self.server.clone(), why }),
        }
    }

    /// The error that the server sent a reply that is not one to the request.
    fn unexpected_reply(&self) -> Error {
        Error::Protocol { server: self.server.clone(), why: "sent an unexpected reply".to_owned() }
    }
}
