//! How long a session waited for its peer, by what was due.

use std::time::Duration;

use super::Stage;

/// Waiting times of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// For the greeting, and for the reply to EHLO.
    pub greeting: Duration,
    /// For the reply to STARTTLS, and to EHLO after it. The handshake is the owner's.
    pub tls: Duration,
    /// For the replies to MAIL, RCPT and DATA.
    pub envelope: Duration,
    /// Until the peer had read the message.
    pub content: Duration,
    /// For the reply to the message.
    pub reply: Duration,
}

impl Waits {
    /// Adds a wait at this stage.
    pub(super) fn add(&mut self, stage: Stage, is_encrypted: bool, time: Duration) {
        let phase = match stage {
            Stage::Greeting | Stage::Hello if !is_encrypted => &mut self.greeting,
            Stage::Greeting | Stage::Hello | Stage::StartTls => &mut self.tls,
            Stage::Mail | Stage::Rcpt | Stage::Data => &mut self.envelope,
            Stage::Message => &mut self.content,
            Stage::Dot => &mut self.reply,
            Stage::Login | Stage::Idle => return,
        };
        *phase = phase.saturating_add(time);
    }
}
