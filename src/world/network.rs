//! Sets of clients: hosts by name, networks by address.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::{HostName, World};

/// A set of clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clients {
    /// Hosts of the world.
    pub hosts: BTreeSet<HostName>,
    /// Networks, inside or outside the world.
    pub networks: BTreeSet<Network>,
}

/// A network: all addresses with the same prefix. RFC 4632 §3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Clients {
    /// Whether a client with this address is in the set: in one of its networks, or as an address of one of its hosts.
    pub fn contains(&self, world: &World, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(address))
            || (!self.hosts.is_empty() && world.host_at(address).is_some_and(|host| self.hosts.contains(&host.name)))
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.networks.is_empty()
    }
}

impl fmt::Display for Clients {
    /// The hosts, then the networks, separated by commas.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts = self.hosts.iter().map(ToString::to_string);
        let all: Vec<_> = hosts.chain(self.networks.iter().map(ToString::to_string)).collect();
        f.write_str(&all.join(", "))
    }
}

impl Network {
    /// Whether the address is in the network; never one of the other address family.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4() && bits(self.address, self.prefix) == bits(address, self.prefix)
    }

    /// Whether it contains all addresses of its family.
    pub fn contains_all(&self) -> bool {
        self.prefix == 0
    }
}

/// The first `prefix` bits of an address, as a number; 0 if `prefix` is 0. `prefix` must not be longer than the
/// address.
fn bits(address: IpAddr, prefix: u8) -> u128 {
    let (value, length) = match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    };
    value.checked_shr(length - u32::from(prefix)).unwrap_or(0)
}

impl FromStr for Network {
    type Err = ();

    /// Parses `192.0.2.0/24`, or a single address. Bits after the prefix need not be 0.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().map_err(drop)?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(drop)?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(longest);
        if prefix <= longest { Ok(Self { address, prefix }) } else { Err(()) }
    }
}

impl fmt::Display for Network {
    /// `ADDRESS/PREFIX`, also for a single address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4632 §3.1, RFC 4291 §2.3.
    #[test]
    fn network_contains_addresses_with_its_prefix() {
        for (network, address, wanted) in [
            ("192.0.2.0/24", "192.0.2.255", true),
            ("192.0.2.0/24", "192.0.3.0", false),
            ("192.0.2.77/24", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.128/25", "192.0.2.127", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "::1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "2001:db8::1", true),
            ("::1", "::1", true),
        ] {
            let found = network.parse::<Network>().unwrap().contains(address.parse().unwrap());
            assert_eq!(found, wanted, "{address} in {network}");
        }
        for text in ["", "mta-163", "192.0.2.0/33", "192.0.2/24", "::/129", "192.0.2.0/", "192.0.2.0/-1"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
