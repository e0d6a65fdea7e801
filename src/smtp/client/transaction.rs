//! One message on its way to the peer. RFC 5321 §3.3, in groups where the peer offers PIPELINING (RFC 2920).
//!
//! ```text
//!   steps to take       [RSET] MAIL RCPT RCPT ... DATA | BDAT
//!        │ a group goes out
//!        ▼
//!   steps in flight     each reply is for the first of them
//!        │ 354, or all RCPT are answered and BDAT is next
//!        ▼
//!   outgoing            the message; behind it one reply, or in LMTP one for each accepted recipient
//! ```
//!
//! A short message goes out with its group by BDAT (RFC 3030 §4.2): one way there and back for the whole transaction.
//!
//! Where the peer takes only so many recipients of a message (RFC 9422 §4.2), the others follow in batches, each with
//! the same message and in a transaction of its own.

use std::collections::VecDeque;

use bytes::Bytes;

use super::super::Reply;
use super::super::command::Command;
use super::super::outgoing::Outgoing;
use super::super::parameters::Mail;
use super::needs::Needs;
use super::{Cause, Config, Offers, Outcome, Stage, Verdict};
use crate::mail::{Address, Envelope, Letter, Recipient};

/// A group of pipelined commands is no longer, so that neither end's buffers fill while both write. RFC 2920 §3.1.
const GROUP_MAX: usize = 50;

/// A longer message waits until the peer takes a recipient: it would have travelled in vain.
const PROMPT_OCTETS_MAX: usize = 32 * 1024;

#[derive(Debug)]
pub(super) struct Transaction {
    mail: Mail,
    recipients: Vec<Recipient>,
    letter: Letter,
    is_lmtp: bool,
    group_max: usize,
    has_chunking: bool,
    /// A message up to this length goes out with its envelope.
    prompt_max: usize,
    /// Recipients whose transaction has not begun, by their places.
    batches: VecDeque<Vec<usize>>,
    to_take: VecDeque<Step>,
    in_flight: VecDeque<Step>,
    /// Some of the group is answered.
    is_answered: bool,
    outgoing: Option<Outgoing>,
    /// Recipients the peer took, by their place.
    accepted: Vec<usize>,
    verdicts: Vec<Option<Verdict>>,
    /// The peer took MAIL and has not ended the transaction: RSET before the next.
    is_open: bool,
}

#[derive(Debug)]
enum Step {
    Reset,
    Mail,
    Rcpt(usize),
    Data,
    /// It brings the message along. The reply to it is for the recipients that are accepted by then.
    Bdat,
    /// The reply to the whole message, for these recipients.
    Verdict(Vec<usize>),
}

impl Transaction {
    /// Plans the steps. What the peer cannot take is refused at once; so is whoever comes behind the first `room`.
    pub(super) fn new(
        envelope: Envelope,
        letter: Letter,
        offers: &Offers,
        config: &Config,
        reset: bool,
        room: usize,
    ) -> Self {
        let needs = Needs::of(&envelope, &letter);
        let mut verdicts = needs.refusals(&envelope, offers, config);
        for verdict in verdicts.iter_mut().skip(room) {
            verdict.get_or_insert_with(no_room);
        }
        let dsn = offers.dsn;
        let to = envelope.recipients.iter().map(|recipient| &recipient.address);
        let has_utf8_address = to.chain(&envelope.reverse_path).any(|address| !address.is_ascii());
        // The domain in A-labels is the same to all who know U-labels.
        let known = |address: Address| if offers.smtputf8 { address } else { address.in_a_labels() };
        let mail = Mail {
            size: offers.size.map(|_| letter.len() as u64),
            body: needs.body(envelope.body, offers),
            smtputf8: offers.smtputf8 && (envelope.smtputf8 || needs.utf8 || has_utf8_address),
            ret: envelope.ret.filter(|_| dsn),
            envid: envelope.envid.filter(|_| dsn),
            require_tls: envelope.require_tls,
            reverse_path: envelope.reverse_path.map(known),
        };
        let recipient = |recipient: Recipient| match dsn {
            true => Recipient { address: known(recipient.address), ..recipient },
            false => known(recipient.address).into(),
        };
        let recipients: Vec<_> = envelope.recipients.into_iter().map(recipient).collect();
        let open: Vec<_> = (0..recipients.len()).filter(|at| verdicts[*at].is_none()).collect();
        let batches = open.chunks(offers.limits.each()).map(<[usize]>::to_vec).collect();
        Self {
            mail,
            recipients,
            letter,
            is_lmtp: config.lmtp,
            group_max: if offers.pipelining { GROUP_MAX } else { 1 },
            has_chunking: offers.chunking,
            prompt_max: PROMPT_OCTETS_MAX,
            is_open: reset,
            batches,
            to_take: VecDeque::new(),
            in_flight: VecDeque::new(),
            is_answered: false,
            outgoing: None,
            accepted: Vec::new(),
            verdicts,
        }
    }

    /// The message waits until a recipient is taken, however short it is.
    pub(super) fn hold_message(&mut self) {
        self.prompt_max = 0;
    }

    /// Whether replies are due, or the message is on its way.
    pub(super) fn is_waiting(&self) -> bool {
        !self.in_flight.is_empty() || self.outgoing.is_some()
    }

    /// Whether some replies to the group have come, and others are due.
    pub(super) fn awaits_rest(&self) -> bool {
        self.is_answered && self.is_waiting()
    }

    /// The commands to send next, when nothing is waited for. None of them may mean that the message itself is next,
    /// or that nothing is left to do.
    pub(super) fn group(&mut self) -> Vec<String> {
        if self.to_take.is_empty() {
            self.begin_batch();
        }
        self.is_answered = false;
        let mut group = Vec::new();
        while group.len() < self.group_max
            && let Some(step) = self.to_take.pop_front()
        {
            let command = match &step {
                Step::Reset => Command::Rset,
                Step::Mail => Command::Mail(self.mail.clone()),
                Step::Rcpt(at) => Command::Rcpt(self.recipients[*at].clone()),
                // All replies are in and no recipient is left: the last step falls away.
                Step::Data | Step::Bdat if group.is_empty() && self.accepted.is_empty() => break,
                Step::Data => Command::Data,
                Step::Bdat if group.is_empty() || self.letter.len() <= self.prompt_max => {
                    self.outgoing = Some(Outgoing::counted(self.letter.pieces()));
                    Command::Bdat { octets: self.letter.len() as u64, is_last: true }
                }
                Step::Bdat => {
                    self.to_take.push_front(step);
                    break;
                }
                Step::Verdict(_) => unreachable!("a verdict is awaited, not asked for"),
            };
            group.push(command.to_string());
            self.in_flight.push_back(step);
        }
        group
    }

    /// The steps of the next transaction.
    fn begin_batch(&mut self) {
        let Some(batch) = self.batches.pop_front() else { return };
        self.accepted.clear();
        self.to_take.extend(std::mem::take(&mut self.is_open).then_some(Step::Reset));
        self.to_take.push_back(Step::Mail);
        self.to_take.extend(batch.into_iter().map(Step::Rcpt));
        self.to_take.push_back(if self.has_chunking { Step::Bdat } else { Step::Data });
    }

    /// Takes the reply to the first command in flight.
    pub(super) fn reply(&mut self, reply: Reply) -> Result<(), Cause> {
        self.is_answered = true;
        if reply.is_farewell() {
            return Err(Cause::Refused(reply));
        }
        // What breaks the conversation leaves the step in flight, which tells the stage.
        if let Some(violation) = violation(self.in_flight.front(), &reply) {
            return Err(Cause::Violation(violation));
        }
        if let Some(Step::Bdat) = self.in_flight.front() {
            self.in_flight.pop_front();
            self.await_verdicts();
        }
        match self.in_flight.pop_front() {
            Some(Step::Mail) if reply.is_positive() => self.is_open = true,
            Some(Step::Mail) => {
                self.to_take.clear();
                self.batches.clear();
                self.refuse(0..self.recipients.len(), Stage::Mail, &reply);
            }
            Some(Step::Rcpt(at)) if reply.is_positive() && self.verdicts[at].is_none() => self.accepted.push(at),
            Some(Step::Rcpt(at)) => self.refuse([at], Stage::Rcpt, &reply),
            Some(Step::Data) if reply.is_intermediate() => {
                // RFC 2920 §3.1: with no recipient left the message is a lone dot.
                let is_wanted = !self.accepted.is_empty();
                self.outgoing = Some(Outgoing::stuffed(self.letter.pieces().into_iter().filter(|_| is_wanted)));
                self.is_answered = false;
                self.await_verdicts();
            }
            Some(Step::Data) => {
                let accepted = std::mem::take(&mut self.accepted);
                self.refuse(accepted, Stage::Data, &reply);
            }
            Some(Step::Verdict(recipients)) => {
                // Without a recipient it is the command that was refused, and not the end of the transaction.
                self.is_open &= recipients.is_empty() && self.has_chunking;
                self.judge(recipients, &reply);
            }
            // The message has made way for its verdicts.
            Some(Step::Reset | Step::Bdat) | None => {}
        }
        Ok(())
    }

    /// All recipients are answered, and the replies to the message are next. RFC 2033 §4.2: with no recipient left, LMTP
    /// answers once, as SMTP does.
    fn await_verdicts(&mut self) {
        if self.is_lmtp && !self.accepted.is_empty() {
            self.in_flight.extend(self.accepted.iter().map(|at| Step::Verdict(vec![*at])));
        } else {
            self.in_flight.push_back(Step::Verdict(self.accepted.clone()));
        }
    }

    /// The next part of the message. It is asked for when the one before is out, so after the last one all of it is.
    pub(super) fn part(&mut self) -> Option<Bytes> {
        let part = self.outgoing.as_mut()?.next();
        if part.is_none() {
            self.outgoing = None;
        }
        part
    }

    /// Whether some of the message is still to be handed out.
    pub(super) fn has_part(&self) -> bool {
        self.outgoing.as_ref().is_some_and(|outgoing| !outgoing.is_over())
    }

    fn judge(&mut self, recipients: Vec<usize>, reply: &Reply) {
        if !reply.is_positive() {
            return self.refuse(recipients, Stage::Dot, reply);
        }
        for at in recipients {
            self.verdicts[at].get_or_insert_with(|| Verdict::Accepted(reply.clone()));
        }
    }

    fn refuse(&mut self, recipients: impl IntoIterator<Item = usize>, stage: Stage, reply: &Reply) {
        for at in recipients {
            self.verdicts[at].get_or_insert_with(|| Verdict::Refused { stage, reply: reply.clone() });
        }
    }

    /// Whether nothing is left to say or to hear.
    pub(super) fn is_over(&self) -> bool {
        self.to_take.is_empty() && self.batches.is_empty() && !self.is_waiting()
    }

    /// Whether the peer still has the transaction open.
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    pub(super) fn stage(&self) -> Stage {
        match self.in_flight.front() {
            _ if self.outgoing.is_some() => Stage::Message,
            Some(Step::Rcpt(_)) => Stage::Rcpt,
            Some(Step::Data) => Stage::Data,
            Some(Step::Bdat | Step::Verdict(_)) => Stage::Dot,
            _ => Stage::Mail,
        }
    }

    /// Whether the whole message is out, so that the peer may have taken it.
    pub(super) fn has_sent(&self) -> bool {
        self.outgoing.is_none() && self.in_flight.iter().any(|step| matches!(step, Step::Bdat | Step::Verdict(_)))
    }

    /// What the peer has said for good so far.
    pub(super) fn verdicts(self) -> Vec<Option<Verdict>> {
        self.verdicts
    }

    pub(super) fn outcome(self) -> Outcome {
        let verdict = |verdict: Option<Verdict>| verdict.expect("a transaction ends with a verdict for each recipient");
        Outcome { verdicts: self.verdicts.into_iter().map(verdict).collect() }
    }

    /// Length of the message, while it goes out.
    pub(super) fn octets(&self) -> usize {
        self.letter.len()
    }
}

/// RFC 9422 §4.1, §4.3: on another connection there is room again.
fn no_room() -> Verdict {
    let reply = Reply::new(451, (4, 5, 3), "the next host takes no more on one connection");
    Verdict::Refused { stage: Stage::Offers, reply }
}

/// What is wrong with a reply at this place. RFC 5321 §4.3.2.
fn violation(step: Option<&Step>, reply: &Reply) -> Option<&'static str> {
    match step {
        None => Some("the peer replied though nothing was asked"),
        Some(Step::Data) if reply.code == 354 || reply.is_transient() || reply.is_permanent() => None,
        Some(Step::Data) => Some("DATA was answered neither with 354 nor with a refusal"),
        Some(_) if reply.is_intermediate() => Some("the peer asked for more where there is no more"),
        Some(_) => None,
    }
}
