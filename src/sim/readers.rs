//! People who fetch their mail, now and then.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::time::sleep;

use super::file::{By, ReaderTable};
use crate::host::Running;
use crate::mail::Address;
use crate::mua::{Error, ImapMailbox, Login, Maildrop, Security, Server};
use crate::world::{Dice, port};

/// RFC 9051 §6.3.13.
const IDLE: Duration = Duration::from_secs(29 * 60);

/// Looks after one person's mailbox for ever, from a random moment on, while the machine is on.
pub(super) async fn read(who: Address, table: ReaderTable, running: Arc<Running>, dice: Dice) {
    sleep(table.every.mul_f64(dice.share())).await;
    let mut reader = Reader { who, table, running, seen: 0 };
    loop {
        if reader.is_on()
            && let Err(error) = reader.fetch().await
        {
            // The server may be off, as others are; the next time is near.
            tracing::debug!(who = %reader.who, %error, "mail could not be fetched");
        }
        sleep(reader.table.every).await;
    }
}

struct Reader {
    who: Address,
    table: ReaderTable,
    running: Arc<Running>,
    /// So many messages were fetched; everything stays on the server.
    seen: usize,
}

impl Reader {
    fn is_on(&self) -> bool {
        let hour = self.running.ground.clock.now().to_zoned(TimeZone::UTC).hour();
        self.table
            .hours
            .is_none_or(|[from, to]| if from <= to { (from..to).contains(&hour) } else { from <= hour || hour < to })
    }

    /// Fetches what is new; who sits in IDLE stays as long as the machine is on.
    async fn fetch(&mut self) -> Result<(), Error> {
        let (running, by) = (self.running.clone(), self.table.by);
        let world = &running.ground.world;
        let host = world.domain(self.who.domain()).and_then(|served| world.hosts.get(&served.mailboxes));
        let (Some(host), Some((_, password)), Ok((desk, _))) =
            (host, world.secret(&self.who.to_string()), running.ground.desk())
        else {
            return Ok(());
        };
        let login = Login { user: self.who.to_string(), password: password.to_owned() };
        let port = if by == By::Pop3 { port::POP3S } else { port::IMAPS };
        let addresses = host.addresses.iter().map(|ip| SocketAddr::new(*ip, port)).collect();
        let server = Server { name: host.fqdn.clone(), addresses, security: Security::Immediate };
        if by == By::Pop3 {
            let mut maildrop = Maildrop::open(&desk, &server, &login).await?;
            let entries = maildrop.list().await?;
            let numbers: Vec<_> = entries.into_iter().map(|entry| entry.number).skip(self.seen).collect();
            maildrop.retrieve(&numbers, |number, _| self.seen = number).await?;
            return maildrop.quit().await.map(drop);
        }
        let mut inbox = ImapMailbox::open(&desk, &server, &login, "INBOX").await?;
        self.fetch_new(&mut inbox).await?;
        while by == By::Idle && self.is_on() {
            inbox.idle(IDLE).await?;
            self.fetch_new(&mut inbox).await?;
        }
        inbox.logout().await.map(drop)
    }

    async fn fetch_new(&mut self, inbox: &mut ImapMailbox) -> Result<(), Error> {
        if self.seen < inbox.messages as usize {
            inbox.fetch(&format!("{}:*", self.seen + 1), |_, _| self.seen += 1).await?;
        }
        Ok(())
    }
}
