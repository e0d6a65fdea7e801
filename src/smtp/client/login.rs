//! Before the first message: encryption (RFC 3207) and login (RFC 4954).

use super::super::Reply;
use super::super::command::Command;
use super::session::{Session, State};
use super::{Cause, Event, Offers};
use crate::auth::{Claim, line};

impl Session {
    /// Asks for encryption. RFC 3207.
    ///
    /// # Panics
    /// If it is not the owner's turn, as all that follow.
    pub fn starttls(&mut self) {
        self.begin(State::StartTls);
        self.say(&Command::StartTls.to_string());
    }

    /// The handshake that [`Event::StartTls`] asked for is done. What the peer said in the clear is forgotten:
    /// RFC 3207 §4.2.
    ///
    /// # Panics
    /// If the peer was not asked for it.
    pub fn encrypted(&mut self) {
        assert!(matches!(self.state, State::Encrypting), "encrypted though nobody asked");
        self.offers = Offers::default();
        self.hello();
    }

    /// Logs in by the strongest mechanism that both ends know. RFC 4954. PLAIN and LOGIN show the password to the
    /// peer, and without TLS to all between.
    ///
    /// # Panics
    /// If it is not the owner's turn.
    pub fn authenticate(&mut self, user: &str, password: &str) {
        let Some(mechanism) = self.offers.mechanism(self.config.nonce.is_some()) else {
            self.begin(State::Idle);
            let reply = Reply::new(504, (5, 5, 4), "the server knows no way to log in that we know");
            self.event = Some(Event::LoginRefused(reply));
            return;
        };
        self.claims += 1;
        let nonce = format!("{}.{}", self.config.nonce.as_deref().unwrap_or_default(), self.claims);
        let mut claim = Claim::new(mechanism, user, password, &nonce);
        let initial = claim.initial().map(|initial| line::encode_initial(&initial));
        self.begin(State::Login(claim));
        let masked = initial.as_ref().map_or("", |_| " ****");
        self.say_masked(
            &Command::Auth { mechanism: mechanism.to_string(), initial }.to_string(),
            &format!("AUTH {mechanism}{masked}"),
        );
    }

    /// RFC 3207 §4. What a third party put behind the 220 must not be read as if it came encrypted.
    pub(super) fn starttls_reply(&mut self, reply: Reply) {
        if reply.code != 220 {
            return self.turn(Event::TlsRefused(reply));
        }
        self.state = State::StartTls;
        if !self.lines.is_empty() {
            return self.fail(Cause::Violation("the peer spoke on before the handshake"));
        }
        self.state = State::Encrypting;
        self.event = Some(Event::StartTls);
    }

    /// RFC 4954 §4.
    pub(super) fn login_reply(&mut self, mut claim: Claim, reply: Reply) {
        match reply.code {
            334 => {
                let text = reply.text.first().map(String::as_str).unwrap_or_default();
                let response = line::response(text.trim().as_bytes()).ok().and_then(|text| claim.answer(&text).ok());
                match response {
                    Some(response) => {
                        self.state = State::Login(claim);
                        self.say_masked(&line::encode(&response), "****");
                    }
                    None => {
                        self.state = State::Cancelled;
                        self.say("*");
                    }
                }
            }
            200..=299 if claim.is_complete() => self.ready(),
            200..=399 => {
                self.state = State::Login(claim);
                self.fail(Cause::Violation("the peer consents without proof or reason"));
            }
            _ => self.turn(Event::LoginRefused(reply)),
        }
    }
}
