//! The page: a mail reader and a map of the world, for browsers. Its files are part of the program. It uses the interface of
//! `control`, as any other program could, and nothing else.
//!
//! It works below any path of a proxy, since all its URLs are relative to the `<base>` that each document gets: a document of
//! `/mail/ID/html` is two levels below the root, whatever comes before.

mod assets;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use assets::{Asset, DOCUMENT};

/// What the page may load: its own files and this server's interface. No inline script or style.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; \
                      frame-src 'self'; manifest-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'";
/// The views that have a URL.
const VIEWS: [&str; 9] = ["mail", "journey", "world", "queues", "sessions", "faults", "log", "learn", "compose"];

/// The routes of the page, but for `/`, which is [`document`] for those who [want it](is_wanted).
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let router = Router::new().route("/assets/{*path}", get(asset));
    VIEWS.iter().fold(router, |router, view| {
        router.route(&format!("/{view}"), get(document)).route(&format!("/{view}/{{*rest}}"), get(document))
    })
}

/// Whether a client is a browser that opens an address, not a program.
pub fn is_wanted(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    accepted.filter_map(|value| value.to_str().ok()).any(|value| value.contains("text/html"))
}

/// The document of a view.
pub async fn document(uri: Uri, headers: HeaderMap) -> Response {
    let depth = uri.path().matches('/').count().saturating_sub(1);
    let base = if depth == 0 { "./".to_owned() } else { "../".repeat(depth) };
    let text = String::from_utf8_lossy(DOCUMENT).replacen("<base>", &format!("<base href=\"{base}\">"), 1);
    let mut response =
        file(&headers, "text/html; charset=utf-8", &assets::tag(text.as_bytes()), text.clone().into_bytes());
    let policy = [
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
        (header::HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    ];
    response.headers_mut().extend(
        policy.map(|(name, value)| (Some(name), value)).into_iter().filter_map(|(name, value)| Some((name?, value))),
    );
    response
}

async fn asset(Path(path): Path<String>, headers: HeaderMap) -> Response {
    match assets::find(&path) {
        Some(Asset { media_type, bytes, tag, .. }) => file(&headers, media_type, tag, bytes.to_vec()),
        None => (StatusCode::NOT_FOUND, "no such file of the page\n").into_response(),
    }
}

/// A file, or that the browser has it. RFC 9110 §13.1.2.
fn file(headers: &HeaderMap, media_type: &'static str, tag: &str, bytes: Vec<u8>) -> Response {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let is_known = known.is_some_and(|value| value.split(',').any(|one| one.trim().trim_start_matches("W/") == tag));
    let about = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let tag = [(header::ETAG, tag.to_owned())];
    if is_known {
        return (StatusCode::NOT_MODIFIED, about, tag).into_response();
    }
    (about, tag, bytes).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn text(path: &'static str) -> (Response, String) {
        let mut response = document(Uri::from_static(path), HeaderMap::new()).await;
        let body = std::mem::take(response.body_mut());
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        (response, String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn document_at_any_depth_has_the_root_as_base() {
        for (path, base) in [("/", "./"), ("/mail", "./"), ("/mail/ID/html", "../../"), ("/mail/", "../")] {
            let (response, text) = text(path).await;
            assert!(text.contains(&format!("<base href=\"{base}\">")), "{path}");
            assert!(response.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
        }
    }

    #[tokio::test]
    async fn file_that_the_browser_has_is_not_sent_again() {
        let first = document(Uri::from_static("/mail"), HeaderMap::new()).await;
        let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone())]);
        assert_eq!(document(Uri::from_static("/mail"), headers.clone()).await.status(), 304);
        assert_eq!(document(Uri::from_static("/mail/x"), headers).await.status(), 200, "another base");
    }

    #[test]
    fn document_has_no_absolute_url_and_nothing_inline() {
        let text = String::from_utf8_lossy(DOCUMENT);
        for forbidden in ["src=\"/", "href=\"/", "http://", "https://", "style=", "onload="] {
            assert!(!text.contains(forbidden), "{forbidden}");
        }
    }
}
