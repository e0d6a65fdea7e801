//! The tagged reply that ends a command. RFC 9051 §7.1.

use super::{Asked, BLUNDERS_MAX, Event, Session, Standing, State};
use crate::imap::search::SearchReturn;
use crate::imap::value::Numbers;
use crate::imap::write::{Code, Outcome, SearchReply};

/// How a command went, for the client to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Whether it was done.
    pub outcome: Outcome,
    /// What its program may understand of it.
    pub code: Option<Code>,
    /// What its user may read.
    pub text: &'static str,
}

impl Reply {
    /// It was done.
    pub fn ok(text: &'static str) -> Self {
        Self { outcome: Outcome::Ok, code: None, text }
    }

    /// It could not be done.
    pub fn no(text: &'static str) -> Self {
        Self { outcome: Outcome::No, code: None, text }
    }

    /// It makes no sense.
    pub fn bad(text: &'static str) -> Self {
        Self { outcome: Outcome::Bad, code: None, text }
    }

    /// A search speaks of a charset that is not known. RFC 9051 §6.4.4.
    pub fn bad_charset() -> Self {
        Self::no("no such charset").with(Code::Word("BADCHARSET (US-ASCII UTF-8)"))
    }

    /// The same with a code.
    pub fn with(self, code: Code) -> Self {
        Self { code: Some(code), ..self }
    }
}

impl Session {
    /// Answers [`Event::Request`] and [`Event::IdleEnd`]: the command is over, and the session stands where the
    /// command leads to.
    pub fn done(&mut self, reply: &Reply) {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Answering(Asked { tag, after, otherwise }) => {
                let standing = if reply.outcome == Outcome::Ok { after } else { otherwise };
                self.state = State::Standing(standing);
                self.tagged(&tag, reply);
            }
            other => self.state = other,
        }
    }

    /// Tells what a search found, in the reply that its command wants; `modseq` is the last change of what is told, if
    /// the command asks for it.
    pub fn found(&mut self, uid: bool, returns: Option<&SearchReturn>, found: &Numbers, modseq: Option<u64>) {
        let all = SearchReturn { all: true, ..SearchReturn::default() };
        let returns = match returns {
            Some(returns) => returns,
            // RFC 9051 §6.4.4: IMAP4rev2 knows no other.
            None if self.enabled.rev2 => &all,
            None => return self.out.search(found.iter(), modseq),
        };
        // RFC 5182 §2.1: who only saves is told nothing.
        if let State::Answering(Asked { tag, .. }) = &self.state
            && (returns.min || returns.max || returns.all || returns.count || returns.page.is_some())
        {
            self.out.esearch(tag, &SearchReply { returns, uid, found, modseq });
        }
    }

    /// Answers [`Event::Request`] of IDLE: from here on, what is put into [`Session::out`] goes out at once.
    pub fn idle(&mut self) {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Answering(asked) => {
                self.out.text("+ idling").end();
                self.state = State::Idling(asked);
                if self.stopping {
                    self.bye("the server goes down");
                }
            }
            other => self.state = other,
        }
    }

    /// The selected mailbox is no more, by whosever hand: whatever the command in progress comes to, none is selected.
    pub fn deselect(&mut self) {
        match &mut self.state {
            State::Answering(asked) | State::Idling(asked) => {
                asked.after = Standing::Authenticated;
                asked.otherwise = Standing::Authenticated;
            }
            State::Standing(standing) => *standing = Standing::Authenticated,
            _ => return,
        }
        self.out.note(&Code::Word("CLOSED"), "the mailbox was deleted");
    }

    /// RFC 9051 §6.3.13: nothing but `DONE` may come.
    pub(super) fn end_idle(&mut self, asked: Asked, line: &[u8]) {
        self.note_client(&String::from_utf8_lossy(line));
        if !line.eq_ignore_ascii_case(b"DONE") {
            return self.bye("only DONE ends IDLE");
        }
        self.state = State::Answering(asked);
        self.event = Some(Event::IdleEnd);
    }

    /// Ends a command; between commands is when we may say goodbye.
    pub(super) fn tagged(&mut self, tag: &str, reply: &Reply) {
        let Reply { outcome, code, text } = reply;
        self.out.text(tag).text(" ").text(outcome.word()).text(" ");
        if let Some(code) = code {
            self.out.code(code);
        }
        self.out.line_text(text).end();
        self.count_blunder(*outcome);
        if self.stopping && matches!(self.state, State::NotAuthenticated | State::Standing(_)) {
            self.bye("the server goes down");
        }
    }

    fn count_blunder(&mut self, outcome: Outcome) {
        self.blunders = if outcome == Outcome::Bad { self.blunders + 1 } else { 0 };
        if BLUNDERS_MAX < self.blunders {
            self.bye("too many commands that make no sense");
        }
    }

    /// Where a user stands, if one is logged in and no command is in progress.
    pub(super) fn standing(&self) -> Option<Standing> {
        if let State::Standing(standing) = self.state { Some(standing) } else { None }
    }
}
