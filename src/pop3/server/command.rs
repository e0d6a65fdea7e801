//! The commands of a client. RFC 1939 §9, with CAPA (RFC 2449 §5), STLS (RFC 2595 §4), AUTH (RFC 5034 §4), UTF8 and
//! LANG (RFC 6856 §2, §3).

/// A parsed command line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    Capa,
    Stls,
    Auth {
        mechanism: &'a str,
        initial: Option<&'a str>,
    },
    User(&'a str),
    Apop {
        name: &'a str,
        digest: &'a str,
    },
    Utf8,
    /// Without a language, lists the languages.
    Lang(Option<&'a str>),
    /// Spaces are part of the password. RFC 1939 §7 (PASS).
    Pass(&'a str),
    Stat,
    List(Option<usize>),
    Uidl(Option<usize>),
    Retr(usize),
    Top(usize, usize),
    Dele(usize),
    Noop,
    Rset,
    Quit,
}

/// Why a line is not a valid command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ParseError {
    Unknown,
    Arguments,
}

impl<'a> Command<'a> {
    /// Parses a line without its line end. Keywords are case-insensitive (RFC 1939 §3); the password of PASS is all
    /// after the first space. Fails for an unknown keyword, a wrong number of arguments, or an argument that should be
    /// a number and is not.
    pub(super) fn parse(line: &'a str) -> Result<Self, ParseError> {
        let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
        let words: Vec<&str> = argument.split_ascii_whitespace().take(4).collect();
        let number = |word: &&str| word.parse::<usize>().map_err(|_| ParseError::Arguments);
        match (verb.to_ascii_uppercase().as_str(), words.as_slice()) {
            ("PASS", _) => Ok(Self::Pass(argument)),
            ("CAPA", []) => Ok(Self::Capa),
            ("STLS", []) => Ok(Self::Stls),
            ("AUTH", [mechanism]) => Ok(Self::Auth { mechanism, initial: None }),
            ("AUTH", [mechanism, initial]) => Ok(Self::Auth { mechanism, initial: Some(initial) }),
            ("USER", [_, ..]) => Ok(Self::User(argument.trim())),
            ("APOP", [name, digest]) => Ok(Self::Apop { name, digest }),
            ("UTF8", []) => Ok(Self::Utf8),
            ("LANG", []) => Ok(Self::Lang(None)),
            ("LANG", [language]) => Ok(Self::Lang(Some(language))),
            ("STAT", []) => Ok(Self::Stat),
            ("LIST", []) => Ok(Self::List(None)),
            ("LIST", [message]) => Ok(Self::List(Some(number(message)?))),
            ("UIDL", []) => Ok(Self::Uidl(None)),
            ("UIDL", [message]) => Ok(Self::Uidl(Some(number(message)?))),
            ("RETR", [message]) => Ok(Self::Retr(number(message)?)),
            ("TOP", [message, lines]) => Ok(Self::Top(number(message)?, number(lines)?)),
            ("DELE", [message]) => Ok(Self::Dele(number(message)?)),
            ("NOOP", []) => Ok(Self::Noop),
            ("RSET", []) => Ok(Self::Rset),
            ("QUIT", []) => Ok(Self::Quit),
            (
                "CAPA" | "STLS" | "AUTH" | "APOP" | "UTF8" | "LANG" | "USER" | "STAT" | "LIST" | "UIDL" | "RETR"
                | "TOP" | "DELE" | "NOOP" | "RSET" | "QUIT",
                _,
            ) => Err(ParseError::Arguments),
            _ => Err(ParseError::Unknown),
        }
    }

    /// The command line as a transcript shows it, without secrets, even misplaced ones: `***` stands for all after
    /// PASS, after the mechanism in AUTH, and after the name in APOP.
    pub(super) fn shown(line: &str) -> String {
        let mut words = line.split_ascii_whitespace();
        let verb = words.next().unwrap_or_default().to_ascii_uppercase();
        match (verb.as_str(), words.next(), words.next()) {
            ("PASS", Some(_), _) => "PASS ***".to_owned(),
            ("APOP", Some(name), Some(_)) => format!("APOP {name} ***"),
            ("AUTH", Some(mechanism), Some(_)) => format!("AUTH {mechanism} ***"),
            _ => line.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_in_any_case_is_parsed_with_its_arguments() {
        for (line, command) in [
            ("quit", Ok(Command::Quit)),
            ("QUIT ", Ok(Command::Quit)),
            ("Top 1 20", Ok(Command::Top(1, 20))),
            ("LIST", Ok(Command::List(None))),
            ("list 7", Ok(Command::List(Some(7)))),
            ("PASS  two  words ", Ok(Command::Pass(" two  words "))),
            ("PASS", Ok(Command::Pass(""))),
            ("USER ann@x.test", Ok(Command::User("ann@x.test"))),
            ("auth plain AGE=", Ok(Command::Auth { mechanism: "plain", initial: Some("AGE=") })),
            ("USER", Err(ParseError::Arguments)),
            ("apop ann d1", Ok(Command::Apop { name: "ann", digest: "d1" })),
            ("APOP ann", Err(ParseError::Arguments)),
            ("lang *", Ok(Command::Lang(Some("*")))),
            ("UTF8 now", Err(ParseError::Arguments)),
            ("RETR", Err(ParseError::Arguments)),
            ("RETR -1", Err(ParseError::Arguments)),
            ("RETR 99999999999999999999999", Err(ParseError::Arguments)),
            ("LIST 1 2", Err(ParseError::Arguments)),
            ("", Err(ParseError::Unknown)),
            ("GET / HTTP/1.1", Err(ParseError::Unknown)),
        ] {
            assert_eq!(Command::parse(line), command, "{line}");
        }
    }

    #[test]
    fn shown_of_command_hides_secrets() {
        assert_eq!(Command::shown("pass word"), "PASS ***");
        assert_eq!(Command::shown("auth PLAIN AGE="), "AUTH PLAIN ***");
        assert_eq!(Command::shown(" auth  PLAIN AGE= AGE="), "AUTH PLAIN ***");
        assert_eq!(Command::shown("RETR 1"), "RETR 1");
    }
}
