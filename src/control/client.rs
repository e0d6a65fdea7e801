//! HTTP client for the control interface of another process.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::access::Credentials;
use super::problem::Problem;
use crate::net::{self, CONNECT_TIMEOUT, Interface};

/// The largest response that is read.
const MAX_RESPONSE_BYTES: usize = 64 * 1024 * 1024;
/// The timeout of a request. A host that is turned off finishes its connections first.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);

/// A client for the control interface at one address.
#[derive(Clone)]
pub struct Client {
    interface: Interface,
    host: String,
    port: u16,
    credentials: Option<Credentials>,
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The connection failed.
    #[error("cannot connect to postroad at {at}: {why}")]
    Unreachable {
        /// The address.
        at: String,
        /// The cause.
        why: net::Error,
    },
    /// There was no response in time.
    #[error("no response from {at} within {within:?}")]
    Timeout {
        /// The address.
        at: String,
        /// The timeout.
        within: Duration,
    },
    /// The HTTP exchange failed.
    #[error("{at} does not answer as the control interface of postroad does: {why}")]
    Http {
        /// The address.
        at: String,
        /// The cause.
        why: hyper::Error,
    },
    /// The server responded with an error status.
    #[error("{text}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// The error text of the response.
        text: String,
    },
    /// The request or the response is invalid.
    #[error("invalid response: {0}")]
    Invalid(String),
}

impl Client {
    /// Creates a client for the control interface at a host and port, with the credentials that it needs, if any.
    pub fn new(interface: Interface, host: &str, port: u16, credentials: Option<Credentials>) -> Self {
        Self { interface, host: host.to_owned(), port, credentials }
    }

    /// Returns `HOST:PORT`, with brackets around an IPv6 address, for the Host header and for errors.
    fn at(&self) -> String {
        let (host, port) = (&self.host, self.port);
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    /// Sends a GET request and reads a JSON response.
    ///
    /// # Errors
    /// The request failed, the status is not 2xx, or the response is not the JSON of a `T`.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.request_json(Method::GET, path, Bytes::new()).await
    }

    /// Sends a POST request with a JSON body and reads a JSON response.
    ///
    /// # Errors
    /// The request failed, the status is not 2xx, or the response is not the JSON of a `T`.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| ClientError::Invalid(error.to_string()))?;
        self.request_json(Method::POST, path, body.into()).await
    }

    /// Sends a GET request and reads the response as bytes.
    ///
    /// # Errors
    /// The request failed, or the status is not 2xx.
    pub async fn bytes(&self, path: &str) -> Result<Bytes, ClientError> {
        self.request(Method::GET, path, Bytes::new()).await
    }

    /// Sends a POST request with bytes as its body, whose `Content-Type` is JSON nevertheless, and reads a JSON
    /// response.
    ///
    /// # Errors
    /// The request failed, the status is not 2xx, or the response is not the JSON of a `T`.
    pub async fn post_bytes<T: DeserializeOwned>(&self, path: &str, body: Bytes) -> Result<T, ClientError> {
        self.request_json(Method::POST, path, body).await
    }

    /// Sends a DELETE request without a body and reads a JSON response.
    ///
    /// # Errors
    /// The request failed, the status is not 2xx, or the response is not the JSON of a `T`.
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.request_json(Method::DELETE, path, Bytes::new()).await
    }

    /// Sends a DELETE request whose response has no content that matters.
    ///
    /// # Errors
    /// The request failed, or the status is not 2xx.
    pub async fn remove(&self, path: &str) -> Result<(), ClientError> {
        self.request(Method::DELETE, path, Bytes::new()).await.map(drop)
    }

    /// Sends a request on a connection of its own, and returns the body of the response. It fails after
    /// [`RESPONSE_TIMEOUT`], and if the status is not 2xx.
    async fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, ClientError> {
        let response = self.exchange(method, path, body);
        timeout(RESPONSE_TIMEOUT, response)
            .await
            .unwrap_or_else(|_| Err(ClientError::Timeout { at: self.at(), within: RESPONSE_TIMEOUT }))
    }

    /// Sends a request as [`Client::request`] does, and reads the body of the response as JSON. A body that is not that
    /// of a `T` is [`ClientError::Invalid`].
    async fn request_json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        let body = self.request(method, path, body).await?;
        serde_json::from_slice(&body).map_err(|error| ClientError::Invalid(error.to_string()))
    }

    /// Sends a request on a connection of its own, with the credentials if there are some, and returns the body of the
    /// response; one longer than [`MAX_RESPONSE_BYTES`] is an error. A status other than 2xx is
    /// [`ClientError::Refused`] with the `detail` of the problem in the body, or with the status if there is none. Has
    /// no timeout.
    async fn exchange(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, ClientError> {
        let at = self.at();
        let unreachable = |why| ClientError::Unreachable { at: at.clone(), why };
        let failed = |why| ClientError::Http { at: at.clone(), why };
        let addresses = self.interface.lookup(&self.host, self.port).await.map_err(unreachable)?;
        let stream = self.interface.connect_any(&self.host, &addresses, CONNECT_TIMEOUT).await.map_err(unreachable)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        // The task ends when the sender is dropped.
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header("Host", &at);
        if let Some(credentials) = &self.credentials {
            request = request.header("Authorization", credentials.header());
        }
        let request = request.header("Content-Type", "application/json").body(Full::new(body));
        let request = request.map_err(|error| ClientError::Invalid(error.to_string()))?;
        let response = sender.send_request(request).await.map_err(failed)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_RESPONSE_BYTES).collect().await;
        let body = body.map_err(|error| ClientError::Invalid(error.to_string()))?.to_bytes();
        if status.is_success() {
            return Ok(body);
        }
        let text = match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => {
                let hint = if status == StatusCode::UNAUTHORIZED { ": --http-token or --http-user" } else { "" };
                problem.detail.replace(char::is_control, " ") + hint
            }
            Err(_) => format!("{at} responded with {status}"),
        };
        Err(ClientError::Refused { status, text })
    }
}
