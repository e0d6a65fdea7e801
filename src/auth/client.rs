//! The client side of a SASL exchange.

use super::Mechanism;
use super::scram::{Challenge, First, Signatures};

/// Error: the challenge is invalid, or the server did not prove that it knows the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server violated the SASL protocol")]
pub struct SaslError;

/// The client side of one login attempt.
///
/// ```
/// use postroad::auth::{SaslClient, Mechanism};
/// let mut client = SaslClient::new(Mechanism::Plain, "ann", "secret", "drawn");
/// assert_eq!(client.initial().unwrap(), b"\0ann\0secret");
/// assert!(client.is_complete());
/// ```
pub struct SaslClient {
    mechanism: Mechanism,
    user: String,
    password: String,
    state: State,
}

enum State {
    /// The client's first message, or the user name, is next.
    First(First),
    /// LOGIN: the password is next.
    Password,
    /// SCRAM: the first message has been sent.
    Challenged(First),
    /// SCRAM: the server must answer with this signature.
    Proving(Vec<u8>),
    Complete,
    /// The server violated the protocol; further challenges are errors.
    Failed,
}

impl SaslClient {
    /// Starts a login as `user`, and sends nothing yet. `nonce`, which only SCRAM uses, is printable ASCII without a
    /// comma, random for each client.
    pub fn new(mechanism: Mechanism, user: &str, password: &str, nonce: &str) -> Self {
        let state = State::First(First::new(user, nonce));
        Self { mechanism, user: user.to_owned(), password: password.to_owned(), state }
    }

    /// The mechanism of this login, to be named in the command that begins it.
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// Takes the initial response, without base64, which is sent with the command that begins the login, and advances
    /// the exchange. `None` for LOGIN, in which the server begins: then nothing advances.
    pub fn initial(&mut self) -> Option<Vec<u8>> {
        self.mechanism.is_client_first().then(|| self.answer(b"").ok()).flatten()
    }

    /// Returns the response to the server's challenge, both without base64, and advances the exchange. PLAIN, LOGIN and
    /// the first message of SCRAM ignore the content of the challenge. After an error, all further challenges are
    /// errors.
    ///
    /// # Errors
    /// The challenge is invalid or unexpected: cancel with `*`.
    pub fn answer(&mut self, challenge: &[u8]) -> Result<Vec<u8>, SaslError> {
        let (state, response) = match (std::mem::replace(&mut self.state, State::Failed), self.mechanism) {
            (State::First(_), Mechanism::Plain) => {
                (State::Complete, format!("\0{}\0{}", self.user, self.password).into_bytes())
            }
            (State::First(_), Mechanism::Login) => (State::Password, self.user.clone().into_bytes()),
            (State::Password, _) => (State::Complete, self.password.clone().into_bytes()),
            (State::First(first), Mechanism::ScramSha256) => {
                let message = first.message();
                (State::Challenged(first), message)
            }
            (State::Challenged(first), _) => self.prove(challenge, &first)?,
            (State::Proving(expected), _) if expected == challenge => (State::Complete, Vec::new()),
            (State::Proving(_) | State::Complete | State::Failed, _) => return Err(SaslError),
        };
        self.state = state;
        Ok(response)
    }

    /// Whether the exchange is complete and, for SCRAM, the server has proven that it knows the password. A success
    /// reply before that must not be trusted.
    pub fn is_complete(&self) -> bool {
        matches!(self.state, State::Complete)
    }

    /// The client's last message of SCRAM, with its proof, and the state that expects the server's. Fails if the
    /// challenge is malformed, does not continue the nonce, or asks for too many iterations.
    fn prove(&self, challenge: &[u8], first: &First) -> Result<(State, Vec<u8>), SaslError> {
        let challenge = Challenge::parse(challenge, first).ok_or(SaslError)?;
        let signatures = Signatures::new(&self.password, first, &challenge);
        let response =
            format!("{},p={}", challenge.last_without_proof(first), super::line::encode(&signatures.client_proof));
        Ok((State::Proving(signatures.server_last()), response.into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{SaslServer, Step};
    use super::*;

    /// Both ends with nothing between; the server knows `ann` by `pw`.
    fn log_in(mechanism: Mechanism, user: &str, password: &str) -> (Step, bool) {
        let mut client = SaslClient::new(mechanism, user, password, "client");
        let mut exchange = SaslServer::new(mechanism, "server".into());
        let initial = client.initial();
        let mut step = exchange.start(initial.as_deref());
        for _ in 0..6 {
            step = match step {
                Step::Challenge(challenge) => exchange.respond(&client.answer(&challenge).unwrap()),
                Step::NeedSecret(user) => exchange.secret((user == "ann").then_some("pw")),
                over => return (over, client.is_complete()),
            }
        }
        panic!("the exchange does not end");
    }

    #[test]
    fn client_and_server_when_password_agrees_succeed_by_every_mechanism() {
        for mechanism in Mechanism::ALL {
            assert_eq!(log_in(mechanism, "ann", "pw"), (Step::Granted { user: "ann".into() }, true), "{mechanism}");
            assert_eq!(log_in(mechanism, "ann", "no").0, Step::Denied, "{mechanism}");
            assert_eq!(log_in(mechanism, "bob", "pw").0, Step::Denied, "{mechanism}");
            assert_eq!(log_in(mechanism, "bob", "").0, Step::Denied, "{mechanism}");
        }
    }

    #[test]
    fn scram_client_when_server_has_no_password_fails() {
        let mut client = SaslClient::new(Mechanism::ScramSha256, "ann", "pw", "client");
        client.initial().unwrap();
        assert!(!client.is_complete());
        client.answer(b"r=clientserver,s=AAAA,i=4096").unwrap();
        assert!(!client.is_complete());
        assert_eq!(client.answer(b"v=AAAA"), Err(SaslError));
        assert!(!client.is_complete());
    }

    #[test]
    fn client_after_completion_rejects_further_challenges() {
        let mut client = SaslClient::new(Mechanism::Plain, "ann", "pw", "client");
        client.initial().unwrap();
        assert_eq!(client.answer(b""), Err(SaslError));
        assert!(!client.is_complete());
    }
}
