//! The supported SASL mechanisms and their registered names.

use std::fmt;
use std::str::FromStr;

/// A SASL mechanism. RFC 4422 §3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mechanism {
    /// Name and password in one message. RFC 4616.
    Plain,
    /// Name and password, each after a challenge; obsolete, but many clients support nothing else.
    /// draft-murchison-sasl-login.
    Login,
    /// Both ends prove that they know the password without sending it. RFC 5802, RFC 7677.
    ScramSha256,
}

/// Error: the name is not that of a supported mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unsupported SASL mechanism")]
pub struct UnknownMechanism;

impl Mechanism {
    /// All mechanisms, strongest first, in the order in which a server announces them.
    pub const ALL: [Self; 3] = [Self::ScramSha256, Self::Plain, Self::Login];

    /// The registered name, in upper case, as protocols send it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
        }
    }

    /// Whether the client sends the first message, so that an initial response saves a round trip. RFC 4422 §5 (2a).
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

    /// Finds the mechanism with this registered name, in any ASCII case.
    fn from_str(name: &str) -> Result<Self, UnknownMechanism> {
        Self::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(name)).ok_or(UnknownMechanism)
    }
}
