//! The in-process network: hosts, ports, and links with latency, under tokio's clock.
//!
//! With the clock paused, a link that takes 100 ms takes no time at all, and the order of what happens is the same in
//! every run.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::slow::Pacer;
use super::{Error, Faults};

/// Bytes that a link holds before the sender has to wait.
const PIPE_BYTES: usize = 256 * 1024;
/// Connections that wait to be accepted, and datagrams that wait to be read.
const BACKLOG: usize = 1024;
/// The first port that a connecting host uses for its own end.
const EPHEMERAL_PORT: u16 = 49152;

/// How long a byte travels from one host to another, one way.
pub type Latency = Arc<dyn Fn(IpAddr, IpAddr) -> Duration + Send + Sync>;

/// All hosts of one in-process network.
pub(super) struct Fabric {
    latency: Latency,
    faults: Faults,
    ports: Mutex<Ports>,
}

#[derive(Default)]
struct Ports {
    listeners: BTreeMap<SocketAddr, mpsc::Sender<Incoming>>,
    datagrams: BTreeMap<SocketAddr, mpsc::Sender<Datagram>>,
    ephemeral: BTreeMap<IpAddr, u16>,
}

/// A connection on its way to a listener.
pub(super) struct Incoming {
    pub(super) end: End,
    pub(super) peer: SocketAddr,
}

struct Datagram {
    due: Instant,
    from: SocketAddr,
    bytes: Bytes,
}

impl Fabric {
    pub(super) fn new(latency: Latency, faults: Faults) -> Arc<Self> {
        Arc::new(Self { latency, faults, ports: Mutex::default() })
    }

    /// How long so many octets travel now.
    fn travel(&self, from: IpAddr, to: IpAddr, octets: usize) -> Duration {
        (self.latency)(from, to) + self.faults.lag(from, to, octets).whole()
    }

    pub(super) fn listen(self: &Arc<Self>, address: SocketAddr) -> Result<Bound<Incoming>, Error> {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        let mut ports = lock(&self.ports);
        let address = ports.resolve(address, |ports, address| ports.listeners.contains_key(&address))?;
        ports.listeners.insert(address, sender);
        Ok(Bound {
            fabric: self.clone(),
            address,
            receiver,
            forget: |ports, address| drop(ports.listeners.remove(address)),
        })
    }

    pub(super) fn bind_udp(self: &Arc<Self>, address: SocketAddr) -> Result<Mailslot, Error> {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        let mut ports = lock(&self.ports);
        let address = ports.resolve(address, |ports, address| ports.datagrams.contains_key(&address))?;
        ports.datagrams.insert(address, sender);
        let forget = |ports: &mut Ports, address: &SocketAddr| drop(ports.datagrams.remove(address));
        let bound = Bound { fabric: self.clone(), address, receiver, forget };
        let arrivals = tokio::sync::Mutex::new(Arrivals { bound, next: None });
        Ok(Mailslot { address, fabric: self.clone(), arrivals })
    }

    /// One round trip, as TCP's handshake takes.
    pub(super) async fn connect(self: &Arc<Self>, from: IpAddr, to: SocketAddr) -> Result<(End, SocketAddr), Error> {
        let (there, back) = (self.travel(from, to.ip(), 0), self.travel(to.ip(), from, 0));
        sleep(there).await;
        let (local, listener) = {
            let mut ports = lock(&self.ports);
            (SocketAddr::new(from, ports.draw(from)?), ports.listeners.get(&to).cloned())
        };
        let (ours, theirs) = pair(self, from, to.ip());
        let knocked = match listener {
            Some(listener) => listener.try_send(Incoming { end: theirs, peer: local }).is_ok(),
            None => false,
        };
        sleep(back).await;
        if knocked { Ok((ours, local)) } else { Err(Error::Refused(to)) }
    }
}

impl Ports {
    /// Chooses a port for port 0, and refuses one that is taken.
    fn resolve(&mut self, address: SocketAddr, taken: impl Fn(&Self, SocketAddr) -> bool) -> Result<SocketAddr, Error> {
        if address.port() != 0 {
            return if taken(self, address) { Err(Error::PortTaken(address)) } else { Ok(address) };
        }
        let port = self.draw(address.ip())?;
        Ok(SocketAddr::new(address.ip(), port))
    }

    /// The next port that nobody is bound to. Connections do not hold theirs: only their two ends know it.
    fn draw(&mut self, host: IpAddr) -> Result<u16, Error> {
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
pub(super) struct Bound<T> {
    fabric: Arc<Fabric>,
    pub(super) address: SocketAddr,
    receiver: mpsc::Receiver<T>,
    forget: fn(&mut Ports, &SocketAddr),
}

impl Bound<Incoming> {
    pub(super) async fn accept(&mut self) -> io::Result<Incoming> {
        self.receiver.recv().await.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl<T> Drop for Bound<T> {
    fn drop(&mut self) {
        (self.forget)(&mut lock(&self.fabric.ports), &self.address);
    }
}

/// A bound UDP port. Whoever sends does not wait for whoever receives.
pub(super) struct Mailslot {
    pub(super) address: SocketAddr,
    fabric: Arc<Fabric>,
    arrivals: tokio::sync::Mutex<Arrivals>,
}

struct Arrivals {
    bound: Bound<Datagram>,
    /// Taken from the wire, but not yet due; here, so that it outlives a wait that is cut off.
    next: Option<Datagram>,
}

impl Mailslot {
    /// Sends and forgets: where nobody listens, or nobody reads, a datagram is lost.
    pub(super) fn send(&self, bytes: &[u8], to: SocketAddr) {
        let due = Instant::now() + self.fabric.travel(self.address.ip(), to.ip(), bytes.len());
        if let Some(slot) = lock(&self.fabric.ports).datagrams.get(&to) {
            let _ = slot.try_send(Datagram { due, from: self.address, bytes: Bytes::copy_from_slice(bytes) });
        }
    }

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
    fabric: Arc<Fabric>,
    from: IpAddr,
    to: IpAddr,
    state: Mutex<PipeState>,
}

#[derive(Default)]
struct PipeState {
    chunks: VecDeque<(Instant, Bytes)>,
    held: usize,
    pacer: Pacer,
    /// The writer is done, since when.
    ended: Option<Instant>,
    /// The reader is gone.
    abandoned: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// One end of a connection.
pub(super) struct End {
    read: Arc<Pipe>,
    write: Arc<Pipe>,
    arrival: Option<Pin<Box<Sleep>>>,
}

fn pair(fabric: &Arc<Fabric>, here: IpAddr, there: IpAddr) -> (End, End) {
    let pipe = |from, to| Arc::new(Pipe { fabric: fabric.clone(), from, to, state: Mutex::default() });
    let (out, home) = (pipe(here, there), pipe(there, here));
    let end = |read: &Arc<Pipe>, write: &Arc<Pipe>| End { read: read.clone(), write: write.clone(), arrival: None };
    (end(&home, &out), end(&out, &home))
}

impl Pipe {
    /// When so many octets that are sent now arrive.
    fn due(&self, state: &mut PipeState, octets: usize) -> Instant {
        let Fabric { latency, faults, .. } = &*self.fabric;
        state.pacer.due(latency(self.from, self.to), faults.lag(self.from, self.to, octets))
    }
}

impl AsyncRead for End {
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
                    // Without a chunk, it is the end.
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
    /// Moves what has arrived into the reader's buffer.
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

impl AsyncWrite for End {
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

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end_writing();
        Poll::Ready(Ok(()))
    }
}

impl End {
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

impl Drop for End {
    fn drop(&mut self) {
        self.end_writing();
        let mut state = lock(&self.read.state);
        state.abandoned = true;
        if let Some(writer) = state.writer.take() {
            writer.wake();
        }
    }
}

/// A panic elsewhere does not make these tables wrong: each change to them is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
