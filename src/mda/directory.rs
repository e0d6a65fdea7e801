//! The users who may log in at a listener.

use std::net::IpAddr;

use super::Mda;
use crate::journey::{Protocol, Recorder};
use crate::mail::Address;
use crate::net::{Conn, Lifetime, Machine};
use crate::world::HostGroup;

/// The users of the hosts behind a POP3 or IMAP listener. Cheap to clone.
#[derive(Clone)]
pub struct UserDirectory(HostGroup<Mda>);

/// The host with the mailboxes of a user is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HostOff;

/// A user who may log in.
#[derive(Clone)]
pub struct User {
    /// The address, which is also the login name.
    pub address: Address,
    /// The password.
    pub password: String,
    /// The host that stores the user's mailboxes.
    pub home: Mda,
}

impl UserDirectory {
    /// The users of these hosts.
    pub fn new(hosts: HostGroup<Mda>) -> Self {
        Self(hosts)
    }

    /// The host whose name is in the greeting.
    pub fn greeting_host(&self) -> &Mda {
        self.0.greeting()
    }

    /// Begins the record of a conversation of the greeting host with a client at this IP address, as
    /// [`Sessions::begin`](crate::journey::Sessions::begin). The recorder does nothing if conversations are not noted,
    /// or if the client is an MTA, MDA or name server of the world.
    pub(super) fn begin_record(&self, protocol: Protocol, client: IpAddr) -> Recorder {
        let context = self.greeting_host().context();
        context.emitter.sessions().begin(&context.world, protocol, &context.host, client)
    }

    /// Whether passwords are accepted before TLS is active: at public ports, whose connections stay on this machine.
    pub(super) fn has_cleartext_login(&self) -> bool {
        self.0.is_public()
    }

    /// Binds a connection at a public port to the host with the mailboxes of the user, which need not be the host that
    /// greets: the connection ends when that host stops, and the faults of its link apply. Returns how long the host is
    /// on; `None` at a port inside the world, where nothing is bound. Fails if the host is off.
    pub(super) fn enter<M: Machine + Unpin>(
        &self,
        user: &User,
        conn: &mut Conn<M>,
    ) -> Result<Option<Lifetime>, HostOff> {
        if !self.0.is_public() {
            return Ok(None);
        }
        let lifetime = user.home.lifetime().ok_or(HostOff)?;
        if user.home.host() != self.greeting_host().host() {
            conn.stop_also(lifetime.stop().clone());
        }
        if let Some(address) = user.home.address() {
            conn.answer_from(address);
        }
        Ok(Some(lifetime))
    }

    /// The user with this login name, which is a full address; `None` if the name is unknown, or no host of this
    /// listener has the mailboxes of the address's domain.
    pub fn user(&self, login: &str) -> Option<User> {
        let world = &self.greeting_host().context().world;
        let (address, password) = world.secret(login)?;
        let home = self.0.find([&world.domain(address.domain())?.mailboxes])?;
        Some(User { address, password: password.to_owned(), home: home.clone() })
    }
}
