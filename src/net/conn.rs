//! Drives a [`Machine`] over a [`Stream`]: one loop for all protocols, servers and clients.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::close::LINGER_TIMEOUT;
use super::deadline::Deadline;
use super::write_buffer::WriteBuffer;
use super::{Error, Machine, Next, Stop, Stream, TlsAcceptor, Trust};
use crate::sync::{Turn, beside_others};

/// Size of one read: a message arrives in a few of them. The buffer is on the stack during a poll, so an idle
/// connection has none.
const READ_BYTES: usize = 64 * 1024;
/// Time limit for a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(60);

/// A connection: a machine, its stream, and bytes that are not yet written.
pub struct Conn<M> {
    /// The protocol session. Its events are answered by calling its methods.
    pub machine: M,
    stream: Stream,
    unsent: WriteBuffer,
    /// Written bytes may still be buffered in the stream.
    is_unflushed: bool,
    /// The last read filled the buffer, so there may be more to read.
    is_input_left: bool,
    /// Unsent bytes are not written until the machine wants to read.
    delay_output: bool,
    deadline: Deadline,
    stop: StopWatch,
    /// Another one that ends the session, too.
    other_stop: Option<Box<StopWatch>>,
    stopped: bool,
    turn: Turn,
}

impl<M: Machine + Unpin> Conn<M> {
    /// Connects a machine to a stream. When `stop` fires, the machine shuts down once it waits for the peer.
    pub fn new(stream: Stream, machine: M, stop: Stop) -> Self {
        let (unsent, deadline) = (WriteBuffer::default(), Deadline::default());
        Self {
            machine,
            stream,
            unsent,
            is_unflushed: false,
            is_input_left: false,
            delay_output: false,
            deadline,
            stop: StopWatch::new(stop),
            other_stop: None,
            stopped: false,
            turn: Turn::begin(),
        }
    }

    /// From now on, the machine also shuts down when this stop fires, beside the one of [`Conn::new`]. The stop of an
    /// earlier call no longer counts.
    pub fn stop_also(&mut self, stop: Stop) {
        self.other_stop = Some(Box::new(StopWatch::new(stop)));
    }

    /// From now on, `host` answers the peer, if that is a program outside the world: the faults of the link between
    /// them apply. Has no effect on a connection between hosts.
    pub fn answer_from(&mut self, host: IpAddr) {
        self.stream.answer_from(host);
    }

    /// The stream, with the peer's address and the state of TLS.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Runs the session up to the next event; `None` when it is over, and the stream closed.
    ///
    /// Cancel safe: nothing that was read or is unsent is lost.
    ///
    /// # Errors
    /// The network failed, or the peer exceeded the protocol's timeout.
    pub async fn event(&mut self) -> Result<Option<M::Event>, Error> {
        loop {
            // What a peer sends may take long to read, and what it reads long to write.
            self.turn.pass_on().await;
            if !self.delay_output || self.unsent.is_full() {
                self.write_unsent().await?;
            }
            match self.machine.next() {
                Next::Send(bytes) => self.coalesce(bytes),
                Next::Event(event) => return Ok(Some(event)),
                Next::Close => {
                    self.write_unsent().await?;
                    self.close().await;
                    return Ok(None);
                }
                // RFC 2920 §3.2: replies are sent together once all input that has arrived is read.
                Next::Read if std::mem::take(&mut self.is_input_left) => self.read_on().await?,
                Next::Read if std::mem::take(&mut self.delay_output) => {}
                Next::Read if self.machine.has_input() => {}
                Next::Read => {
                    if self.machine.expects_more() {
                        self.stream.acknowledge();
                    }
                    self.read().await?;
                }
                Next::AwaitOwner => unreachable!("the owner has answered the last event"),
            }
        }
    }

    /// Writes all output of the machine, and returns the next event if there is one already: nothing is read. `None`
    /// also when the session is over, which [`Conn::event`] returns, too. An owner that sends unsolicited data calls
    /// this before it adds more.
    ///
    /// Cancel safe, like [`Conn::event`].
    ///
    /// # Errors
    /// As [`Conn::event`].
    pub async fn flush_and_poll(&mut self) -> Result<Option<M::Event>, Error> {
        loop {
            self.write_unsent().await?;
            match self.machine.next() {
                Next::Send(bytes) => self.coalesce(bytes),
                Next::Event(event) => return Ok(Some(event)),
                Next::Close | Next::Read | Next::AwaitOwner => return Ok(None),
            }
        }
    }

    /// Buffers a piece of output, and those after it that can be written together with it.
    fn coalesce(&mut self, bytes: Bytes) {
        self.unsent.push(bytes);
        while !self.unsent.is_full() && self.machine.has_more() {
            match self.machine.next() {
                Next::Send(bytes) => self.unsent.push(bytes),
                _ => unreachable!("has_more() promised more to send"),
            }
        }
    }

    /// Writes the current output of the machine, without reading. An owner that produces a long answer calls this
    /// between its pieces, so that the unsent bytes stay bounded.
    ///
    /// # Errors
    /// As [`Conn::event`]; call it only while an event waits for its answer.
    pub async fn flush(&mut self) -> Result<(), Error> {
        loop {
            self.turn.pass_on().await;
            self.write_unsent().await?;
            match self.machine.next() {
                Next::Send(bytes) => self.coalesce(bytes),
                _ => return Ok(()),
            }
        }
    }

    /// Server side of STARTTLS: writes the output so far, then encrypts the connection. The machine must have dropped
    /// its buffered input.
    ///
    /// # Errors
    /// The handshake failed or took too long; the connection cannot be used any more.
    pub async fn accept_tls(&mut self, acceptor: &TlsAcceptor) -> Result<(), Error> {
        self.flush().await?;
        handshake(self.stream.accept_tls(acceptor)).await
    }

    /// Client side of STARTTLS or TLS from the start; `name` is the name the certificate must carry.
    ///
    /// # Errors
    /// The handshake failed, the certificate is not trusted, or it took too long.
    pub async fn connect_tls(&mut self, trust: &Trust, name: &str) -> Result<(), Error> {
        handshake(self.stream.connect_tls(trust, name)).await
    }

    /// Writes and flushes all unsent bytes. Waits for the stream up to the machine's timeout if it does not accept them
    /// at once, then fails with [`Error::Silent`].
    async fn write_unsent(&mut self) -> Result<(), Error> {
        // Most writes complete at once and need no timer.
        match poll_fn(|cx| Poll::Ready(self.poll_unsent(cx))).await {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => self.write_with_timeout().await,
        }
    }

    /// Writes and flushes all unsent bytes; pending while the stream does not accept them. What it accepted is removed.
    /// [`Error::Closed`] if it accepts 0 bytes.
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

    /// Flushes the stream, and notes whether that is still to be done.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.is_unflushed = flushed.is_pending();
        flushed.map_err(Error::of_stream)
    }

    /// Writes and flushes all unsent bytes. Waits for each part up to the machine's timeout, then fails with
    /// [`Error::Silent`]; each wait is added to the machine by [`Machine::add_wait`].
    async fn write_with_timeout(&mut self) -> Result<(), Error> {
        let (mut timeout_after, mut began) = (self.machine.timeout(), Instant::now());
        while !self.unsent.is_empty() {
            let Self { stream, unsent, .. } = self;
            let write = poll_fn(|cx| unsent.poll_write(stream, cx));
            let written = timeout(timeout_after, write).await.map_err(|_| Error::Silent(timeout_after))?;
            if written.map_err(Error::of_stream)? == 0 {
                return Err(Error::Closed);
            }
            // The sum of the waits is limited, so a peer that accepts single bytes is cut off in the end.
            self.machine.add_wait(began.elapsed());
            (timeout_after, began) = (self.machine.timeout(), Instant::now());
        }
        let flush = poll_fn(|cx| self.poll_flush(cx));
        timeout(timeout_after, flush).await.map_err(|_| Error::Silent(timeout_after))??;
        self.machine.add_wait(began.elapsed());
        Ok(())
    }

    /// Reads once, if something has already arrived, and gives it to the machine; does not wait.
    async fn read_on(&mut self) -> Result<(), Error> {
        match poll_fn(|cx| Poll::Ready(self.poll_receive(cx))).await {
            Poll::Ready(outcome) => outcome.map_err(Error::of_stream),
            Poll::Pending => Ok(()),
        }
    }

    /// Waits for input, up to the machine's timeout, and gives it to the machine. A stop shuts the machine down
    /// instead. At the timeout, the machine's last reply is sent and the stream is closed; that is an error.
    async fn read(&mut self) -> Result<(), Error> {
        let (timeout_after, began) = (self.machine.timeout(), Instant::now());
        let result = poll_fn(|cx| self.poll_wait(began.checked_add(timeout_after), cx)).await;
        if let WaitResult::Stop = result {
            self.stopped = true;
            self.stop_watches().for_each(|watch| watch.wait = None);
            self.machine.shut_down();
            return Ok(());
        }
        let now = Instant::now();
        self.turn = Turn::begin();
        self.machine.add_wait(now - began);
        if let WaitResult::Peer(outcome) = result {
            return outcome.map_err(Error::of_stream);
        }
        self.machine.on_timeout();
        // If the peer does not accept it, the connection is broken anyway.
        let _ = self.flush().await;
        self.close().await;
        Err(Error::Silent(timeout_after))
    }

    /// Ready when input was received, when `end` is reached, or when a stop fires for the first time.
    fn poll_wait(&mut self, end: Option<Instant>, cx: &mut Context<'_>) -> Poll<WaitResult> {
        if let Poll::Ready(outcome) = self.poll_receive(cx) {
            return Poll::Ready(WaitResult::Peer(outcome));
        }
        if self.deadline.poll(end, cx).is_ready() {
            return Poll::Ready(WaitResult::TimedOut);
        }
        if !self.stopped && self.stop_watches().any(|watch| watch.poll(cx).is_ready()) {
            return Poll::Ready(WaitResult::Stop);
        }
        Poll::Pending
    }

    /// The stop that the connection was made with, then that of [`Conn::stop_also`], if there is one.
    fn stop_watches(&mut self) -> impl Iterator<Item = &mut StopWatch> {
        std::iter::once(&mut self.stop).chain(self.other_stop.as_deref_mut())
    }

    /// Reads once, up to 64 KiB, and gives it to the machine; an end of the stream, also without a TLS close_notify, is
    /// an empty slice. If the buffer was filled, notes that there may be more input, and that output waits for it.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let mut buffer = [MaybeUninit::uninit(); READ_BYTES];
        let mut buffer = ReadBuf::uninit(&mut buffer);
        match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
            Ok(()) => {
                self.is_input_left = buffer.remaining() == 0;
                self.delay_output |= self.is_input_left;
                let (machine, input) = (&mut self.machine, buffer.filled());
                beside_others(machine.completed_bytes(input), || machine.receive(input));
            }
            // A close without TLS close_notify is a plain end of stream.
            Err(error) if matches!(error.kind(), std::io::ErrorKind::UnexpectedEof) => self.machine.receive(&[]),
            Err(error) => return Poll::Ready(Err(error)),
        }
        Poll::Ready(Ok(()))
    }

    /// Closes the stream as [`Stream::close`] does. Reads what the peer still sends for up to 1 s, or after a stop not
    /// at all. Failures are ignored.
    async fn close(&mut self) {
        let linger = if self.stopped { Duration::ZERO } else { LINGER_TIMEOUT };
        self.stream.close(linger).await;
    }
}

/// A stop, and the wait for it.
struct StopWatch {
    stop: Stop,
    /// The wait, from the first read until the stop fires.
    wait: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl StopWatch {
    fn new(stop: Stop) -> Self {
        Self { stop, wait: None }
    }

    /// Ready once the stop has fired. The first call begins the wait.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Self { stop, wait } = self;
        wait.get_or_insert_with(|| Box::pin(stop.clone().cancelled_owned())).as_mut().poll(cx)
    }
}

/// The end of a wait for the peer.
enum WaitResult {
    /// The peer sent something, closed, or the connection broke.
    Peer(Result<(), std::io::Error>),
    /// The timeout expired.
    TimedOut,
    /// The server shuts down.
    Stop,
}

/// Waits for a TLS handshake and returns its result; [`Error::Silent`] if it takes longer than [`HANDSHAKE_TIMEOUT`].
async fn handshake(shake: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    timeout(HANDSHAKE_TIMEOUT, shake).await.map_err(|_| Error::Silent(HANDSHAKE_TIMEOUT))?
}
