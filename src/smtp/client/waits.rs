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

/// Collects them. What arrives at the end of a wait determines what it was for: the last of the replies that come
/// together.
#[derive(Debug, Default)]
pub(super) struct Stopwatch {
    waits: Waits,
    /// The last wait, which is not among them yet, and what it was for.
    last: Duration,
    stage: Option<Stage>,
    /// STARTTLS succeeded.
    is_encrypted: bool,
}

impl Stopwatch {
    /// Notes a wait of this time that ended at this stage; if [`Self::replied`] follows, it counts for the stage given
    /// there.
    pub(super) fn add(&mut self, stage: Stage, time: Duration) {
        self.assign();
        (self.last, self.stage) = (time, Some(stage));
    }

    /// Notes that a reply of this stage was among what arrived at the end of the last wait, which now counts for this
    /// stage.
    pub(super) fn replied(&mut self, stage: Stage) {
        self.stage = Some(stage);
    }

    /// Notes that STARTTLS succeeded: the wait for the next EHLO reply counts as time of TLS.
    pub(super) fn encrypted(&mut self) {
        self.assign();
        self.is_encrypted = true;
    }

    /// Takes the waits since the last call.
    pub(super) fn take(&mut self) -> Waits {
        self.assign();
        std::mem::take(&mut self.waits)
    }

    /// Adds the last wait to the time of what it was for; those for AUTH and QUIT are dropped.
    fn assign(&mut self) {
        let (time, waits) = (std::mem::take(&mut self.last), &mut self.waits);
        let phase = match self.stage.take() {
            Some(Stage::Greeting | Stage::Hello) if !self.is_encrypted => &mut waits.greeting,
            Some(Stage::Greeting | Stage::Hello | Stage::StartTls) => &mut waits.tls,
            Some(Stage::Mail | Stage::Rcpt | Stage::Data) => &mut waits.envelope,
            Some(Stage::Message) => &mut waits.content,
            Some(Stage::Dot) => &mut waits.reply,
            Some(Stage::Login | Stage::Idle) | None => return,
        };
        *phase = phase.saturating_add(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_is_for_the_last_reply_that_ended_it() {
        let (mut stopwatch, second) = (Stopwatch::default(), Duration::from_secs);
        for (stage, seconds, replies) in [
            (Stage::Greeting, 1, &[Stage::Greeting][..]),
            (Stage::Hello, 2, &[Stage::Hello]),
            (Stage::StartTls, 4, &[Stage::StartTls]),
        ] {
            stopwatch.add(stage, second(seconds));
            replies.iter().for_each(|stage| stopwatch.replied(*stage));
        }
        stopwatch.encrypted();
        for (stage, seconds, replies) in [
            (Stage::Hello, 8, &[Stage::Hello][..]),
            (Stage::Mail, 16, &[Stage::Mail, Stage::Rcpt]),
            (Stage::Message, 32, &[]),
            (Stage::Dot, 64, &[Stage::Dot]),
        ] {
            stopwatch.add(stage, second(seconds));
            replies.iter().for_each(|stage| stopwatch.replied(*stage));
        }
        let expected = Waits {
            greeting: second(3),
            tls: second(12),
            envelope: second(16),
            content: second(32),
            reply: second(64),
        };
        assert_eq!(stopwatch.take(), expected);
        // A short message was sent with its envelope, and the replies come together.
        stopwatch.add(Stage::Mail, second(1));
        [Stage::Mail, Stage::Rcpt, Stage::Dot].into_iter().for_each(|stage| stopwatch.replied(stage));
        assert_eq!(stopwatch.take(), Waits { reply: second(1), ..Waits::default() });
        assert_eq!(stopwatch.take(), Waits::default());
    }
}
