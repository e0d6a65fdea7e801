//! Postroad: a mail world on one machine.
//!
//! # The path of a message
//!
//! ```text
//! mua ──submission──▶ mta ──SMTP──▶ mta ──SMTP──▶ mta ──LMTP──▶ mda ◀──POP3, IMAP── mua
//! ```
//!
//! 1. A [`mua::Draft`] is composed, or a file is read as a [`mua::Source`]. A [`mua::Submitter`] logs in at the
//!    sender's provider and sends it: [`mua::Submitter::submit`].
//! 2. At the provider, an [`smtp::server::Session`] parses commands and message data. It does no I/O: [`net::Conn`]
//!    drives it, as it drives every [`net::Machine`]. Its [`smtp::server::Server`] leaves decisions to the
//!    [`mta::SmtpPolicy`]: may this user write to that [`mail::Recipient`]?
//! 3. The data becomes a [`mail::Message`]: trace fields, to which each hop adds, and a [`mail::Content`], which no hop
//!    changes. The `Received` field has the [`mail::JourneyId`], which identifies the message at all hosts.
//! 4. [`mta::Queue::put`] makes it durable in the [`store::Store`], together with all other messages that arrive during
//!    a commit. It returns an [`mta::Receipt`], without which no `250` can be sent: `250` means responsibility for the
//!    message (RFC 5321 §6.1).
//! 5. [`mta::Mta::start`] takes the message from the queue when it is due, and looks up the next host with the
//!    [`dns::Resolver`]: [`dns::Resolver::mx`].
//! 6. An [`smtp::client::Session`] relays it. Each recipient is then done, retried later, or failed, which an
//!    [`mta::Failure`] explains and a report tells the sender. [`mta::Queue::settle`] stores that in one commit.
//! 7. The next host continues with step 2. The last MTA, which serves the recipient's domain, sends the message over
//!    LMTP to an MDA, whose [`mda::LmtpPolicy`] stores it with [`mda::Mailboxes::deliver`]; clients in IDLE are told.
//! 8. [`mda::Pop3`] and [`mda::Imap`] serve it to a [`mua::Maildrop`], a [`mua::ImapMailbox`], or any other client.
//!
//! Every step is recorded as a [`journey::Event`]; [`journey::EventLog`] groups them into [`journey::Journey`]s.
//!
//! # Worlds
//!
//! A [`world::World`] is declared in a file, and checked as a whole. [`host::Environment`] has the dependencies of its
//! hosts: network, store, clock, random numbers. [`host::RunningWorld`] is the running hosts, and [`control`] is its
//! HTTP interface. With tokio's clock paused, a round trip takes no real time, even if a host is off for six hours:
//!
//! ```
//! use std::time::Duration;
//!
//! use postroad::host::{Environment, PublicPorts, RunningWorld};
//! use postroad::mua::Source;
//! use postroad::roundtrip::{self, Plan};
//! use postroad::world::World;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let env = Environment::simulated(World::journey(), 1, "2026-11-01T08:00:00Z".parse()?, false)?;
//! let running = RunningWorld::start(env, PublicPorts::none()).await?;
//!
//! let message = "Subject: hello\r\n\r\nHello!\r\n".into();
//! let plan = Plan {
//!     from: "me@163.test".parse()?,
//!     to: "friend@sina.test".parse()?,
//!     sources: vec![Source { name: "a message".to_owned(), message, normalized: false }],
//!     timeout: Duration::from_secs(24 * 3600),
//! };
//! running.turn_off("mta-sina").await;
//! let turned_on = async {
//!     tokio::time::sleep(Duration::from_secs(6 * 3600)).await;
//!     running.turn_on("mta-sina").await
//! };
//! let (report, turned_on) = tokio::join!(roundtrip::run(&running.env, plan, |_| {}), turned_on);
//! turned_on?;
//! assert!(report?.is_intact());
//! running.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Modules
//!
//! A module names only modules of lower layers; ARCHITECTURE.md lists them, and `tests/tidy.rs` checks it.

pub mod auth;
pub mod bench;
pub mod catalogue;
pub mod cli;
pub mod control;
pub mod demo;
pub mod dns;
pub mod embed;
pub mod host;
pub mod imap;
pub mod journey;
pub mod mail;
pub mod mda;
pub mod mta;
pub mod mua;
pub mod net;
pub mod page;
pub mod pop3;
pub mod roundtrip;
pub mod sim;
pub mod smtp;
pub mod store;
mod sync;
pub mod world;

pub use embed::Postroad;
