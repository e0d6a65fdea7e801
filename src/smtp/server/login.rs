//! AUTH: the SASL profile of SMTP. RFC 4954.

use super::super::Reply;
use super::commands::sequence;
use super::session::{Question, Session, State};
use super::{Auth, Event};
use crate::auth::line::{self, Unusable};
use crate::auth::{Exchange, Mechanism, Step};

impl Session {
    /// Whether passwords are safe here.
    pub(super) fn may_log_in(&self) -> bool {
        self.tls().is_some() || self.config.plain_login
    }

    /// RFC 4954 §4.
    pub(super) fn auth(&mut self, mechanism: &str, initial: Option<&str>) {
        self.has_tried_login = true;
        if self.config.auth == Auth::Off {
            return self.complain(&Reply::new(502, (5, 5, 1), "there is nobody to be here"));
        }
        if !self.hello.as_ref().is_some_and(|hello| hello.esmtp) {
            return self.complain(&sequence("say EHLO first"));
        }
        if self.user.is_some() || self.transaction.is_some() {
            return self.complain(&sequence("not now"));
        }
        if !self.may_log_in() {
            return self.complain(&Reply::new(538, (5, 7, 11), "log in only under TLS"));
        }
        let Ok(mechanism) = mechanism.parse::<Mechanism>() else {
            return self.complain(&Reply::new(504, (5, 5, 4), "no such mechanism here"));
        };
        self.logins += 1;
        let mut exchange = Exchange::new(mechanism, format!("{}.{}", self.nonce, self.logins));
        let step = match initial.map(|initial| line::initial(initial.as_bytes())).transpose() {
            Ok(initial) => exchange.start(initial.as_deref()),
            Err(fault) => return self.complain(&unusable(fault)),
        };
        self.go_on(exchange, step);
    }

    /// The client's answer to a challenge.
    pub(super) fn login_response(&mut self, mut exchange: Exchange, line: &[u8]) {
        self.note(if line == b"*" { "*" } else { "****" });
        match line::response(line) {
            Ok(response) => {
                let step = exchange.respond(&response);
                self.go_on(exchange, step);
            }
            Err(fault) => self.complain(&unusable(fault)),
        }
    }

    /// Answers [`Event::Who`] with that user's password, `None` if there is no such user.
    ///
    /// # Panics
    /// If nobody claimed to be anyone.
    pub fn secret(&mut self, secret: Option<&str>) {
        let State::Asked(Question::Secret(mut exchange)) = std::mem::replace(&mut self.state, State::Command) else {
            panic!("told a secret though nobody asked");
        };
        let step = exchange.secret(secret);
        self.go_on(exchange, step);
    }

    fn go_on(&mut self, exchange: Exchange, step: Step) {
        match step {
            Step::Challenge(challenge) => {
                self.say(&Reply { code: 334, enhanced: None, text: vec![line::encode(&challenge)] });
                self.state = State::Login(exchange);
            }
            Step::Who(user) => self.ask(Question::Secret(exchange), Event::Who(user)),
            Step::Granted { user } => {
                self.user = Some(user);
                self.say(&Reply::new(235, (2, 7, 0), "welcome"));
            }
            Step::Denied => self.deny(),
        }
    }

    /// Says no, or that it was once too often: nobody guesses a password at leisure.
    fn deny(&mut self) {
        self.denials += 1;
        match self.config.logins_max < self.denials {
            true => self.part(&Reply::new(421, (4, 7, 0), "too many logins")),
            false => self.complain(&Reply::new(535, (5, 7, 8), "name or password is wrong")),
        }
    }
}

/// RFC 4954 §4, §6.
fn unusable(fault: Unusable) -> Reply {
    match fault {
        Unusable::Cancelled => Reply::new(501, (5, 7, 0), "as you wish"),
        Unusable::Malformed => Reply::new(501, (5, 5, 2), "that is not base64"),
    }
}
