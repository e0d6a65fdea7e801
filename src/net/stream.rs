//! A connection to a peer, plain or encrypted, real or in-process.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::directory::Visit;
use super::faults::{Faults, Inbound};
use super::slow::Late;
use super::{Error, Identity, Trust, memory};

/// A connection. Addresses are those of the world, whatever socket is below.
pub struct Stream {
    layer: Layer,
    local: SocketAddr,
    peer: SocketAddr,
    _visit: Option<Visit>,
}

enum Layer {
    Plain(Wire),
    Tls(Box<TlsStream<Wire>>),
    /// A handshake failed half way.
    Broken,
}

/// The bytes of a connection, real or in-process, under the faults of the network.
pub(super) struct Wire {
    raw: Raw,
    /// Between hosts of a world; what visitors send comes as it is.
    inbound: Option<Inbound>,
    /// What a slow link holds back; the in-process wire does that itself.
    late: Option<Box<Late>>,
}

pub(super) enum Raw {
    Tcp(TcpStream),
    Memory(memory::End),
}

impl Stream {
    pub(super) fn new(raw: Raw, local: SocketAddr, peer: SocketAddr, visit: Option<Visit>) -> Self {
        if let Raw::Tcp(tcp) = &raw {
            // Replies are small and whole; waiting to fill a packet only delays them. Failure costs speed, no more.
            let _ = tcp.set_nodelay(true);
        }
        Self { layer: Layer::Plain(Wire { raw, inbound: None, late: None }), local, peer, _visit: visit }
    }

    /// The same connection, on a link that may have faults.
    pub(super) fn under(mut self, faults: &Faults) -> Self {
        if let Layer::Plain(wire) = &mut self.layer {
            wire.inbound = Some(faults.inbound(self.peer.ip(), self.local.ip()));
        }
        self
    }

    /// Who is at the other end.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Our own end.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Acknowledges at once what has come. A peer that holds back a small packet until the one before is acknowledged
    /// (Nagle's algorithm) would wait 40 ms for that where we have nothing to send.
    pub fn acknowledge(&self) {
        #[cfg(target_os = "linux")]
        if let Some(Wire { raw: Raw::Tcp(tcp), .. }) = self.wire() {
            // Failure costs time, no more.
            let _ = socket2::SockRef::from(tcp).set_tcp_quickack(true);
        }
    }

    /// Whether a socket is below, which the system must wake us for.
    pub(super) fn is_socket(&self) -> bool {
        matches!(self.wire(), Some(Wire { raw: Raw::Tcp(_), .. }))
    }

    fn wire(&self) -> Option<&Wire> {
        match &self.layer {
            Layer::Plain(wire) => Some(wire),
            Layer::Tls(tls) => Some(tls.get_ref().0),
            Layer::Broken => None,
        }
    }

    /// The TLS version and cipher in use, in the words of a `Received` line; `None` while plain.
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

    /// Encrypts as the server. The stream is of no use after an error.
    ///
    /// # Errors
    /// The peer does not speak TLS, or no common version was found, or we have none to show.
    pub async fn accept_tls(&mut self, identity: &Identity) -> Result<(), Error> {
        let wire = self.take_plain()?;
        let config = identity.config().ok_or_else(|| self.tls_error("this server has no TLS"))?;
        let shake = Box::pin(TlsAcceptor::from(config).accept(wire));
        let tls = shake.await.map_err(|error| self.tls_error(error))?;
        self.layer = Layer::Tls(Box::new(tls.into()));
        Ok(())
    }

    /// Encrypts as the client and checks that the certificate is trusted and made for `name`.
    ///
    /// # Errors
    /// The peer does not speak TLS, or its certificate does not hold.
    pub async fn connect_tls(&mut self, trust: &Trust, name: &str) -> Result<(), Error> {
        let fail = |why: String| Error::Tls { name: name.to_owned(), why };
        let server =
            rustls::pki_types::ServerName::try_from(name.to_owned()).map_err(|error| fail(error.to_string()))?;
        let wire = self.take_plain()?;
        let shake = Box::pin(TlsConnector::from(trust.config()).connect(server, wire));
        let tls = shake.await.map_err(|error| fail(error.to_string()))?;
        self.layer = Layer::Tls(Box::new(tls.into()));
        Ok(())
    }

    fn take_plain(&mut self) -> Result<Wire, Error> {
        match std::mem::replace(&mut self.layer, Layer::Broken) {
            Layer::Plain(wire) => Ok(wire),
            _ => Err(self.tls_error("already encrypted")),
        }
    }

    fn tls_error(&self, why: impl ToString) -> Error {
        Error::Tls { name: self.peer.to_string(), why: why.to_string() }
    }
}

impl std::fmt::Debug for Stream {
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
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        delegate!(self, inner => inner.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        delegate!(self, inner => inner.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, inner => inner.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, inner => inner.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, inner => inner.poll_shutdown(cx))
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        let Some(inbound) = &wire.inbound else { return wire.raw.poll_read(cx, buffer) };
        let room = usize::try_from(ready!(inbound.poll_room(cx))?).unwrap_or(usize::MAX);
        if buffer.remaining() <= room {
            let before = buffer.filled().len();
            let outcome = wire.poll_arrived(cx, buffer);
            wire.carry(buffer.filled().len() - before);
            return outcome;
        }
        let mut part = vec![0; room];
        let mut part = ReadBuf::new(&mut part);
        ready!(wire.poll_arrived(cx, &mut part))?;
        buffer.put_slice(part.filled());
        wire.carry(part.filled().len());
        Poll::Ready(Ok(()))
    }
}

impl Wire {
    /// Reads what has come to the end of the link.
    fn poll_arrived(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { raw: Raw::Tcp(tcp), inbound: Some(inbound), late } = self else {
            return self.raw.poll_read(cx, buffer);
        };
        let is_slow = inbound.is_slow();
        if !is_slow && late.as_ref().is_none_or(|late| late.is_empty()) {
            *late = None;
            return Pin::new(tcp).poll_read(cx, buffer);
        }
        late.get_or_insert_default().poll_read(tcp, |octets| inbound.lag(octets), cx, buffer)
    }

    fn carry(&mut self, octets: usize) {
        if let Some(inbound) = &mut self.inbound {
            inbound.carry(octets);
        }
    }
}

impl Raw {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Memory(end) => Pin::new(end).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().raw {
            Raw::Tcp(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Raw::Memory(end) => Pin::new(end).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().raw {
            Raw::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, slices),
            Raw::Memory(end) => Pin::new(end).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        matches!(self.raw, Raw::Tcp(_))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().raw {
            Raw::Tcp(tcp) => Pin::new(tcp).poll_flush(cx),
            Raw::Memory(end) => Pin::new(end).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().raw {
            Raw::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Raw::Memory(end) => Pin::new(end).poll_shutdown(cx),
        }
    }
}
