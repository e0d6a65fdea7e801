//! The in-process network: hosts, ports, and links with latency, under tokio's clock.
//!
//! With a paused clock, a latency of 100 ms takes no real time, and the order of events is the same in every run.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::link_delay::LinkShaper;
use super::{Error, LinkFaults};
use crate::sync::lock;

/// Bytes in transit before the sender has to wait.
const PIPE_BYTES: usize = 256 * 1024;
/// Limit of connections that are not yet accepted, and of datagrams that are not yet read.
const BACKLOG: usize = 1024;
/// The first port for outgoing connections.
const EPHEMERAL_PORT: u16 = 49152;

/// The one-way latency from one host to another.
pub type Latency = Arc<dyn Fn(IpAddr, IpAddr) -> Duration + Send + Sync>;

/// An in-process network.
pub(super) struct MemoryNetwork {
    latency: Latency,
    faults: LinkFaults,
    ports: Mutex<Ports>,
}

#[derive(Default)]
struct Ports {
    listeners: BTreeMap<SocketAddr, mpsc::Sender<Incoming>>,
    datagrams: BTreeMap<SocketAddr, mpsc::Sender<Datagram>>,
    ephemeral: BTreeMap<IpAddr, u16>,
}

/// A connection that is not yet accepted.
pub(super) struct Incoming {
    pub(super) end: PipeEnd,
    pub(super) peer: SocketAddr,
}

struct Datagram {
    due: Instant,
    from: SocketAddr,
    bytes: Bytes,
}

impl MemoryNetwork {
    pub(super) fn new(latency: Latency, faults: LinkFaults) -> Arc<Self> {
        Arc::new(Self { latency, faults, ports: Mutex::default() })
    }

    /// The current transit time of this many bytes from one host to another, with the injected delay.
    fn transit_time(&self, from: IpAddr, to: IpAddr, bytes: usize) -> Duration {
        (self.latency)(from, to) + self.faults.delay(from, to, bytes).total()
    }

    /// Listens at an address, which need not be that of a host, until the returned port is dropped; port 0 is an
    /// ephemeral port. [`Error::PortTaken`] if it is not free.
    pub(super) fn listen(self: &Arc<Self>, address: SocketAddr) -> Result<BoundPort<Incoming>, Error> {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        let mut ports = lock(&self.ports);
        let address = ports.resolve(address, |ports, address| ports.listeners.contains_key(&address))?;
        ports.listeners.insert(address, sender);
        Ok(BoundPort {
            network: self.clone(),
            address,
            receiver,
            forget: |ports, address| drop(ports.listeners.remove(address)),
        })
    }

    /// Binds a UDP port until the returned queue is dropped; port 0 is an ephemeral port. [`Error::PortTaken`] if it is
    /// not free.
    pub(super) fn bind_udp(self: &Arc<Self>, address: SocketAddr) -> Result<DatagramQueue, Error> {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        let mut ports = lock(&self.ports);
        let address = ports.resolve(address, |ports, address| ports.datagrams.contains_key(&address))?;
        ports.datagrams.insert(address, sender);
        let forget = |ports: &mut Ports, address: &SocketAddr| drop(ports.datagrams.remove(address));
        let bound = BoundPort { network: self.clone(), address, receiver, forget };
        let arrivals = tokio::sync::Mutex::new(Inbox { bound, next: None });
        Ok(DatagramQueue { address, network: self.clone(), arrivals })
    }

    /// Connects, which takes one round trip, as the TCP handshake does; returns our end, and its address with the port.
    /// Also refused if the backlog of the listener is full.
    pub(super) async fn connect(
        self: &Arc<Self>,
        from: IpAddr,
        to: SocketAddr,
    ) -> Result<(PipeEnd, SocketAddr), Error> {
        let (there, back) = (self.transit_time(from, to.ip(), 0), self.transit_time(to.ip(), from, 0));
        sleep(there).await;
        let (local, listener) = {
            let mut ports = lock(&self.ports);
            (SocketAddr::new(from, ports.next_port(from)?), ports.listeners.get(&to).cloned())
        };
        let (ours, theirs) = pair(self, from, to.ip());
        let is_accepted = match listener {
            Some(listener) => listener.try_send(Incoming { end: theirs, peer: local }).is_ok(),
            None => false,
        };
        sleep(back).await;
        if is_accepted { Ok((ours, local)) } else { Err(Error::Refused(to)) }
    }
}

impl Ports {
    /// The address with an ephemeral port in place of port 0. Any other port must be free, as `taken` says:
    /// [`Error::PortTaken`] otherwise.
    fn resolve(&mut self, address: SocketAddr, taken: impl Fn(&Self, SocketAddr) -> bool) -> Result<SocketAddr, Error> {
        if address.port() != 0 {
            return if taken(self, address) { Err(Error::PortTaken(address)) } else { Ok(address) };
        }
        let port = self.next_port(address.ip())?;
        Ok(SocketAddr::new(address.ip(), port))
    }

    /// The next unbound ephemeral port of a host; [`Error::PortTaken`] if all are bound. Connections do not occupy
    /// their port, since it is known to their two ends only.
    fn next_port(&mut self, host: IpAddr) -> Result<u16, Error> {
        for _ in EPHEMERAL_PORT..=u16::MAX {
            let next = self.ephemeral.entry(host).or_insert(EPHEMERAL_PORT);
            let port = *next;
            *next = next.checked_add(1).unwrap_or(EPHEMERAL_PORT);
            let address = SocketAddr::new(host, port);
            if !self.listeners.contains_key(&address) && !self.datagrams.contains_key(&address) {
                return Ok(port);
            }
        }
        Err(Error::PortTaken(SocketAddr::new(host, 0)))
    }
}

/// A port that is bound until this is dropped.
pub(super) struct BoundPort<T> {
    network: Arc<MemoryNetwork>,
    pub(super) address: SocketAddr,
    receiver: mpsc::Receiver<T>,
    forget: fn(&mut Ports, &SocketAddr),
}

impl BoundPort<Incoming> {
    /// Waits for the next connection.
    pub(super) async fn accept(&mut self) -> io::Result<Incoming> {
        self.receiver.recv().await.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl<T> Drop for BoundPort<T> {
    /// Makes the port free for others.
    fn drop(&mut self) {
        (self.forget)(&mut lock(&self.network.ports), &self.address);
    }
}

/// The receive queue of a bound UDP port. Senders never wait.
pub(super) struct DatagramQueue {
    pub(super) address: SocketAddr,
    network: Arc<MemoryNetwork>,
    arrivals: tokio::sync::Mutex<Inbox>,
}

struct Inbox {
    bound: BoundPort<Datagram>,
    /// Taken from the channel, but not yet due. Kept here, so that a cancelled wait does not lose it.
    next: Option<Datagram>,
}

impl DatagramQueue {
    /// Sends a datagram. It is lost if the port is not bound, or its queue is full.
    pub(super) fn send(&self, bytes: &[u8], to: SocketAddr) {
        let due = Instant::now() + self.network.transit_time(self.address.ip(), to.ip(), bytes.len());
        if let Some(slot) = lock(&self.network.ports).datagrams.get(&to) {
            let _ = slot.try_send(Datagram { due, from: self.address, bytes: Bytes::copy_from_slice(bytes) });
        }
    }

    /// Waits for the next datagram and its sender, in the order in which they were sent. Cancel safe.
    pub(super) async fn receive(&self) -> io::Result<(Bytes, SocketAddr)> {
        let mut arrivals = self.arrivals.lock().await;
        let due = match &arrivals.next {
            Some(next) => next.due,
            None => {
                let next = arrivals.bound.receiver.recv().await.ok_or(io::ErrorKind::NotConnected)?;
                arrivals.next.insert(next).due
            }
        };
        sleep_until(due).await;
        let datagram = arrivals.next.take().ok_or(io::ErrorKind::NotConnected)?;
        Ok((datagram.bytes, datagram.from))
    }
}

/// One direction of a connection.
struct Pipe {
    network: Arc<MemoryNetwork>,
    from: IpAddr,
    to: IpAddr,
    state: Mutex<PipeState>,
}

#[derive(Default)]
struct PipeState {
    chunks: VecDeque<(Instant, Bytes)>,
    held: usize,
    shaper: LinkShaper,
    /// When the end of the stream arrives, once the writer has closed.
    ended: Option<Instant>,
    /// The reader was dropped.
    abandoned: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// One end of a connection.
pub(super) struct PipeEnd {
    read: Arc<Pipe>,
    write: Arc<Pipe>,
    arrival: Option<Pin<Box<Sleep>>>,
}

/// A connection: the end at the host `here`, then that at the host `there`.
fn pair(network: &Arc<MemoryNetwork>, here: IpAddr, there: IpAddr) -> (PipeEnd, PipeEnd) {
    let pipe = |from, to| Arc::new(Pipe { network: network.clone(), from, to, state: Mutex::default() });
    let (outgoing, incoming) = (pipe(here, there), pipe(there, here));
    let end = |read: &Arc<Pipe>, write: &Arc<Pipe>| PipeEnd { read: read.clone(), write: write.clone(), arrival: None };
    (end(&incoming, &outgoing), end(&outgoing, &incoming))
}

impl Pipe {
    /// When this many bytes that are sent now arrive, after all that were sent before.
    fn due(&self, state: &mut PipeState, bytes: usize) -> Instant {
        let MemoryNetwork { latency, faults, .. } = &*self.network;
        state.shaper.due(latency(self.from, self.to), faults.delay(self.from, self.to, bytes))
    }
}

impl AsyncRead for PipeEnd {
    /// Reads what has arrived by now; pending until the next bytes, or the end of the stream, arrive.
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let due = {
                let mut state = lock(&self.read.state);
                let Some(due) = state.chunks.front().map(|(due, _)| *due).or(state.ended) else {
                    state.reader = Some(cx.waker().clone());
                    return Poll::Pending;
                };
                let now = Instant::now();
                if due <= now {
                    // Without a chunk, this is the end of the stream.
                    state.take(now, buffer);
                    return Poll::Ready(Ok(()));
                }
                due
            };
            let arrival = self.arrival.get_or_insert_with(|| Box::pin(sleep_until(due)));
            if arrival.deadline() != due {
                arrival.as_mut().reset(due);
            }
            ready!(arrival.as_mut().poll(cx));
        }
    }
}

impl PipeState {
    /// Moves what has arrived by `now` into the reader's buffer, as far as that has room, and wakes the writer, which
    /// may have waited for room in the pipe.
    fn take(&mut self, now: Instant, buffer: &mut ReadBuf<'_>) {
        while let Some((due, chunk)) = self.chunks.front_mut()
            && *due <= now
            && buffer.remaining() != 0
        {
            let len = chunk.len().min(buffer.remaining());
            buffer.put_slice(&chunk[..len]);
            chunk.advance(len);
            self.held -= len;
            if chunk.is_empty() {
                self.chunks.pop_front();
            }
        }
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }
}

impl AsyncWrite for PipeEnd {
    /// Sends a copy of the bytes, or of as many as fit into the pipe of 256 KiB; pending while it is full. Fails with
    /// `BrokenPipe` once our end of the stream is sent or the peer has dropped its end.
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = lock(&self.write.state);
        if state.abandoned || state.ended.is_some() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let len = bytes.len().min(PIPE_BYTES - state.held);
        if len == 0 && !bytes.is_empty() {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let due = self.write.due(&mut state, len);
        state.chunks.push_back((due, Bytes::copy_from_slice(&bytes[..len])));
        state.held += len;
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(len))
    }

    /// Ready at once: written bytes are on their way.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Sends the end of the stream, without waiting for its arrival.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end_writing();
        Poll::Ready(Ok(()))
    }
}

impl PipeEnd {
    /// Sends the end of the stream, once, after all that was written.
    fn end_writing(&self) {
        let mut state = lock(&self.write.state);
        if state.ended.is_none() {
            state.ended = Some(self.write.due(&mut state, 0));
        }
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }
}

impl Drop for PipeEnd {
    /// Sends the end of the stream; the peer can write no more.
    fn drop(&mut self) {
        self.end_writing();
        let mut state = lock(&self.read.state);
        state.abandoned = true;
        if let Some(writer) = state.writer.take() {
            writer.wake();
        }
    }
}
