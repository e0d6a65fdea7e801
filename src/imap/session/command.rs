//! What the session does with each command: answer it, or hand it to the owner. RFC 9051 §6.

use super::{Asked, Event, Reply, Session, Standing, State};
use crate::auth::Mechanism;
use crate::imap::command::{Body, Command, Request};
use crate::imap::metadata::METADATA_OCTETS_MAX;
use crate::imap::notify::BAD_EVENT;
use crate::imap::parse::{Bad, Frame, Read, Refusal, command};
use crate::imap::write::Code;
use crate::mail::Speaker;

/// What works before login.
const BEFORE_LOGIN: &str = " IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE";
/// What works after it.
const AFTER_LOGIN: &str = " IMAP4rev1 IMAP4rev2 LITERAL+ ID ENABLE IDLE NAMESPACE UNSELECT UIDPLUS MOVE CHILDREN \
    SPECIAL-USE LIST-EXTENDED LIST-STATUS STATUS=SIZE ESEARCH SEARCHRES COMPRESS=DEFLATE CREATE-SPECIAL-USE METADATA CONDSTORE QRESYNC MULTIAPPEND REPLACE BINARY UTF8=ACCEPT WITHIN SAVEDATE PARTIAL NOTIFY SORT THREAD=ORDEREDSUBJECT THREAD=REFERENCES PREVIEW OBJECTID QUOTA QUOTA=RES-STORAGE QUOTA=RES-MESSAGE";

impl Session {
    /// What works now, each after a space. RFC 9051 §6.1.1, §7.2.2.
    pub(super) fn capabilities(&self) -> String {
        if !matches!(self.state, State::NotAuthenticated) {
            // RFC 7889 §2: the same for all mailboxes.
            return format!("{AFTER_LOGIN} APPENDLIMIT={}", self.append_limit());
        }
        let mut words = BEFORE_LOGIN.to_owned();
        if self.setup.starttls && !self.encrypted {
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

    /// RFC 9051 §11.3: what shows a password needs encryption, unless the host says otherwise.
    pub(super) fn may_use(&self, mechanism: Mechanism) -> bool {
        mechanism == Mechanism::ScramSha256 || self.encrypted || self.setup.cleartext_login
    }

    /// Takes a command, or as much of it as there is.
    pub(super) fn read_command(&mut self) -> bool {
        match self.reader.command(&self.limits()) {
            Read::More => return false,
            Read::Prompt => {
                self.out.text("+ go ahead").end();
            }
            Read::Command(frame) => {
                self.note_command(&frame);
                match command(&frame, self.enabled.rev2 || self.enabled.utf8) {
                    Ok(command) => self.obey(command),
                    Err((tag, why)) => self.refuse(tag.as_deref(), why),
                }
            }
            Read::Refused(frame, refusal) => {
                self.note_command(&frame);
                let tag = command(&frame, self.enabled.rev2 || self.enabled.utf8)
                    .map_or_else(|(tag, _)| tag, |command| Some(command.tag));
                self.refuse_size(tag.as_deref(), &frame, refusal);
            }
        }
        true
    }

    /// RFC 9051 §7.1.3: without a tag, the refusal has none.
    fn refuse(&mut self, tag: Option<&str>, why: Bad) {
        let reply = match (why, tag, self.standing()) {
            (Bad::Charset { saves: true }, Some(tag), Some(Standing::Selected)) => {
                return self.ask(tag.to_owned(), Request::Unsave, Standing::Selected);
            }
            (Bad::Charset { .. }, ..) => Reply::bad_charset(),
            (Bad::Event, ..) => Reply::no("there is no such event").with(Code::Word(BAD_EVENT)),
            (Bad::Syntax(why), ..) => Reply::bad(why),
        };
        self.tagged(tag.unwrap_or("*"), &reply);
    }

    /// RFC 9051 §7.1 (TOOBIG), RFC 7889 §4.
    fn refuse_size(&mut self, tag: Option<&str>, frame: &Frame, refusal: Refusal) {
        let reply = match refusal {
            // RFC 5464 §4.3.
            Refusal::Literal if frame.is("SETMETADATA") => {
                Reply::no("the value is too large").with(Code::MetadataMaxSize(METADATA_OCTETS_MAX as u64))
            }
            Refusal::Line => Reply::bad("the line is too long").with(Code::Word("TOOBIG")),
            Refusal::Literal => Reply::bad("the literal is too large").with(Code::Word("TOOBIG")),
            Refusal::Message => Reply::no("the message is too large").with(Code::Word("TOOBIG")),
        };
        self.tagged(tag.unwrap_or("*"), &reply);
    }

    fn obey(&mut self, Command { tag, body }: Command) {
        match (body, self.standing()) {
            (Body::Capability, _) => {
                let capabilities = self.capabilities();
                self.out.text("* CAPABILITY").text(&capabilities).end();
                self.tagged(&tag, &Reply::ok("that is all"));
            }
            (Body::Id(_), _) => {
                let version = env!("CARGO_PKG_VERSION");
                self.out.text("* ID (\"name\" \"Postroad\" \"version\" ").string(version).text(")").end();
                self.tagged(&tag, &Reply::ok("nice to meet you"));
            }
            (Body::Logout, _) => {
                self.bye("until next time");
                self.tagged(&tag, &Reply::ok("goodbye"));
            }
            (Body::StartTls, None) => self.start_tls(&tag),
            (Body::Login { user, password }, None) => self.login(tag, &user, &password),
            (Body::Authenticate { mechanism, initial }, None) => self.authenticate(tag, &mechanism, initial.as_deref()),
            (Body::StartTls | Body::Login { .. } | Body::Authenticate { .. }, Some(_)) => {
                self.tagged(&tag, &Reply::bad("you are logged in already"));
            }
            (Body::Request(Request::Noop), None) => self.tagged(&tag, &Reply::ok("nothing new")),
            (Body::Compress, Some(_)) => self.compress(&tag),
            (Body::Enable(names), Some(_)) => self.enable(&tag, &names),
            (Body::Request(request), Some(standing)) => self.ask(tag, request, standing),
            (Body::Enable(_) | Body::Compress | Body::Request(_), None) => {
                self.tagged(&tag, &Reply::bad("log in first"))
            }
        }
    }

    /// RFC 9051 §6.3.1: what is not known is left out of the reply.
    fn enable(&mut self, tag: &str, names: &[String]) {
        self.out.text("* ENABLED");
        let asked = |word: &str| names.iter().any(|name| name == word);
        if asked("IMAP4REV2") {
            self.enabled.rev2 = true;
            self.out.speak_utf8();
            self.out.text(" IMAP4rev2");
        }
        if asked("UTF8=ACCEPT") {
            self.enabled.utf8 = true;
            self.out.speak_utf8();
            self.out.text(" UTF8=ACCEPT");
        }
        if asked("METADATA") {
            self.enabled.metadata = true;
            self.out.text(" METADATA");
        }
        if asked("CONDSTORE") {
            self.enabled.condstore = true;
            self.out.text(" CONDSTORE");
        }
        // RFC 7162 §3.2.3: this brings CONDSTORE with it.
        if asked("QRESYNC") {
            (self.enabled.condstore, self.enabled.qresync) = (true, true);
            self.out.text(" QRESYNC");
        }
        self.out.end();
        self.tagged(tag, &Reply::ok("enabled"));
    }

    /// Hands a command to the owner.
    fn ask(&mut self, tag: String, request: Request, standing: Standing) {
        if request.needs_mailbox() && standing != Standing::Selected {
            return self.tagged(&tag, &Reply::bad("select a mailbox first"));
        }
        if request.needs_qresync() && !self.enabled.qresync {
            return self.tagged(&tag, &Reply::bad("enable QRESYNC first"));
        }
        // RFC 6855 §3.
        if self.enabled.utf8 && matches!(&request, Request::Search(search) if search.names_charset) {
            return self.tagged(&tag, &Reply::bad("the charset is UTF-8 since UTF8=ACCEPT was enabled"));
        }
        let (after, otherwise) = match request {
            // RFC 9051 §6.3.2: even a failed SELECT leaves the mailbox that was selected.
            Request::Select { .. } => (Standing::Selected, Standing::Authenticated),
            Request::Close { .. } => (Standing::Authenticated, standing),
            _ => (standing, standing),
        };
        if standing == Standing::Selected && matches!(request, Request::Select { .. }) {
            self.out.note(&Code::Word("CLOSED"), "what follows is of the mailbox selected now");
        }
        self.state = State::Answering(Asked { tag, after, otherwise });
        self.event = Some(Event::Request(request));
    }

    pub(super) fn note_client(&mut self, line: &str) {
        if let Some(dialogue) = self.out.dialogue_mut() {
            dialogue.note(Speaker::Client, line);
        }
    }

    /// Notes a command as it came, without passwords and literals.
    fn note_command(&mut self, frame: &Frame) {
        let inside = self.standing().is_some();
        let Some(dialogue) = self.out.dialogue_mut() else { return };
        let text = String::from_utf8_lossy(&frame.text);
        if let Some(shown) = without_secrets(&text, inside) {
            return dialogue.note(Speaker::Client, &shown);
        }
        let mut literals = frame.literals.iter();
        for line in text.lines() {
            dialogue.note(Speaker::Client, line);
            if let Some(literal) = literals.next() {
                dialogue.note_data(Speaker::Client, literal.len());
            }
        }
    }
}

/// What to note instead of a command that may hold a secret: before login that is any, for a response that comes where
/// a command should be is no command. `None`: the command as it is.
fn without_secrets(text: &str, inside: bool) -> Option<String> {
    let mut words = text.split_ascii_whitespace();
    let (tag, verb) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    match verb.to_ascii_uppercase().as_str() {
        "LOGIN" => Some(format!("{tag} {verb} ***")),
        "AUTHENTICATE" => Some(format!("{tag} {verb} {}", words.next().unwrap_or_default())),
        _ if inside => None,
        "CAPABILITY" | "NOOP" | "LOGOUT" | "STARTTLS" | "ID" | "ENABLE" => Some(format!("{tag} {verb}")),
        _ => Some("***".to_owned()),
    }
}
