//! The server side of a SASL exchange.

use ring::{digest, hmac};

use super::scram::{self, Signatures};
use super::{Mechanism, md5};

/// Maximum length of a response: three names of 255 bytes (RFC 4616 §2) fit twice.
const MAX_RESPONSE_BYTES: usize = 2048;

/// The next step of a [`SaslServer`].
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// Send this to the client, [encoded](super::line::encode), and hand its answer to [`SaslServer::respond`].
    Challenge(Vec<u8>),
    /// Look up this user's password and hand it to [`SaslServer::secret`].
    NeedSecret(String),
    /// The client is this user.
    Granted {
        /// The authenticated user.
        user: String,
    },
    /// Authentication failed. The reason is not disclosed, nor whether the user exists.
    Denied,
}

/// The server side of one login attempt.
///
/// ```
/// use postroad::auth::{SaslServer, Mechanism, Step};
/// let mut exchange = SaslServer::new(Mechanism::Plain, "drawn".into());
/// assert_eq!(exchange.start(Some(b"\0ann\0secret")), Step::NeedSecret("ann".into()));
/// assert_eq!(exchange.secret(Some("secret")), Step::Granted { user: "ann".into() });
/// ```
#[derive(Debug)]
pub struct SaslServer {
    /// The server's part of the SCRAM nonce: random, different for each exchange.
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
    /// Waits until the owner has looked up the secret.
    AwaitingSecret(Credentials),
    ScramLast {
        first: scram::First,
        challenge: scram::Challenge,
        expected: Option<Signatures>,
    },
    /// The server signature has been sent; the client answers with an empty response.
    ScramRead {
        user: String,
    },
    Over,
}

enum Credentials {
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
            Self::AwaitingSecret(_) => "AwaitingSecret",
            Self::ScramLast { .. } => "ScramLast",
            Self::ScramRead { .. } => "ScramRead",
            Self::Over => "Over",
        })
    }
}

impl SaslServer {
    /// Starts an exchange. `nonce` is printable ASCII without a comma, random for each exchange.
    pub fn new(mechanism: Mechanism, nonce: String) -> Self {
        let state = match mechanism {
            Mechanism::Plain => State::Plain,
            Mechanism::Login => State::LoginName,
            Mechanism::ScramSha256 => State::ScramFirst,
        };
        Self { nonce, state }
    }

    /// Checks a user name and password from protocol commands (POP3 `USER` and `PASS`, IMAP `LOGIN`). The user is known
    /// already, so only [`SaslServer::secret`] has to be called.
    pub fn for_password(user: &str, password: &str) -> Self {
        let credentials = Credentials::Password { user: user.to_owned(), password: password.to_owned() };
        Self { nonce: "password".to_owned(), state: State::AwaitingSecret(credentials) }
    }

    /// Checks a user name and digest from POP3 `APOP`; the digest covers the timestamp of the greeting and the
    /// password. The user is known already, so only [`SaslServer::secret`] has to be called.
    pub fn for_apop(user: &str, timestamp: &str, digest: &str) -> Self {
        let (user, timestamp, digest) = (user.to_owned(), timestamp.to_owned(), digest.to_ascii_lowercase());
        Self { nonce: timestamp.clone(), state: State::AwaitingSecret(Credentials::Digest { user, timestamp, digest }) }
    }

    /// Begins the exchange: processes the initial response that came with the client's command or, if there is none,
    /// returns the first challenge, which is empty for all mechanisms but LOGIN. RFC 4422 §3.3.
    pub fn start(&mut self, initial: Option<&[u8]>) -> Step {
        match (initial, &self.state) {
            (Some(response), _) => self.respond(response),
            (None, State::LoginName) => Step::Challenge(b"Username:".to_vec()),
            (None, _) => Step::Challenge(Vec::new()),
        }
    }

    /// Processes the client's response to the last challenge, decoded. One that is not expected, malformed or too long
    /// is denied, and ends the exchange.
    pub fn respond(&mut self, response: &[u8]) -> Step {
        if MAX_RESPONSE_BYTES < response.len() {
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
            State::AwaitingSecret(_) | State::ScramRead { .. } | State::Over => denied(),
        };
        self.state = state;
        step
    }

    /// Continues after [`Step::NeedSecret`] with the user's password, or `None` if the user does not exist. Grants or
    /// denies the login; for SCRAM, returns the server's challenge instead, for unknown users as well. Denies if no
    /// secret is needed now.
    pub fn secret(&mut self, secret: Option<&str>) -> Step {
        let (state, step) = match std::mem::replace(&mut self.state, State::Over) {
            State::AwaitingSecret(Credentials::Password { user, password }) => {
                let equal = self.is_equal(secret.unwrap_or_default().as_bytes(), password.as_bytes());
                if equal & secret.is_some() { (State::Over, Step::Granted { user }) } else { denied() }
            }
            State::AwaitingSecret(Credentials::Digest { user, timestamp, digest }) => {
                let wanted = md5::hex(format!("{timestamp}{}", secret.unwrap_or_default()).as_bytes());
                let equal = self.is_equal(wanted.as_bytes(), digest.as_bytes());
                if equal & secret.is_some() { (State::Over, Step::Granted { user }) } else { denied() }
            }
            State::AwaitingSecret(Credentials::Scram(first)) => self.challenge(first, secret),
            _ => denied(),
        };
        self.state = state;
        step
    }

    /// Continues after [`Step::NeedSecret`] for a server that takes any password, as one in tests does: grants. Denied
    /// where the password itself was not sent, as by SCRAM and APOP, or no secret is needed now.
    pub fn any_secret(&mut self) -> Step {
        match std::mem::replace(&mut self.state, State::Over) {
            State::AwaitingSecret(Credentials::Password { user, .. }) => Step::Granted { user },
            _ => Step::Denied,
        }
    }

    /// The SCRAM challenge as the next step, and the state that waits for its answer. Passwords are stored in clear
    /// text, so each exchange can use its own salt. Without a secret, the user is unknown: the challenge is sent as
    /// well, and no answer to it is right.
    fn challenge(&self, first: scram::First, secret: Option<&str>) -> (State, Step) {
        let salt = digest::digest(&digest::SHA256, format!("salt {}", self.nonce).as_bytes()).as_ref()[..16].to_vec();
        let challenge = scram::Challenge::new(format!("{}{}", first.nonce, self.nonce), salt, scram::ITERATIONS);
        let signatures = Signatures::new(secret.unwrap_or_default(), &first, &challenge);
        let step = Step::Challenge(challenge.text.clone().into_bytes());
        let expected = secret.is_some().then_some(signatures);
        (State::ScramLast { first, challenge, expected }, step)
    }

    /// Whether the secret equals what the client has given. Compares in a time that depends on the secret only by the
    /// time of hashing it.
    fn is_equal(&self, secret: &[u8], given: &[u8]) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.nonce.as_bytes());
        hmac::verify(&key, given, hmac::sign(&key, secret).as_ref()).is_ok()
    }
}

/// The state and step with which an exchange ends as denied.
fn denied() -> (State, Step) {
    (State::Over, Step::Denied)
}

/// The step that asks for the secret of the user in these credentials, and the state that keeps them until it comes.
fn need_secret(credentials: Credentials) -> (State, Step) {
    let user = match &credentials {
        Credentials::Password { user, .. } | Credentials::Digest { user, .. } => user.clone(),
        Credentials::Scram(first) => first.user.clone(),
    };
    (State::AwaitingSecret(credentials), Step::NeedSecret(user))
}

/// The client's response as text; `None` unless it is UTF-8 without NUL.
fn text(response: &[u8]) -> Option<&str> {
    std::str::from_utf8(response).ok().filter(|text| !text.contains('\0'))
}

/// PLAIN: reads `[authzid] NUL authcid NUL passwd`, and asks for the secret of the user. Denied if the response is
/// malformed, the user is empty, or the authzid is another user. RFC 4616 §2.
fn plain(response: &[u8]) -> (State, Step) {
    let mut parts = response.splitn(3, |byte| *byte == 0).map(text);
    let (Some(Some(authzid)), Some(Some(user)), Some(Some(password))) = (parts.next(), parts.next(), parts.next())
    else {
        return denied();
    };
    if user.is_empty() || !(authzid.is_empty() || authzid == user) {
        return denied();
    }
    need_secret(Credentials::Password { user: user.to_owned(), password: password.to_owned() })
}

/// LOGIN: takes the user name, and asks for the password; denied if the name is empty or no text.
fn login_name(response: &[u8]) -> (State, Step) {
    match text(response).filter(|user| !user.is_empty()) {
        Some(user) => (State::LoginPassword { user: user.to_owned() }, Step::Challenge(b"Password:".to_vec())),
        None => denied(),
    }
}

/// LOGIN: takes the password from the response, and asks for the secret of the user; denied if the response is no text.
fn login_password(user: String, response: &[u8]) -> (State, Step) {
    match text(response) {
        Some(password) => need_secret(Credentials::Password { user, password: password.to_owned() }),
        None => denied(),
    }
}

/// SCRAM: parses the client's first message, and asks for the secret of its user; denied if the message is invalid.
fn scram_first(response: &[u8]) -> (State, Step) {
    scram::First::parse(response).map_or_else(denied, |first| need_secret(Credentials::Scram(first)))
}

/// SCRAM: checks the proof in the client's last message, and returns the server's signature as a challenge; denied if
/// the proof is wrong, or nothing is `expected`, since the user does not exist.
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
    fn plain_with_right_password_only_is_granted() {
        for (secret, wanted) in [(Some("pw"), granted()), (Some("other"), Step::Denied), (None, Step::Denied)] {
            let mut exchange = SaslServer::new(Mechanism::Plain, "n".into());
            assert_eq!(exchange.start(None), Step::Challenge(vec![]));
            assert_eq!(exchange.respond(b"\0ann\0pw"), Step::NeedSecret("ann".into()));
            assert_eq!(exchange.secret(secret), wanted);
            assert_eq!(exchange.respond(b"\0ann\0pw"), Step::Denied, "an exchange serves one attempt");
        }
    }

    #[test]
    fn plain_when_user_unknown_and_password_empty_is_denied() {
        let mut exchange = SaslServer::new(Mechanism::Plain, "n".into());
        assert_eq!(exchange.start(Some(b"\0ghost\0")), Step::NeedSecret("ghost".into()));
        assert_eq!(exchange.secret(None), Step::Denied);
    }

    #[test]
    fn plain_with_other_authzid_is_denied() {
        for (response, wanted) in [
            (b"ann\0ann\0pw".as_slice(), Step::NeedSecret("ann".into())),
            (b"bob\0ann\0pw", Step::Denied),
            (b"\0\0pw", Step::Denied),
            (b"\0ann", Step::Denied),
            (b"", Step::Denied),
            (b"\0ann\0p\0w", Step::Denied),
            (b"\0\xff\0pw", Step::Denied),
            (&[b'a'; MAX_RESPONSE_BYTES + 1], Step::Denied),
        ] {
            assert_eq!(SaslServer::new(Mechanism::Plain, "n".into()).start(Some(response)), wanted);
        }
    }

    #[test]
    fn login_without_initial_response_asks_for_name_and_password() {
        let mut exchange = SaslServer::new(Mechanism::Login, "n".into());
        assert_eq!(exchange.start(None), Step::Challenge(b"Username:".into()));
        assert_eq!(exchange.respond(b"ann"), Step::Challenge(b"Password:".into()));
        assert_eq!(exchange.respond(b"pw"), Step::NeedSecret("ann".into()));
        assert_eq!(exchange.secret(Some("pw")), granted());
    }

    #[test]
    fn for_password_needs_only_the_secret() {
        assert_eq!(SaslServer::for_password("ann", "pw").secret(Some("pw")), granted());
        assert_eq!(SaslServer::for_password("ann", "pw").secret(Some("PW")), Step::Denied);
        assert_eq!(SaslServer::for_password("ann", "").secret(None), Step::Denied);
    }

    #[test]
    fn secret_when_not_requested_is_denied() {
        assert_eq!(SaslServer::new(Mechanism::Plain, "n".into()).secret(Some("")), Step::Denied);
    }
}
