//! Sends a body to a URL by POST, on a connection of its own.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use url::{Position, Url};

use crate::net::{CONNECT_TIMEOUT, Interface};

/// Sends `body`, which is JSON, by POST to a URL of the scheme `http`, over a new connection of `interface`, with
/// `fields` (names and values) as further header fields. Returns the status of the answer, whatever it is; the body of
/// the answer is not read. There is no timeout for the answer.
///
/// # Errors
/// The host of the URL was not found, the body could not be sent, or there was no answer.
pub(super) async fn post(
    interface: &Interface,
    url: &Url,
    fields: &[(&str, &str)],
    body: Bytes,
) -> anyhow::Result<StatusCode> {
    let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(80));
    let addresses = interface.lookup(host, port).await?;
    let stream = interface.connect_any(host, &addresses, CONNECT_TIMEOUT).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // The task ends when the sender is dropped.
    tokio::spawn(connection);
    let mut request = Request::post(&url[Position::BeforePath..Position::AfterQuery])
        .header("Host", &url[Position::BeforeHost..Position::AfterPort])
        .header("Content-Type", "application/json")
        .header("User-Agent", concat!("postroad/", env!("CARGO_PKG_VERSION")))
        .header("Connection", "close");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    Ok(sender.send_request(request.body(Full::new(body))?).await?.status())
}
