//! Which mailboxes a door leads to: those of one host, or those of all.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Mda;
use crate::mail::Address;
use crate::world::HostName;

/// What is behind a POP3 or IMAP listener. Cheap to clone.
#[derive(Clone)]
pub struct Site {
    hosts: Arc<BTreeMap<HostName, Mda>>,
    /// In whose name it speaks before it knows who is there.
    face: Mda,
}

/// Someone who may log in.
#[derive(Clone)]
pub struct User {
    /// The address.
    pub address: Address,
    /// The password.
    pub password: String,
    /// The host that keeps the mailboxes.
    pub home: Mda,
}

impl Site {
    /// A port of one host, for its own users.
    pub fn of(mda: Mda) -> Self {
        Self { hosts: Arc::new([(mda.host().clone(), mda.clone())].into()), face: mda }
    }

    /// A port for the users of all these hosts; `face` is one of them.
    pub fn front(hosts: Arc<BTreeMap<HostName, Mda>>, face: Mda) -> Self {
        Self { hosts, face }
    }

    /// The host that greets.
    pub fn face(&self) -> &Mda {
        &self.face
    }

    /// The user who logs in under this name, which is an address.
    pub fn user(&self, login: &str) -> Option<User> {
        let world = &self.face.setup().world;
        let (address, password) = world.secret(login)?;
        let home = self.hosts.get(&world.domain(address.domain())?.mailboxes)?;
        Some(User { address, password: password.to_owned(), home: home.clone() })
    }
}
