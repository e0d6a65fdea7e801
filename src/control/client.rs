//! Asks the control interface of another process.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::net::{self, Interface};

/// The longest answer that is read.
const ANSWER_MAX: usize = 64 * 1024 * 1024;
/// How long an answer may take; a host that is turned off lets its conversations end first.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the control interface of a running world is.
#[derive(Clone)]
pub struct Client {
    interface: Interface,
    host: String,
    port: u16,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Nobody is there.
    #[error("no postroad answers at {at}: {why}")]
    Unreachable {
        /// Where it was sought.
        at: String,
        /// What is in the way.
        why: net::Error,
    },
    /// It does not answer.
    #[error("{at} did not answer within {within:?}")]
    Silent {
        /// Where it was asked.
        at: String,
        /// How long it had.
        within: Duration,
    },
    /// The conversation failed.
    #[error("{at} does not speak HTTP to us: {why}")]
    Http {
        /// Where.
        at: String,
        /// What went wrong.
        why: hyper::Error,
    },
    /// It said no.
    #[error("{said}")]
    Refused {
        /// With which status.
        status: StatusCode,
        /// Why, in its words.
        said: String,
    },
    /// The answer is not what was asked for.
    #[error("an answer that is not understood: {0}")]
    Nonsense(String),
}

impl Client {
    /// The control interface at a host and port.
    pub fn new(interface: Interface, host: &str, port: u16) -> Self {
        Self { interface, host: host.to_owned(), port }
    }

    fn at(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Reads something.
    ///
    /// # Errors
    /// There is no answer, or it is no.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.ask_json(Method::GET, path, Bytes::new()).await
    }

    /// Sends something.
    ///
    /// # Errors
    /// There is no answer, or it is no.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        let body = serde_json::to_vec(body).map_err(|error| Failure::Nonsense(error.to_string()))?;
        self.ask_json(Method::POST, path, body.into()).await
    }

    /// Reads octets.
    ///
    /// # Errors
    /// There is no answer, or it is no.
    pub async fn octets(&self, path: &str) -> Result<Bytes, Failure> {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    /// Sends octets.
    ///
    /// # Errors
    /// There is no answer, or it is no.
    pub async fn post_octets<T: DeserializeOwned>(&self, path: &str, body: Bytes) -> Result<T, Failure> {
        self.ask_json(Method::POST, path, body).await
    }

    /// Ends something.
    ///
    /// # Errors
    /// There is no answer, or it is no.
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.ask_json(Method::DELETE, path, Bytes::new()).await
    }

    /// One request on a connection of its own.
    async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, Failure> {
        let asking = self.ask_now(method, path, body);
        timeout(PATIENCE, asking).await.unwrap_or_else(|_| Err(Failure::Silent { at: self.at(), within: PATIENCE }))
    }

    async fn ask_json<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> Result<T, Failure> {
        let body = self.ask(method, path, body).await?;
        serde_json::from_slice(&body).map_err(|error| Failure::Nonsense(error.to_string()))
    }

    async fn ask_now(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, Failure> {
        let at = self.at();
        let unreachable = |why| Failure::Unreachable { at: at.clone(), why };
        let failed = |why| Failure::Http { at: at.clone(), why };
        let addresses = self.interface.lookup(&self.host, self.port).await.map_err(unreachable)?;
        let stream = self.interface.connect_any(&self.host, &addresses).await.map_err(unreachable)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        // It ends when the sender is dropped.
        tokio::spawn(connection);
        let request = Request::builder().method(method).uri(path).header("Host", &at);
        let request = request.header("Content-Type", "application/json").body(Full::new(body));
        let request = request.map_err(|error| Failure::Nonsense(error.to_string()))?;
        let answer = sender.send_request(request).await.map_err(failed)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_MAX).collect().await;
        let body = body.map_err(|error| Failure::Nonsense(error.to_string()))?.to_bytes();
        if status.is_success() {
            return Ok(body);
        }
        let said = serde_json::from_slice::<serde_json::Value>(&body).ok();
        let said = said.and_then(|said| said["error"].as_str().map(|said| said.replace(char::is_control, " ")));
        Err(Failure::Refused { status, said: said.unwrap_or_else(|| format!("{at} answers {status}")) })
    }
}
