//! Execution of the commands.

use super::super::Reply;
use super::super::command::Command;
use super::super::message_reader::MessageReader;
use super::super::parameters::Mail;
use super::session::{Hello, PendingRequest, Session, Transaction};
use super::{Auth, Event, Protocol, Tls};
use crate::auth::Mechanism;
use crate::mail::{Body, Envelope, Recipient};

impl Session {
    /// Executes a command line, given without its line end: queues the reply, or passes an event to the owner. A line
    /// that does not parse is a protocol error; a BDAT that does not parse closes the session. RFC 4954 §6: VRFY needs
    /// the login that MAIL needs.
    pub(super) fn handle_command(&mut self, line: &[u8]) {
        let command = match Command::parse(line) {
            Ok(command) => command,
            // The data after a BDAT of unknown length must not be parsed as commands.
            Err(reply) if line.get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case(b"BDAT")) => {
                return self.close_with(&reply);
            }
            Err(reply) => return self.send_error(&reply),
        };
        let is_lmtp = self.config.protocol == Protocol::Lmtp;
        match command {
            Command::Ehlo(_) | Command::Helo(_) if is_lmtp => self.send_error(&unknown("This is LMTP, use LHLO")),
            Command::Lhlo(_) if !is_lmtp => self.send_error(&unknown("This is not LMTP, use EHLO")),
            Command::Ehlo(name) | Command::Lhlo(name) => self.begin_hello(Hello { name, esmtp: true }),
            Command::Helo(name) => self.begin_hello(Hello { name, esmtp: false }),
            Command::Mail(mail) => self.mail(mail),
            Command::Rcpt(recipient) => self.rcpt(recipient),
            Command::Data => self.data(),
            Command::Bdat { bytes, is_last } => self.bdat(bytes, is_last),
            Command::Rset => self.reset(),
            // RFC 4954 §6.
            Command::Vrfy(_) if self.needs_login() => self.send_error(&log_in_first()),
            Command::Vrfy(text) => self.forward(PendingRequest::Verify, Event::Verify(text)),
            Command::Expn => self.send_error(&Reply::new(502, (5, 5, 1), "EXPN not implemented")),
            Command::Help => self.help(),
            Command::Noop => self.send_reply(&Reply::new(250, (2, 0, 0), "OK")),
            Command::Quit => self.close_with(&Reply::new(221, (2, 0, 0), "Bye")),
            Command::StartTls => self.start_tls(),
            Command::Auth { mechanism, initial } => self.auth(&mechanism, initial.as_deref()),
        }
    }

    /// Asks the owner whether to accept EHLO, HELO or LHLO. The open transaction stays until then. RFC 5321 §4.1.4.
    fn begin_hello(&mut self, hello: Hello) {
        let event = Event::Hello { name: hello.name.clone(), esmtp: hello.esmtp };
        self.forward(PendingRequest::Hello(hello), event);
    }

    /// Ends the open transaction, stores the client's name, and queues the reply to an EHLO, HELO or LHLO that the
    /// owner has accepted: a line with the host name and, except after HELO, the extensions. RFC 5321 §4.1.1.1
    /// (ehlo-ok-rsp).
    pub(super) fn accept_hello(&mut self, hello: Hello) {
        self.transaction = None;
        let mut lines = vec![format!("{} greets {}", self.config.hostname, hello.name)];
        if hello.esmtp {
            lines.extend(self.extensions());
        }
        self.hello = Some(hello);
        self.send_reply(&Reply::plain(250, &lines.join("\n")));
    }

    /// The keywords in the reply to EHLO, with their parameters, one entry a line. STARTTLS is listed only before TLS
    /// if it is offered, REQUIRETLS only inside TLS, and AUTH only if a login is possible.
    fn extensions(&self) -> Vec<String> {
        let mut extensions: Vec<String> =
            ["PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN", "CHUNKING", "BINARYMIME", "HELP"]
                .map(str::to_owned)
                .into();
        extensions.push(format!("SIZE {}", self.config.max_message_bytes));
        extensions.push(self.limits());
        if self.config.tls == Tls::Offered {
            extensions.push("STARTTLS".to_owned());
        }
        // RFC 8689 §2: inside TLS only.
        if matches!(self.config.tls, Tls::Active(_)) {
            extensions.push("REQUIRETLS".to_owned());
        }
        if self.offers_login() {
            extensions.push(format!("AUTH {}", self.mechanisms().map(Mechanism::name).collect::<Vec<_>>().join(" ")));
        }
        extensions
    }

    /// The keyword LIMITS with its parameters, such as `LIMITS RCPTMAX=1000`; limits that are not configured are left
    /// out. RFC 9422 §3.
    fn limits(&self) -> String {
        let recipients = Some(self.config.max_recipients);
        let limits = [
            ("RCPTMAX", recipients),
            ("MAILMAX", self.config.max_transactions),
            ("RCPTDOMAINMAX", self.config.max_recipient_domains),
        ];
        let words = limits.iter().filter_map(|(name, limit)| Some(format!(" {name}={}", (*limit)?)));
        format!("LIMITS{}", words.collect::<String>())
    }

    /// Adds the domain of an accepted recipient to those counted on the connection; does nothing if they are not
    /// limited.
    pub(super) fn note_domain(&mut self, recipient: &Recipient) {
        if self.config.max_recipient_domains.is_some() {
            self.domains.insert(recipient.address.domain().to_owned());
        }
    }

    /// Whether another recipient at this domain stays within the domain limit of the connection: the domain is counted
    /// already, the limit is not reached, or there is none. RFC 9422 §4.3.
    fn has_room_for(&self, domain: &str) -> bool {
        let has_room = |max: usize| self.domains.len() < max || self.domains.contains(domain);
        self.config.max_recipient_domains.is_none_or(has_room)
    }

    /// Whether AUTH is announced: it is configured, and the connection is encrypted or login without TLS is allowed. A
    /// login that has succeeded does not change this.
    fn offers_login(&self) -> bool {
        self.config.auth != Auth::Off && self.may_log_in()
    }

    /// Whether a login is required and the client has not logged in.
    fn needs_login(&self) -> bool {
        self.config.auth == Auth::Required && self.user.is_none()
    }

    /// Queues 214 with the commands that are available in this state. RFC 5321 §4.1.1.8.
    fn help(&mut self) {
        let hello = if self.config.protocol == Protocol::Lmtp { "LHLO" } else { "EHLO HELO" };
        let start_tls = if self.config.tls == Tls::Offered { " STARTTLS" } else { "" };
        let auth = if self.offers_login() { " AUTH" } else { "" };
        let words = format!("{hello}{start_tls}{auth} MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT\nsee RFC 5321");
        self.send_reply(&Reply::new(214, (2, 0, 0), &words));
    }

    /// Executes STARTTLS: discards the input that was sent before the handshake, queues 220 and leaves the handshake to
    /// the owner. Without TLS to offer the reply is 502, inside TLS 503. RFC 3207 §4, §6.
    fn start_tls(&mut self) {
        match self.config.tls {
            Tls::Absent => self.send_error(&Reply::new(502, (5, 5, 1), "STARTTLS not available")),
            Tls::Active(_) => self.send_error(&sequence("TLS already active")),
            Tls::Offered => {
                self.lines.clear();
                self.send_reply(&Reply::new(220, (2, 0, 0), "Ready to start TLS"));
                self.forward(PendingRequest::Tls, Event::StartTls);
            }
        }
    }

    /// Executes MAIL: counts the transaction and asks the owner; beyond the transaction limit, 421 closes the session.
    /// Refuses it uncounted without EHLO or HELO, in an open transaction, without a required login, for parameters
    /// after HELO, REQUIRETLS without TLS, an announced size above the limit or the free memory, and a sender beyond
    /// ASCII without SMTPUTF8. RFC 5321 §4.1.1.2, RFC 1870 §6.1, RFC 4954 §6, RFC 6531 §3.5.
    fn mail(&mut self, mail: Mail) {
        let Some(hello) = &self.hello else {
            return self.send_error(&sequence("Need EHLO or HELO first"));
        };
        if self.transaction.is_some() {
            return self.send_error(&sequence("Transaction already open"));
        }
        if self.needs_login() {
            return self.send_error(&log_in_first());
        }
        if !hello.esmtp && mail.is_extended() {
            return self.send_error(&Reply::new(555, (5, 5, 4), "Parameters require EHLO"));
        }
        if mail.require_tls && !matches!(self.config.tls, Tls::Active(_)) {
            return self.send_error(&Reply::new(530, (5, 7, 10), "REQUIRETLS begins with TLS"));
        }
        if mail.size.is_some_and(|size| self.config.max_message_bytes < size) {
            return self.send_reply(&too_large());
        }
        if mail.size.is_some_and(|size| !self.config.uploads.has_room(size)) {
            return self.send_reply(&no_room());
        }
        if !mail.smtputf8 && mail.reverse_path.as_ref().is_some_and(|address| !address.is_ascii()) {
            return self.send_error(&needs_utf8());
        }
        // RFC 9422 §4.1: refused or not, it counts.
        self.transactions += 1;
        if self.config.max_transactions.is_some_and(|max| max < self.transactions) {
            return self.close_with(&Reply::new(421, (4, 7, 0), "Too many messages on this connection"));
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
        self.forward(PendingRequest::Mail(Transaction { envelope, size: mail.size, chunks: None }), event);
    }

    /// Executes RCPT: asks the owner. Refuses it without MAIL, after the first BDAT, for parameters after HELO, for an
    /// address beyond ASCII without SMTPUTF8 and, with 452, beyond the limits of recipients and of their domains. RFC
    /// 5321 §4.1.1.3.
    fn rcpt(&mut self, recipient: Recipient) {
        let Some(transaction) = &self.transaction else {
            return self.send_error(&sequence("Need MAIL first"));
        };
        if transaction.chunks.is_some() {
            return self.send_error(&sequence("Message transfer has started"));
        }
        let is_extended = recipient.notify.is_some() || recipient.orcpt.is_some();
        if is_extended && !self.hello.as_ref().is_some_and(|hello| hello.esmtp) {
            return self.send_error(&Reply::new(555, (5, 5, 4), "Parameters require EHLO"));
        }
        if !transaction.envelope.smtputf8 && !recipient.address.is_ascii() {
            return self.send_error(&needs_utf8());
        }
        // RFC 5321 §4.5.3.1.10.
        if self.config.max_recipients <= transaction.envelope.recipients.len() {
            return self.send_reply(&Reply::new(452, (4, 5, 3), "Too many recipients"));
        }
        if !self.has_room_for(recipient.address.domain()) {
            return self.send_reply(&Reply::new(452, (4, 5, 3), "Too many recipient domains on this connection"));
        }
        self.forward(PendingRequest::Rcpt(recipient.clone()), Event::Rcpt(recipient));
    }

    /// Executes DATA: asks the owner. Refuses it with 503 without MAIL, without an accepted recipient (RFC 2033 §4.2
    /// wants this code, which suits SMTP as well), after BDAT, and for a message declared BINARYMIME. RFC 5321
    /// §4.1.1.4.
    fn data(&mut self) {
        match &self.transaction {
            // RFC 3030 §3: binary data has no lines, so a line with a dot cannot end it.
            Some(Transaction { envelope, .. }) if envelope.body == Body::Binary => {
                self.send_error(&sequence("BINARYMIME requires BDAT"));
            }
            Some(Transaction { envelope, chunks: None, size }) if !envelope.recipients.is_empty() => {
                let share = self.config.uploads.share();
                let reader = MessageReader::new(self.config.max_message_bytes, *size, share);
                self.forward(PendingRequest::Data(reader), Event::Data);
            }
            Some(Transaction { chunks: Some(_), .. }) => self.send_error(&sequence("BDAT in progress")),
            Some(_) => self.send_error(&sequence("No valid recipients")),
            None => self.send_error(&sequence("Need MAIL and RCPT first")),
        }
    }

    /// Executes RSET: ends the transaction; greeting and login stay. RFC 5321 §4.1.1.5.
    fn reset(&mut self) {
        self.transaction = None;
        self.send_reply(&Reply::new(250, (2, 0, 0), "OK"));
    }
}

/// The refusal of a command that is not allowed in this state, with this text: 503.
pub(super) fn sequence(text: &str) -> Reply {
    Reply::new(503, (5, 5, 1), text)
}

/// The refusal of a message larger than the limit: 552. RFC 1870 §6.1.
pub(super) fn too_large() -> Reply {
    Reply::new(552, (5, 3, 4), "Message size exceeds the limit")
}

/// The refusal of a message for which other uploads leave no memory now: 452. RFC 1870 §6.1 (3).
pub(super) fn no_room() -> Reply {
    Reply::new(452, (4, 3, 1), "Too many large messages at once, try again later")
}

/// The refusal of a command that requires a login: 530. RFC 4954 §6.
fn log_in_first() -> Reply {
    Reply::new(530, (5, 7, 0), "Authentication required")
}

/// The refusal of a command that this server does not know, with this text: 500.
fn unknown(text: &str) -> Reply {
    Reply::new(500, (5, 5, 1), text)
}

/// The refusal of an address beyond ASCII in a transaction without SMTPUTF8: 553. RFC 6531 §3.5.
fn needs_utf8() -> Reply {
    Reply::new(553, (5, 6, 7), "Address requires MAIL with SMTPUTF8")
}
