//! Postroad: a mail world on one machine. Senders, relaying servers, mailbox servers and their DNS, all real actors on
//! real protocols, live on loopback sockets or in virtual time from a seed.
//!
//! # The way of one message
//!
//! 1. [`mua::Draft`] is written out, or [`mua::read_sources`] reads it from a file; [`mua::Submitter`] hands it to the
//!    sender's provider, logged in and over TLS.
//! 2. There [`mta::Reception`] answers the events of a [`smtp::server::Session`]: who may send what to whom. The bytes
//!    become a [`mail::Letter`]: trace lines in front, and below them a [`mail::Content`] that no hop touches.
//! 3. [`mta::Queue::put`] makes it durable in the [`store::Store`], in one commit with everything that waits, and
//!    returns a [`mta::Receipt`]; only who holds one answers `250`.
//! 4. When it is due, [`mta::Mta::run`] takes it, finds the next hop (its own MDA, a smart host, or what the
//!    [`dns::Resolver`] says), and sends it with a [`smtp::client::Session`]. A [`mta::Failure`] says whether it waits
//!    or goes back; [`mta::Settlement`] stores either in one commit, the report to the sender included.
//! 5. The next host does the same, until the last one speaks LMTP to [`mda::Lmtp`], which files it with
//!    [`mda::Mailboxes::deliver`] and wakes the sessions that wait.
//! 6. [`mda::Imap`] and [`mda::Pop3`] hand it out; [`mua::ImapMailbox`] and [`mua::Maildrop`] are their clients.
//!
//! Every step reports a [`journey::Event`]; [`journey::Audit`] tells from them what became of each message.
//!
//! # Rooms, from the ground up
//!
//! | floor | rooms |
//! |---|---|
//! | values | [`mail`], [`world`] |
//! | ground | [`net`], [`store`], [`journey`], [`auth`] |
//! | protocols without I/O | [`smtp`], [`imap`], [`pop3`], and [`dns`] with its server and resolver |
//! | actors | [`mua`], [`mta`], [`mda`] |
//! | a world brought to life | [`host`] |
//! | its uses | [`trip`], [`control`], [`demo`] |
//! | commands | [`cli`] |
//!
//! A room names only rooms on lower floors; the actors meet on the wire. A test keeps it so.
//!
//! # Example: a day in virtual time
//!
//! ```
//! use std::time::Duration;
//! use postroad::host::{Doors, Ground, Running};
//! use postroad::mua::Source;
//! use postroad::trip::{Plan, travel};
//! use postroad::world::World;
//!
//! #[tokio::main(flavor = "current_thread", start_paused = true)]
//! async fn main() -> anyhow::Result<()> {
//!     let world = World::journey();
//!     let (from, to) = world.letter.clone().expect("the default world has users");
//!     let ground = Ground::simulated(world, 8123, "2026-11-01T08:00:00Z".parse()?, false)?;
//!     let running = Running::start(ground, Doors::shut()).await?;
//!     running.turn_off("mta-sina").await;
//!     let message = Source { name: "hello".into(), message: "Subject: hello\r\n\r\nHello!\r\n".into(), mended: false };
//!     let plan = Plan { from, to, sources: vec![message], patience: Duration::from_secs(86_400) };
//!     let up_again = async {
//!         tokio::time::sleep(Duration::from_secs(6 * 3600)).await;
//!         running.turn_on("mta-sina").await
//!     };
//!     let (report, up) = tokio::join!(travel(&running, plan, |_| {}), up_again);
//!     up?;
//!     assert!(report?.is_intact());
//!     running.stop().await;
//!     Ok(())
//! }
//! ```

pub mod auth;
pub mod cli;
pub mod control;
pub mod demo;
pub mod dns;
pub mod host;
pub mod imap;
pub mod journey;
pub mod mail;
pub mod mda;
pub mod mta;
pub mod mua;
pub mod net;
pub mod pop3;
pub mod smtp;
pub mod store;
pub mod trip;
pub mod world;
