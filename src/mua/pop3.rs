//! Fetches from a maildrop over POP3.

use bytes::Bytes;

use super::{Desk, Error, Login, Security, Server, unstoppable};
use crate::mail::Dialogue;
use crate::net::Conn;
use crate::pop3::client::{Entry, Event, Session, Setup, StartTls};

/// Larger messages are not read into memory.
const MESSAGE_OCTETS_MAX: usize = 256 * 1024 * 1024;

/// A session with a maildrop.
pub struct Maildrop {
    conn: Conn<Session>,
    server: String,
}

impl Maildrop {
    /// Connects, encrypts as the server's entry says, and logs in.
    ///
    /// # Errors
    /// No connection, no encryption where it is asked for, or the login was refused.
    pub async fn open(desk: &Desk, server: &Server, login: &Login) -> Result<Self, Error> {
        let stream = desk.connect(server).await?;
        let setup = Setup {
            user: login.user.clone(),
            password: login.password.clone(),
            starttls: if server.security == Security::Upgrade { StartTls::Required } else { StartTls::Never },
            message_octets_max: MESSAGE_OCTETS_MAX,
            record: desk.dialogues,
        };
        let session = Session::new(setup, server.security == Security::Immediate);
        let mut maildrop = Self { conn: Conn::new(stream, session, unstoppable()), server: server.name.clone() };
        loop {
            match maildrop.event().await? {
                Event::Ready => return Ok(maildrop),
                Event::StartTls => {
                    let shake = maildrop.conn.connect_tls(&desk.trust, &server.name).await;
                    shake.map_err(|why| Error::Net { server: server.name.clone(), why })?;
                    maildrop.conn.machine.encrypted();
                }
                Event::LoginRefused(why) => {
                    return Err(Error::Login { server: server.name.clone(), user: login.user.clone(), why });
                }
                _ => return Err(maildrop.odd()),
            }
        }
    }

    /// What is there.
    ///
    /// # Errors
    /// The server refused, or the connection broke; so with all that follow.
    pub async fn list(&mut self) -> Result<Vec<Entry>, Error> {
        self.conn.machine.list();
        match self.event().await? {
            Event::Listing(entries) => Ok(entries),
            _ => Err(self.odd()),
        }
    }

    /// Fetches these messages, in order; many are asked for at once where the server allows it.
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
                _ => return Err(self.odd()),
            }
        }
        Ok(())
    }

    /// Marks a message for deletion; it goes with [`Maildrop::quit`].
    ///
    /// # Errors
    /// As [`Maildrop::list`].
    pub async fn delete(&mut self, number: usize) -> Result<(), Error> {
        self.conn.machine.delete(number);
        match self.event().await? {
            Event::Deleted { .. } => Ok(()),
            _ => Err(self.odd()),
        }
    }

    /// Ends the session: what was marked is deleted. Returns what was said, if the desk keeps records.
    ///
    /// # Errors
    /// As [`Maildrop::list`]; then nothing was deleted.
    pub async fn quit(mut self) -> Result<Dialogue, Error> {
        self.conn.machine.quit();
        match self.event().await? {
            Event::Closed => Ok(self.conn.machine.dialogue().cloned().unwrap_or_default()),
            _ => Err(self.odd()),
        }
    }

    async fn event(&mut self) -> Result<Event, Error> {
        let protocol = |why: String| Error::Protocol { server: self.server.clone(), why };
        match self.conn.event().await {
            Ok(Some(Event::Failed(failure))) => Err(protocol(failure.to_string())),
            Ok(Some(Event::Refused { command, text })) => Err(protocol(format!("answered {command} with: {text}"))),
            Ok(Some(event)) => Ok(event),
            Ok(None) => Err(protocol("hung up".to_owned())),
            Err(why) => Err(Error::Net { server: self.server.clone(), why }),
        }
    }

    fn odd(&self) -> Error {
        Error::Protocol { server: self.server.clone(), why: "answered out of turn".to_owned() }
    }
}
