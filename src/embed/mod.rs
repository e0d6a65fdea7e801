//! Postroad for Rust tests: each test starts its own world on free ports, which is removed when it is dropped.
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
//! // The program under test sends to the SMTP port of the world.
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

use crate::catalogue::Catalogue;
use crate::control;
use crate::host::{self, DataDir, Environment, Fault, PublicPorts, RunningWorld};
use crate::journey::{EventLog, Journey, JourneyFilter};
use crate::mda;
use crate::net::Net;
use crate::world::{Clock, InvalidWorld, Rng, Service, World};

pub use mailbox::{Mailbox, Message};

/// How long [`Mailbox::wait_for`] waits by default.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// Retained events.
const MAX_EVENTS: usize = 100_000;

/// Why a test world cannot be started, or an expected message did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A user is not a valid address.
    #[error("`{0}` is not a mailbox address such as ann@shop.test")]
    NoAddress(String),
    /// The world is invalid.
    #[error(transparent)]
    World(#[from] InvalidWorld),
    /// The world cannot be started.
    #[error(transparent)]
    Host(#[from] host::Error),
    /// The temporary folder cannot be created.
    #[error("no temporary folder: {0}")]
    Folder(#[from] std::io::Error),
    /// A fault that is not possible in this world.
    #[error("{0}")]
    Fault(String),
    /// A mailbox cannot be read.
    #[error(transparent)]
    Mailbox(#[from] mda::Error),
    /// The expected message did not arrive in time.
    #[error("the expected message did not arrive in {mailbox} of {user} within {within:?}; subjects there: {held:?}")]
    TimedOut {
        /// The user.
        user: String,
        /// The mailbox.
        mailbox: String,
        /// The timeout.
        within: Duration,
        /// The subjects of the messages in the mailbox.
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
    /// Adds a user by address. Each domain gets its own MTA and MDA, `mta-DOMAIN` and `mda-DOMAIN`, with `-` for each
    /// dot; mail to all other domains is delivered to mailboxes in `elsewhere`.
    #[must_use]
    pub fn user(mut self, address: &str) -> Self {
        self.users.push(address.to_owned());
        self
    }

    /// Sets the password of all users; by default `postroad`.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// Sets the text of a world file, which replaces the added users and the password. The public ports that it
    /// declares are not used, but free ones.
    #[must_use]
    pub fn world(mut self, text: &str) -> Self {
        self.world = Some(text.to_owned());
        self
    }

    /// Starts the world; when this returns, all its ports accept connections.
    ///
    /// # Errors
    /// A user address or the world is invalid, or the world cannot be started on this machine.
    pub async fn start(self) -> Result<Postroad, Error> {
        let text = match self.world {
            Some(text) => text,
            None => plan::world(&self.users, self.password.as_deref().unwrap_or("postroad"))?,
        };
        let world = Arc::new(World::parse("the world of the test", &text)?);
        let folder = tempfile::Builder::new().prefix("postroad-").tempdir()?;
        let (data, clock) = (DataDir::open(folder.path())?, Clock::wall());
        let public_ports = PublicPorts::free(&plan::ports(), Ipv4Addr::LOCALHOST.into());
        let store = data.store()?;
        let env = Environment {
            net: Net::loopback(world.addresses()),
            catalogue: Some(Catalogue::new(store.clone())),
            store,
            clock,
            rng: Rng::from_entropy(),
            event_log: EventLog::new(clock, MAX_EVENTS, true),
            authority: Arc::new(data.authority(&world, clock)?),
            world,
        };
        let mut running = RunningWorld::start(env, public_ports).await?;
        let http = running.bind_public(Service::Http).await?;
        let running = Arc::new(running);
        if let Some(listener) = http {
            running.spawn(control::serve(listener, running.clone(), control::Access::default(), running.stopping()));
        }
        Ok(Postroad { running, _data: (data, folder) })
    }
}

/// A running test world. When it is dropped, it stops, and its data is removed.
pub struct Postroad {
    running: Arc<RunningWorld>,
    /// The lock and the folder, which are released and removed at the end.
    _data: (DataDir, TempDir),
}

impl Postroad {
    /// Returns a builder for a test world, without users.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Returns the address at which a service listens; `None` if the world does not have it.
    pub fn at(&self, service: Service) -> Option<SocketAddr> {
        self.running.bound_ports().get(&service).copied()
    }

    /// Returns the services of the world, and the address at which each listens.
    pub fn ports(&self) -> &BTreeMap<Service, SocketAddr> {
        self.running.bound_ports()
    }

    /// Returns the address of the SMTP port, which accepts mail without a login.
    ///
    /// # Panics
    /// Never: each test world has all public ports.
    pub fn smtp(&self) -> SocketAddr {
        self.at(Service::Smtp).expect("each test world has all public ports")
    }

    /// Returns the root certificate in PEM, with which clients verify the servers of this world.
    pub fn root_certificate(&self) -> String {
        self.running.env.authority.root_pem()
    }

    /// Returns the INBOX of a user, or of any address in `elsewhere`; an address that is not valid is an error only
    /// when the mailbox is read.
    pub fn mailbox(&self, user: &str) -> Mailbox<'_> {
        Mailbox::of(&self.running, user, DEFAULT_TIMEOUT)
    }

    /// Returns the journeys of all messages so far that the event log has, with their events, in the order of their
    /// start. Those that cannot be read are left out.
    pub fn journeys(&self) -> Vec<Journey> {
        let event_log = &self.running.env.event_log;
        let all = event_log.journeys(&JourneyFilter::default(), u64::MAX, usize::MAX).map(|page| page.journeys);
        let oldest_first = all.into_iter().flatten().rev();
        oldest_first.filter_map(|state| event_log.journey(state.journey).ok().flatten()).collect()
    }

    /// Returns the names of the hosts of the world, sorted.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.running.env.world.hosts.keys().map(AsRef::as_ref)
    }

    /// Turns a host off; mail for it is queued. Does nothing if there is no such host.
    pub async fn turn_off(&self, host: &str) {
        self.running.turn_off(host).await;
    }

    /// Turns a host on again. Does nothing if it is on already, or if there is no such host.
    ///
    /// # Errors
    /// A fault keeps the host off, or a port of it is taken.
    pub async fn turn_on(&self, host: &str) -> Result<(), Error> {
        Ok(self.running.turn_on(host).await?)
    }

    /// Injects a fault, such as a cut link, a full disk, or a reply, and returns its id for [`Postroad::end`].
    /// [`host::OUTSIDE`] is the end of a link at which the programs are that use the ports.
    ///
    /// # Errors
    /// The fault is not possible in this world.
    pub async fn begin(&self, fault: Fault) -> Result<u64, Error> {
        self.running.validate(&fault).map_err(Error::Fault)?;
        Ok(self.running.begin_fault(fault).await.id)
    }

    /// Clears a fault by its id. Does nothing if it is cleared already. Other faults still apply, also to the same
    /// host.
    ///
    /// # Errors
    /// A host cannot be started again; the fault stays active.
    pub async fn end(&self, fault: u64) -> Result<(), Error> {
        self.running.end_fault(fault).await?;
        Ok(())
    }

    /// Clears all faults.
    ///
    /// # Errors
    /// A host cannot be started again; that fault stays active, and the others are cleared.
    pub async fn end_all(&self) -> Result<(), Error> {
        self.running.end_all_faults().await?;
        Ok(())
    }

    /// Stops the world and waits until it has stopped. Dropping it stops it without waiting.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}

impl Drop for Postroad {
    /// Asks the world to stop, without waiting for it.
    fn drop(&mut self) {
        self.running.request_stop();
    }
}
