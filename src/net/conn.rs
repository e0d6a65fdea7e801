//! Runs a [`Machine`] over a [`Stream`]: the one loop of every protocol, server and client alike.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::alarm::Alarm;
use super::awake::{Awake, Turn};
use super::unsent::Unsent;
use super::{Error, Identity, Machine, Next, Stop, Stream, Trust};

/// How much is read at once: a letter in a few pieces. The buffer lives on the stack of one poll, so an idle connection
/// holds none.
const READ_BYTES: usize = 64 * 1024;
/// How long a TLS handshake or a farewell may take.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(60);

/// A conversation: a machine, the stream under it, and bytes that are still to be written.
pub struct Conn<M> {
    /// The protocol end. Answer its events here.
    pub machine: M,
    stream: Stream,
    unsent: Unsent,
    /// What was written may still lie in the stream.
    is_unflushed: bool,
    /// The last read was filled to its end: there is more.
    is_input_left: bool,
    /// What is unsent goes out when the machine wants more.
    is_held: bool,
    /// When the peer was heard, if it spoke soon.
    turn: Option<Turn>,
    alarm: Alarm,
    stop: Stop,
    /// Until the machine was asked to say farewell; from the first wait on.
    stopping: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    stopped: bool,
}

impl<M: Machine + Unpin> Conn<M> {
    /// Puts a machine on a stream. When `stop` fires the machine is asked to say farewell.
    pub fn new(stream: Stream, machine: M, stop: Stop) -> Self {
        let (unsent, alarm) = (Unsent::default(), Alarm::default());
        Self {
            machine,
            stream,
            unsent,
            is_unflushed: false,
            is_input_left: false,
            is_held: false,
            turn: None,
            alarm,
            stop,
            stopping: None,
            stopped: false,
        }
    }

    /// The stream below: who the peer is, whether it is encrypted.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Runs the conversation up to the next event; `None` when it is over.
    ///
    /// May be dropped at any await and called again: nothing read or unsent is lost.
    ///
    /// # Errors
    /// The network failed, or the peer was silent for longer than the protocol's patience.
    pub async fn event(&mut self) -> Result<Option<M::Event>, Error> {
        loop {
            if !self.is_held || self.unsent.is_full() {
                self.write_unsent().await?;
            }
            match self.machine.next() {
                Next::Send(bytes) => self.gather(bytes),
                Next::Event(event) => return Ok(Some(event)),
                Next::Close => {
                    self.write_unsent().await?;
                    self.close().await;
                    return Ok(None);
                }
                // RFC 2920 §3.2: replies go out together when all that came is read.
                Next::Read if std::mem::take(&mut self.is_input_left) => self.read_on().await?,
                Next::Read if std::mem::take(&mut self.is_held) => {}
                Next::Read => {
                    if self.machine.awaits_rest() {
                        self.stream.acknowledge();
                    }
                    self.read().await?;
                }
                Next::Answer => unreachable!("the owner goes on only after it answered"),
            }
        }
    }

    /// Writes all that the machine has to say, and then does not wait for the peer: `None` when there is no event yet.
    /// An owner that tells things nobody has asked for calls this before it tells more.
    ///
    /// May be dropped like [`Conn::event`].
    ///
    /// # Errors
    /// As [`Conn::event`].
    pub async fn catch_up(&mut self) -> Result<Option<M::Event>, Error> {
        loop {
            self.write_unsent().await?;
            match self.machine.next() {
                Next::Send(bytes) => self.gather(bytes),
                Next::Event(event) => return Ok(Some(event)),
                Next::Close | Next::Read | Next::Answer => return Ok(None),
            }
        }
    }

    /// Takes a piece from the machine, and those behind it that can go out with it.
    fn gather(&mut self, bytes: Bytes) {
        self.unsent.push(bytes);
        while !self.unsent.is_full() && self.machine.has_more() {
            match self.machine.next() {
                Next::Send(bytes) => self.unsent.push(bytes),
                _ => unreachable!("a machine that has more to send sends it"),
            }
        }
    }

    /// Writes what the machine has to say now, without reading. An owner that produces a long answer calls this
    /// between its pieces, so that what is unsent stays bounded.
    ///
    /// # Errors
    /// As [`Conn::event`]; call it only while an event waits for its answer.
    pub async fn flush(&mut self) -> Result<(), Error> {
        loop {
            self.write_unsent().await?;
            match self.machine.next() {
                Next::Send(bytes) => self.gather(bytes),
                _ => return Ok(()),
            }
        }
    }

    /// Server side of STARTTLS: everything from here on is encrypted. The machine has dropped what was buffered.
    ///
    /// # Errors
    /// The handshake failed or took too long; the connection is of no more use.
    pub async fn accept_tls(&mut self, identity: &Identity) -> Result<(), Error> {
        self.flush().await?;
        handshake(self.stream.accept_tls(identity)).await
    }

    /// Client side of STARTTLS or TLS from the start; `name` is the name the certificate must carry.
    ///
    /// # Errors
    /// The handshake failed, the certificate is not trusted, or it took too long.
    pub async fn connect_tls(&mut self, trust: &Trust, name: &str) -> Result<(), Error> {
        handshake(self.stream.connect_tls(trust, name)).await
    }

    async fn write_unsent(&mut self) -> Result<(), Error> {
        // What goes out at once, as most does, needs no timer.
        match poll_fn(|cx| Poll::Ready(self.poll_unsent(cx))).await {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => self.write_patiently().await,
        }
    }

    /// Writes and flushes all there is, if the stream takes it now.
    fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.unsent.is_empty() && !self.is_unflushed {
            return Poll::Ready(Ok(()));
        }
        while !self.unsent.is_empty() {
            let written = ready!(self.unsent.poll_write(&mut self.stream, cx)).map_err(Error::of_stream)?;
            if written == 0 {
                return Poll::Ready(Err(Error::Closed));
            }
        }
        self.poll_flush(cx)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.is_unflushed = flushed.is_pending();
        flushed.map_err(Error::of_stream)
    }

    /// The same for a stream that does not take it all at once.
    async fn write_patiently(&mut self) -> Result<(), Error> {
        let (mut patience, mut began) = (self.machine.patience(), Instant::now());
        while !self.unsent.is_empty() {
            let Self { stream, unsent, .. } = self;
            let write = poll_fn(|cx| unsent.poll_write(stream, cx));
            let written = timeout(patience, write).await.map_err(|_| Error::Silent(patience))?;
            if written.map_err(Error::of_stream)? == 0 {
                return Err(Error::Closed);
            }
            // A peer that takes an octet now and then holds nobody up for ever.
            self.machine.waited(began.elapsed());
            (patience, began) = (self.machine.patience(), Instant::now());
        }
        let flush = poll_fn(|cx| self.poll_flush(cx));
        timeout(patience, flush).await.map_err(|_| Error::Silent(patience))??;
        self.machine.waited(began.elapsed());
        Ok(())
    }

    /// Reads what has come already.
    async fn read_on(&mut self) -> Result<(), Error> {
        match poll_fn(|cx| Poll::Ready(self.poll_receive(cx))).await {
            Poll::Ready(outcome) => outcome.map_err(Error::of_stream),
            Poll::Pending => Ok(()),
        }
    }

    async fn read(&mut self) -> Result<(), Error> {
        let (patience, began) = (self.machine.patience(), Instant::now());
        let awake = self.turn.take().map_or(Duration::ZERO, |turn| turn.patience(began));
        if !awake.is_zero() && !self.stop.is_cancelled() && self.look(began, awake).await? {
            let now = Instant::now();
            self.turn = Turn::of(now, now - began);
            self.machine.waited(now - began);
            return Ok(());
        }
        let heard = poll_fn(|cx| self.poll_heard(began.checked_add(patience), cx)).await;
        if let Heard::Stop = heard {
            (self.stopped, self.stopping) = (true, None);
            self.machine.stop();
            return Ok(());
        }
        let now = Instant::now();
        // What runs in virtual time, no system has to wake.
        self.turn = if self.stream.is_socket() { Turn::of(now, now - began) } else { None };
        self.machine.waited(now - began);
        if let Heard::Peer(outcome) = heard {
            return outcome.map_err(Error::of_stream);
        }
        self.machine.expire();
        // A peer that does not take it is not there any more.
        let _ = self.flush().await;
        self.close().await;
        Err(Error::Silent(patience))
    }

    fn poll_heard(&mut self, end: Option<Instant>, cx: &mut Context<'_>) -> Poll<Heard> {
        if let Poll::Ready(outcome) = self.poll_receive(cx) {
            return Poll::Ready(Heard::Peer(outcome));
        }
        let Self { alarm, stop, stopping, stopped, .. } = self;
        if alarm.poll(end, cx).is_ready() {
            return Poll::Ready(Heard::Nobody);
        }
        if *stopped {
            return Poll::Pending;
        }
        let stopping = stopping.get_or_insert_with(|| Box::pin(stop.clone().cancelled_owned()));
        stopping.as_mut().poll(cx).map(|()| Heard::Stop)
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let mut buffer = [MaybeUninit::uninit(); READ_BYTES];
        let mut buffer = ReadBuf::uninit(&mut buffer);
        match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
            Ok(()) => {
                self.is_input_left = buffer.remaining() == 0;
                self.is_held |= self.is_input_left;
                self.machine.receive(buffer.filled());
            }
            // Peers that close without a TLS close_notify, or with a reset after QUIT, have merely hung up.
            Err(error) if matches!(error.kind(), std::io::ErrorKind::UnexpectedEof) => self.machine.receive(&[]),
            Err(error) => return Poll::Ready(Err(error)),
        }
        Poll::Ready(Ok(()))
    }

    /// Looks for bytes of a prompt peer without a sleep in between: whether some have come.
    async fn look(&mut self, began: Instant, awake: Duration) -> Result<bool, Error> {
        let Some(_awake) = Awake::take() else { return Ok(false) };
        while began.elapsed() < awake {
            if let Poll::Ready(arrived) = poll_fn(|cx| Poll::Ready(self.poll_receive(cx))).await {
                return arrived.map(|()| true).map_err(Error::of_stream);
            }
            yield_now().await;
        }
        Ok(false)
    }

    async fn close(&mut self) {
        let shutdown = poll_fn(|cx| Pin::new(&mut self.stream).poll_shutdown(cx));
        // The peer may be gone already, and then there is nobody to tell.
        let _ = timeout(HANDSHAKE_PATIENCE, shutdown).await;
    }
}

/// What ends a wait for the peer.
enum Heard {
    Peer(Result<(), std::io::Error>),
    /// It was silent for too long.
    Nobody,
    Stop,
}

async fn handshake(shake: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    timeout(HANDSHAKE_PATIENCE, shake).await.map_err(|_| Error::Silent(HANDSHAKE_PATIENCE))?
}
