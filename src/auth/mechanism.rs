//! The mechanisms this world speaks, by their registered names.

use std::fmt;
use std::str::FromStr;

/// A way to prove who one is. RFC 4422 §3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mechanism {
    /// Name and password in one message. RFC 4616.
    Plain,
    /// Name and password, each asked for; obsolete, but many clients know nothing else. draft-murchison-sasl-login.
    Login,
    /// Proof of the password that does not show it, by both ends. RFC 5802, RFC 7677.
    ScramSha256,
}

/// No mechanism of this world has that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such SASL mechanism here")]
pub struct UnknownMechanism;

impl Mechanism {
    /// All of them, the strongest first, as a server announces them.
    pub const ALL: [Self; 3] = [Self::ScramSha256, Self::Plain, Self::Login];

    /// The registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
        }
    }

    /// Whether the client speaks first, so that an initial response saves a round trip. RFC 4422 §5 (2a).
    pub fn is_client_first(self) -> bool {
        self != Self::Login
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Mechanism {
    type Err = UnknownMechanism;

    fn from_str(name: &str) -> Result<Self, UnknownMechanism> {
        Self::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(name)).ok_or(UnknownMechanism)
    }
}
