//! AUTH: the SASL profile of SMTP. RFC 4954.

use super::super::Reply;
use super::commands::sequence;
use super::session::{PendingRequest, Session, State};
use super::{Auth, Event};
use crate::auth::line::{self, DecodeError};
use crate::auth::{Mechanism, SaslServer, Step};

impl Session {
    /// Whether the connection is fit for a login: it is encrypted, or login without TLS is configured.
    pub(super) fn may_log_in(&self) -> bool {
        self.tls().is_some() || self.config.plain_login
    }

    /// The mechanisms that are offered, strongest first: all, or with [`Config::any_login`](super::Config::any_login)
    /// only PLAIN and LOGIN, which send the password.
    pub(super) fn mechanisms(&self) -> impl Iterator<Item = Mechanism> {
        let sends_password = |mechanism: &Mechanism| matches!(mechanism, Mechanism::Plain | Mechanism::Login);
        let any_login = self.config.any_login;
        Mechanism::ALL.into_iter().filter(move |mechanism| !any_login || sends_password(mechanism))
    }

    /// Executes AUTH: starts the exchange with the initial response, if there is one, as received: in base64 or `=`.
    /// Refuses it if AUTH is off, without EHLO, after a login, in a transaction, where encryption is required, for a
    /// mechanism that is not offered, and for invalid base64. RFC 4954 §4.
    pub(super) fn auth(&mut self, mechanism: &str, initial: Option<&str>) {
        if self.config.auth == Auth::Off {
            return self.send_error(&Reply::new(502, (5, 5, 1), "AUTH not available"));
        }
        if !self.hello.as_ref().is_some_and(|hello| hello.esmtp) {
            return self.send_error(&sequence("Need EHLO first"));
        }
        if self.user.is_some() || self.transaction.is_some() {
            return self.send_error(&sequence("AUTH not allowed now"));
        }
        if !self.may_log_in() {
            return self.send_error(&Reply::new(538, (5, 7, 11), "Encryption required for AUTH"));
        }
        let known = mechanism.parse().ok().filter(|mechanism| self.mechanisms().any(|offered| offered == *mechanism));
        let Some(mechanism) = known else {
            return self.send_error(&Reply::new(504, (5, 5, 4), "Unknown authentication mechanism"));
        };
        self.logins += 1;
        let mut exchange = SaslServer::new(mechanism, format!("{}.{}", self.nonce, self.logins));
        let step = match initial.map(|initial| line::initial(initial.as_bytes())).transpose() {
            Ok(initial) => exchange.start(initial.as_deref()),
            Err(fault) => return self.send_error(&decode_error(fault)),
        };
        self.continue_login(exchange, step);
    }

    /// Processes the client's line after a challenge: a response in base64. `*`, which cancels, and invalid base64 end
    /// the exchange with 501.
    pub(super) fn login_response(&mut self, mut exchange: SaslServer, line: &[u8]) {
        match line::response(line) {
            Ok(response) => {
                let step = exchange.respond(&response);
                self.continue_login(exchange, step);
            }
            Err(fault) => self.send_error(&decode_error(fault)),
        }
    }

    /// Answers [`Event::NeedSecret`] with the user's password, or `None` if the user does not exist. With
    /// [`Config::any_login`](super::Config::any_login) it is not compared, and any login is granted.
    ///
    /// # Panics
    /// If that event is not pending.
    pub fn secret(&mut self, secret: Option<&str>) {
        let State::AwaitingOwner(PendingRequest::Secret(mut exchange)) =
            std::mem::replace(&mut self.state, State::Command)
        else {
            panic!("secret without a pending NeedSecret");
        };
        let step = if self.config.any_login { exchange.any_secret() } else { exchange.secret(secret) };
        self.continue_login(exchange, step);
    }

    /// Carries out the next step of a login: sends a challenge with 334, asks the owner for the password, grants the
    /// login with 235, or counts it as failed and refuses it.
    fn continue_login(&mut self, exchange: SaslServer, step: Step) {
        match step {
            Step::Challenge(challenge) => {
                self.send_reply(&Reply { code: 334, enhanced: None, text: vec![line::encode(&challenge)] });
                self.state = State::Login(exchange);
            }
            Step::NeedSecret(user) => self.forward(PendingRequest::Secret(exchange), Event::NeedSecret(user)),
            Step::Granted { user } => {
                self.user = Some(user);
                self.recorder.logged_in();
                self.send_reply(&Reply::new(235, (2, 7, 0), "Authentication successful"));
            }
            Step::Denied => self.login_failed(),
        }
    }

    /// Counts a failed login and replies 535; once more than the configured number have failed, 421 in its place closes
    /// the connection, to slow down guessing of passwords.
    fn login_failed(&mut self) {
        self.failed_logins += 1;
        match self.config.max_failed_logins < self.failed_logins {
            true => self.close_with(&Reply::new(421, (4, 7, 0), "Too many failed logins")),
            false => self.send_error(&Reply::new(535, (5, 7, 8), "Authentication credentials invalid")),
        }
    }
}

/// The 501 reply to a response that cancels the exchange, or that is not base64. RFC 4954 §4, §6.
fn decode_error(fault: DecodeError) -> Reply {
    match fault {
        DecodeError::Cancelled => Reply::new(501, (5, 7, 0), "Authentication cancelled"),
        DecodeError::Malformed => Reply::new(501, (5, 5, 2), "Invalid base64"),
    }
}
