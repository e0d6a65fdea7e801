//! The recipient's part of a round trip.

use std::net::SocketAddr;

use bytes::Bytes;

use super::{Error, Progress};
use crate::dns::Resolver;
use crate::host::Environment;
use crate::journey::Protocol;
use crate::mail::{Address, Transcript};
use crate::mua::{ClientContext, ImapMailbox, Login, Maildrop, Security, Server};
use crate::world::port;

/// Messages requested in one pipelined batch.
const BATCH_MESSAGES: usize = 50;

/// What is in the recipient's mailbox, by protocol, and what was said to get it.
#[derive(Default)]
pub(super) struct Fetched {
    pub(super) pop3: (Vec<Bytes>, Transcript),
    pub(super) imap: (Vec<Bytes>, Transcript),
}

/// Fetches all messages of the recipient over POP3 and then over IMAP; after an error of either, returns that error and
/// no messages. Calls `progress` as each protocol does.
pub(super) async fn all(env: &Environment, to: &Address, progress: &impl Fn(Progress)) -> Result<Fetched, Error> {
    Ok(Fetched { pop3: pop3(env, to, progress).await?, imap: imap(env, to, progress).await? })
}

/// Fetches all messages of the recipient's maildrop over POP3, and returns them with the transcript; they stay there.
/// Calls `progress` after each batch of [`BATCH_MESSAGES`].
pub(super) async fn pop3(
    env: &Environment,
    to: &Address,
    progress: &impl Fn(Progress),
) -> Result<(Vec<Bytes>, Transcript), Error> {
    let (context, server) = server(env, to, port::POP3, Security::Upgrade).await?;
    let mut maildrop = Maildrop::open(&context, &server, &login(env, to)).await?;
    let numbers: Vec<_> = maildrop.list().await?.into_iter().map(|entry| entry.number).collect();
    let mut messages = Vec::new();
    for batch in numbers.chunks(BATCH_MESSAGES) {
        maildrop.retrieve(batch, |_, bytes| messages.push(bytes)).await?;
        progress(Progress::Fetched(Protocol::Pop3, messages.len()));
    }
    Ok((messages, maildrop.quit().await?))
}

/// Fetches all messages of the recipient's INBOX over IMAP, and returns them with the transcript; they stay there.
/// Calls `progress` after each message.
async fn imap(
    env: &Environment,
    to: &Address,
    progress: &impl Fn(Progress),
) -> Result<(Vec<Bytes>, Transcript), Error> {
    let (context, server) = server(env, to, port::IMAPS, Security::Immediate).await?;
    let mut inbox = ImapMailbox::open(&context, &server, &login(env, to), "INBOX").await?;
    let mut messages = Vec::new();
    if inbox.messages != 0 {
        inbox
            .fetch("1:*", |_, bytes| {
                messages.push(bytes);
                progress(Progress::Fetched(Protocol::Imap, messages.len()));
            })
            .await?;
    }
    Ok((messages, inbox.logout().await?))
}

/// Returns the client side of the world, and the MDA with the mailbox of this user at this port, looked up in the DNS.
/// An error if the user has no mailbox, or the name of the MDA is not found.
async fn server(
    env: &Environment,
    to: &Address,
    port: u16,
    security: Security,
) -> Result<(ClientContext, Server), Error> {
    let (context, resolver) = env.client_context()?;
    let world = &env.world;
    let served = world.domain(to.domain()).filter(|_| world.has_mailbox(to));
    let host = served.and_then(|served| world.hosts.get(&served.mailboxes));
    let name = host.ok_or_else(|| Error::NoMailbox(to.clone()))?.fqdn.clone();
    let addresses = addresses(&resolver, &name, port).await?;
    Ok((context, Server { name, addresses, security }))
}

/// Looks up the addresses of a name in the DNS of the world, and returns each with this port; [`Error::Lookup`] if that
/// fails.
pub(super) async fn addresses(resolver: &Resolver, name: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
    let found = resolver.addresses(name).await.map_err(|error| Error::Lookup(error.to_string()))?;
    Ok(found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
}

/// The login of a user, for POP3, IMAP and submission: the full address, and the password that the world declares. The
/// password of an unknown user is empty.
pub(super) fn login(env: &Environment, user: &Address) -> Login {
    let secret = env.world.secret(&user.to_string());
    let password = secret.map(|(_, password)| password.to_owned()).unwrap_or_default();
    Login { user: user.to_string(), password }
}
