//! STARTTLS, LOGIN and AUTHENTICATE. RFC 9051 §6.2, RFC 4422, RFC 4959.

use super::{Event, Reply, Session, SessionState, State};
use crate::auth::{Mechanism, SaslServer, Step, line};
use crate::imap::write::Code;

/// Failed logins of one session; the last of them closes it.
const MAX_FAILED_LOGINS: usize = 3;

impl Session {
    /// Answers `STARTTLS` with `OK`, and emits [`Event::StartTls`]; `BAD` if TLS is active already, or not offered. RFC
    /// 9051 §6.2.1.
    pub(super) fn start_tls(&mut self, tag: &str) {
        if self.encrypted {
            return self.tagged(tag, &Reply::bad("TLS already active"));
        }
        if !self.config.starttls {
            return self.tagged(tag, &Reply::bad("STARTTLS not available"));
        }
        self.state = State::Securing;
        self.event = Some(Event::StartTls);
        self.tagged(tag, &Reply::ok("Begin TLS negotiation now"));
    }

    /// Answers [`Event::StartTls`], after the TLS handshake: the stream is now encrypted. Earlier input is discarded
    /// (RFC 9051 §6.2.1), and commands are read again; when shutting down, `BYE` ends the session. Nothing happens in
    /// another state.
    pub fn encrypted(&mut self) {
        if matches!(self.state, State::Securing) {
            self.encrypted = true;
            self.reader.clear();
            self.state = State::NotAuthenticated;
            if self.stopping {
                self.bye("Server shutting down");
            }
        }
    }

    /// Begins the check of the user and password in `LOGIN`: emits [`Event::NeedSecret`], or answers `NO` if passwords
    /// may not be sent without TLS.
    pub(super) fn login(&mut self, tag: String, user: &str, password: &str) {
        // RFC 9051 §6.2.3: LOGINDISABLED.
        if !self.may_use(Mechanism::Plain) {
            return self.refuse_cleartext(&tag);
        }
        let exchange = SaslServer::for_password(user, password);
        self.advance(tag, exchange, Step::NeedSecret(user.to_owned()));
    }

    /// Answers `NO` with `PRIVACYREQUIRED`: this login needs TLS.
    fn refuse_cleartext(&mut self, tag: &str) {
        self.tagged(tag, &Reply::no("TLS required").with(Code::Word("PRIVACYREQUIRED")));
    }

    /// Begins the exchange of `AUTHENTICATE`, with the initial response in base64 if there is one. Answers `NO` if the
    /// mechanism is unknown, or needs TLS; `BAD` if the response is not base64.
    pub(super) fn authenticate(&mut self, tag: String, mechanism: &str, initial: Option<&str>) {
        let Ok(mechanism) = mechanism.parse::<Mechanism>() else {
            return self.tagged(&tag, &Reply::no("Unsupported mechanism"));
        };
        if !self.may_use(mechanism) {
            return self.refuse_cleartext(&tag);
        }
        let Ok(initial) = initial.map(|text| line::initial(text.as_bytes())).transpose() else {
            return self.tagged(&tag, &Reply::bad("Initial response is not base64"));
        };
        self.attempts += 1;
        let mut exchange = SaslServer::new(mechanism, format!("{}{}", self.config.nonce, self.attempts));
        let step = exchange.start(initial.as_deref());
        self.advance(tag, exchange, step);
    }

    /// Handles the response of the client to a challenge, in base64. `*`, which cancels, and what is not base64 is
    /// answered with `BAD`, and ends the exchange. The transcript shows `***`.
    pub(super) fn respond(&mut self, tag: String, mut exchange: SaslServer, text: &[u8]) {
        self.record_client_line("***");
        match line::response(text) {
            Ok(response) => {
                let step = exchange.respond(&response);
                self.advance(tag, exchange, step);
            }
            Err(why) => {
                self.state = State::NotAuthenticated;
                let why = match why {
                    line::DecodeError::Cancelled => "Authentication cancelled",
                    line::DecodeError::Malformed => "Response is not base64",
                };
                self.tagged(&tag, &Reply::bad(why));
            }
        }
    }

    /// Answers [`Event::NeedSecret`] with the user's password, `None` if the user does not exist, and continues the
    /// exchange. Nothing happens in another state.
    pub fn secret(&mut self, secret: Option<&str>) {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Checking { tag, mut exchange } => {
                let step = exchange.secret(secret);
                self.advance(tag, exchange, step);
            }
            other => self.state = other,
        }
    }

    /// Acts on a step of an authentication: sends the challenge, emits [`Event::NeedSecret`] for the password or
    /// [`Event::Open`] for the mailboxes, or answers `NO` to a failed login. The last of `MAX_FAILED_LOGINS` also ends
    /// the session.
    fn advance(&mut self, tag: String, exchange: SaslServer, step: Step) {
        match step {
            Step::Challenge(challenge) => {
                self.out.text("+ ").text(&line::encode(&challenge)).end();
                self.state = State::Authenticating { tag, exchange };
            }
            Step::NeedSecret(user) => {
                self.event = Some(Event::NeedSecret(user));
                self.state = State::Checking { tag, exchange };
            }
            Step::Granted { user } => {
                self.event = Some(Event::Open { user });
                self.state = State::Opening { tag };
            }
            Step::Denied => {
                self.state = State::NotAuthenticated;
                let reply = Reply::no("Authentication failed");
                self.tagged(&tag, &reply.with(Code::Word("AUTHENTICATIONFAILED")));
                self.failed_logins += 1;
                if self.failed_logins == MAX_FAILED_LOGINS {
                    self.bye("Too many failed logins");
                }
            }
        }
    }

    /// Answers [`Event::Open`]. If the mailboxes were opened, the reply is `OK` with the capabilities, and the client
    /// is logged in; when shutting down, `BYE` follows. Else it is `NO` with `UNAVAILABLE` and the text in `outcome`,
    /// and the client may try again. Nothing happens in another state. RFC 5530 §3.
    pub fn opened(&mut self, outcome: Result<(), &'static str>) {
        let State::Opening { tag } = &mut self.state else { return };
        let tag = std::mem::take(tag);
        if let Err(why) = outcome {
            self.state = State::NotAuthenticated;
            let reply = Reply::no(why);
            return self.tagged(&tag, &reply.with(Code::Word("UNAVAILABLE")));
        }
        self.state = State::Ready(SessionState::Authenticated);
        let capabilities = self.capabilities();
        // RFC 9051 §6.2.2: saves the client a CAPABILITY command.
        self.out.text(&tag).text(" OK [CAPABILITY").text(&capabilities).text("] Logged in").end();
        self.bad_commands = 0;
        if self.stopping {
            self.bye("Server shutting down");
        }
    }
}
