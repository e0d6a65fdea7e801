//! Clients that fetch mail at intervals.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::time::sleep;

use super::file::{By, ReaderTable};
use crate::host::RunningWorld;
use crate::mail::Address;
use crate::mua::{Error, ImapMailbox, Login, Maildrop, Security, Server};
use crate::world::{Rng, port};

/// How long one IDLE command lasts. RFC 9051 §6.3.13.
const IDLE_DURATION: Duration = Duration::from_secs(29 * 60);

/// Fetches the mail of one account for ever, each time `every` after the last, during the hours of its table. The first
/// time is after a random part of `every`.
pub(super) async fn run(user: Address, table: ReaderTable, running: Arc<RunningWorld>, rng: Rng) {
    sleep(table.every.mul_f64(rng.next_f64())).await;
    let mut reader = Reader { user, table, running, seen: 0 };
    loop {
        if reader.is_on()
            && let Err(error) = reader.fetch().await
        {
            // The server may be off; the next attempt follows.
            tracing::debug!(user = %reader.user, %error, "cannot fetch mail");
        }
        sleep(reader.table.every).await;
    }
}

struct Reader {
    user: Address,
    table: ReaderTable,
    running: Arc<RunningWorld>,
    /// Number of messages fetched; they stay on the server.
    seen: usize,
}

impl Reader {
    /// Whether the current hour in UTC is one of the table's hours, which may go past midnight.
    fn is_on(&self) -> bool {
        let hour = self.running.env.clock.now().to_zoned(TimeZone::UTC).hour();
        self.table
            .hours
            .is_none_or(|[from, to]| if from <= to { (from..to).contains(&hour) } else { from <= hour || hour < to })
    }

    /// Fetches new messages by the table's protocol, over a new connection; with IDLE, stays connected during the
    /// table's hours. Does nothing if the world lacks the user, the host of the mailbox or a MUA.
    async fn fetch(&mut self) -> Result<(), Error> {
        let (running, by) = (self.running.clone(), self.table.by);
        let world = &running.env.world;
        let host = world.domain(self.user.domain()).and_then(|served| world.hosts.get(&served.mailboxes));
        let (Some(host), Some((_, password)), Ok((context, _))) =
            (host, world.secret(&self.user.to_string()), running.env.client_context())
        else {
            return Ok(());
        };
        let login = Login { user: self.user.to_string(), password: password.to_owned() };
        let port = if by == By::Pop3 { port::POP3S } else { port::IMAPS };
        let addresses = host.addresses.iter().map(|ip| SocketAddr::new(*ip, port)).collect();
        let server = Server { name: host.fqdn.clone(), addresses, security: Security::Immediate };
        if by == By::Pop3 {
            let mut maildrop = Maildrop::open(&context, &server, &login).await?;
            let entries = maildrop.list().await?;
            let numbers: Vec<_> = entries.into_iter().map(|entry| entry.number).skip(self.seen).collect();
            maildrop.retrieve(&numbers, |number, _| self.seen = number).await?;
            return maildrop.quit().await.map(drop);
        }
        let mut inbox = ImapMailbox::open(&context, &server, &login, "INBOX").await?;
        self.fetch_new(&mut inbox).await?;
        while by == By::Idle && self.is_on() {
            inbox.idle(IDLE_DURATION).await?;
            self.fetch_new(&mut inbox).await?;
        }
        inbox.logout().await.map(drop)
    }

    /// Fetches the messages of the INBOX behind those that were fetched before, and counts them.
    async fn fetch_new(&mut self, inbox: &mut ImapMailbox) -> Result<(), Error> {
        if self.seen < inbox.messages as usize {
            inbox.fetch(&format!("{}:*", self.seen + 1), |_, _| self.seen += 1).await?;
        }
        Ok(())
    }
}
