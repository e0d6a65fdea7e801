//! Before the first message: encryption (RFC 3207) and login (RFC 4954).

use super::super::Reply;
use super::super::command::Command;
use super::session::{Session, State};
use super::{Cause, Event, Extensions};
use crate::auth::{SaslClient, line};

impl Session {
    /// Queues STARTTLS; [`Event::StartTls`] or [`Event::TlsRefused`] follows. RFC 3207.
    ///
    /// # Panics
    /// If the session is not ready.
    pub fn starttls(&mut self) {
        self.begin(State::StartTls);
        self.send_line(&Command::StartTls.to_string());
    }

    /// Continues after the handshake of [`Event::StartTls`]: discards the extensions of before (RFC 3207 §4.2) and
    /// queues EHLO, or LHLO, again.
    ///
    /// # Panics
    /// If that event is not pending.
    pub fn encrypted(&mut self) {
        assert!(matches!(self.state, State::Encrypting), "encrypted without a pending StartTls");
        self.extensions = Extensions::default();
        self.stopwatch.encrypted();
        self.send_hello();
    }

    /// Logs in by the strongest mechanism that both ends support; [`Event::Ready`] or [`Event::LoginRefused`] follows,
    /// or, without such a mechanism, [`Event::NoMechanism`]. RFC 4954. PLAIN and LOGIN disclose the password to the
    /// peer, and without TLS to everyone on the path.
    ///
    /// # Panics
    /// If the session is not ready.
    pub fn authenticate(&mut self, user: &str, password: &str) {
        let Some(mechanism) = self.extensions.mechanism(self.config.nonce.is_some()) else {
            self.begin(State::Idle);
            self.event = Some(Event::NoMechanism);
            return;
        };
        self.login_attempts += 1;
        let nonce = format!("{}.{}", self.config.nonce.as_deref().unwrap_or_default(), self.login_attempts);
        let mut sasl = SaslClient::new(mechanism, user, password, &nonce);
        let initial = sasl.initial().map(|initial| line::encode_initial(&initial));
        self.begin(State::Login(sasl));
        let masked = initial.as_ref().map_or("", |_| " ****");
        self.send_masked(
            &Command::Auth { mechanism: mechanism.to_string(), initial }.to_string(),
            &format!("AUTH {mechanism}{masked}"),
        );
    }

    /// Processes the reply to STARTTLS: after 220 asks the owner for the handshake, else reports the refusal to the
    /// owner. Input that came with the 220 must not be taken for encrypted input, and ends the session. RFC 3207 §4.
    pub(super) fn starttls_reply(&mut self, reply: Reply) {
        if reply.code != 220 {
            return self.yield_turn(Event::TlsRefused(reply));
        }
        self.state = State::StartTls;
        if !self.lines.is_empty() {
            return self.fail(Cause::Violation("the peer spoke on before the handshake"));
        }
        self.state = State::Encrypting;
        self.event = Some(Event::StartTls);
    }

    /// Processes a reply during AUTH: answers a 334 challenge, or cancels the login with `*` if the challenge is
    /// invalid. A positive reply makes the session ready if the exchange is complete, and else ends it as a violation;
    /// a refusal is reported to the owner. RFC 4954 §4.
    pub(super) fn login_reply(&mut self, mut sasl: SaslClient, reply: Reply) {
        match reply.code {
            334 => {
                let text = reply.text.first().map(String::as_str).unwrap_or_default();
                let response = line::response(text.trim().as_bytes()).ok().and_then(|text| sasl.answer(&text).ok());
                match response {
                    Some(response) => {
                        self.state = State::Login(sasl);
                        self.send_masked(&line::encode(&response), "****");
                    }
                    None => {
                        self.state = State::Cancelled;
                        self.send_line("*");
                    }
                }
            }
            200..=299 if sasl.is_complete() => self.ready(),
            200..=399 => {
                self.state = State::Login(sasl);
                self.fail(Cause::Violation("the peer consents without proof or reason"));
            }
            _ => self.yield_turn(Event::LoginRefused(reply)),
        }
    }
}
