//! Postroad: a mail world on one machine.
//!
//! # The way of one message
//!
//! ```text
//! mua ──submission──▶ mta ──SMTP──▶ mta ──SMTP──▶ mta ──LMTP──▶ mda ◀──POP3, IMAP── mua
//! ```
//!
//! 1. A [`mua::Draft`] is written, or a file becomes a [`mua::Source`]. A [`mua::Submitter`] logs in at the sender's
//!    provider and sends it: [`mua::Submitter::submit`].
//! 2. There an [`smtp::server::Session`] reads commands and bytes. It knows no socket: [`net::Conn`] runs it, as it
//!    runs every [`net::Machine`]. What it cannot decide alone it asks the [`mta::Reception`]: may this user write to
//!    that [`mail::Recipient`]?
//! 3. The bytes become a [`mail::Letter`]: trace lines, which each hop puts on top, and a [`mail::Content`], which no
//!    hop touches. The `Received` line carries the [`mail::JourneyId`] by which every host knows the message.
//! 4. [`mta::Queue::put`] makes it durable in the [`store::Store`], with all else that waits, in one commit. Only then
//!    there is an [`mta::Receipt`], and only from that the `250` that takes over responsibility (RFC 5321 §6.1).
//! 5. [`mta::Mta::start`] takes it out when it is due, and asks the [`dns::Resolver`] for the next host:
//!    [`dns::Resolver::mx`].
//! 6. An [`smtp::client::Session`] passes it on. Its verdict on each recipient decides: done, wait, or give up, which
//!    an [`mta::Failure`] explains and a report tells the sender. [`mta::Queue::settle`] stores that in one commit.
//! 7. The next host does the same from step 2, until one serves the recipient's domain. That one speaks LMTP to
//!    [`mda::Lmtp`], which files the letter by [`mda::Mailboxes::deliver`]; whoever waits in IDLE is woken.
//! 8. [`mda::Pop3`] and [`mda::Imap`] hand it out, to a [`mua::Maildrop`], a [`mua::ImapMailbox`], or any program.
//!
//! Every step is one [`journey::Event`]; a [`journey::Audit`] makes a [`journey::Story`] of them.
//!
//! # Worlds
//!
//! A [`world::World`] is declared in a file, and checked as a whole. [`host::Ground`] is what its hosts stand on: the
//! wire, the disk, the clock, the dice. [`host::Running`] is the hosts themselves; [`control`] answers over HTTP about
//! them. When tokio's clock is paused, a trip takes no real time, not even past a host that is off for six hours:
//!
//! ```
//! use std::time::Duration;
//!
//! use postroad::host::{Doors, Ground, Running};
//! use postroad::mua::Source;
//! use postroad::trip::{Plan, travel};
//! use postroad::world::World;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let ground = Ground::simulated(World::journey(), 1, "2026-11-01T08:00:00Z".parse()?, false)?;
//! let running = Running::start(ground, Doors::shut()).await?;
//!
//! let message = "Subject: hello\r\n\r\nHello!\r\n".into();
//! let plan = Plan {
//!     from: "me@163.test".parse()?,
//!     to: "friend@sina.test".parse()?,
//!     sources: vec![Source { name: "a letter".to_owned(), message, mended: false }],
//!     patience: Duration::from_secs(24 * 3600),
//! };
//! running.turn_off("mta-sina").await;
//! let mended = async {
//!     tokio::time::sleep(Duration::from_secs(6 * 3600)).await;
//!     running.turn_on("mta-sina").await
//! };
//! let (report, mended) = tokio::join!(travel(&running.ground, plan, |_| {}), mended);
//! mended?;
//! assert!(report?.is_intact());
//! running.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Rooms
//!
//! A room names only rooms on lower floors; ARCHITECTURE.md draws them, and `tests/tidy.rs` keeps it true.

pub mod auth;
pub mod bench;
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
pub mod pop3;
pub mod sim;
pub mod smtp;
pub mod store;
mod sync;
pub mod trip;
pub mod world;

pub use embed::Postroad;
