//! Keeps web pages away from the control interface. A page that a browser on this machine shows can send requests to any
//! address here, and a name of its site can be made to lead here (DNS rebinding). So the Host header must be a name that no
//! foreign site can have, and an Origin header must be this interface's own.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderName, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::AppState;
use super::problem::Problem;
use crate::world::World;

/// Health checks, which reveal nothing and change nothing.
pub(super) const OPEN_PATHS: [&str; 2] = ["/livez", "/readyz"];
/// Ends of names that are reserved for private use: RFC 6761 §6.2, §6.3, and `.internal`.
const PRIVATE_ENDS: [&str; 3] = [".localhost", ".test", ".internal"];
/// The schemes of an origin that can be this interface's own, with the port of an authority without one. `https` is that of
/// a proxy with TLS in front, which passes the Host header on. RFC 9110 §4.2.1, §4.2.2.
const SCHEMES: [(&str, u16); 2] = [("http://", 80), ("https://", 443)];

type Refusal = (StatusCode, &'static str);

/// Refuses requests of foreign web pages, and passes others on to `next`: 403, or 400 if `Host` or `Origin` is not
/// there as often as it must be.
pub(super) async fn guard(State(running): AppState, request: Request, next: Next) -> Response {
    match check(&running.env.world, &request) {
        Ok(()) => next.run(request).await,
        Err((status, text)) => Problem::new(status, text).into_response(),
    }
}

/// Returns `Ok` if the request may pass: it is for a private name, and without an `Origin` or with its own. The error
/// is the status and text of the refusal. [`OPEN_PATHS`] always may pass.
fn check<B>(world: &World, request: &axum::http::Request<B>) -> Result<(), Refusal> {
    if OPEN_PATHS.contains(&request.uri().path()) {
        return Ok(());
    }
    let target = target(request)?;
    let site = Site::parse(target, SCHEMES[0].1).ok_or((StatusCode::FORBIDDEN, "the Host header is invalid"))?;
    if !site.is_private(world) {
        let text = "the Host header is a foreign name; use an IP address, localhost, a name under .test or .internal, \
                    or the name of a host of this world";
        return Err((StatusCode::FORBIDDEN, text));
    }
    match single(request, &ORIGIN)? {
        None => Ok(()),
        Some(origin) if is_own_origin(origin, target) => Ok(()),
        Some(_) => Err((StatusCode::FORBIDDEN, "requests of web pages of other origins are refused")),
    }
}

/// Returns the authority that a request is for, as `HOST` or `HOST:PORT`: that of its URI if the URI has one, else the
/// Host header. In both cases, 400 unless there is exactly one Host header, and 403 if that is not ASCII text. RFC 9112
/// §3.2: one Host header is required, and an absolute target replaces it.
fn target<B>(request: &axum::http::Request<B>) -> Result<&str, Refusal> {
    let host = single(request, &HOST)?.ok_or((StatusCode::BAD_REQUEST, "the Host header is missing"))?;
    Ok(request.uri().authority().map_or(host, Authority::as_str))
}

/// Whether a page of this origin, as in `http://HOST:PORT`, came from `target`, the `HOST` or `HOST:PORT` of the
/// request; a port that is missing is that of the origin's scheme. `false` for `null`, which a page without an origin
/// sends, and for other schemes than `http` and `https`.
fn is_own_origin(origin: &str, target: &str) -> bool {
    SCHEMES.iter().any(|(scheme, port)| {
        let site = origin.strip_prefix(scheme).and_then(|authority| Site::parse(authority, *port));
        site.is_some() && site == Site::parse(target, *port)
    })
}

/// Returns the value of a header that may be there once at most; `None` if it is absent, 400 if there are several, and
/// 403 if the value is not ASCII text.
fn single<'a, B>(request: &'a axum::http::Request<B>, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    let mut values = request.headers().get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| (StatusCode::FORBIDDEN, "invalid Host or Origin")),
        _ => Err((StatusCode::BAD_REQUEST, "more than one Host or Origin header")),
    }
}

/// A host and port, as a browser compares them.
#[derive(Debug, PartialEq, Eq)]
struct Site {
    /// In lower case, IPv6 addresses with brackets.
    host: String,
    port: u16,
}

impl Site {
    /// Reads `HOST` or `HOST:PORT`; `None` if it is invalid, has no host, or has user information. Without a
    /// port, it has the default one.
    fn parse(text: &str, default_port: u16) -> Option<Self> {
        let authority: Authority = text.parse().ok()?;
        let host = authority.host().to_ascii_lowercase();
        let has_port = text.len() != host.len();
        let port = if has_port { authority.port_u16()? } else { default_port };
        (!host.is_empty() && !text.contains('@')).then_some(Self { host, port })
    }

    /// Whether no foreign site can have this host: an IP address, a name without a dot or with one of [`PRIVATE_ENDS`],
    /// or the name of a host of the world.
    fn is_private(&self, world: &World) -> bool {
        let literal = self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&self.host);
        let name = self.host.strip_suffix('.').unwrap_or(&self.host);
        let is_of_world = || world.hosts.values().any(|host| host.fqdn.eq_ignore_ascii_case(name));
        literal.parse::<IpAddr>().is_ok()
            // Names of containers and of machines of a local network have no dot.
            || !name.contains('.')
            || PRIVATE_ENDS.iter().any(|end| name.ends_with(end))
            || is_of_world()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(headers: &[(&str, &str)], target: &str) -> u16 {
        let mut request = axum::http::Request::get(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&World::journey(), &request.body(()).unwrap()).map_or_else(|(status, _)| status.as_u16(), |()| 200)
    }

    fn status_of_host(host: &str) -> u16 {
        status(&[("Host", host)], "/api/v1/hosts")
    }

    #[test]
    fn guard_with_foreign_host_name_refuses() {
        for host in [
            "localhost",
            "LocalHost:8025",
            "localhost.",
            "page.localhost:80",
            "127.0.0.1:8025",
            "127.9.9.9",
            "[::1]:8025",
            "192.0.2.7",
            "[2001:db8::7]:1",
            "control:8025",
            "mail.test",
            "mail.internal:8025",
        ] {
            assert_eq!(status_of_host(host), 200, "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8025",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil.example.",
            "eviltest.example",
            "a@localhost",
            "localhost:x",
            "localhost:99999",
            "[::1",
            "",
            ":8025",
            "a b",
        ] {
            assert_eq!(status_of_host(host), 403, "{host}");
        }
        let world = World::journey();
        let fqdn = &world.hosts.values().next().unwrap().fqdn;
        assert_eq!(status_of_host(&format!("{fqdn}:8025")), 200);
    }

    #[test]
    fn guard_without_one_host_header_refuses() {
        assert_eq!(status(&[], "/"), 400);
        assert_eq!(status(&[("Host", "localhost"), ("Host", "evil.example")], "/"), 400);
        assert_eq!(status(&[("Host", "localhost")], "http://evil.example/"), 403);
        assert_eq!(status(&[("Host", "evil.example")], "http://localhost/"), 200);
    }

    #[test]
    fn guard_with_foreign_origin_refuses() {
        let with = |origin: &str| status(&[("Host", "localhost:8025"), ("Origin", origin)], "/");
        assert_eq!(with("http://localhost:8025"), 200);
        for origin in [
            "null",
            "https://localhost",
            "https://localhost:443",
            "ftp://localhost:8025",
            "http://localhost",
            "http://127.0.0.1:8025",
            "http://evil.example",
            "http://localhost:8025.evil.example",
            "",
            "http://localhost:8025/",
            "file://",
        ] {
            assert_eq!(with(origin), 403, "{origin}");
        }
        assert_eq!(status(&[("Host", "localhost"), ("Origin", "http://localhost:80")], "/"), 200);
        let two = [("Host", "localhost"), ("Origin", "http://localhost"), ("Origin", "http://evil.example")];
        assert_eq!(status(&two, "/"), 400);
    }

    #[test]
    fn guard_behind_a_proxy_with_tls_passes_its_own_origin() {
        let with = |host: &str, origin: &str| status(&[("Host", host), ("Origin", origin)], "/");
        for (host, origin) in [
            ("panel.internal", "https://panel.internal"),
            ("panel.internal:443", "https://panel.internal"),
            ("panel.internal:8443", "https://panel.internal:8443"),
        ] {
            assert_eq!(with(host, origin), 200, "{host}, {origin}");
        }
        for origin in ["https://other.internal", "https://panel.internal:8443", "http://panel.internal:443"] {
            assert_eq!(with("panel.internal", origin), 403, "{origin}");
        }
        assert_eq!(with("evil.example", "https://evil.example"), 403);
    }

    #[test]
    fn guard_of_health_checks_is_open() {
        for path in OPEN_PATHS {
            assert_eq!(status(&[("Host", "evil.example"), ("Origin", "null")], path), 200, "{path}");
        }
        assert_eq!(status(&[("Host", "evil.example")], "/readyz/x"), 403);
    }
}
