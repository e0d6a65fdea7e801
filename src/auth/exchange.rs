//! The server's end of an exchange.

use ring::{digest, hmac};

use super::scram::{self, Signatures};
use super::{Mechanism, md5};

/// No response of the mechanisms here is longer: three names of 255 octets (RFC 4616 §2) fit twice.
const RESPONSE_OCTETS_MAX: usize = 2048;

/// What an [`Exchange`] wants next.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// Send this to the client, [encoded](super::line::encode), and hand its answer to [`Exchange::respond`].
    Challenge(Vec<u8>),
    /// Look up this user's password and hand it to [`Exchange::secret`].
    Who(String),
    /// The client is this user.
    Granted {
        /// The name that was proven.
        user: String,
    },
    /// The proof fails or makes no sense; which of the two, and whether the user exists, nobody learns.
    Denied,
}

/// The server's end of one attempt to log in.
///
/// ```
/// use postroad::auth::{Exchange, Mechanism, Step};
/// let mut exchange = Exchange::new(Mechanism::Plain, "drawn".into());
/// assert_eq!(exchange.start(Some(b"\0ann\0secret")), Step::Who("ann".into()));
/// assert_eq!(exchange.secret(Some("secret")), Step::Granted { user: "ann".into() });
/// ```
#[derive(Debug)]
pub struct Exchange {
    /// Drawn by the owner, new for each exchange: the server's half of the SCRAM nonce.
    nonce: String,
    state: State,
}

enum State {
    Plain,
    LoginName,
    LoginPassword {
        user: String,
    },
    ScramFirst,
    /// The owner looks up the secret.
    Asked(Claimed),
    ScramLast {
        first: scram::First,
        challenge: scram::Challenge,
        expected: Option<Signatures>,
    },
    /// The client has our signature and only says that it read it.
    ScramRead {
        user: String,
    },
    Over,
}

enum Claimed {
    Password {
        user: String,
        password: String,
    },
    /// RFC 1939 §7 (APOP).
    Digest {
        user: String,
        timestamp: String,
        digest: String,
    },
    Scram(scram::First),
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain => "Plain",
            Self::LoginName => "LoginName",
            Self::LoginPassword { .. } => "LoginPassword",
            Self::ScramFirst => "ScramFirst",
            Self::Asked(_) => "Asked",
            Self::ScramLast { .. } => "ScramLast",
            Self::ScramRead { .. } => "ScramRead",
            Self::Over => "Over",
        })
    }
}

impl Exchange {
    /// Begins an exchange. `nonce` is printable ASCII without a comma, drawn anew for each.
    pub fn new(mechanism: Mechanism, nonce: String) -> Self {
        let state = match mechanism {
            Mechanism::Plain => State::Plain,
            Mechanism::Login => State::LoginName,
            Mechanism::ScramSha256 => State::ScramFirst,
        };
        Self { nonce, state }
    }

    /// A name and a password that came in commands of the protocol itself (POP3 `USER` and `PASS`, IMAP `LOGIN`).
    /// The user is known at once, so [`Exchange::secret`] is the only call left.
    pub fn password(user: &str, password: &str) -> Self {
        let claimed = Claimed::Password { user: user.to_owned(), password: password.to_owned() };
        Self { nonce: "password".to_owned(), state: State::Asked(claimed) }
    }

    /// A name and a digest that came in POP3's `APOP`, which is that of the timestamp in the greeting and the password.
    /// The user is known at once, so [`Exchange::secret`] is the only call left.
    pub fn digest(user: &str, timestamp: &str, digest: &str) -> Self {
        let (user, timestamp, digest) = (user.to_owned(), timestamp.to_owned(), digest.to_ascii_lowercase());
        Self { nonce: timestamp.clone(), state: State::Asked(Claimed::Digest { user, timestamp, digest }) }
    }

    /// The first step: takes the initial response if the client sent one, or says what to ask it. RFC 4422 §3.3.
    pub fn start(&mut self, initial: Option<&[u8]>) -> Step {
        match (initial, &self.state) {
            (Some(response), _) => self.respond(response),
            (None, State::LoginName) => Step::Challenge(b"Username:".to_vec()),
            (None, _) => Step::Challenge(Vec::new()),
        }
    }

    /// Takes the client's answer to the last challenge.
    pub fn respond(&mut self, response: &[u8]) -> Step {
        if RESPONSE_OCTETS_MAX < response.len() {
            self.state = State::Over;
            return Step::Denied;
        }
        let (state, step) = match std::mem::replace(&mut self.state, State::Over) {
            State::Plain => plain(response),
            State::LoginName => login_name(response),
            State::LoginPassword { user } => login_password(user, response),
            State::ScramFirst => scram_first(response),
            State::ScramLast { first, challenge, expected } => scram_last(response, first, &challenge, expected),
            State::ScramRead { user } if response.is_empty() => (State::Over, Step::Granted { user }),
            State::Asked(_) | State::ScramRead { .. } | State::Over => denied(),
        };
        self.state = state;
        step
    }

    /// Takes the user's password after [`Step::Who`]; `None` when there is no such user.
    pub fn secret(&mut self, secret: Option<&str>) -> Step {
        let (state, step) = match std::mem::replace(&mut self.state, State::Over) {
            State::Asked(Claimed::Password { user, password }) => {
                let equal = self.is_equal(secret.unwrap_or_default().as_bytes(), password.as_bytes());
                if equal & secret.is_some() { (State::Over, Step::Granted { user }) } else { denied() }
            }
            State::Asked(Claimed::Digest { user, timestamp, digest }) => {
                let wanted = md5::hex(format!("{timestamp}{}", secret.unwrap_or_default()).as_bytes());
                let equal = self.is_equal(wanted.as_bytes(), digest.as_bytes());
                if equal & secret.is_some() { (State::Over, Step::Granted { user }) } else { denied() }
            }
            State::Asked(Claimed::Scram(first)) => self.challenge(first, secret),
            _ => denied(),
        };
        self.state = state;
        step
    }

    /// We hold the password itself, so each exchange may have a salt of its own; users that do not exist look the same.
    fn challenge(&self, first: scram::First, secret: Option<&str>) -> (State, Step) {
        let salt = digest::digest(&digest::SHA256, format!("salt {}", self.nonce).as_bytes()).as_ref()[..16].to_vec();
        let challenge = scram::Challenge::new(format!("{}{}", first.nonce, self.nonce), salt, scram::ITERATIONS);
        let signatures = Signatures::new(secret.unwrap_or_default(), &first, &challenge);
        let step = Step::Challenge(challenge.text.clone().into_bytes());
        let expected = secret.is_some().then_some(signatures);
        (State::ScramLast { first, challenge, expected }, step)
    }

    /// Compares in a time that depends on neither content nor length of the secret, beyond what hashing takes.
    fn is_equal(&self, secret: &[u8], given: &[u8]) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.nonce.as_bytes());
        hmac::verify(&key, given, hmac::sign(&key, secret).as_ref()).is_ok()
    }
}

fn denied() -> (State, Step) {
    (State::Over, Step::Denied)
}

fn asked(claimed: Claimed) -> (State, Step) {
    let user = match &claimed {
        Claimed::Password { user, .. } | Claimed::Digest { user, .. } => user.clone(),
        Claimed::Scram(first) => first.user.clone(),
    };
    (State::Asked(claimed), Step::Who(user))
}

fn text(response: &[u8]) -> Option<&str> {
    std::str::from_utf8(response).ok().filter(|text| !text.contains('\0'))
}

/// `[authzid] NUL authcid NUL passwd`; nobody acts for another. RFC 4616 §2.
fn plain(response: &[u8]) -> (State, Step) {
    let mut parts = response.splitn(3, |byte| *byte == 0).map(text);
    let (Some(Some(authzid)), Some(Some(user)), Some(Some(password))) = (parts.next(), parts.next(), parts.next())
    else {
        return denied();
    };
    if user.is_empty() || !(authzid.is_empty() || authzid == user) {
        return denied();
    }
    asked(Claimed::Password { user: user.to_owned(), password: password.to_owned() })
}

fn login_name(response: &[u8]) -> (State, Step) {
    match text(response).filter(|user| !user.is_empty()) {
        Some(user) => (State::LoginPassword { user: user.to_owned() }, Step::Challenge(b"Password:".to_vec())),
        None => denied(),
    }
}

fn login_password(user: String, response: &[u8]) -> (State, Step) {
    match text(response) {
        Some(password) => asked(Claimed::Password { user, password: password.to_owned() }),
        None => denied(),
    }
}

fn scram_first(response: &[u8]) -> (State, Step) {
    scram::First::parse(response).map_or_else(denied, |first| asked(Claimed::Scram(first)))
}

fn scram_last(
    response: &[u8],
    first: scram::First,
    challenge: &scram::Challenge,
    expected: Option<Signatures>,
) -> (State, Step) {
    let proof = scram::parse_last(response, &challenge.last_without_proof(&first));
    match (proof, expected) {
        (Some(proof), Some(expected)) if expected.is_proven_by(&proof) => {
            (State::ScramRead { user: first.user }, Step::Challenge(expected.server_last()))
        }
        _ => denied(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted() -> Step {
        Step::Granted { user: "ann".into() }
    }

    #[test]
    fn plain_grants_only_the_right_password() {
        for (secret, wanted) in [(Some("pw"), granted()), (Some("other"), Step::Denied), (None, Step::Denied)] {
            let mut exchange = Exchange::new(Mechanism::Plain, "n".into());
            assert_eq!(exchange.start(None), Step::Challenge(vec![]));
            assert_eq!(exchange.respond(b"\0ann\0pw"), Step::Who("ann".into()));
            assert_eq!(exchange.secret(secret), wanted);
            assert_eq!(exchange.respond(b"\0ann\0pw"), Step::Denied, "an exchange serves one attempt");
        }
    }

    #[test]
    fn an_unknown_user_with_an_empty_password_is_denied() {
        let mut exchange = Exchange::new(Mechanism::Plain, "n".into());
        assert_eq!(exchange.start(Some(b"\0ghost\0")), Step::Who("ghost".into()));
        assert_eq!(exchange.secret(None), Step::Denied);
    }

    #[test]
    fn nobody_acts_for_another() {
        for (response, wanted) in [
            (b"ann\0ann\0pw".as_slice(), Step::Who("ann".into())),
            (b"bob\0ann\0pw", Step::Denied),
            (b"\0\0pw", Step::Denied),
            (b"\0ann", Step::Denied),
            (b"", Step::Denied),
            (b"\0ann\0p\0w", Step::Denied),
            (b"\0\xff\0pw", Step::Denied),
            (&[b'a'; RESPONSE_OCTETS_MAX + 1], Step::Denied),
        ] {
            assert_eq!(Exchange::new(Mechanism::Plain, "n".into()).start(Some(response)), wanted);
        }
    }

    #[test]
    fn login_asks_for_name_and_password() {
        let mut exchange = Exchange::new(Mechanism::Login, "n".into());
        assert_eq!(exchange.start(None), Step::Challenge(b"Username:".into()));
        assert_eq!(exchange.respond(b"ann"), Step::Challenge(b"Password:".into()));
        assert_eq!(exchange.respond(b"pw"), Step::Who("ann".into()));
        assert_eq!(exchange.secret(Some("pw")), granted());
    }

    #[test]
    fn a_pair_of_name_and_password_needs_only_the_secret() {
        assert_eq!(Exchange::password("ann", "pw").secret(Some("pw")), granted());
        assert_eq!(Exchange::password("ann", "pw").secret(Some("PW")), Step::Denied);
        assert_eq!(Exchange::password("ann", "").secret(None), Step::Denied);
    }

    #[test]
    fn a_secret_that_nobody_asked_for_grants_nothing() {
        assert_eq!(Exchange::new(Mechanism::Plain, "n".into()).secret(Some("")), Step::Denied);
    }
}
