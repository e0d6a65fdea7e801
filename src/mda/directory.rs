//! Which users may log in at a listener: those of one host, or those of all hosts.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Mda;
use crate::mail::Address;
use crate::world::HostName;

/// The users behind a POP3 or IMAP listener. Cheap to clone.
#[derive(Clone)]
pub struct UserDirectory {
    hosts: Arc<BTreeMap<HostName, Mda>>,
    /// The host whose name is in the greeting.
    greeting_host: Mda,
}

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
    /// The users of one host.
    pub fn for_host(mda: Mda) -> Self {
        Self { hosts: Arc::new([(mda.host().clone(), mda.clone())].into()), greeting_host: mda }
    }

    /// The users of all these hosts; `greeting_host` is one of them.
    pub fn for_all_hosts(hosts: Arc<BTreeMap<HostName, Mda>>, greeting_host: Mda) -> Self {
        Self { hosts, greeting_host }
    }

    /// The host whose name is in the greeting.
    pub fn greeting_host(&self) -> &Mda {
        &self.greeting_host
    }

    /// Looks up the user with this login name, which is an address.
    pub fn user(&self, login: &str) -> Option<User> {
        let world = &self.greeting_host.context().world;
        let (address, password) = world.secret(login)?;
        let home = self.hosts.get(&world.domain(address.domain())?.mailboxes)?;
        Some(User { address, password: password.to_owned(), home: home.clone() })
    }
}
