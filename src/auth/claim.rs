//! The client's end of an exchange.

use super::Mechanism;
use super::scram::{Challenge, First, Signatures};

/// The server's challenge makes no sense, or the server did not prove that it knows the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server broke the rules of the login")]
pub struct Broken;

/// The client's end of one attempt to log in.
///
/// ```
/// use postroad::auth::{Claim, Mechanism};
/// let mut claim = Claim::new(Mechanism::Plain, "ann", "secret", "drawn");
/// assert_eq!(claim.initial().unwrap(), b"\0ann\0secret");
/// assert!(claim.is_complete());
/// ```
pub struct Claim {
    mechanism: Mechanism,
    user: String,
    password: String,
    state: State,
}

enum State {
    /// The client's first message, or the name, is still to be said.
    First(First),
    /// LOGIN: the password is still to be said.
    Password,
    /// SCRAM: our first message is out.
    Challenged(First),
    /// SCRAM: the server must answer with this.
    Proving(Vec<u8>),
    Complete,
    /// The server broke the rules; nothing it says counts any more.
    Broken,
}

impl Claim {
    /// Claims to be `user`. `nonce` is printable ASCII without a comma, drawn anew for each claim.
    pub fn new(mechanism: Mechanism, user: &str, password: &str, nonce: &str) -> Self {
        let state = State::First(First::new(user, nonce));
        Self { mechanism, user: user.to_owned(), password: password.to_owned(), state }
    }

    /// By which mechanism.
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// The first message, where the client speaks first; send it along with the command.
    pub fn initial(&mut self) -> Option<Vec<u8>> {
        self.mechanism.is_client_first().then(|| self.answer(b"").ok()).flatten()
    }

    /// Answers the server's challenge.
    ///
    /// # Errors
    /// The challenge makes no sense or comes when nothing is left to prove: cancel with `*`.
    pub fn answer(&mut self, challenge: &[u8]) -> Result<Vec<u8>, Broken> {
        let (state, response) = match (std::mem::replace(&mut self.state, State::Broken), self.mechanism) {
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
            (State::Proving(_) | State::Complete | State::Broken, _) => return Err(Broken),
        };
        self.state = state;
        Ok(response)
    }

    /// Whether all is said and, for SCRAM, the server has proven itself: only then its consent counts.
    pub fn is_complete(&self) -> bool {
        matches!(self.state, State::Complete)
    }

    fn prove(&self, challenge: &[u8], first: &First) -> Result<(State, Vec<u8>), Broken> {
        let challenge = Challenge::parse(challenge, first).ok_or(Broken)?;
        let signatures = Signatures::new(&self.password, first, &challenge);
        let response =
            format!("{},p={}", challenge.last_without_proof(first), super::line::encode(&signatures.client_proof));
        Ok((State::Proving(signatures.server_last()), response.into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Exchange, Step};
    use super::*;

    /// Both ends with nothing between; the server knows `ann` by `pw`.
    fn log_in(mechanism: Mechanism, user: &str, password: &str) -> (Step, bool) {
        let mut claim = Claim::new(mechanism, user, password, "client");
        let mut exchange = Exchange::new(mechanism, "server".into());
        let initial = claim.initial();
        let mut step = exchange.start(initial.as_deref());
        for _ in 0..6 {
            step = match step {
                Step::Challenge(challenge) => exchange.respond(&claim.answer(&challenge).unwrap()),
                Step::Who(user) => exchange.secret((user == "ann").then_some("pw")),
                over => return (over, claim.is_complete()),
            }
        }
        panic!("the exchange does not end");
    }

    #[test]
    fn both_ends_agree_on_every_mechanism() {
        for mechanism in Mechanism::ALL {
            assert_eq!(log_in(mechanism, "ann", "pw"), (Step::Granted { user: "ann".into() }, true), "{mechanism}");
            assert_eq!(log_in(mechanism, "ann", "no").0, Step::Denied, "{mechanism}");
            assert_eq!(log_in(mechanism, "bob", "pw").0, Step::Denied, "{mechanism}");
            assert_eq!(log_in(mechanism, "bob", "").0, Step::Denied, "{mechanism}");
        }
    }

    #[test]
    fn a_scram_server_that_does_not_know_the_password_is_not_believed() {
        let mut claim = Claim::new(Mechanism::ScramSha256, "ann", "pw", "client");
        claim.initial().unwrap();
        assert!(!claim.is_complete());
        claim.answer(b"r=clientserver,s=AAAA,i=4096").unwrap();
        assert!(!claim.is_complete());
        assert_eq!(claim.answer(b"v=AAAA"), Err(Broken));
        assert!(!claim.is_complete());
    }

    #[test]
    fn a_challenge_too_many_is_not_answered() {
        let mut claim = Claim::new(Mechanism::Plain, "ann", "pw", "client");
        claim.initial().unwrap();
        assert_eq!(claim.answer(b""), Err(Broken));
        assert!(!claim.is_complete());
    }
}
