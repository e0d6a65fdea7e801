//! SMTP commands: parsed by the server, written by the client. RFC 5321 §4.1.1 and its extensions.

use std::borrow::Cow;
use std::fmt;

use super::parameters::{self, Mail};
use super::{Reply, path};
use crate::mail::{Address, Recipient};

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// RFC 5321 §4.1.1.1.
    Ehlo(String),
    /// RFC 5321 §4.1.1.1.
    Helo(String),
    /// EHLO of LMTP. RFC 2033 §4.1.
    Lhlo(String),
    /// RFC 5321 §4.1.1.2.
    Mail(Mail),
    /// RFC 5321 §4.1.1.3.
    Rcpt(Recipient),
    /// RFC 5321 §4.1.1.4.
    Data,
    /// RFC 3030 §2.
    Bdat { bytes: u64, is_last: bool },
    /// RFC 5321 §4.1.1.5.
    Rset,
    /// RFC 5321 §4.1.1.6.
    Vrfy(String),
    /// Not implemented, but no syntax error. RFC 5321 §4.1.1.7.
    Expn,
    /// RFC 5321 §4.1.1.8.
    Help,
    /// RFC 5321 §4.1.1.9.
    Noop,
    /// RFC 5321 §4.1.1.10.
    Quit,
    /// RFC 3207 §4.
    StartTls,
    /// RFC 4954 §4, the initial response still in base64.
    Auth { mechanism: String, initial: Option<String> },
}

impl Command {
    /// Parses a line without its line end, the verb in any case. The error is the reply to send: 500 for an unknown
    /// command, a control character or invalid UTF-8, 501 or 555 for an argument.
    pub(super) fn parse(line: &[u8]) -> Result<Self, Reply> {
        let line = std::str::from_utf8(line).map_err(|_| Reply::new(500, (5, 5, 2), "Command is not UTF-8"))?;
        if line.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
            return Err(Reply::new(500, (5, 5, 2), "Control character in command; lines end with CR LF"));
        }
        let line = line.trim_end_matches([' ', '\t']);
        let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
        let argument = argument.trim_start();
        let alone =
            |command| if argument.is_empty() { Ok(command) } else { Err(syntax("This command takes no argument")) };
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => name(argument).map(Self::Ehlo),
            "HELO" => name(argument).map(Self::Helo),
            "LHLO" => name(argument).map(Self::Lhlo),
            "MAIL" => mail(argument),
            "RCPT" => rcpt(argument),
            "DATA" => alone(Self::Data),
            "BDAT" => bdat(argument),
            "RSET" => alone(Self::Rset),
            "VRFY" => vrfy(argument),
            "EXPN" => Ok(Self::Expn),
            "HELP" => Ok(Self::Help),
            "NOOP" => Ok(Self::Noop),
            "QUIT" => alone(Self::Quit),
            "STARTTLS" => alone(Self::StartTls),
            "AUTH" => auth(argument),
            _ => Err(Reply::new(500, (5, 5, 1), "Unknown command")),
        }
    }

    /// The line as a transcript shows it: an initial response of AUTH becomes `***`. With `has_tried_login`, a line
    /// that begins with no known command becomes `***` as a whole, since it may be a password.
    pub(super) fn shown(line: &[u8], has_tried_login: bool) -> Cow<'_, str> {
        let text = String::from_utf8_lossy(line);
        let mut words = text.split_ascii_whitespace();
        match words.next().unwrap_or_default().to_ascii_uppercase().as_str() {
            "AUTH" => match (words.next(), words.next()) {
                (Some(mechanism), Some(_)) => format!("AUTH {mechanism} ***").into(),
                _ => text,
            },
            "EHLO" | "HELO" | "LHLO" | "MAIL" | "RCPT" | "DATA" | "BDAT" | "RSET" | "VRFY" | "EXPN" | "HELP"
            | "NOOP" | "QUIT" | "STARTTLS" => text,
            _ if has_tried_login => "***".into(),
            _ => text,
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ehlo(name) => write!(f, "EHLO {name}"),
            Self::Helo(name) => write!(f, "HELO {name}"),
            Self::Lhlo(name) => write!(f, "LHLO {name}"),
            Self::Mail(mail) => write!(f, "{mail}"),
            Self::Rcpt(recipient) => parameters::write_rcpt(f, recipient),
            Self::Data => f.write_str("DATA"),
            Self::Bdat { bytes, is_last: false } => write!(f, "BDAT {bytes}"),
            Self::Bdat { bytes, is_last: true } => write!(f, "BDAT {bytes} LAST"),
            Self::Rset => f.write_str("RSET"),
            Self::Vrfy(text) => write!(f, "VRFY {text}"),
            Self::Expn => f.write_str("EXPN"),
            Self::Help => f.write_str("HELP"),
            Self::Noop => f.write_str("NOOP"),
            Self::Quit => f.write_str("QUIT"),
            Self::StartTls => f.write_str("STARTTLS"),
            Self::Auth { mechanism, initial: None } => write!(f, "AUTH {mechanism}"),
            Self::Auth { mechanism, initial: Some(initial) } => write!(f, "AUTH {mechanism} {initial}"),
        }
    }
}

/// The refusal of an argument with this text: 501.
fn syntax(text: &str) -> Reply {
    Reply::new(501, (5, 5, 4), text)
}

/// Parses the client's name: the first word, unchecked, since a wrong name is no reason to refuse mail (RFC 5321
/// §4.1.4). The error, if the name is missing or longer than 255 bytes, is the reply to send.
fn name(argument: &str) -> Result<String, Reply> {
    match argument.split_whitespace().next() {
        Some(name) if name.len() <= 255 => Ok(name.to_owned()),
        _ => Err(syntax("Domain or address literal required")),
    }
}

/// What follows the keyword `word`, such as `FROM:`, at the start of the argument, in any case; `None` if the argument
/// does not begin with it. Spaces after it are dropped.
fn after<'a>(word: &str, argument: &'a str) -> Option<&'a str> {
    let (head, rest) = argument.split_at_checked(word.len())?;
    head.eq_ignore_ascii_case(word).then(|| rest.trim_start())
}

/// Splits the argument after the keyword `word` into the path without its angle brackets and the parameters, which are
/// empty or begin with a space; `None` if it is malformed.
fn path_and_parameters<'a>(word: &str, argument: &'a str) -> Option<(&'a str, &'a str)> {
    let (path, rest) = path::split(after(word, argument)?)?;
    (rest.is_empty() || rest.starts_with(' ')).then_some((path, rest))
}

/// Parses the argument of MAIL; `<>` is the null reverse-path. The error is the reply to send.
fn mail(argument: &str) -> Result<Command, Reply> {
    let (path, rest) =
        path_and_parameters("FROM:", argument).ok_or_else(|| syntax("Syntax: MAIL FROM:<address> [parameters]"))?;
    let reverse_path = match path {
        "" => None,
        path => Some(path::mailbox(path).map_err(|error| Reply::new(501, (5, 1, 7), &error.to_string()))?),
    };
    Mail::parse(reverse_path, rest).map(Command::Mail)
}

/// Parses the argument of RCPT; `postmaster` needs no domain. The error is the reply to send.
fn rcpt(argument: &str) -> Result<Command, Reply> {
    let (path, rest) =
        path_and_parameters("TO:", argument).ok_or_else(|| syntax("Syntax: RCPT TO:<address> [parameters]"))?;
    let address = match path {
        path if path.eq_ignore_ascii_case("postmaster") => Address::postmaster(),
        path => path::mailbox(path).map_err(|error| Reply::new(501, (5, 1, 3), &error.to_string()))?,
    };
    parameters::parse_rcpt(address.into(), rest).map(Command::Rcpt)
}

/// Parses the argument of BDAT: the size of the chunk and perhaps `LAST`, in any case. The error is the reply to send.
fn bdat(argument: &str) -> Result<Command, Reply> {
    let mut words = argument.split_ascii_whitespace();
    let bytes = words.next().and_then(parameters::number);
    match (bytes, words.next(), words.next()) {
        (Some(bytes), None, None) => Ok(Command::Bdat { bytes, is_last: false }),
        (Some(bytes), Some(word), None) if word.eq_ignore_ascii_case("LAST") => {
            Ok(Command::Bdat { bytes, is_last: true })
        }
        _ => Err(syntax("Syntax: BDAT size [LAST]")),
    }
}

/// Parses the argument of VRFY. The keyword of RFC 6531 §3.7.4.2, which allows UTF-8 in the reply, is dropped. The
/// error, if nothing is left, is the reply to send.
fn vrfy(argument: &str) -> Result<Command, Reply> {
    match argument.strip_suffix(" SMTPUTF8").unwrap_or(argument) {
        "" => Err(syntax("Syntax: VRFY user")),
        text => Ok(Command::Vrfy(text.to_owned())),
    }
}

/// Parses the argument of AUTH: the mechanism and perhaps an initial response, both unchecked. The error is the reply
/// to send.
fn auth(argument: &str) -> Result<Command, Reply> {
    let mut words = argument.split_ascii_whitespace().map(str::to_owned);
    match (words.next(), words.next(), words.next()) {
        (Some(mechanism), initial, None) => Ok(Command::Auth { mechanism, initial }),
        _ => Err(syntax("Syntax: AUTH mechanism [initial response]")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_when_written_parses_to_the_same_command() {
        for line in [
            "EHLO a.test",
            "HELO [127.0.0.1]",
            "LHLO a.test",
            "MAIL FROM:<>",
            "MAIL FROM:<a@b.test> SIZE=10 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb",
            "MAIL FROM:<a@b.test> BODY=7BIT RET=FULL",
            "MAIL FROM:<a@b.test> BODY=BINARYMIME",
            r#"RCPT TO:<"a b"@c.test>"#,
            "RCPT TO:<postmaster>",
            "RCPT TO:<a@b.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;A+2Bx@b.test",
            "RCPT TO:<a@b.test> NOTIFY=NEVER",
            "DATA",
            "BDAT 0",
            "BDAT 86 LAST",
            "RSET",
            "VRFY ann",
            "EXPN",
            "HELP",
            "NOOP",
            "QUIT",
            "STARTTLS",
            "AUTH LOGIN",
            "AUTH PLAIN =",
        ] {
            assert_eq!(Command::parse(line.as_bytes()).unwrap().to_string(), line);
        }
    }

    #[test]
    fn command_with_other_case_or_extra_spaces_is_accepted() {
        for (line, wanted) in [
            ("ehlo  A.test  ", "EHLO A.test"),
            ("mail from: <a@b.test>  size=1", "MAIL FROM:<a@b.test> SIZE=1"),
            ("rcpt to:<PostMaster> notify=never", "RCPT TO:<postmaster> NOTIFY=NEVER"),
            ("RCPT TO:<@x.test:a@b.test>", "RCPT TO:<a@b.test>"),
            ("noop whatever", "NOOP"),
            ("bdat 1 last", "BDAT 1 LAST"),
            ("BDAT 99999999999999999999", "BDAT 18446744073709551615"),
            ("VRFY ann SMTPUTF8", "VRFY ann"),
            ("MAIL FROM:<a@b.test> AUTH=<>", "MAIL FROM:<a@b.test>"),
        ] {
            assert_eq!(Command::parse(line.as_bytes()).unwrap().to_string(), wanted);
        }
    }

    /// RFC 5321 §4.1.1.2, §4.1.1.3, §4.1.2, §4.5.1, appendix C; RFC 6531 §3.3.
    #[test]
    fn command_with_any_form_of_path_is_parsed_or_refused() {
        for (line, wanted) in [
            ("MAIL FROM:<>", "MAIL FROM:<>"),
            ("MAIL FROM:<postmaster>", "501 5.1.7"),
            ("MAIL FROM:<@x.test,@y.test:ann@a.test>", "MAIL FROM:<ann@a.test>"),
            ("MAIL FROM:<\"\"@a.test>", "501 5.1.7"),
            ("MAIL FROM:<ann@a.test> <bob@a.test>", "555 5.5.4"),
            ("RCPT TO:<Postmaster>", "RCPT TO:<postmaster>"),
            ("RCPT TO:<POSTMASTER@b.test>", "RCPT TO:<POSTMASTER@b.test>"),
            ("RCPT TO:<@x.test:postmaster>", "501 5.1.3"),
            ("RCPT TO:<@x.test:>", "501 5.1.3"),
            ("RCPT TO:<@x.test,@[1.2.3.4]:\"a:b\"@b.test>", "RCPT TO:<\"a:b\"@b.test>"),
            ("RCPT TO:<\"@x.test:a\"@b.test>", "RCPT TO:<\"@x.test:a\"@b.test>"),
            ("RCPT TO:<\"bob\"@b.test>", "RCPT TO:<bob@b.test>"),
            ("RCPT TO:<\"a>b\\\"@c\"@b.test> NOTIFY=NEVER", "RCPT TO:<\"a>b\\\"@c\"@b.test> NOTIFY=NEVER"),
            ("RCPT TO:<\"bob@b.test>", "501 5.5.4"),
            ("RCPT TO:<bob+x@b.test>", "RCPT TO:<bob+x@b.test>"),
            ("RCPT TO:<bob%c.test@b.test>", "RCPT TO:<bob%c.test@b.test>"),
            ("RCPT TO:<c.test!bob@B.Test>", "RCPT TO:<c.test!bob@b.test>"),
            ("RCPT TO:<bob@[192.0.2.1]>", "RCPT TO:<bob@[192.0.2.1]>"),
            ("RCPT TO:<bob@[IPv6:2001:DB8::1]>", "RCPT TO:<bob@[ipv6:2001:db8::1]>"),
            ("RCPT TO:<bob@[192.0.2]>", "501 5.1.3"),
            ("RCPT TO:<bob@192.0.2.1>", "RCPT TO:<bob@192.0.2.1>"),
            ("RCPT TO:<\u{4f8b}@B\u{dc}CHER.test>", "RCPT TO:<\u{4f8b}@b\u{fc}cher.test>"),
            ("RCPT TO:<bob@XN--bcher-kva.test>", "RCPT TO:<bob@xn--bcher-kva.test>"),
            ("RCPT TO:<bob>", "501 5.1.3"),
            ("RCPT TO:<bob@b.test.>", "501 5.1.3"),
            ("RCPT TO:bob@b.test", "501 5.5.4"),
            ("RCPT TO:Bob <bob@b.test>", "501 5.5.4"),
            ("RCPT FROM:<bob@b.test>", "501 5.5.4"),
        ] {
            let read = Command::parse(line.as_bytes());
            let read = read.map_or_else(|reply| reply.to_string()[..9].to_owned(), |command| command.to_string());
            assert_eq!(read, wanted, "{line}");
        }
    }

    /// A server accepts only what it can relay: RFC 3461 §4.2, §4.4.
    #[test]
    fn envid_and_orcpt_at_the_longest_length_can_be_relayed() {
        for (command, text, bytes, longest) in [
            ("MAIL FROM:<> ENVID=", "a", 1, 100),
            ("MAIL FROM:<> ENVID=", "\u{e9}", 6, 16),
            ("RCPT TO:<a@b.test> ORCPT=utf-8;", "a", 1, 494),
            ("RCPT TO:<a@b.test> ORCPT=utf-8;", "\u{e9}", 6, 82),
        ] {
            let line = |count: usize| format!("{command}{}", text.repeat(count));
            let written = Command::parse(line(longest).as_bytes()).unwrap().to_string();
            assert_eq!(written.len(), command.len() + bytes * longest);
            assert!(Command::parse(written.as_bytes()).is_ok());
            assert!(Command::parse(line(longest + 1).as_bytes()).is_err());
        }
    }

    #[test]
    fn command_when_invalid_gets_the_matching_reply_code() {
        for (line, code) in [
            (b"".as_slice(), "500 5.5.1"),
            (b"FOO", "500 5.5.1"),
            (b"NOOP\n", "500 5.5.2"),
            (b"NOOP \0", "500 5.5.2"),
            (b"NOOP \xff", "500 5.5.2"),
            (b"EHLO", "501 5.5.4"),
            (b"MAIL", "501 5.5.4"),
            (b"MAIL FROM:", "501 5.5.4"),
            (b"MAIL FROM:a@b.test", "501 5.5.4"),
            (b"MAIL FROM:<a@b.test>SIZE=1", "501 5.5.4"),
            (b"MAIL FROM:<a>", "501 5.1.7"),
            (b"MAIL FROM:<a@b.test> SIZE=x", "501 5.5.4"),
            (b"MAIL FROM:<a@b.test> SIZE=1 size=2", "501 5.5.4"),
            (b"MAIL FROM:<a@b.test> BODY=BINARY", "501 5.5.4"),
            (b"MAIL FROM:<a@b.test> SMTPUTF8=yes", "501 5.5.4"),
            (b"MAIL FROM:<a@b.test> ENVID=+0A", "501 5.5.4"),
            (b"MAIL FROM:<a@b.test> MT-PRIORITY=3", "555 5.5.4"),
            (b"RCPT TO:<>", "501 5.1.3"),
            (b"RCPT TO:<a@b.test> NOTIFY=NEVER,DELAY", "501 5.5.4"),
            (b"RCPT TO:<a@b.test> ORCPT=a@b.test", "501 5.5.4"),
            (b"RCPT TO:<a@b.test> SIZE=1", "501 5.5.4"),
            (b"BDAT", "501 5.5.4"),
            (b"BDAT -1", "501 5.5.4"),
            (b"BDAT 1 FIRST", "501 5.5.4"),
            (b"QUIT now", "501 5.5.4"),
            (b"AUTH", "501 5.5.4"),
            (b"AUTH PLAIN a b", "501 5.5.4"),
        ] {
            let reply = Command::parse(line).unwrap_err().to_string();
            assert!(reply.starts_with(code), "{} -> {reply}", String::from_utf8_lossy(line));
        }
    }
}
