//! UDP ports.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::sleep;

use super::listener::OwnAddress;
use super::memory::DatagramQueue;
use super::{Error, LinkFaults, Net};

/// Datagrams of one port that a slow link delays; further ones are lost.
const MAX_DELAYED_DATAGRAMS: usize = 1000;
/// The largest datagram that is read.
const MAX_DATAGRAM_BYTES: usize = 64 * 1024;

/// A bound UDP port.
pub struct Datagrams {
    slot: Slot,
    faults: LinkFaults,
    /// The end of the link at which programs outside see the host; otherwise the own address.
    host: Option<IpAddr>,
}

pub(super) enum Slot {
    Udp { socket: Arc<UdpSocket>, address: SocketAddr, directory: Option<OwnAddress> },
    Memory(DatagramQueue),
}

impl Datagrams {
    pub(super) fn new(slot: Slot, net: &Net) -> Self {
        Self { slot, faults: net.faults().clone(), host: None }
    }

    /// The same port, at which programs outside the world reach the host with the address `host`: from now on, the
    /// faults of the link between them and this host apply.
    pub(super) fn of_host(mut self, host: IpAddr) -> Self {
        self.host = Some(host);
        self
    }

    /// Where it is bound, in addresses of the world where they are mapped.
    pub fn address(&self) -> SocketAddr {
        match &self.slot {
            Slot::Udp { address, .. } => *address,
            Slot::Memory(slot) => slot.address,
        }
    }

    /// The injected delay of a datagram of this length to `to`. Programs outside the world do not delay their own
    /// datagrams: at a port for them, it is the delay of both ways.
    fn delay(&self, to: IpAddr, bytes: usize) -> Duration {
        match self.host {
            Some(host) => self.faults.delay(to, host, 0).total() + self.faults.delay(host, to, bytes).total(),
            None => self.faults.delay(self.address().ip(), to, bytes).total(),
        }
    }

    /// Sends one datagram, at once or after an injected delay, which does not hold up the caller. It gets lost without
    /// an error if the link is cut, if too many are delayed, or, on the in-process network, if nothing is bound at
    /// `to`.
    ///
    /// # Errors
    /// It could not be sent; in a world on loopback also if `to` is neither bound there nor a loopback address.
    pub async fn send_to(&self, bytes: &[u8], to: SocketAddr) -> Result<(), Error> {
        if self.faults.is_cut(self.host.unwrap_or(self.address().ip()), to.ip()) {
            return Ok(());
        }
        match &self.slot {
            Slot::Udp { socket, directory, .. } => {
                let real = match directory {
                    // Clients outside the world have real addresses; addresses of the world are mapped.
                    Some((directory, _)) => {
                        directory.udp_to(to).or(to.ip().is_loopback().then_some(to)).ok_or(Error::NotInWorld(to))?
                    }
                    None => to,
                };
                let delay = self.delay(to.ip(), bytes.len());
                if delay.is_zero() {
                    socket.send_to(bytes, real).await.map_err(|error| Error::of_connect(to, error))?;
                } else if Arc::strong_count(socket) <= MAX_DELAYED_DATAGRAMS {
                    let (socket, bytes) = (socket.clone(), bytes.to_vec());
                    tokio::spawn(async move {
                        sleep(delay).await;
                        // A datagram may get lost.
                        let _ = socket.send_to(&bytes, real).await;
                    });
                }
            }
            Slot::Memory(slot) => slot.send(bytes, to),
        }
        Ok(())
    }

    /// Waits for the next datagram; returns it with the sender's address. At the port of a host for programs outside,
    /// those that come over a cut link are dropped.
    ///
    /// # Errors
    /// The socket failed.
    pub async fn recv_from(&self) -> Result<(Vec<u8>, SocketAddr), Error> {
        loop {
            let (bytes, from) = self.next().await?;
            // Other senders of the world see the fault themselves.
            if !self.host.is_some_and(|host| self.faults.is_cut(from.ip(), host)) {
                return Ok((bytes, from));
            }
        }
    }

    /// Waits for the next datagram, whatever the link faults are; returns it with the sender's address.
    async fn next(&self) -> Result<(Vec<u8>, SocketAddr), Error> {
        match &self.slot {
            Slot::Udp { socket, directory, .. } => {
                let mut bytes = vec![0; MAX_DATAGRAM_BYTES];
                let (len, from) = socket.recv_from(&mut bytes).await?;
                bytes.truncate(len);
                Ok((bytes, directory.as_ref().map_or(from, |(directory, _)| directory.udp_from(from))))
            }
            Slot::Memory(slot) => {
                let (bytes, from) = slot.receive().await?;
                Ok((bytes.to_vec(), from))
            }
        }
    }
}

impl Drop for Datagrams {
    /// Unmaps the world address of the port.
    fn drop(&mut self) {
        if let Slot::Udp { directory: Some((directory, Some(own))), .. } = &self.slot {
            directory.forget_udp(*own);
        }
    }
}
