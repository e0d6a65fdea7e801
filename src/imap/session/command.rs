//! Executes commands: answers them, or forwards them to the owner. RFC 9051 §6.

use super::{Event, PendingCommand, Reply, Session, SessionState, State};
use crate::auth::Mechanism;
use crate::imap::command::{Body, Command, Request};
use crate::imap::metadata::MAX_METADATA_BYTES;
use crate::imap::notify::BAD_EVENT;
use crate::imap::parse::{ParseError, RawCommand, ReadResult, Refusal, command};
use crate::imap::write::Code;
use crate::mail::Side;

/// Capabilities before login.
const BEFORE_LOGIN: &str = " IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE";
/// Capabilities after login.
const AFTER_LOGIN: &str = " IMAP4rev1 IMAP4rev2 LITERAL+ ID ENABLE IDLE NAMESPACE UNSELECT UIDPLUS MOVE CHILDREN \
    SPECIAL-USE LIST-EXTENDED LIST-STATUS STATUS=SIZE ESEARCH SEARCHRES COMPRESS=DEFLATE CREATE-SPECIAL-USE METADATA CONDSTORE QRESYNC MULTIAPPEND REPLACE BINARY UTF8=ACCEPT WITHIN SAVEDATE PARTIAL NOTIFY SORT THREAD=ORDEREDSUBJECT THREAD=REFERENCES PREVIEW OBJECTID QUOTA QUOTA=RES-STORAGE QUOTA=RES-MESSAGE";

impl Session {
    /// Returns the current capabilities, each after a space. Before the login: STARTTLS if it is offered and TLS is not
    /// active, the mechanisms that may be used now, and `LOGINDISABLED` if PLAIN is not among them. After it: the
    /// extensions and `APPENDLIMIT`. RFC 9051 §6.1.1, §7.2.2.
    pub(super) fn capabilities(&self) -> String {
        if !matches!(self.state, State::NotAuthenticated) {
            // RFC 7889 §2: the limit is the same for all mailboxes.
            return format!("{AFTER_LOGIN} APPENDLIMIT={}", self.append_limit());
        }
        let mut words = BEFORE_LOGIN.to_owned();
        if self.config.starttls && !self.encrypted {
            words.push_str(" STARTTLS");
        }
        for mechanism in Mechanism::ALL.iter().filter(|mechanism| self.may_use(**mechanism)) {
            words.push_str(" AUTH=");
            words.push_str(mechanism.name());
        }
        if !self.may_use(Mechanism::Plain) {
            words.push_str(" LOGINDISABLED");
        }
        words
    }

    /// Returns whether the client may log in by this mechanism now: SCRAM always, mechanisms that reveal the password
    /// only with encryption, unless the configuration allows them without. RFC 9051 §11.3.
    pub(super) fn may_use(&self, mechanism: Mechanism) -> bool {
        mechanism == Mechanism::ScramSha256 || self.encrypted || self.config.cleartext_login
    }

    /// Reads the next command and executes or refuses it, or writes `+` if the client waits for that before a literal;
    /// an HTTP request ends the session. Returns `false` when more bytes are needed.
    pub(super) fn read_command(&mut self) -> bool {
        match self.reader.command(&self.limits()) {
            ReadResult::More => return false,
            ReadResult::Http => self.bye("This is no HTTP server"),
            ReadResult::Prompt => {
                self.out.text("+ Ready for literal data").end();
            }
            ReadResult::Command(mut raw) => {
                self.upload = Some(std::mem::take(&mut raw.share));
                self.record_command(&raw);
                match command(&raw, self.enabled.rev2 || self.enabled.utf8) {
                    Ok(command) => self.execute(command),
                    Err((tag, why)) => self.refuse(tag.as_deref(), why),
                }
            }
            ReadResult::Refused(raw, refusal) => {
                self.record_command(&raw);
                let tag = command(&raw, self.enabled.rev2 || self.enabled.utf8)
                    .map_or_else(|(tag, _)| tag, |command| Some(command.tag));
                self.refuse_size(tag.as_deref(), &raw, refusal);
            }
        }
        true
    }

    /// Answers a command that could not be parsed: `BAD`, or `NO` for an unknown charset or event. If a search with an
    /// unknown charset was to be saved and a mailbox is selected, emits [`Request::Unsave`] for the owner to answer.
    /// Without a tag, the reply is untagged. RFC 9051 §7.1.3.
    fn refuse(&mut self, tag: Option<&str>, why: ParseError) {
        let reply = match (why, tag, self.session_state()) {
            (ParseError::Charset { saves: true }, Some(tag), Some(SessionState::Selected)) => {
                return self.forward(tag.to_owned(), Request::Unsave, SessionState::Selected);
            }
            (ParseError::Charset { .. }, ..) => Reply::bad_charset(),
            (ParseError::Event, ..) => Reply::no("Unknown event").with(Code::Word(BAD_EVENT)),
            (ParseError::Syntax(why), ..) => Reply::bad(why),
        };
        self.tagged(tag.unwrap_or("*"), &reply);
    }

    /// Answers a command that exceeded a limit. Without a tag, the reply is untagged. A line or a literal gets `BAD`, a
    /// message `NO`, both with `TOOBIG`; a value of SETMETADATA gets `NO` with `METADATA MAXSIZE`; if there is no
    /// memory, it is `NO` with `LIMIT`. RFC 9051 §7.1 (TOOBIG), RFC 7889 §4.
    fn refuse_size(&mut self, tag: Option<&str>, raw: &RawCommand, refusal: Refusal) {
        let reply = match refusal {
            // RFC 5464 §4.3.
            Refusal::Literal if raw.is("SETMETADATA") => {
                Reply::no("Value too large").with(Code::MetadataMaxSize(MAX_METADATA_BYTES as u64))
            }
            Refusal::Line => Reply::bad("Line too long").with(Code::Word("TOOBIG")),
            Refusal::Literal => Reply::bad("Literal too large").with(Code::Word("TOOBIG")),
            Refusal::Message => Reply::no("Message too large").with(Code::Word("TOOBIG")),
            // RFC 5530 §3.
            Refusal::NoRoom => Reply::no("Too many uploads at once, try again later").with(Code::Word("LIMIT")),
        };
        self.tagged(tag.unwrap_or("*"), &reply);
    }

    /// Answers a command, or emits the event by which the owner answers it; `BAD` if it is not valid in this state.
    fn execute(&mut self, Command { tag, body }: Command) {
        match (body, self.session_state()) {
            (Body::Capability, _) => {
                let capabilities = self.capabilities();
                self.out.text("* CAPABILITY").text(&capabilities).end();
                self.tagged(&tag, &Reply::ok("CAPABILITY completed"));
            }
            (Body::Id(_), _) => {
                let version = env!("CARGO_PKG_VERSION");
                self.out.text("* ID (\"name\" \"Postroad\" \"version\" ").string(version).text(")").end();
                self.tagged(&tag, &Reply::ok("ID completed"));
            }
            (Body::Logout, _) => {
                self.bye("Logging out");
                self.tagged(&tag, &Reply::ok("LOGOUT completed"));
            }
            (Body::StartTls, None) => self.start_tls(&tag),
            (Body::Login { user, password }, None) => self.login(tag, &user, &password),
            (Body::Authenticate { mechanism, initial }, None) => self.authenticate(tag, &mechanism, initial.as_deref()),
            (Body::StartTls | Body::Login { .. } | Body::Authenticate { .. }, Some(_)) => {
                self.tagged(&tag, &Reply::bad("Already authenticated"));
            }
            (Body::Request(Request::Noop), None) => self.tagged(&tag, &Reply::ok("NOOP completed")),
            (Body::Compress, Some(_)) => self.compress(&tag),
            (Body::Enable(names), Some(_)) => self.enable(&tag, &names),
            (Body::Request(request), Some(session_state)) => self.forward(tag, request, session_state),
            (Body::Enable(_) | Body::Compress | Body::Request(_), None) => {
                self.tagged(&tag, &Reply::bad("Not authenticated"))
            }
        }
    }

    /// Answers `ENABLE`: enables the capabilities that are known, and lists these in `ENABLED`, also if there are none.
    /// Names are given in upper case, and unknown ones are ignored. RFC 9051 §6.3.1.
    fn enable(&mut self, tag: &str, names: &[String]) {
        self.out.text("* ENABLED");
        let requested = |word: &str| names.iter().any(|name| name == word);
        if requested("IMAP4REV2") {
            self.enabled.rev2 = true;
            self.out.use_utf8();
            self.out.text(" IMAP4rev2");
        }
        if requested("UTF8=ACCEPT") {
            self.enabled.utf8 = true;
            self.out.use_utf8();
            self.out.text(" UTF8=ACCEPT");
        }
        if requested("METADATA") {
            self.enabled.metadata = true;
            self.out.text(" METADATA");
        }
        if requested("CONDSTORE") {
            self.enabled.condstore = true;
            self.out.text(" CONDSTORE");
        }
        // RFC 7162 §3.2.3: QRESYNC includes CONDSTORE.
        if requested("QRESYNC") {
            (self.enabled.condstore, self.enabled.qresync) = (true, true);
            self.out.text(" QRESYNC");
        }
        self.out.end();
        self.tagged(tag, &Reply::ok("ENABLE completed"));
    }

    /// Emits the event by which the owner answers a command. Answers `BAD` instead if the command needs a selected
    /// mailbox or an extension that is not enabled, or is `SEARCH` with a charset after `ENABLE UTF8=ACCEPT`. For
    /// `SELECT` and `EXAMINE`, reports `CLOSED` first if a mailbox is selected.
    fn forward(&mut self, tag: String, request: Request, session_state: SessionState) {
        if request.needs_mailbox() && session_state != SessionState::Selected {
            return self.tagged(&tag, &Reply::bad("No mailbox selected"));
        }
        if request.needs_qresync() && !self.enabled.qresync {
            return self.tagged(&tag, &Reply::bad("QRESYNC is not enabled"));
        }
        // RFC 6855 §3.
        if self.enabled.utf8 && matches!(&request, Request::Search(search) if search.names_charset) {
            return self.tagged(&tag, &Reply::bad("CHARSET is not allowed with UTF8=ACCEPT"));
        }
        let (after, otherwise) = match request {
            // RFC 9051 §6.3.2: even a failed SELECT deselects the current mailbox.
            Request::Select { .. } => (SessionState::Selected, SessionState::Authenticated),
            Request::Close { .. } => (SessionState::Authenticated, session_state),
            _ => (session_state, session_state),
        };
        if session_state == SessionState::Selected && matches!(request, Request::Select { .. }) {
            self.out.note(&Code::Word("CLOSED"), "Previous mailbox closed");
        }
        self.state = State::Answering(PendingCommand { tag, after, otherwise });
        self.event = Some(Event::Request(request));
    }

    /// Records a line of the client that is no command in the transcript, as it is given.
    pub(super) fn record_client_line(&mut self, line: &str) {
        self.out.dialogue_mut().note(Side::Client, line);
    }

    /// Records a command in the transcript, without passwords, and with only the sizes of its literals; nothing if no
    /// transcript is kept.
    fn record_command(&mut self, raw: &RawCommand) {
        let is_logged_in = self.session_state().is_some();
        let transcript = self.out.dialogue_mut();
        if !transcript.is_wanted() {
            return;
        }
        let text = String::from_utf8_lossy(&raw.text);
        if let Some(shown) = without_secrets(&text, is_logged_in) {
            return transcript.note(Side::Client, &shown);
        }
        let mut literals = raw.literals.iter();
        for line in text.lines() {
            transcript.note(Side::Client, line);
            if let Some(literal) = literals.next() {
                transcript.note_data(Side::Client, literal.len());
            }
        }
    }
}

/// Returns what the transcript shows of a command that may contain a secret: `LOGIN`, `AUTHENTICATE` and, before the
/// login, any command, because a SASL response in the wrong place looks like one. That is at most the tag, the command
/// and the mechanism, else `***`. `None` for other commands, which are recorded as they are.
fn without_secrets(text: &str, is_logged_in: bool) -> Option<String> {
    let mut words = text.split_ascii_whitespace();
    let (tag, verb) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    match verb.to_ascii_uppercase().as_str() {
        "LOGIN" => Some(format!("{tag} {verb} ***")),
        "AUTHENTICATE" => {
            let (mechanism, initial) = (words.next().unwrap_or_default(), words.next());
            Some(format!("{tag} {verb} {mechanism}{}", if initial.is_some() { " ***" } else { "" }))
        }
        _ if is_logged_in => None,
        "CAPABILITY" | "NOOP" | "LOGOUT" | "STARTTLS" | "ID" | "ENABLE" => Some(format!("{tag} {verb}")),
        _ => Some("***".to_owned()),
    }
}
