//! The AUTHORIZATION state: USER and PASS, APOP, AUTH, UTF8, STLS. RFC 1939 §4, §7, RFC 5034, RFC 6856 §2, RFC 2595 §4.

use super::{Command, Event, Session, State};
use crate::auth::{Mechanism, SaslServer, Step, line};

/// Number of failed logins that ends a session.
const MAX_FAILED_LOGINS: usize = 3;

/// The line of the capability list with all SASL mechanisms, strongest first. RFC 5034 §3.
pub(super) fn sasl() -> String {
    Mechanism::ALL.iter().fold("SASL".to_owned(), |line, mechanism| format!("{line} {mechanism}"))
}

impl Session {
    /// Answers [`Event::NeedSecret`] with the password of the user, or `None` if the user does not exist: the login
    /// continues or is refused. Ignored if that event is not pending.
    pub fn secret(&mut self, secret: Option<&str>) {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Checking(mut exchange) => {
                let step = exchange.secret(secret);
                self.advance(exchange, step);
            }
            other => self.state = other,
        }
    }

    /// Executes a command before the login, and replies or emits an event; `user` is the name in a USER that waits for
    /// PASS, which only CAPA, UTF8 and LANG keep. Commands of the TRANSACTION state are protocol errors.
    pub(super) fn authorize(&mut self, user: Option<String>, command: Command<'_>) {
        self.state = State::Authorization { user: None };
        match (command, user) {
            (Command::Capa, user) => {
                self.state = State::Authorization { user };
                self.capabilities();
            }
            // Whether the user exists is not disclosed. RFC 1939 §7 (USER).
            (Command::User(name), _) => {
                self.send_line("+OK Password required");
                self.state = State::Authorization { user: Some(name.to_owned()) };
            }
            (Command::Pass(password), Some(user)) => {
                let exchange = SaslServer::for_password(&user, password);
                self.advance(exchange, Step::NeedSecret(user));
            }
            // One attempt per greeting: the timestamp must not be used twice.
            (Command::Apop { name, digest }, _) => match self.timestamp.take() {
                Some(timestamp) => {
                    let exchange = SaslServer::for_apop(name, &timestamp, digest);
                    self.advance(exchange, Step::NeedSecret(name.to_owned()));
                }
                None => self.send_error("-ERR APOP already used"),
            },
            (Command::Utf8, user) => {
                self.utf8 = true;
                self.send_line("+OK UTF-8 enabled");
                self.state = State::Authorization { user };
            }
            (Command::Lang(language), user) => {
                self.state = State::Authorization { user };
                self.language(language);
            }
            (Command::Pass(_), None) => self.send_error("-ERR Need USER first"),
            (Command::Auth { mechanism, initial }, _) => self.authenticate(mechanism, initial),
            (Command::Stls, _) if self.encrypted => self.send_error("-ERR TLS already active"),
            (Command::Stls, _) if self.config.starttls => {
                self.send_line("+OK Begin TLS negotiation");
                self.event = Some(Event::StartTls);
                self.state = State::Securing;
            }
            (Command::Stls, _) => self.send_error("-ERR STLS not available"),
            (Command::Quit, _) => {
                self.send_line("+OK Goodbye");
                self.state = State::Over;
            }
            _ => self.send_error("-ERR Need to log in first"),
        }
    }

    /// Starts AUTH, with or without an initial response, which is in base64 or `=` (RFC 5034 §4): sends a challenge or
    /// asks the owner for the secret. An unknown mechanism or malformed response is a protocol error.
    fn authenticate(&mut self, mechanism: &str, initial: Option<&str>) {
        let Ok(mechanism) = mechanism.parse::<Mechanism>() else {
            return self.send_error("-ERR Unknown authentication mechanism");
        };
        let Ok(initial) = initial.map(|text| line::initial(text.as_bytes())).transpose() else {
            return self.send_error("-ERR Initial response is not base64");
        };
        let nonce = format!("{}{}", self.config.nonce, self.exchanges);
        self.exchanges += 1;
        let mut exchange = SaslServer::new(mechanism, nonce);
        let step = exchange.start(initial.as_deref());
        self.advance(exchange, step);
    }

    /// Processes the response to a challenge, in base64; `*` cancels. That and malformed base64 end the exchange with
    /// `-ERR`, after which the client may log in again. Must only be called while a challenge is pending.
    pub(super) fn respond(&mut self, text: &str) {
        let State::Authenticating(mut exchange) =
            std::mem::replace(&mut self.state, State::Authorization { user: None })
        else {
            return;
        };
        match line::response(text.as_bytes()) {
            Ok(response) => {
                let step = exchange.respond(&response);
                self.advance(exchange, step);
            }
            Err(line::DecodeError::Cancelled) => self.send_error("-ERR Authentication cancelled"),
            Err(line::DecodeError::Malformed) => self.send_error("-ERR Response is not base64"),
        }
    }

    /// Carries out the next step of a login, and changes the state: sends a challenge, passes an event to the owner,
    /// which asks for the secret or opens the maildrop, or refuses the login.
    fn advance(&mut self, exchange: SaslServer, step: Step) {
        self.state = match step {
            Step::Challenge(challenge) => {
                self.send_line(&format!("+ {}", line::encode(&challenge)));
                State::Authenticating(exchange)
            }
            Step::NeedSecret(user) => {
                self.event = Some(Event::NeedSecret(user));
                State::Checking(exchange)
            }
            Step::Granted { user } => {
                self.event = Some(Event::Open { user });
                State::Opening
            }
            Step::Denied => self.login_failed(),
        }
    }

    /// Refuses a login with `-ERR [AUTH]`; returns the next state, which is the end of the session at the
    /// [`MAX_FAILED_LOGINS`]th refusal. RFC 3206 §6: the code distinguishes wrong credentials from a server failure.
    fn login_failed(&mut self) -> State {
        self.send_line("-ERR [AUTH] Invalid user name or password");
        self.failed_logins += 1;
        if self.failed_logins < MAX_FAILED_LOGINS { State::Authorization { user: None } } else { State::Over }
    }
}
