//! Postroad inside a Rust test suite: a world of its own for each test, on free ports, gone when it is dropped.
//!
//! ```
//! # use std::io::{BufRead, BufReader, Write};
//! # use std::net::TcpStream;
//! use postroad::Postroad;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let post = Postroad::builder().user("ann@shop.test").user("bob@home.test").start().await?;
//!
//! // Here the program under test sends, to the SMTP port of the world.
//! let smtp = post.smtp();
//! # tokio::task::spawn_blocking(move || {
//! #     let mut lines = BufReader::new(TcpStream::connect(smtp).unwrap());
//! #     let message = "Subject: Welcome\r\n\r\nHello, Bob!\r\n.";
//! #     for words in ["EHLO me", "MAIL FROM:<ann@shop.test>", "RCPT TO:<bob@home.test>", "DATA", message, "QUIT"] {
//! #         let mut line = String::from("   -");
//! #         while line.as_bytes().get(3) == Some(&b'-') {
//! #             line.clear();
//! #             lines.read_line(&mut line).unwrap();
//! #         }
//! #         assert!(line.starts_with(['2', '3']), "{line}");
//! #         lines.get_mut().write_all(format!("{words}\r\n").as_bytes()).unwrap();
//! #     }
//! # }).await?;
//!
//! let message = post.mailbox("bob@home.test").wait_for(|message| message.subject() == "Welcome").await?;
//! assert_eq!(message.text(), "Hello, Bob!\r\n");
//! # Ok(())
//! # }
//! ```

mod mailbox;
mod plan;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use crate::control;
use crate::host::{self, Data, Doors, Fault, Ground, Running};
use crate::journey::{Audit, Journal, Story};
use crate::mda;
use crate::net::Net;
use crate::world::{Clock, Dice, Service, Unsound, World};

pub use mailbox::{Mailbox, Message};

/// How long [`Mailbox::wait_for`] waits, unless it is told.
const PATIENCE: Duration = Duration::from_secs(10);
/// Events kept.
const EVENTS_MAX: usize = 100_000;

/// Why a test world does not start, or does not show what was awaited.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A user that is no address.
    #[error("`{0}` is no address of a mailbox, such as ann@shop.test")]
    NoAddress(String),
    /// The world is not sound.
    #[error(transparent)]
    World(#[from] Unsound),
    /// It does not start.
    #[error(transparent)]
    Host(#[from] host::Error),
    /// There is no room for its data.
    #[error("no temporary folder: {0}")]
    Folder(#[from] std::io::Error),
    /// A fault that this world cannot have.
    #[error("{0}")]
    Fault(String),
    /// A mailbox cannot be read.
    #[error(transparent)]
    Mailbox(#[from] mda::Error),
    /// No such message came in time.
    #[error("nothing like that came to {mailbox} of {user} within {within:?}; it holds {held:?}")]
    TimedOut {
        /// Whose mailbox.
        user: String,
        /// Which one.
        mailbox: String,
        /// How long it was awaited.
        within: Duration,
        /// The subjects of what is there.
        held: Vec<String>,
    },
}

/// Describes a test world; see [`Postroad::builder`].
#[derive(Clone, Debug, Default)]
pub struct Builder {
    users: Vec<String>,
    password: Option<String>,
    world: Option<String>,
}

impl Builder {
    /// A user, by address. Each domain gets an MTA and an MDA of its own, `mta-DOMAIN` and `mda-DOMAIN`; mail to all
    /// other domains ends in mailboxes `elsewhere`.
    #[must_use]
    pub fn user(mut self, address: &str) -> Self {
        self.users.push(address.to_owned());
        self
    }

    /// The password of every user; `postroad` otherwise.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// The text of a world file, for hosts, routes and policies of its own. The users are then those of the file.
    #[must_use]
    pub fn world(mut self, text: &str) -> Self {
        self.world = Some(text.to_owned());
        self
    }

    /// Starts it; when this returns, every port listens.
    ///
    /// # Errors
    /// A user has no sound address, the world is not sound, or the machine has no room for it.
    pub async fn start(self) -> Result<Postroad, Error> {
        let text = match self.world {
            Some(text) => text,
            None => plan::world(&self.users, self.password.as_deref().unwrap_or("postroad"))?,
        };
        let world = Arc::new(World::parse("the world of the test", &text)?);
        let folder = tempfile::Builder::new().prefix("postroad-").tempdir()?;
        let (data, clock) = (Data::open(folder.path())?, Clock::wall());
        let doors = Doors::free(&plan::ports(), Ipv4Addr::LOCALHOST.into());
        let ground = Ground {
            net: Net::loopback(world.addresses()),
            store: data.store()?,
            clock,
            dice: Dice::from_entropy(),
            journal: Journal::new(clock, EVENTS_MAX, true),
            authority: Arc::new(data.authority(&world, clock)?),
            world,
        };
        let mut running = Running::start(ground, doors).await?;
        let http = running.open_door(Service::Http).await?;
        let running = Arc::new(running);
        if let Some(listener) = http {
            running.spawn(control::serve(listener, running.clone(), running.stopping()));
        }
        Ok(Postroad { running, _data: (data, folder) })
    }
}

/// A running world. Dropped, it stops, and its data is gone.
pub struct Postroad {
    running: Arc<Running>,
    /// Held, and removed in the end.
    _data: (Data, TempDir),
}

impl Postroad {
    /// Describes a world to start.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Where a service listens, if the world has it.
    pub fn at(&self, service: Service) -> Option<SocketAddr> {
        self.running.bound().get(&service).copied()
    }

    /// Every service, and where it listens.
    pub fn ports(&self) -> &BTreeMap<Service, SocketAddr> {
        self.running.bound()
    }

    /// Where mail is taken without a login.
    ///
    /// # Panics
    /// Never: each test world has all doors.
    pub fn smtp(&self) -> SocketAddr {
        self.at(Service::Smtp).expect("each test world has all doors")
    }

    /// The certificate, in PEM, by which clients know the servers of this world.
    pub fn root_certificate(&self) -> String {
        self.running.ground.authority.root_pem()
    }

    /// The INBOX of a user, or of anybody elsewhere.
    pub fn mailbox(&self, user: &str) -> Mailbox<'_> {
        Mailbox::of(&self.running, user, PATIENCE)
    }

    /// What has happened to each message so far, in the order in which they began.
    pub fn stories(&self) -> Vec<Story> {
        Audit::of(self.running.ground.journal.since(0)).stories().cloned().collect()
    }

    /// The hosts of the world, by name.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.running.ground.world.hosts.keys().map(AsRef::as_ref)
    }

    /// Turns a host off: mail for it waits, as on the day when it is down.
    pub async fn turn_off(&self, host: &str) {
        self.running.turn_off(host).await;
    }

    /// Turns it on again.
    ///
    /// # Errors
    /// A port that it needs is taken.
    pub async fn turn_on(&self, host: &str) -> Result<(), Error> {
        Ok(self.running.turn_on(host).await?)
    }

    /// Lets something go wrong until [`Postroad::end`]: a cut link, a full disk, a reply of your choice, as scenarios do.
    ///
    /// # Errors
    /// It names what this world does not have, or what exists in virtual time only.
    pub async fn begin(&self, fault: Fault) -> Result<u64, Error> {
        self.running.knows(&fault).map_err(Error::Fault)?;
        Ok(self.running.begin_fault(fault).await.id)
    }

    /// Ends a fault. One that has ended already is no error.
    ///
    /// # Errors
    /// A host does not come up again.
    pub async fn end(&self, fault: u64) -> Result<(), Error> {
        self.running.end_fault(fault).await?;
        Ok(())
    }

    /// Stops it and waits for that. Dropping it stops it, too.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}

impl Drop for Postroad {
    fn drop(&mut self) {
        self.running.stop_soon();
    }
}
