//! The tagged reply that completes a command. RFC 9051 §7.1.

use super::{Event, MAX_BAD_COMMANDS, PendingCommand, Session, SessionState, State};
use crate::imap::search::SearchReturn;
use crate::imap::value::Numbers;
use crate::imap::write::{Code, Outcome, SearchReply};

/// The result of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// `OK`, `NO` or `BAD`.
    pub outcome: Outcome,
    /// The response code, for the client program.
    pub code: Option<Code>,
    /// The text, for people.
    pub text: &'static str,
}

impl Reply {
    /// Returns an `OK` without a code: the command succeeded.
    pub fn ok(text: &'static str) -> Self {
        Self { outcome: Outcome::Ok, code: None, text }
    }

    /// Returns a `NO` without a code: the command failed.
    pub fn no(text: &'static str) -> Self {
        Self { outcome: Outcome::No, code: None, text }
    }

    /// Returns a `BAD` without a code: the command is invalid.
    pub fn bad(text: &'static str) -> Self {
        Self { outcome: Outcome::Bad, code: None, text }
    }

    /// Returns a `NO` with `BADCHARSET` and the known charsets, for a search whose charset is not supported. RFC 9051
    /// §6.4.4.
    pub fn bad_charset() -> Self {
        Self::no("Unknown charset").with(Code::Word("BADCHARSET (US-ASCII UTF-8)"))
    }

    /// Sets the response code, in place of an earlier one.
    pub fn with(self, code: Code) -> Self {
        Self { code: Some(code), ..self }
    }
}

impl Session {
    /// Answers [`Event::Request`] and [`Event::IdleEnd`]: writes the tagged reply, and selects or deselects the mailbox
    /// as the command and its result demand; when shutting down, `BYE` follows. Nothing happens if no command is in
    /// progress, and during IDLE before [`Event::IdleEnd`].
    pub fn done(&mut self, reply: &Reply) {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Answering(PendingCommand { tag, after, otherwise }) => {
                let session_state = if reply.outcome == Outcome::Ok { after } else { otherwise };
                self.state = State::Ready(session_state);
                self.tagged(&tag, reply);
            }
            other => self.state = other,
        }
    }

    /// Writes the result of a search: `SEARCH` if `returns` is `None` and IMAP4rev2 is not enabled, else `ESEARCH`, or
    /// nothing if it was only to be saved. `uid` is whether the numbers are UIDs, `modseq` the highest modification
    /// sequence of the result, if requested.
    pub fn found(&mut self, uid: bool, returns: Option<&SearchReturn>, found: &Numbers, modseq: Option<u64>) {
        let all = SearchReturn { all: true, ..SearchReturn::default() };
        let returns = match returns {
            Some(returns) => returns,
            // RFC 9051 §6.4.4: IMAP4rev2 only has ESEARCH.
            None if self.enabled.rev2 => &all,
            None => return self.out.search(found.iter(), modseq),
        };
        // RFC 5182 §2.1: a search with only SAVE returns nothing.
        if let State::Answering(PendingCommand { tag, .. }) = &self.state
            && (returns.min || returns.max || returns.all || returns.count || returns.page.is_some())
        {
            self.out.esearch(tag, &SearchReply { returns, uid, found, modseq });
        }
    }

    /// Answers [`Event::Request`] of IDLE with `+ idling`: from now on, the owner may write changes at any time, until
    /// [`Event::IdleEnd`]. When shutting down, `BYE` follows, and the session is over. Nothing happens if no command is
    /// in progress.
    pub fn idle(&mut self) {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Answering(pending) => {
                self.out.text("+ idling").end();
                self.state = State::Idling(pending);
                if self.stopping {
                    self.bye("Server shutting down");
                }
            }
            other => self.state = other,
        }
    }

    /// Reports with `CLOSED` that the selected mailbox was deleted, which the caller must have checked: no mailbox is
    /// selected from now on, whatever the result of the pending command. Nothing happens before the login and after the
    /// end.
    pub fn deselect(&mut self) {
        match &mut self.state {
            State::Answering(pending) | State::Idling(pending) => {
                pending.after = SessionState::Authenticated;
                pending.otherwise = SessionState::Authenticated;
            }
            State::Ready(session_state) => *session_state = SessionState::Authenticated,
            _ => return,
        }
        self.out.note(&Code::Word("CLOSED"), "Mailbox was deleted");
    }

    /// Ends IDLE at this line of the client: emits [`Event::IdleEnd`] with the reply for [`Self::done`], `OK` for
    /// `DONE` and `BAD` for any other line. RFC 9051 §6.3.13.
    pub(super) fn end_idle(&mut self, pending: PendingCommand, line: &[u8]) {
        self.record_client_line(&String::from_utf8_lossy(line));
        let is_done = line.trim_ascii().eq_ignore_ascii_case(b"DONE");
        let reply = if is_done { Reply::ok("IDLE completed") } else { Reply::bad("Expected DONE") };
        self.state = State::Answering(pending);
        self.event = Some(Event::IdleEnd(reply));
    }

    /// Writes the tagged reply of a command; `tag` is `*` if it had none. `BYE` follows and ends the session after more
    /// than `MAX_BAD_COMMANDS` consecutive `BAD` replies, or when shutting down if a command could be next: not after
    /// STARTTLS or LOGOUT.
    pub(super) fn tagged(&mut self, tag: &str, reply: &Reply) {
        let Reply { outcome, code, text } = reply;
        self.out.text(tag).text(" ").text(outcome.word()).text(" ");
        if let Some(code) = code {
            self.out.code(code);
        }
        self.out.line_text(text).end();
        self.count_bad_command(*outcome);
        if self.stopping && matches!(self.state, State::NotAuthenticated | State::Ready(_)) {
            self.bye("Server shutting down");
        }
    }

    /// Counts consecutive `BAD` replies, which any other reply interrupts; more than `MAX_BAD_COMMANDS` end the session
    /// with `BYE`.
    fn count_bad_command(&mut self, outcome: Outcome) {
        self.bad_commands = if outcome == Outcome::Bad { self.bad_commands + 1 } else { 0 };
        if MAX_BAD_COMMANDS < self.bad_commands {
            self.bye("Too many invalid commands");
        }
    }

    /// Returns whether a mailbox is selected in a logged-in session that waits for a command; `None` before the login,
    /// and while a command or IDLE is in progress.
    pub(super) fn session_state(&self) -> Option<SessionState> {
        if let State::Ready(session_state) = self.state { Some(session_state) } else { None }
    }
}
