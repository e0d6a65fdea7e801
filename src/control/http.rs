//! The HTTP connections of the control interface: their number, their time limits, and their end.

use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, timeout_at};

use super::AppState;
use super::problem::Problem;
use crate::net::{Error, LINGER_TIMEOUT, Limits, Service, Stop, Stream, UploadShare};
use crate::sync::lock;

/// How many connections are open at a time, and how long they may go on after a stop: the process ends within 5 s.
pub(super) const LIMITS: Limits =
    Limits { connections: 4096, connections_per_peer: 4096, grace: Duration::from_secs(3) };
/// How long the header of a request may take, and how long a connection may stay without a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the body of a request may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a client may read nothing of a response.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest header of a request.
const MAX_HEADER_BYTES: usize = 64 * 1024;

/// The server for [`crate::net::serve`].
#[derive(Clone)]
pub(super) struct Http(pub(super) Router);

impl Service for Http {
    /// Answers the requests of a connection, with upgrades, until it ends; after `stop`, only the request that has
    /// begun. An error of HTTP is [`Error::Io`].
    async fn serve_connection(self, stream: Stream, stop: Stop) -> Result<(), Error> {
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(MAX_HEADER_BYTES);
        let stream = TokioIo::new(PromptReader { stream, stalled: None, closing: None });
        let connection = builder.serve_connection(stream, TowerToHyperService::new(self.0));
        let mut connection = pin!(connection.with_upgrades());
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => Some(ended),
            () = stop.cancelled() => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        // What went wrong is the client's affair; the log at debug level has it.
        ended.map_err(|error| Error::Io(io::Error::other(error)))
    }

    /// Returns the bytes that a client gets when there are too many connections: a 503 without a body, which says that
    /// the connection is closed.
    fn too_many_reply(&self) -> &'static str {
        "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    }
}

/// Bounds the body of a request: its time, and with those of other uploads, its memory. If a bound is broken, the
/// response is 408 or 503, whatever the handler answered.
pub(super) async fn limit_body(State(running): AppState, request: Request, next: Next) -> Response {
    let upload = Arc::new(Mutex::new(Upload { share: running.uploads.share(), bytes: 0, broken: None }));
    let response = next.run(request.map(|body| limited_body(body, upload.clone()))).await;
    let broken = lock(&upload).broken;
    broken.map_or(response, |(status, text)| Problem::new(status, text).into_response())
}

/// The body of a request that is being read.
struct Upload {
    share: UploadShare,
    /// The memory that it takes.
    bytes: usize,
    /// Why it was not read to its end.
    broken: Option<(StatusCode, &'static str)>,
}

impl Upload {
    /// Counts a part of the body, and returns it; if all uploads together have no memory for it, notes that the
    /// response is 503, and returns the error with which the body ends. A part counts twice: in the end, all parts are
    /// copied into one buffer.
    fn take(&mut self, part: Bytes) -> Result<Bytes, axum::Error> {
        self.bytes += 2 * part.len();
        match self.share.grow_to(self.bytes) {
            true => Ok(part),
            false => Err(self.fail(StatusCode::SERVICE_UNAVAILABLE, "too many uploads at once, try again later")),
        }
    }

    /// Notes the status and text of the response to come, and returns the error with which the body ends.
    fn fail(&mut self, status: StatusCode, text: &'static str) -> axum::Error {
        self.broken = Some((status, text));
        axum::Error::new(text)
    }
}

/// Returns the same body, which ends with an error when [`BODY_TIMEOUT`] from now is over (408) or `upload` has no
/// memory for a part (503); the status of the response is noted in `upload` then.
fn limited_body(body: Body, upload: Arc<Mutex<Upload>>) -> Body {
    let end = Instant::now() + BODY_TIMEOUT;
    let late = "the body of the request did not arrive in time";
    let parts = stream::unfold(Some((body.into_data_stream(), upload)), move |state| async move {
        let (mut parts, upload) = state?;
        let part = match timeout_at(end, parts.next()).await {
            Ok(part) => part?.and_then(|part| lock(&upload).take(part)),
            Err(_) => Err(lock(&upload).fail(StatusCode::REQUEST_TIMEOUT, late)),
        };
        let next = part.is_ok().then_some((parts, upload));
        Some((part, next))
    });
    Body::from_stream(parts)
}

/// A stream whose peer must read what is written.
struct PromptReader {
    stream: Stream,
    /// The end of the wait for the peer, while it reads nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    /// How long the peer may still send, once all is written. RFC 9112 §9.6.
    closing: Option<Pin<Box<Sleep>>>,
}

impl PromptReader {
    /// Returns the outcome of a write; one that is pending fails with `TimedOut` once the peer has read nothing for
    /// [`WRITE_TIMEOUT`], which runs from the first pending outcome after one that was ready.
    fn check<T>(&mut self, outcome: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(WRITE_TIMEOUT)));
        stalled.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for PromptReader {
    /// Reads as the stream does, without a timeout.
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for PromptReader {
    /// Writes as the stream does; fails with `TimedOut` once the peer has read nothing for [`WRITE_TIMEOUT`].
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.check(written, cx)
    }

    /// Writes as the stream does; fails with `TimedOut` once the peer has read nothing for [`WRITE_TIMEOUT`].
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.check(written, cx)
    }

    /// As of the stream.
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Flushes as the stream does; fails with `TimedOut` once the peer has read nothing for [`WRITE_TIMEOUT`].
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.check(flushed, cx)
    }

    /// Ends the writing side, then reads and discards until the peer closes, reading fails or [`LINGER_TIMEOUT`] is
    /// over. Fails only if the writing side cannot be ended, or with `TimedOut` as a write does.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.closing.is_none() {
            let closed = Pin::new(&mut self.stream).poll_shutdown(cx);
            ready!(self.check(closed, cx))?;
        }
        let Self { stream, closing, .. } = &mut *self;
        let end = closing.get_or_insert_with(|| Box::pin(sleep(LINGER_TIMEOUT)));
        while end.as_mut().poll(cx).is_pending() {
            let mut part = [0; 16 * 1024];
            let mut part = ReadBuf::new(&mut part);
            if ready!(Pin::new(&mut *stream).poll_read(cx, &mut part)).is_err() || part.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;
    use crate::net::{Net, ServerConfig, UploadBudget, serve};

    const SECOND: Duration = Duration::from_secs(1);

    struct Server {
        net: Net,
        stop: Stop,
        serving: tokio::task::JoinHandle<()>,
    }

    impl Server {
        async fn start(limits: Limits) -> Self {
            let (net, stop) = (Net::memory(Arc::new(|_, _| Duration::from_millis(10))), Stop::new());
            let listener = net.interface(&[[192, 0, 2, 1].into()]).listen(80).await.unwrap().remove(0);
            let router = Router::new()
                .route("/", get(|| async { "hello" }))
                .route("/large", get(|| async { "x".repeat(10_000_000) }))
                .route("/", post(|body: Bytes| async move { body.len().to_string() }));
            let serving = tokio::spawn(serve(ServerConfig { listener, tls: None, limits }, Http(router), stop.clone()));
            Self { net, stop, serving }
        }

        async fn connect(&self) -> Stream {
            let client = self.net.interface(&[[192, 0, 2, 2].into()]);
            client.connect("192.0.2.1:80".parse().unwrap()).await.unwrap()
        }
    }

    /// What the server sends until it closes the connection, and how long that takes.
    async fn rest(stream: &mut Stream) -> (String, Duration) {
        let (mut text, began) = (Vec::new(), Instant::now());
        let _ = stream.read_to_end(&mut text).await;
        (String::from_utf8_lossy(&text).into_owned(), began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn connection_without_a_whole_header_is_closed_in_time() {
        let server = Server::start(LIMITS).await;
        for begin in ["", "GET / HTTP/1.1\r\nHost: a\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"] {
            let mut stream = server.connect().await;
            stream.write_all(begin.as_bytes()).await.unwrap();
            let (text, took) = rest(&mut stream).await;
            assert!((HEADER_TIMEOUT..HEADER_TIMEOUT + SECOND).contains(&took), "{begin:?}: {took:?}, {text}");
            assert_eq!(text.contains("hello"), begin.ends_with("\r\n\r\n"));
        }
        // A byte now and then does not help.
        let mut stream = server.connect().await;
        let drip = async {
            while stream.write_all(b"x").await.is_ok() {
                sleep(SECOND).await
            }
        };
        assert!(timeout(HEADER_TIMEOUT + 3 * SECOND, drip).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn connection_that_reads_nothing_is_closed_in_time() {
        let server = Server::start(Limits { connections: 1, ..LIMITS }).await;
        let mut slow = server.connect().await;
        slow.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        // There is one place, so the next one waits until it is free.
        let mut next = server.connect().await;
        next.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        let (text, took) = rest(&mut next).await;
        assert!(text.ends_with("hello"), "{text}");
        assert!((WRITE_TIMEOUT - SECOND..WRITE_TIMEOUT + SECOND).contains(&took), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn slow_connections_by_the_thousand_keep_no_client_waiting() {
        let server = &Server::start(LIMITS).await;
        let header = b"GET / HTTP/1.1\r\nHost: a\r\n";
        let mut slow = Vec::new();
        while slow.len() < 2000 {
            let some = (0..100).map(|number| async move {
                let mut stream = server.connect().await;
                stream.write_all(&header[..number % header.len()]).await.unwrap();
                stream
            });
            slow.extend(futures_util::future::join_all(some).await);
        }
        let began = Instant::now();
        let mut next = server.connect().await;
        next.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        let (text, _) = rest(&mut next).await;
        assert!(text.ends_with("hello") && began.elapsed() < SECOND, "{:?}: {text}", began.elapsed());
        assert_eq!(slow.len(), 2000);
    }

    #[tokio::test(start_paused = true)]
    async fn stop_with_open_connections_ends_within_the_grace_period() {
        let server = Server::start(LIMITS).await;
        let mut streams = Vec::new();
        for begin in [
            "",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx",
            "GET /",
            "GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
        ] {
            let mut stream = server.connect().await;
            stream.write_all(begin.as_bytes()).await.unwrap();
            streams.push(stream);
        }
        sleep(SECOND).await;
        let began = Instant::now();
        server.stop.cancel();
        server.serving.await.unwrap();
        assert!(began.elapsed() <= LIMITS.grace + SECOND, "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn body_that_is_late_or_too_much_with_others_is_an_error() {
        let upload =
            |budget: &UploadBudget| Arc::new(Mutex::new(Upload { share: budget.share(), bytes: 0, broken: None }));
        let never = || Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let budget = UploadBudget::new(100_000);
        let late = upload(&budget);
        let began = Instant::now();
        assert!(to_bytes(limited_body(never(), late.clone()), 1_000_000).await.is_err());
        assert_eq!((began.elapsed(), lock(&late).broken.unwrap().0), (BODY_TIMEOUT, StatusCode::REQUEST_TIMEOUT));

        let (one, other) = (upload(&budget), upload(&budget));
        assert!(to_bytes(limited_body(vec![0; 45_000].into(), one.clone()), 1_000_000).await.is_ok());
        assert!(to_bytes(limited_body(vec![0; 45_000].into(), other.clone()), 1_000_000).await.is_err());
        assert_eq!(lock(&other).broken.unwrap().0, StatusCode::SERVICE_UNAVAILABLE);
        drop((one, other));
        assert!(to_bytes(limited_body(vec![0; 45_000].into(), upload(&budget)), 1_000_000).await.is_ok());
    }
}
