//! People who fetch their mail, now and then.

use std::net::SocketAddr;
use std::sync::Arc;

use jiff::tz::TimeZone;
use tokio::time::sleep;

use super::file::{By, ReaderTable};
use crate::host::Running;
use crate::mail::Address;
use crate::mua::{Error, ImapMailbox, Login, Maildrop, Security, Server};
use crate::world::{Dice, port};

/// Looks after one person's mailbox for ever, from a random moment on, while the machine is on.
pub(super) async fn read(who: Address, table: ReaderTable, running: Arc<Running>, dice: Dice) {
    sleep(table.every.mul_f64(dice.share())).await;
    let mut seen = 0;
    loop {
        let hour = running.ground.clock.now().to_zoned(TimeZone::UTC).hour();
        let is_on = table
            .hours
            .is_none_or(|[from, to]| if from <= to { (from..to).contains(&hour) } else { from <= hour || hour < to });
        if is_on {
            match fetch(&who, table.by, &running, &mut seen).await {
                Ok(()) => {}
                // The server may be off, as others are; the next time is near.
                Err(error) => tracing::debug!(%who, %error, "mail could not be fetched"),
            }
        }
        sleep(table.every).await;
    }
}

/// Fetches what is new since `seen` messages. Everything stays on the server.
async fn fetch(who: &Address, by: By, running: &Running, seen: &mut usize) -> Result<(), Error> {
    let world = &running.ground.world;
    let host = world.domain(who.domain()).and_then(|served| world.hosts.get(&served.mailboxes));
    let (Some(host), Some((_, password)), Ok((desk, _))) =
        (host, world.secret(&who.to_string()), running.ground.desk())
    else {
        return Ok(());
    };
    let login = Login { user: who.to_string(), password: password.to_owned() };
    let port = if by == By::Pop3 { port::POP3S } else { port::IMAPS };
    let addresses = host.addresses.iter().map(|ip| SocketAddr::new(*ip, port)).collect();
    let server = Server { name: host.fqdn.clone(), addresses, security: Security::Immediate };
    match by {
        By::Pop3 => {
            let mut maildrop = Maildrop::open(&desk, &server, &login).await?;
            let numbers: Vec<_> = maildrop.list().await?.into_iter().map(|entry| entry.number).skip(*seen).collect();
            maildrop.retrieve(&numbers, |number, _| *seen = number).await?;
            maildrop.quit().await.map(drop)
        }
        By::Imap => {
            let mut inbox = ImapMailbox::open(&desk, &server, &login, "INBOX").await?;
            if *seen < inbox.messages as usize {
                inbox.fetch(&format!("{}:*", *seen + 1), |_, _| *seen += 1).await?;
            }
            inbox.logout().await.map(drop)
        }
    }
}
