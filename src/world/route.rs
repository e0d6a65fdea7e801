//! The static routes of an MTA and their TLS mode.

use std::net::IpAddr;

use serde::Deserialize;

use super::{HostName, Pattern, port};

/// A static route, which takes precedence over the DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The domains it is for.
    pub to: Pattern,
    /// The next hop; `None` for the hosts from the DNS.
    pub via: Option<Via>,
    /// The TLS mode; `None` for that of the host.
    pub tls: Option<TlsMode>,
}

/// The next hop of a static route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// A host of the world.
    Host(HostName),
    /// A host of the world by its name in the DNS or its address, perhaps at another port.
    Server {
        /// The name in the DNS, or an address.
        name: String,
        /// Its port.
        port: u16,
    },
}

/// When TLS is used for a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// Never.
    None,
    /// If it works, with any certificate. RFC 7435.
    #[default]
    Opportunistic,
    /// Always, with any certificate; otherwise nothing is sent.
    Required,
    /// Always, with a certificate of the world's authority for the host's name; otherwise nothing is sent.
    Verified,
}

impl std::fmt::Display for Via {
    /// The name of the host; for a server `NAME:PORT`, without a port of 25, and with an IPv6 address before a port in
    /// brackets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Host(host) => write!(f, "{host}"),
            Self::Server { name, port: port::SMTP } => write!(f, "{name}"),
            Self::Server { name, port } if name.contains(':') => write!(f, "[{name}]:{port}"),
            Self::Server { name, port } => write!(f, "{name}:{port}"),
        }
    }
}

impl TlsMode {
    /// Its name in the world file.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Opportunistic => "opportunistic",
            Self::Required => "required",
            Self::Verified => "verified",
        }
    }
}

impl Via {
    /// Parses `mx.example.test`, `mx.example.test:2525`, `192.0.2.25:2525` or `[2001:db8::1]:25`; the default port is
    /// 25. `None` for other text, such as the short name of a host, which has no dot, or with port 0.
    pub(super) fn server(text: &str) -> Option<Self> {
        let (name, port) = match text.rsplit_once(':') {
            Some((name, digits)) if !name.contains(':') || name.ends_with(']') => (name, digits.parse().ok()?),
            _ => (text, port::SMTP),
        };
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let is_name =
            name.contains('.') && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
        let is_server = port != 0 && (is_name || name.parse::<IpAddr>().is_ok());
        is_server.then(|| Self::Server { name: name.to_owned(), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn via_server_parses_names_addresses_and_ports() {
        let of = |name: &str, port| Some(Via::Server { name: name.to_owned(), port });
        for (text, wanted) in [
            ("mx.example.test", of("mx.example.test", 25)),
            ("mx.example.test:2525", of("mx.example.test", 2525)),
            ("192.0.2.25:2525", of("192.0.2.25", 2525)),
            ("[2001:db8::1]:26", of("2001:db8::1", 26)),
            ("2001:db8::1", of("2001:db8::1", 25)),
            ("nowhere", None),
            ("mx.example.test:0", None),
            ("mx.example.test:smtp", None),
            ("", None),
        ] {
            assert_eq!(Via::server(text), wanted, "{text:?}");
        }
    }
}
