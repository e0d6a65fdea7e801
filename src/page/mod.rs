//! The page: a mail reader and a map of the world, for browsers. Its files are part of the program. It uses the interface of
//! `control`, as any other program could, and nothing else.
//!
//! It works below any path of a proxy, since all its URLs are relative to the `<base>` that each document gets: a document of
//! `/mail/ID/html` is two levels below the root, whatever comes before.
//!
//! The files that a document names have the version of all of them in their path, so that browsers keep them until another program
//! serves others. It names every module that is needed at once, and the first page of the list, so that none waits for another.

mod assets;
mod modules;
mod report;

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use assets::{Asset, DOCUMENT};

pub use report::report;

/// What the page may load: its own files and this server's interface. No inline script or style.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; \
                      frame-src 'self'; manifest-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'";
/// The views that have a URL.
const VIEWS: [&str; 9] = ["mail", "journey", "world", "queues", "sessions", "faults", "log", "learn", "compose"];

/// The module that shows the page.
const MAIN: &str = "js/app.js";
/// What the list of all mail reads first, as `js/mail/pages.js` asks for it.
const FIRST_PAGE: &str = "api/v1/messages?start=0&limit=50";
/// How long a browser keeps a file that never changes. RFC 8246.
const FOREVER: &str = "max-age=31536000, immutable";

/// Returns the routes of the page: its files and views, but not `/`, which the caller answers with [`document`] if
/// [`is_wanted`].
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let router = Router::new().route("/assets/{*path}", get(asset));
    VIEWS.iter().fold(router, |router, view| {
        router.route(&format!("/{view}"), get(document)).route(&format!("/{view}/{{*rest}}"), get(document))
    })
}

/// Returns whether a client is a browser that opens an address, not a program: whether its `Accept` names `text/html`.
pub fn is_wanted(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    accepted.filter_map(|value| value.to_str().ok()).any(|value| value.contains("text/html"))
}

/// Answers `GET` of any view with the document; with 304 if the browser has it.
///
/// The document is the same for each view but for its `<base>` and, for the list of all mail without a query, the first
/// page that it preloads. Its policy allows only the files of the page and the interface of this server.
pub async fn document(uri: Uri, headers: HeaderMap) -> Response {
    let depth = uri.path().matches('/').count().saturating_sub(1);
    let base = if depth == 0 { "./".to_owned() } else { "../".repeat(depth) };
    let is_list = matches!(uri.path(), "/" | "/mail") && uri.query().is_none();
    let text = text_of_document(&base, is_list);
    let tag = assets::tag(text.as_bytes());
    let mut response = file(&headers, "text/html; charset=utf-8", &tag, "no-cache", text.into_bytes());
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

/// Names the modules that the page needs at once, as JSON.
static MODULES: LazyLock<String> = LazyLock::new(|| {
    let names: Vec<_> = modules::loaded_with(MAIN).into_iter().map(|path| format!("\"assets/{path}\"")).collect();
    format!("<script type=\"application/json\" id=\"modules\">[{}]</script>\n", names.join(","))
});

/// Returns the text of the document with this `<base>`, with the names of the modules that it needs at once, and with
/// the version in all paths of files; `is_list` adds the preload of the first page of the list.
fn text_of_document(base: &str, is_list: bool) -> String {
    let files = format!("assets/{}/", assets::version());
    let list = FIRST_PAGE.replace('&', "&amp;");
    let list = format!("<link rel=\"preload\" as=\"fetch\" crossorigin fetchpriority=\"high\" href=\"{list}\">\n");
    let preloads = format!("{}{}", if is_list { &list } else { "" }, *MODULES);
    let text = String::from_utf8_lossy(DOCUMENT).replacen("<base>", &format!("<base href=\"{base}\">"), 1);
    text.replacen("<!-- preloads -->\n", &preloads, 1).replace("assets/", &files)
}

/// Answers `GET /assets/PATH` with a file of the page, by its path with or without a version; 404 if there is none.
///
/// Browsers keep a file under the version of this program for ever, and ask again for one without a version or under
/// another, which another program named in its document; they get the file of this program.
async fn asset(Path(path): Path<String>, headers: HeaderMap) -> Response {
    let (first, rest) = path.split_once('/').unwrap_or(("", &path));
    let is_version = first.len() == assets::version().len() && first.bytes().all(|byte| byte.is_ascii_hexdigit());
    let cache = if first == assets::version() { FOREVER } else { "no-cache" };
    match assets::find(if is_version { rest } else { &path }) {
        Some(Asset { media_type, bytes, tag, .. }) => file(&headers, media_type, tag, cache, bytes.to_vec()),
        None => (StatusCode::NOT_FOUND, "no such file of the page\n").into_response(),
    }
}

/// Returns a response with these bytes, media type, entity tag (`tag`) and `Cache-Control` (`cache`); 304 without the
/// bytes if `If-None-Match` in the request's `headers` has the tag. RFC 9110 §13.1.2.
fn file(headers: &HeaderMap, media_type: &'static str, tag: &str, cache: &'static str, bytes: Vec<u8>) -> Response {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let is_known = known.is_some_and(|value| value.split(',').any(|one| one.trim().trim_start_matches("W/") == tag));
    let about = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, cache),
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

    #[tokio::test]
    async fn file_of_this_version_is_kept_and_others_are_asked_for() {
        let version = assets::version();
        for (path, status, cache) in [
            (format!("{version}/js/app.js"), 200, FOREVER),
            ("0123456789abcdef/js/app.js".to_owned(), 200, "no-cache"),
            ("js/app.js".to_owned(), 200, "no-cache"),
            (format!("{version}/js/none.js"), 404, ""),
        ] {
            let response = asset(Path(path.clone()), HeaderMap::new()).await;
            assert_eq!(response.status(), status, "{path}");
            let found = response.headers().get(header::CACHE_CONTROL).map_or("", |value| value.to_str().unwrap());
            assert_eq!(found, cache, "{path}");
        }
    }

    #[tokio::test]
    async fn document_names_the_modules_of_the_list_and_its_first_page() {
        let (_, list) = text("/mail").await;
        let version = assets::version();
        for wanted in ["js/mail/list.js", "vendor/lit.js", "js/app.js", "js/start.js", "css/all.css"] {
            assert!(list.contains(&format!("\"assets/{version}/{wanted}\"")), "{wanted}");
        }
        assert!(!list.contains("js/world/map.js\"") && list.contains("messages?start=0&amp;limit=50"));
        assert!(!text("/world").await.1.contains("messages?start"));
    }

    #[test]
    fn document_has_no_absolute_url_and_nothing_inline() {
        let text = String::from_utf8_lossy(DOCUMENT);
        for forbidden in ["src=\"/", "href=\"/", "http://", "https://", "style=", "onload="] {
            assert!(!text.contains(forbidden), "{forbidden}");
        }
    }
}
