//! The AUTHORIZATION state: USER and PASS, APOP, AUTH, UTF8, STLS. RFC 1939 §4, §7, RFC 5034, RFC 6856 §2, RFC 2595 §4.

use super::{Command, Event, Session, State};
use crate::auth::{Exchange, Mechanism, Step, line};

/// Failed logins of one session; the last of them ends it.
const DENIALS_MAX: usize = 3;

/// The capability line that names the mechanisms. RFC 5034 §3.
pub(super) fn sasl() -> String {
    Mechanism::ALL.iter().fold("SASL".to_owned(), |line, mechanism| format!("{line} {mechanism}"))
}

impl Session {
    /// Answers [`Event::Who`] with the user's password; `None` when there is no such user.
    pub fn secret(&mut self, secret: Option<&str>) {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Checking(mut exchange) => {
                let step = exchange.secret(secret);
                self.advance(exchange, step);
            }
            other => self.state = other,
        }
    }

    pub(super) fn authorize(&mut self, user: Option<String>, command: Command<'_>) {
        self.state = State::Authorization { user: None };
        match (command, user) {
            (Command::Capa, user) => {
                self.state = State::Authorization { user };
                self.capabilities(true);
            }
            // Whether the user exists is nobody's business yet. RFC 1939 §7 (USER).
            (Command::User(name), _) => {
                self.say("+OK and the password?");
                self.state = State::Authorization { user: Some(name.to_owned()) };
            }
            (Command::Pass(password), Some(user)) => {
                let exchange = Exchange::password(&user, password);
                self.advance(exchange, Step::Who(user));
            }
            // One try for a greeting: the timestamp is not used twice.
            (Command::Apop { name, digest }, _) => match self.timestamp.take() {
                Some(timestamp) => {
                    let exchange = Exchange::digest(name, &timestamp, digest);
                    self.advance(exchange, Step::Who(name.to_owned()));
                }
                None => self.blunder("-ERR APOP was tried already"),
            },
            // Letters are kept and sent in UTF-8, whoever asks. RFC 6856 §2.
            (Command::Utf8, user) => {
                self.say("+OK UTF-8 it is");
                self.state = State::Authorization { user };
            }
            (Command::Lang(language), user) => {
                self.state = State::Authorization { user };
                self.language(language);
            }
            (Command::Pass(_), None) => self.blunder("-ERR say USER first"),
            (Command::Auth { mechanism, initial }, _) => self.authenticate(mechanism, initial),
            (Command::Stls, _) if self.encrypted => self.blunder("-ERR TLS is active already"),
            (Command::Stls, _) if self.setup.starttls => {
                self.say("+OK begin TLS");
                self.event = Some(Event::StartTls);
                self.state = State::Securing;
            }
            (Command::Stls, _) => self.blunder("-ERR no TLS here"),
            (Command::Quit, _) => {
                self.say("+OK goodbye");
                self.state = State::Over;
            }
            _ => self.blunder("-ERR log in first"),
        }
    }

    /// RFC 5034 §4: the initial response comes along, or is asked for.
    fn authenticate(&mut self, mechanism: &str, initial: Option<&str>) {
        let Ok(mechanism) = mechanism.parse::<Mechanism>() else { return self.blunder("-ERR unknown mechanism") };
        let Ok(initial) = initial.map(|text| line::initial(text.as_bytes())).transpose() else {
            return self.blunder("-ERR the initial response is not base64");
        };
        // Every exchange that has ended without success was counted, so no nonce is used twice.
        let nonce = format!("{}{}", self.setup.nonce, self.denials + self.blunders);
        let mut exchange = Exchange::new(mechanism, nonce);
        let step = exchange.start(initial.as_deref());
        self.advance(exchange, step);
    }

    /// A line that answers a challenge; `*` gives up.
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
            Err(line::Unusable::Cancelled) => self.blunder("-ERR login cancelled"),
            Err(line::Unusable::Malformed) => self.blunder("-ERR not base64"),
        }
    }

    fn advance(&mut self, exchange: Exchange, step: Step) {
        self.state = match step {
            Step::Challenge(challenge) => {
                self.say(&format!("+ {}", line::encode(&challenge)));
                State::Authenticating(exchange)
            }
            Step::Who(user) => {
                self.event = Some(Event::Who(user));
                State::Checking(exchange)
            }
            Step::Granted { user } => {
                self.event = Some(Event::Open { user });
                State::Opening
            }
            Step::Denied => self.deny(),
        }
    }

    /// RFC 3206 §6: the code tells a wrong password from a failing server.
    fn deny(&mut self) -> State {
        self.say("-ERR [AUTH] the name or the password is wrong");
        self.denials += 1;
        if self.denials < DENIALS_MAX { State::Authorization { user: None } } else { State::Over }
    }
}
