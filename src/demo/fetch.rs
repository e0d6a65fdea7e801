//! Fetches one page: connects, sends a GET request, reads the response until the server closes the connection.

use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use url::Url;

use super::header::{Header, Malformed};
use super::response::{Exchange, Part};
use crate::net::{self, Conn, Interface, Stop, Trust};

/// A parsed URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The host name or address; an IPv6 address is in brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Whether to use TLS.
    pub tls: bool,
    /// The last path segment, used as the default file name.
    pub file_name: Option<String>,
    /// Path and query for the request line.
    path: String,
    /// The value of the `Host` field: host, and port if it is not the default. RFC 9110 §7.2.
    authority: String,
}

/// Why a URL is not supported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// It is not a URL.
    #[error("not a URL such as http://example.com/page: {0}")]
    NotUrl(#[from] url::ParseError),
    /// Its scheme is neither http nor https.
    #[error("`{0}` is not http or https")]
    OtherScheme(String),
    /// It contains a user name or a password.
    #[error("a URL with a user name or password is not supported")]
    Login,
}

impl FromStr for Target {
    type Err = BadUrl;

    /// Parses a URL with the scheme `http` or `https`, without a login; its fragment is dropped.
    fn from_str(text: &str) -> Result<Self, BadUrl> {
        let url = Url::parse(text)?;
        let tls = match url.scheme() {
            "http" => false,
            "https" => true,
            other => return Err(BadUrl::OtherScheme(other.to_owned())),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BadUrl::Login);
        }
        let host = url.host_str().ok_or(url::ParseError::EmptyHost)?.to_owned();
        let authority = url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        let path = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        let last = url.path_segments().and_then(|mut segments| segments.next_back());
        let file_name = last.filter(|name| !name.is_empty()).map(str::to_owned);
        let port = url.port().unwrap_or(if tls { 443 } else { 80 });
        Ok(Self { host, port, tls, file_name, path, authority })
    }
}

impl Target {
    /// The text of the GET request, without a body. RFC 9112 §3, §9.6: the server closes the connection after the
    /// response.
    ///
    /// ```
    /// let target: postroad::demo::fetch::Target = "http://example.com:8080/a?b#c".parse().unwrap();
    /// assert!(target.request().starts_with("GET /a?b HTTP/1.1\r\nHost: example.com:8080\r\nConnection: close\r\n"));
    /// ```
    pub fn request(&self) -> String {
        format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nUser-Agent: postroad/{}\r\nAccept: */*\r\n\r\n",
            self.path,
            self.authority,
            env!("CARGO_PKG_VERSION"),
        )
    }
}

/// Why a fetch failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A network error.
    #[error(transparent)]
    Net(#[from] net::Error),
    /// The response is malformed or incomplete.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// A response whose body is still to be read.
pub struct Download {
    /// The header of the response.
    pub header: Header,
    conn: Conn<Exchange>,
}

impl Download {
    /// Connects, with TLS if the target wants it, sends the request and reads the header, whatever its status.
    /// `timeout` limits each wait for the server, the one for the connection included.
    ///
    /// # Errors
    /// The host is unreachable or not trusted, or the response is not HTTP.
    pub async fn begin(
        interface: &Interface,
        trust: &Trust,
        target: &Target,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        let addresses = interface.lookup(&target.host, target.port).await?;
        let stream = interface.connect_any(&target.host, &addresses, timeout).await?;
        let mut conn = Conn::new(stream, Exchange::new(target.request(), timeout), Stop::new());
        if target.tls {
            conn.connect_tls(trust, target.host.trim_matches(['[', ']'])).await?;
        }
        match conn.event().await? {
            Some(Part::Header(header)) => Ok(Self { header, conn }),
            Some(Part::Malformed(malformed)) => Err(malformed.into()),
            _ => Err(Malformed::NoHeader.into()),
        }
    }

    /// Reads the next part of the body; `None` at its end.
    ///
    /// # Errors
    /// The connection ended early, or the body is malformed.
    pub async fn read(&mut self) -> Result<Option<Bytes>, Failure> {
        match self.conn.event().await? {
            Some(Part::Body(bytes)) => Ok(Some(bytes)),
            Some(Part::Malformed(malformed)) => Err(malformed.into()),
            Some(Part::End | Part::Header(_)) | None => Ok(None),
        }
    }
}
