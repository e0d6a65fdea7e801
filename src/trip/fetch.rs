//! The recipient's part of a trip.

use std::net::SocketAddr;

use bytes::Bytes;

use super::{Error, Progress};
use crate::dns::Resolver;
use crate::host::Ground;
use crate::journey::Protocol;
use crate::mail::{Address, Dialogue};
use crate::mua::{Desk, ImapMailbox, Login, Maildrop, Security, Server};
use crate::world::port;

/// Messages asked for at once.
const BATCH: usize = 50;

/// Everything in the recipient's maildrop.
pub(super) async fn pop3(
    ground: &Ground,
    to: &Address,
    progress: &impl Fn(Progress),
) -> Result<(Vec<Bytes>, Dialogue), Error> {
    let (desk, server) = server(ground, to, port::POP3, Security::Upgrade).await?;
    let mut maildrop = Maildrop::open(&desk, &server, &login(ground, to)).await?;
    let numbers: Vec<_> = maildrop.list().await?.into_iter().map(|entry| entry.number).collect();
    let mut messages = Vec::new();
    for batch in numbers.chunks(BATCH) {
        maildrop.retrieve(batch, |_, bytes| messages.push(bytes)).await?;
        progress(Progress::Fetched(Protocol::Pop3, messages.len()));
    }
    Ok((messages, maildrop.quit().await?))
}

/// Everything in the recipient's INBOX.
pub(super) async fn imap(ground: &Ground, to: &Address, progress: &impl Fn(Progress)) -> Result<Vec<Bytes>, Error> {
    let (desk, server) = server(ground, to, port::IMAPS, Security::Immediate).await?;
    let mut inbox = ImapMailbox::open(&desk, &server, &login(ground, to), "INBOX").await?;
    let mut messages = Vec::new();
    if inbox.messages != 0 {
        inbox
            .fetch("1:*", |_, bytes| {
                messages.push(bytes);
                progress(Progress::Fetched(Protocol::Imap, messages.len()));
            })
            .await?;
    }
    inbox.logout().await?;
    Ok(messages)
}

async fn server(ground: &Ground, to: &Address, port: u16, security: Security) -> Result<(Desk, Server), Error> {
    let (desk, resolver) = ground.desk()?;
    let world = &ground.world;
    let host = world.domain(to.domain()).and_then(|served| world.hosts.get(&served.mailboxes));
    let name = host.map_or_else(String::new, |host| host.fqdn.clone());
    let addresses = addresses(&resolver, &name, port).await?;
    Ok((desk, Server { name, addresses, security }))
}

pub(super) async fn addresses(resolver: &Resolver, name: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
    let found = resolver.addresses(name).await.map_err(|error| Error::Lookup(error.to_string()))?;
    Ok(found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
}

pub(super) fn login(ground: &Ground, user: &Address) -> Login {
    let secret = ground.world.secret(&user.to_string());
    let password = secret.map(|(_, password)| password.to_owned()).unwrap_or_default();
    Login { user: user.to_string(), password }
}
