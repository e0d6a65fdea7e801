//! A byte stream to a peer, plain or encrypted, over a real socket or in-process.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, TlsStream};

use super::address_map::SourceBinding;
use super::link_delay::DelayedInput;
use super::link_faults::{LinkEndpoint, LinkFaults};
use super::link_output::LinkOutput;
use super::tls::Transport;
use super::{Error, TlsAcceptor, Trust, memory};

/// A connection. Its addresses are those of the world, also over real sockets.
pub struct Stream {
    layer: Layer,
    local: SocketAddr,
    peer: SocketAddr,
    _binding: Option<SourceBinding>,
}

enum Layer {
    Plain(Wire),
    Tls(Box<TlsStream<Wire>>),
    /// A handshake failed.
    Broken,
}

/// The transport of a connection, real or in-process, with the link faults of the network.
pub(super) struct Wire {
    raw: Raw,
    /// The link faults, for connections to hosts of a world.
    inbound: Option<LinkEndpoint>,
    /// Input that a slow link delays, for real sockets; the in-process network does this itself between hosts.
    delayed: Option<Box<DelayedInput>>,
    /// The output to a program outside the world.
    output: Option<Box<LinkOutput>>,
}

pub(super) enum Raw {
    Tcp(TcpStream),
    Memory(memory::PipeEnd),
}

impl Stream {
    pub(super) fn new(raw: Raw, local: SocketAddr, peer: SocketAddr, binding: Option<SourceBinding>) -> Self {
        if let Raw::Tcp(tcp) = &raw {
            // Replies are small and complete; waiting to fill a packet only delays them. An error costs speed only.
            let _ = tcp.set_nodelay(true);
        }
        Self {
            layer: Layer::Plain(Wire { raw, inbound: None, delayed: None, output: None }),
            local,
            peer,
            _binding: binding,
        }
    }

    /// The same connection, with the faults of the link from the peer to us: the other end applies those of the other
    /// direction.
    pub(super) fn with_link_faults(mut self, faults: &LinkFaults) -> Self {
        if let Layer::Plain(wire) = &mut self.layer {
            wire.inbound = Some(faults.endpoint(self.peer.ip(), self.local.ip()));
        }
        self
    }

    /// The same connection, of a program outside the world with this host of it, with link faults in both directions.
    pub(super) fn with_public_link(mut self, faults: &LinkFaults, host: IpAddr) -> Self {
        let peer = self.peer.ip();
        if let Layer::Plain(wire) = &mut self.layer {
            wire.inbound = Some(faults.endpoint(peer, host));
            wire.output = Some(Box::new(LinkOutput::new(faults.endpoint(host, peer))));
        }
        self
    }

    /// From now on, `host` answers the peer, if that is a program outside the world: the faults of the link between
    /// them apply. Has no effect on other connections.
    pub fn answer_from(&mut self, host: IpAddr) {
        let wire = match &mut self.layer {
            Layer::Plain(wire) => wire,
            Layer::Tls(tls) => tls.get_mut().0,
            Layer::Broken => return,
        };
        if let Wire { inbound: Some(inbound), output: Some(output), .. } = wire {
            inbound.redirect(None, Some(host));
            output.link_mut().redirect(Some(host), None);
        }
    }

    /// The address of the peer.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Our own address.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Acknowledges received data at once, on a real socket under Linux; does nothing elsewhere. A peer that uses
    /// Nagle's algorithm holds back a small packet until the one before is acknowledged, which takes 40 ms if we have
    /// nothing to send.
    pub fn acknowledge(&self) {
        #[cfg(target_os = "linux")]
        if let Some(Wire { raw: Raw::Tcp(tcp), .. }) = self.wire() {
            // An error costs time only.
            let _ = socket2::SockRef::from(tcp).set_tcp_quickack(true);
        }
    }

    /// Whether this is a real socket, for which the operating system has to wake the thread.
    pub(super) fn is_socket(&self) -> bool {
        matches!(self.wire(), Some(Wire { raw: Raw::Tcp(_), .. }))
    }

    /// The transport; `None` after a failed handshake.
    fn wire(&self) -> Option<&Wire> {
        match &self.layer {
            Layer::Plain(wire) => Some(wire),
            Layer::Tls(tls) => Some(tls.get_ref().0),
            Layer::Broken => None,
        }
    }

    /// The TLS version and cipher in use, such as `TLSv1.3 AES_128_GCM_SHA256`, as written in a `Received` line; `None`
    /// if not encrypted.
    pub fn tls(&self) -> Option<String> {
        let Layer::Tls(tls) = &self.layer else { return None };
        let (_, session) = tls.get_ref();
        let version = match session.protocol_version()? {
            rustls::ProtocolVersion::TLSv1_3 => "TLSv1.3",
            rustls::ProtocolVersion::TLSv1_2 => "TLSv1.2",
            _ => "TLS",
        };
        let suite = format!("{:?}", session.negotiated_cipher_suite()?.suite());
        Some(format!("{version} {}", suite.trim_start_matches("TLS13_")))
    }

    /// Performs the TLS handshake as the server. The stream cannot be used after an error.
    ///
    /// # Errors
    /// The peer does not speak TLS, or has no version in common with us, or this server has no certificate.
    pub async fn accept_tls(&mut self, acceptor: &TlsAcceptor) -> Result<(), Error> {
        let wire = self.take_plain()?;
        let config = acceptor.config(wire.transport())?.ok_or_else(|| self.tls_error("this server has no TLS"))?;
        let shake = Box::pin(tokio_rustls::TlsAcceptor::from(config).accept(wire));
        let tls = shake.await.map_err(|error| self.tls_error(error))?;
        self.layer = Layer::Tls(Box::new(tls.into()));
        Ok(())
    }

    /// Performs the TLS handshake as the client, and checks that the certificate is trusted and valid for `name`.
    ///
    /// # Errors
    /// The peer does not speak TLS, or its certificate is not valid.
    pub async fn connect_tls(&mut self, trust: &Trust, name: &str) -> Result<(), Error> {
        let fail = |why: String| Error::Tls { name: name.to_owned(), why };
        let server =
            rustls::pki_types::ServerName::try_from(name.to_owned()).map_err(|error| fail(error.to_string()))?;
        let wire = self.take_plain()?;
        let shake = Box::pin(TlsConnector::from(trust.config(wire.transport())?).connect(server, wire));
        let tls = shake.await.map_err(|error| fail(error.to_string()))?;
        self.layer = Layer::Tls(Box::new(tls.into()));
        Ok(())
    }

    /// Takes the transport for a handshake; the stream is broken until that succeeds. An error if it is encrypted or
    /// broken already.
    fn take_plain(&mut self) -> Result<Wire, Error> {
        match std::mem::replace(&mut self.layer, Layer::Broken) {
            Layer::Plain(wire) => Ok(wire),
            _ => Err(self.tls_error("already encrypted")),
        }
    }

    /// A TLS error that names the peer by its address.
    fn tls_error(&self, why: impl ToString) -> Error {
        Error::Tls { name: self.peer.to_string(), why: why.to_string() }
    }
}

impl std::fmt::Debug for Stream {
    /// The two addresses, as `LOCAL - PEER`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} - {}", self.local, self.peer)
    }
}

macro_rules! delegate {
    ($self:ident, $inner:ident => $call:expr) => {
        match &mut $self.get_mut().layer {
            Layer::Plain($inner) => {
                let $inner = Pin::new($inner);
                $call
            }
            Layer::Tls($inner) => {
                let $inner = Pin::new($inner.as_mut());
                $call
            }
            Layer::Broken => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    };
}

impl AsyncRead for Stream {
    /// Reads from the transport, or what TLS decrypts. `NotConnected` after a failed handshake, as for all that follow.
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        delegate!(self, inner => inner.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    /// Writes to the transport, or gives TLS the bytes to encrypt.
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        delegate!(self, inner => inner.poll_write(cx, bytes))
    }

    /// Writes several slices as `poll_write` writes one.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, inner => inner.poll_write_vectored(cx, slices))
    }

    /// Always: the layer below decides how many slices it takes.
    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Flushes TLS, if there is any, and the transport.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, inner => inner.poll_flush(cx))
    }

    /// Ends the output, of TLS first if there is any.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, inner => inner.poll_shutdown(cx))
    }
}

impl AsyncRead for Wire {
    /// Reads as much as the link faults let through, after the delay of a slow link; pending while the link transmits
    /// nothing. What is read is counted. An injected reset is the error `ConnectionReset`.
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        let Some(inbound) = &wire.inbound else { return wire.raw.poll_read(cx, buffer) };
        let allowance = ready!(inbound.poll_allowance(cx));
        let allowance = usize::try_from(wire.passing_on_reset(allowance)?).unwrap_or(usize::MAX);
        if buffer.remaining() <= allowance {
            let before = buffer.filled().len();
            let outcome = wire.poll_arrived(cx, buffer);
            wire.add_carried(buffer.filled().len() - before);
            return outcome;
        }
        let mut part = vec![0; allowance];
        let mut part = ReadBuf::new(&mut part);
        ready!(wire.poll_arrived(cx, &mut part))?;
        buffer.put_slice(part.filled());
        wire.add_carried(part.filled().len());
        Poll::Ready(Ok(()))
    }
}

impl Wire {
    /// What carries TLS on this connection.
    fn transport(&self) -> Transport<'_> {
        match &self.raw {
            Raw::Tcp(_) => Transport::Socket,
            Raw::Memory(end) => Transport::InProcess(end),
        }
    }

    /// Reads what has arrived over the link, after the delay of a slow one, without regard to the other faults.
    fn poll_arrived(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { raw, inbound: Some(inbound), delayed, output } = self else {
            return self.raw.poll_read(cx, buffer);
        };
        let is_delayed_by_network = matches!(raw, Raw::Memory(_)) && output.is_none();
        let is_slow = !is_delayed_by_network && inbound.is_slow();
        if !is_slow && delayed.as_ref().is_none_or(|delayed| delayed.is_empty()) {
            *delayed = None;
            return raw.poll_read(cx, buffer);
        }
        delayed.get_or_insert_default().poll_read(raw, |bytes| inbound.delay(bytes), cx, buffer)
    }

    /// Returns the outcome as it is. If it is the injected reset of a connection to a program outside the world, first
    /// makes the socket send a reset when it is closed.
    fn passing_on_reset<T>(&self, outcome: io::Result<T>) -> io::Result<T> {
        if let (Some(_), Raw::Tcp(tcp), Err(error)) = (&self.output, &self.raw, &outcome)
            && error.kind() == io::ErrorKind::ConnectionReset
        {
            // If it fails, the connection is closed in order, which ends it as well.
            let _ = socket2::SockRef::from(tcp).set_linger(Some(Duration::ZERO));
        }
        outcome
    }

    /// Writes what a link to a program outside the world held back; ready at once on other connections.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { raw, output: Some(output), .. } = self else { return Poll::Ready(Ok(())) };
        let drained = ready!(output.poll_drain(raw, cx));
        Poll::Ready(self.passing_on_reset(drained))
    }

    /// Counts bytes that were read, which faults of the link may limit.
    fn add_carried(&mut self, bytes: usize) {
        if let Some(inbound) = &mut self.inbound {
            inbound.add_carried(bytes);
        }
    }
}

impl Raw {
    /// Reads from the socket or the in-process connection, without link faults.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Memory(end) => Pin::new(end).poll_read(cx, buffer),
        }
    }

    /// Writes to the socket or the in-process connection, without link faults.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Memory(end) => Pin::new(end).poll_write(cx, bytes),
        }
    }
}

impl AsyncWrite for Wire {
    /// Writes to the transport. Output to a program outside the world goes to [`LinkOutput`] instead while a link has a
    /// fault or output is held back there. An injected reset is the error `ConnectionReset`.
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        let Self { raw, output, .. } = &mut *wire;
        match output {
            Some(output) if !output.is_clear() => {
                let written = ready!(output.poll_write(raw, cx, bytes));
                Poll::Ready(wire.passing_on_reset(written))
            }
            Some(output) => raw.poll_write(cx, bytes).map_ok(|written| {
                output.add_carried(written);
                written
            }),
            None => raw.poll_write(cx, bytes),
        }
    }

    /// Like `poll_write`; if output is held back, takes only the first slice that is not empty.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        if wire.output.as_ref().is_some_and(|output| !output.is_clear()) {
            let first = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| slice);
            return Pin::new(wire).poll_write(cx, first);
        }
        let written = match &mut wire.raw {
            Raw::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, slices),
            Raw::Memory(end) => Pin::new(end).poll_write_vectored(cx, slices),
        };
        if let (Some(output), Poll::Ready(Ok(written))) = (&mut wire.output, &written) {
            output.add_carried(*written);
        }
        written
    }

    /// Whether the transport is a socket: an in-process connection takes only one slice at a time.
    fn is_write_vectored(&self) -> bool {
        matches!(self.raw, Raw::Tcp(_))
    }

    /// Flushes the transport, once all output that was held back is written.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        ready!(wire.poll_drain(cx))?;
        match &mut wire.raw {
            Raw::Tcp(tcp) => Pin::new(tcp).poll_flush(cx),
            Raw::Memory(end) => Pin::new(end).poll_flush(cx),
        }
    }

    /// Ends the output, once all that was held back is written.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        ready!(wire.poll_drain(cx))?;
        match &mut wire.raw {
            Raw::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Raw::Memory(end) => Pin::new(end).poll_shutdown(cx),
        }
    }
}
