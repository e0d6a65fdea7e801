//! The commands, one line each in [`Session::command`]; those with more to say have a function below.

use super::super::Reply;
use super::super::command::Command;
use super::super::incoming::Incoming;
use super::super::parameters::Mail;
use super::session::{Hello, Question, Session, Transaction};
use super::{Auth, Event, Protocol, Tls};
use crate::auth::Mechanism;
use crate::mail::{Body, Envelope, Recipient};

impl Session {
    /// One line of the client outside of logins and message data.
    pub(super) fn command(&mut self, line: &[u8]) {
        let command = Command::parse(line);
        // Who sends its password ahead of a login that was refused must not see it in a record.
        let is_misplaced = self.has_tried_login && command.as_ref().is_err_and(|reply| reply.code == 500);
        let line_shown = if is_misplaced { "****".to_owned() } else { without_secrets(&String::from_utf8_lossy(line)) };
        self.note(&line_shown);
        let command = match command {
            Ok(command) => command,
            // What follows a BDAT of unknown length must not be taken for commands.
            Err(reply) if line.get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case(b"BDAT")) => {
                return self.part(&reply);
            }
            Err(reply) => return self.complain(&reply),
        };
        let is_lmtp = self.config.protocol == Protocol::Lmtp;
        match command {
            Command::Ehlo(_) | Command::Helo(_) if is_lmtp => self.complain(&unknown("this is LMTP: say LHLO")),
            Command::Lhlo(_) if !is_lmtp => self.complain(&unknown("this is not LMTP: say EHLO")),
            Command::Ehlo(name) | Command::Lhlo(name) => self.hear(Hello { name, esmtp: true }),
            Command::Helo(name) => self.hear(Hello { name, esmtp: false }),
            Command::Mail(mail) => self.mail(mail),
            Command::Rcpt(recipient) => self.rcpt(recipient),
            Command::Data => self.data(),
            Command::Bdat { octets, is_last } => self.bdat(octets, is_last),
            Command::Rset => self.reset(),
            // RFC 4954 §6: not even this without a login.
            Command::Vrfy(_) if self.needs_login() => self.complain(&log_in_first()),
            Command::Vrfy(text) => self.ask(Question::Verify, Event::Verify(text)),
            Command::Expn => self.complain(&Reply::new(502, (5, 5, 1), "lists are not shown here")),
            Command::Help => self.help(),
            Command::Noop => self.say(&Reply::new(250, (2, 0, 0), "ok")),
            Command::Quit => self.part(&Reply::new(221, (2, 0, 0), "bye")),
            Command::StartTls => self.start_tls(),
            Command::Auth { mechanism, initial } => self.auth(&mechanism, initial.as_deref()),
        }
    }

    /// RFC 5321 §4.1.1.1: a greeting also ends the transaction, §4.1.4.
    fn hear(&mut self, hello: Hello) {
        self.transaction = None;
        let event = Event::Hello { name: hello.name.clone(), esmtp: hello.esmtp };
        self.ask(Question::Hello(hello), event);
    }

    /// The owner lets the client in: says what is offered. RFC 5321 §4.1.1.1 (ehlo-ok-rsp).
    pub(super) fn welcome(&mut self, hello: Hello) {
        let mut lines = vec![format!("{} greets {}", self.config.hostname, hello.name)];
        if hello.esmtp {
            lines.extend(self.offers());
        }
        self.hello = Some(hello);
        self.say(&Reply::plain(250, &lines.join("\n")));
    }

    /// Only what is whole in this state.
    fn offers(&self) -> Vec<String> {
        let mut offers: Vec<String> =
            ["PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN", "CHUNKING", "BINARYMIME", "HELP"]
                .map(str::to_owned)
                .into();
        offers.push(format!("SIZE {}", self.config.size_max));
        offers.push(self.limits());
        if self.config.tls == Tls::Offered {
            offers.push("STARTTLS".to_owned());
        }
        // RFC 8689 §2: inside TLS only.
        if matches!(self.config.tls, Tls::Active(_)) {
            offers.push("REQUIRETLS".to_owned());
        }
        if self.offers_login() {
            offers.push(format!("AUTH {}", Mechanism::ALL.map(Mechanism::name).join(" ")));
        }
        offers
    }

    /// RFC 9422 §3.
    fn limits(&self) -> String {
        let recipients = Some(self.config.recipients_max);
        let limits = [
            ("RCPTMAX", recipients),
            ("MAILMAX", self.config.transactions_max),
            ("RCPTDOMAINMAX", self.config.recipient_domains_max),
        ];
        let words = limits.iter().filter_map(|(name, limit)| Some(format!(" {name}={}", (*limit)?)));
        format!("LIMITS{}", words.collect::<String>())
    }

    /// Where domains are counted, a recipient of a new one counts.
    pub(super) fn note_domain(&mut self, recipient: &Recipient) {
        if self.config.recipient_domains_max.is_some() {
            self.domains.insert(recipient.address.domain().to_owned());
        }
    }

    /// RFC 9422 §4.3.
    fn has_room_for(&self, domain: &str) -> bool {
        let has_room = |max: usize| self.domains.len() < max || self.domains.contains(domain);
        self.config.recipient_domains_max.is_none_or(has_room)
    }

    fn offers_login(&self) -> bool {
        self.config.auth != Auth::Off && self.may_log_in()
    }

    fn needs_login(&self) -> bool {
        self.config.auth == Auth::Required && self.user.is_none()
    }

    /// The commands that mean something in this state. RFC 5321 §4.1.1.8.
    fn help(&mut self) {
        let hello = if self.config.protocol == Protocol::Lmtp { "LHLO" } else { "EHLO HELO" };
        let start_tls = if self.config.tls == Tls::Offered { " STARTTLS" } else { "" };
        let auth = if self.offers_login() { " AUTH" } else { "" };
        let words = format!("{hello}{start_tls}{auth} MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT\nsee RFC 5321");
        self.say(&Reply::new(214, (2, 0, 0), &words));
    }

    /// RFC 3207 §4; what the client sent ahead in the clear is dropped, §6.
    fn start_tls(&mut self) {
        match self.config.tls {
            Tls::Absent => self.complain(&Reply::new(502, (5, 5, 1), "there is no TLS here")),
            Tls::Active(_) => self.complain(&sequence("TLS is active already")),
            Tls::Offered => {
                self.lines.clear();
                self.say(&Reply::new(220, (2, 0, 0), "begin the handshake"));
                self.ask(Question::Tls, Event::StartTls);
            }
        }
    }

    /// RFC 5321 §4.1.1.2, with RFC 1870 §6.1, RFC 4954 §6 and RFC 6531 §3.5.
    fn mail(&mut self, mail: Mail) {
        let Some(hello) = &self.hello else {
            return self.complain(&sequence("say hello first"));
        };
        if self.transaction.is_some() {
            return self.complain(&sequence("there is a transaction already"));
        }
        if self.needs_login() {
            return self.complain(&log_in_first());
        }
        if !hello.esmtp && mail.is_extended() {
            return self.complain(&Reply::new(555, (5, 5, 4), "parameters need EHLO"));
        }
        if mail.require_tls && !matches!(self.config.tls, Tls::Active(_)) {
            return self.complain(&Reply::new(530, (5, 7, 10), "REQUIRETLS begins with TLS"));
        }
        if mail.size.is_some_and(|size| self.config.size_max < size) {
            return self.say(&too_large());
        }
        if !mail.smtputf8 && mail.reverse_path.as_ref().is_some_and(|address| !address.is_ascii()) {
            return self.complain(&needs_utf8());
        }
        // RFC 9422 §4.1: refused or not, it counts.
        self.transactions += 1;
        if self.config.transactions_max.is_some_and(|max| max < self.transactions) {
            return self.part(&Reply::new(421, (4, 7, 0), "no more messages on this connection"));
        }
        let envelope = Envelope {
            reverse_path: mail.reverse_path,
            recipients: Vec::new(),
            body: mail.body.unwrap_or_default(),
            smtputf8: mail.smtputf8,
            ret: mail.ret,
            envid: mail.envid,
            require_tls: mail.require_tls,
        };
        let event = Event::Mail { envelope: envelope.clone(), size: mail.size };
        self.ask(Question::Mail(Transaction { envelope, size: mail.size, chunks: None }), event);
    }

    /// RFC 5321 §4.1.1.3.
    fn rcpt(&mut self, recipient: Recipient) {
        let Some(transaction) = &self.transaction else {
            return self.complain(&sequence("MAIL comes first"));
        };
        if transaction.chunks.is_some() {
            return self.complain(&sequence("the message has begun"));
        }
        let is_extended = recipient.notify.is_some() || recipient.orcpt.is_some();
        if is_extended && !self.hello.as_ref().is_some_and(|hello| hello.esmtp) {
            return self.complain(&Reply::new(555, (5, 5, 4), "parameters need EHLO"));
        }
        if !transaction.envelope.smtputf8 && !recipient.address.is_ascii() {
            return self.complain(&needs_utf8());
        }
        // RFC 5321 §4.5.3.1.10.
        if self.config.recipients_max <= transaction.envelope.recipients.len() {
            return self.say(&Reply::new(452, (4, 5, 3), "too many recipients"));
        }
        if !self.has_room_for(recipient.address.domain()) {
            return self.say(&Reply::new(452, (4, 5, 3), "too many domains on this connection"));
        }
        self.ask(Question::Rcpt(recipient.clone()), Event::Rcpt(recipient));
    }

    /// RFC 5321 §4.1.1.4; without a recipient RFC 2033 §4.2 wants 503, which suits SMTP as well.
    fn data(&mut self) {
        match &self.transaction {
            // RFC 3030 §3: what has no lines cannot be ended by one.
            Some(Transaction { envelope, .. }) if envelope.body == Body::Binary => {
                self.complain(&sequence("BINARYMIME comes by BDAT"));
            }
            Some(Transaction { envelope, chunks: None, size }) if !envelope.recipients.is_empty() => {
                let incoming = Incoming::new(self.config.size_max, *size, self.config.known.clone());
                self.ask(Question::Data(incoming), Event::Data);
            }
            Some(Transaction { chunks: Some(_), .. }) => self.complain(&sequence("the message comes by BDAT")),
            Some(_) => self.complain(&sequence("no valid recipients")),
            None => self.complain(&sequence("MAIL and RCPT come first")),
        }
    }

    /// RFC 5321 §4.1.1.5.
    fn reset(&mut self) {
        self.transaction = None;
        self.say(&Reply::new(250, (2, 0, 0), "forgotten"));
    }
}

/// The line as others may read it: without the credentials behind AUTH and its mechanism.
fn without_secrets(line: &str) -> String {
    let mut words = line.split_ascii_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some(verb), Some(mechanism), Some(_)) if verb.eq_ignore_ascii_case("AUTH") => {
            format!("{verb} {mechanism} ****")
        }
        _ => line.to_owned(),
    }
}

pub(super) fn sequence(text: &str) -> Reply {
    Reply::new(503, (5, 5, 1), text)
}

/// RFC 1870 §6.1.
pub(super) fn too_large() -> Reply {
    Reply::new(552, (5, 3, 4), "that is more than fits here")
}

/// RFC 4954 §6.
fn log_in_first() -> Reply {
    Reply::new(530, (5, 7, 0), "log in first")
}

fn unknown(text: &str) -> Reply {
    Reply::new(500, (5, 5, 1), text)
}

/// RFC 6531 §3.5.
fn needs_utf8() -> Reply {
    Reply::new(553, (5, 6, 7), "such an address needs MAIL with SMTPUTF8")
}
