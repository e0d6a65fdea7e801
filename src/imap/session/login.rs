//! Who is it? STARTTLS, LOGIN and AUTHENTICATE. RFC 9051 §6.2, RFC 4422, RFC 4959.

use super::{Event, Reply, Session, Standing, State};
use crate::auth::{Exchange, Mechanism, Step, line};
use crate::imap::write::Code;

/// Failed logins of one session; the last of them ends it.
const DENIALS_MAX: usize = 3;

impl Session {
    pub(super) fn start_tls(&mut self, tag: &str) {
        if self.encrypted {
            return self.tagged(tag, &Reply::bad("TLS is active already"));
        }
        if !self.setup.starttls {
            return self.tagged(tag, &Reply::bad("no TLS here"));
        }
        self.state = State::Securing;
        self.event = Some(Event::StartTls);
        self.tagged(tag, &Reply::ok("begin TLS"));
    }

    /// Answers [`Event::StartTls`]: what follows is encrypted. What came before is forgotten (RFC 9051 §6.2.1).
    pub fn encrypted(&mut self) {
        if matches!(self.state, State::Securing) {
            self.encrypted = true;
            self.reader.clear();
            self.state = State::NotAuthenticated;
            if self.stopping {
                self.bye("the server goes down");
            }
        }
    }

    pub(super) fn login(&mut self, tag: String, user: &str, password: &str) {
        // RFC 9051 §6.2.3: LOGINDISABLED.
        if !self.may_use(Mechanism::Plain) {
            return self.refuse_cleartext(&tag);
        }
        let exchange = Exchange::password(user, password);
        self.advance(tag, exchange, Step::Who(user.to_owned()));
    }

    fn refuse_cleartext(&mut self, tag: &str) {
        self.tagged(tag, &Reply::no("start TLS first").with(Code::Word("PRIVACYREQUIRED")));
    }

    pub(super) fn authenticate(&mut self, tag: String, mechanism: &str, initial: Option<&str>) {
        let Ok(mechanism) = mechanism.parse::<Mechanism>() else {
            return self.tagged(&tag, &Reply::no("no such mechanism"));
        };
        if !self.may_use(mechanism) {
            return self.refuse_cleartext(&tag);
        }
        let Ok(initial) = initial.map(|text| line::initial(text.as_bytes())).transpose() else {
            return self.tagged(&tag, &Reply::bad("the initial response is not base64"));
        };
        self.attempts += 1;
        let mut exchange = Exchange::new(mechanism, format!("{}{}", self.setup.nonce, self.attempts));
        let step = exchange.start(initial.as_deref());
        self.advance(tag, exchange, step);
    }

    /// A line that answers a challenge; `*` gives up.
    pub(super) fn respond(&mut self, tag: String, mut exchange: Exchange, text: &[u8]) {
        self.note_client("***");
        match line::response(text) {
            Ok(response) => {
                let step = exchange.respond(&response);
                self.advance(tag, exchange, step);
            }
            Err(why) => {
                self.state = State::NotAuthenticated;
                let why = match why {
                    line::Unusable::Cancelled => "login cancelled",
                    line::Unusable::Malformed => "the response is not base64",
                };
                self.tagged(&tag, &Reply::bad(why));
            }
        }
    }

    /// Answers [`Event::Who`] with the user's password; `None` when there is no such user.
    pub fn secret(&mut self, secret: Option<&str>) {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Checking { tag, mut exchange } => {
                let step = exchange.secret(secret);
                self.advance(tag, exchange, step);
            }
            other => self.state = other,
        }
    }

    fn advance(&mut self, tag: String, exchange: Exchange, step: Step) {
        match step {
            Step::Challenge(challenge) => {
                self.out.text("+ ").text(&line::encode(&challenge)).end();
                self.state = State::Authenticating { tag, exchange };
            }
            Step::Who(user) => {
                self.event = Some(Event::Who(user));
                self.state = State::Checking { tag, exchange };
            }
            Step::Granted { user } => {
                self.event = Some(Event::Open { user });
                self.state = State::Opening { tag };
            }
            Step::Denied => {
                self.state = State::NotAuthenticated;
                let reply = Reply::no("the name or the password is wrong");
                self.tagged(&tag, &reply.with(Code::Word("AUTHENTICATIONFAILED")));
                self.denials += 1;
                if self.denials == DENIALS_MAX {
                    self.bye("too many failed logins");
                }
            }
        }
    }

    /// Answers [`Event::Open`]: whether the user's mailboxes are at hand.
    pub fn opened(&mut self, open: bool) {
        let State::Opening { tag } = &mut self.state else { return };
        let tag = std::mem::take(tag);
        if !open {
            self.state = State::NotAuthenticated;
            let reply = Reply::no("the mailboxes are not at hand now");
            return self.tagged(&tag, &reply.with(Code::Word("UNAVAILABLE")));
        }
        self.state = State::Standing(Standing::Authenticated);
        let capabilities = self.capabilities();
        // RFC 9051 §6.2.2: spares the client from asking.
        self.out.text(&tag).text(" OK [CAPABILITY").text(&capabilities).text("] welcome").end();
        self.blunders = 0;
        if self.stopping {
            self.bye("the server goes down");
        }
    }
}
