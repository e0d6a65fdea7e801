//! The transfer of one message. RFC 5321 §3.3, in groups of commands if the peer offers PIPELINING (RFC 2920).
//!
//! ```text
//!   planned steps       [RSET] MAIL RCPT RCPT ... DATA | BDAT
//!        │ a group is sent
//!        ▼
//!   steps in flight     each reply is for the first of them
//!        │ 354, or all RCPT are answered and BDAT is next
//!        ▼
//!   message             then one reply, or in LMTP one for each accepted recipient
//! ```
//!
//! A short message is sent with its group by BDAT (RFC 3030 §4.2): one round trip for the whole transaction.
//!
//! If the peer limits the recipients of a message (RFC 9422 §4.2), the others follow in batches, each in its own
//! transaction.

use std::collections::VecDeque;

use bytes::Bytes;

use super::super::Reply;
use super::super::command::Command;
use super::super::message_writer::MessageWriter;
use super::super::parameters::Mail;
use super::requirements::Requirements;
use super::{Cause, Config, Extensions, NotSent, Outcome, Stage, Verdict};
use crate::mail::{Address, Envelope, Message, Recipient};
use crate::sync::beside_others;

/// Maximum size of a group of pipelined commands, so that the buffers do not fill while both ends write. RFC 2920 §3.1.
const MAX_GROUP_COMMANDS: usize = 50;

/// A longer message is sent only after the peer has accepted a recipient, so that it is not sent in vain.
const MAX_PIPELINED_MESSAGE_BYTES: usize = 32 * 1024;

#[derive(Debug)]
pub(super) struct Transaction {
    mail: Mail,
    recipients: Vec<Recipient>,
    message: Message,
    is_lmtp: bool,
    max_group: usize,
    has_chunking: bool,
    /// A message up to this length is sent with its envelope.
    max_pipelined_bytes: usize,
    /// Indexes of recipients whose transaction has not started.
    batches: VecDeque<Vec<usize>>,
    planned: VecDeque<Step>,
    in_flight: VecDeque<Step>,
    /// Part of the group has been answered.
    is_answered: bool,
    writer: Option<MessageWriter>,
    /// The message is sent, and not only the end of an empty one.
    has_data: bool,
    /// Indexes of recipients that the peer accepted.
    accepted: Vec<usize>,
    verdicts: Vec<Option<Verdict>>,
    /// The peer accepted MAIL and has not ended the transaction: RSET is needed before the next one.
    is_open: bool,
}

#[derive(Debug)]
enum Step {
    Reset,
    Mail,
    Rcpt(usize),
    Data,
    /// Followed by the message. The reply is for the recipients that are accepted by then.
    Bdat,
    /// The reply to the whole message, for these recipients.
    Verdict(Vec<usize>),
}

impl Transaction {
    /// Plans the transaction, with RSET first if `reset`. Nothing is sent to recipients for which the peer lacks
    /// something, nor beyond the first `capacity`; these get their verdict now.
    pub(super) fn new(
        envelope: Envelope,
        message: Message,
        extensions: &Extensions,
        config: &Config,
        reset: bool,
        capacity: usize,
    ) -> Self {
        let needs = beside_others(message.len(), || Requirements::of(&envelope, &message));
        let mut verdicts = needs.unmet(&envelope, extensions, config);
        for verdict in verdicts.iter_mut().skip(capacity) {
            verdict.get_or_insert_with(over_limit);
        }
        let dsn = extensions.dsn;
        let to = envelope.recipients.iter().map(|recipient| &recipient.address);
        let has_utf8_address = to.chain(&envelope.reverse_path).any(|address| !address.is_ascii());
        // Without SMTPUTF8, domains are sent in A-labels.
        let known = |address: Address| if extensions.smtputf8 { address } else { address.in_a_labels() };
        let mail = Mail {
            size: extensions.size.map(|_| message.len() as u64),
            body: needs.body(envelope.body, extensions),
            smtputf8: extensions.smtputf8 && (envelope.smtputf8 || needs.utf8 || has_utf8_address),
            ret: envelope.ret.filter(|_| dsn),
            envid: envelope.envid.filter(|_| dsn),
            require_tls: envelope.require_tls,
            auth: false,
            reverse_path: envelope.reverse_path.map(known),
        };
        let recipient = |recipient: Recipient| match dsn {
            true => Recipient { address: known(recipient.address), ..recipient },
            false => known(recipient.address).into(),
        };
        let recipients: Vec<_> = envelope.recipients.into_iter().map(recipient).collect();
        let open: Vec<_> = (0..recipients.len()).filter(|at| verdicts[*at].is_none()).collect();
        let batches = open.chunks(extensions.limits.recipients_per_transaction()).map(<[usize]>::to_vec).collect();
        Self {
            mail,
            recipients,
            message,
            is_lmtp: config.lmtp,
            max_group: if extensions.pipelining { MAX_GROUP_COMMANDS } else { 1 },
            has_chunking: extensions.chunking,
            max_pipelined_bytes: MAX_PIPELINED_MESSAGE_BYTES,
            is_open: reset,
            batches,
            planned: VecDeque::new(),
            in_flight: VecDeque::new(),
            is_answered: false,
            writer: None,
            has_data: false,
            accepted: Vec::new(),
            verdicts,
        }
    }

    /// Makes the transaction send the message only after a recipient is accepted, even if the message is short.
    pub(super) fn hold_message(&mut self) {
        self.max_pipelined_bytes = 0;
    }

    /// Whether replies are due, or the message is being sent.
    pub(super) fn is_waiting(&self) -> bool {
        !self.in_flight.is_empty() || self.writer.is_some()
    }

    /// Whether some replies to the group of commands sent last have arrived, and others are due.
    pub(super) fn expects_more(&self) -> bool {
        self.is_answered && self.is_waiting()
    }

    /// Takes the next commands to send, without line ends, as many as may be pipelined, and expects their replies;
    /// called when no reply is due. Empty if all recipients of the batch were refused, or no batch is left. After BDAT,
    /// [`Self::next_part`] has the message.
    pub(super) fn group(&mut self) -> Vec<String> {
        if self.planned.is_empty() {
            self.begin_batch();
        }
        self.is_answered = false;
        let mut group = Vec::new();
        while group.len() < self.max_group
            && let Some(step) = self.planned.pop_front()
        {
            let command = match &step {
                Step::Reset => Command::Rset,
                Step::Mail => Command::Mail(self.mail.clone()),
                Step::Rcpt(at) => Command::Rcpt(self.recipients[*at].clone()),
                // All recipients were refused: the last step is skipped.
                Step::Data | Step::Bdat if group.is_empty() && self.accepted.is_empty() => break,
                Step::Data => Command::Data,
                Step::Bdat if group.is_empty() || self.message.len() <= self.max_pipelined_bytes => {
                    self.writer = Some(MessageWriter::counted(self.message.pieces()));
                    self.has_data = true;
                    Command::Bdat { bytes: self.message.len() as u64, is_last: true }
                }
                Step::Bdat => {
                    self.planned.push_front(step);
                    break;
                }
                Step::Verdict(_) => unreachable!("a verdict is never planned"),
            };
            group.push(command.to_string());
            self.in_flight.push_back(step);
        }
        group
    }

    /// Plans the steps of the transaction for the next batch of recipients, with RSET first if one is open; does
    /// nothing if no batch is left.
    fn begin_batch(&mut self) {
        let Some(batch) = self.batches.pop_front() else { return };
        self.accepted.clear();
        self.planned.extend(std::mem::take(&mut self.is_open).then_some(Step::Reset));
        self.planned.push_back(Step::Mail);
        self.planned.extend(batch.into_iter().map(Step::Rcpt));
        self.planned.push_back(if self.has_chunking { Step::Bdat } else { Step::Data });
    }

    /// Processes the reply to the first step in flight: refusals become verdicts, 354 starts the message, and the reply
    /// to the message gives the verdicts. A refused MAIL refuses all recipients. The error, after 421 or a violation,
    /// is the cause that ends the session.
    pub(super) fn handle_reply(&mut self, reply: Reply) -> Result<(), Cause> {
        self.is_answered = true;
        if reply.is_farewell() {
            return Err(Cause::Refused(reply));
        }
        // After a violation the step stays in flight, as it determines the stage.
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
                self.planned.clear();
                self.batches.clear();
                self.refuse(0..self.recipients.len(), Stage::Mail, &reply);
            }
            Some(Step::Rcpt(at)) if reply.is_positive() && self.verdicts[at].is_none() => self.accepted.push(at),
            Some(Step::Rcpt(at)) => self.refuse([at], Stage::Rcpt, &reply),
            Some(Step::Data) if reply.is_intermediate() => {
                // RFC 2920 §3.1: without accepted recipients, only the final dot is sent.
                let is_wanted = !self.accepted.is_empty();
                self.writer = Some(MessageWriter::stuffed(self.message.pieces().into_iter().filter(|_| is_wanted)));
                self.has_data = is_wanted;
                self.is_answered = false;
                self.await_verdicts();
            }
            Some(Step::Data) => {
                let accepted = std::mem::take(&mut self.accepted);
                self.refuse(accepted, Stage::Data, &reply);
            }
            Some(Step::Verdict(recipients)) => {
                // Without a recipient the command was refused, and the transaction is still open.
                self.is_open &= recipients.is_empty() && self.has_chunking;
                self.record_verdicts(recipients, &reply);
            }
            // BDAT has been replaced by its verdicts.
            Some(Step::Reset | Step::Bdat) | None => {}
        }
        Ok(())
    }

    /// Expects the replies to the message as the next ones, after all recipients are answered. RFC 2033 §4.2: without
    /// accepted recipients, LMTP sends one reply, as SMTP does.
    fn await_verdicts(&mut self) {
        if self.is_lmtp && !self.accepted.is_empty() {
            self.in_flight.extend(self.accepted.iter().map(|at| Step::Verdict(vec![*at])));
        } else {
            self.in_flight.push_back(Step::Verdict(self.accepted.clone()));
        }
    }

    /// The next bytes of the message as they are sent: dot-stuffed for DATA. `None` before the data phase and after the
    /// last part, which ends that phase.
    pub(super) fn next_part(&mut self) -> Option<Bytes> {
        let part = self.writer.as_mut()?.next();
        if part.is_none() {
            self.writer = None;
        }
        part
    }

    /// Whether part of the message is still to be sent.
    pub(super) fn has_part(&self) -> bool {
        self.writer.as_ref().is_some_and(|writer| !writer.is_over())
    }

    /// Sets the verdict of these recipients, given by index, by the reply to the message: accepted if it is positive,
    /// else refused; existing verdicts stay.
    fn record_verdicts(&mut self, recipients: Vec<usize>, reply: &Reply) {
        if !reply.is_positive() {
            return self.refuse(recipients, Stage::Dot, reply);
        }
        for at in recipients {
            self.verdicts[at].get_or_insert_with(|| Verdict::Accepted(reply.clone()));
        }
    }

    /// Sets the verdict of these recipients, given by index, to a refusal by this reply at this stage; existing
    /// verdicts stay.
    fn refuse(&mut self, recipients: impl IntoIterator<Item = usize>, stage: Stage, reply: &Reply) {
        for at in recipients {
            self.verdicts[at].get_or_insert_with(|| Verdict::Refused { stage, reply: reply.clone() });
        }
    }

    /// Whether nothing is left to send or receive.
    pub(super) fn is_over(&self) -> bool {
        self.planned.is_empty() && self.batches.is_empty() && !self.is_waiting()
    }

    /// Whether the peer has accepted MAIL and has not ended the transaction, so that the next one needs RSET.
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// The stage of the step whose reply is due; `Stage::Message` while the message is being sent, `Stage::Mail` if no
    /// reply is due.
    pub(super) fn stage(&self) -> Stage {
        match self.in_flight.front() {
            _ if self.writer.is_some() => Stage::Message,
            Some(Step::Rcpt(_)) => Stage::Rcpt,
            Some(Step::Data) => Stage::Data,
            Some(Step::Bdat | Step::Verdict(_)) => Stage::Dot,
            _ => Stage::Mail,
        }
    }

    /// Whether the whole message has been sent, so that the peer may have accepted it.
    pub(super) fn has_sent(&self) -> bool {
        self.writer.is_none() && self.in_flight.iter().any(|step| matches!(step, Step::Bdat | Step::Verdict(_)))
    }

    /// The final result for each recipient in the order of the envelope; `None` where it is not known.
    pub(super) fn verdicts(self) -> Vec<Option<Verdict>> {
        self.verdicts
    }

    /// The results of a transaction that is over.
    ///
    /// # Panics
    /// If a recipient has no verdict.
    pub(super) fn outcome(self) -> Outcome {
        let verdict = |verdict: Option<Verdict>| verdict.expect("a transaction ends with a verdict for each recipient");
        Outcome { verdicts: self.verdicts.into_iter().map(verdict).collect() }
    }

    /// Length of the message once it is being sent, for the transcript; 0 before, and if only the final dot is sent,
    /// without a recipient.
    pub(super) fn data_bytes(&self) -> usize {
        if self.has_data { self.message.len() } else { 0 }
    }

    /// Length of the message, whether or not it is being sent.
    pub(super) fn message_bytes(&self) -> usize {
        self.message.len()
    }
}

/// The verdict for a recipient beyond the peer's limits, with status 4.5.3: it can be sent on another connection. RFC
/// 9422 §4.1, §4.3.
fn over_limit() -> Verdict {
    Verdict::NotSent(NotSent::new((4, 5, 3), "the next host accepts no more recipients on this connection"))
}

/// The protocol violation in a reply to this step, if any: a reply to no step, a `3yz` reply that DATA did not ask for,
/// or a reply to DATA that is neither 354 nor a refusal. RFC 5321 §4.3.2.
fn violation(step: Option<&Step>, reply: &Reply) -> Option<&'static str> {
    match step {
        None => Some("unexpected reply"),
        Some(Step::Data) if reply.code == 354 || reply.is_transient() || reply.is_permanent() => None,
        Some(Step::Data) => Some("DATA was answered neither with 354 nor with a refusal"),
        Some(_) if reply.is_intermediate() => Some("unexpected intermediate reply"),
        Some(_) => None,
    }
}
