//! Messages in one file, the mbox format. RFC 4155; the quoting is that of mboxrd, which loses nothing.

use std::io::{self, BufRead, Write};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::imap::SentDate;

/// The largest message in a file, in bytes.
pub(super) const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;
/// Longest `From ` line.
const MAX_FROM_LINE_BYTES: usize = 998;
/// A delivery time, as in `Thu Jan  1 00:00:00 2026`. RFC 4155 Appendix A (asctime, in UTC).
const DATE: &str = "%a %b %e %H:%M:%S %Y";
/// Longest sender written. RFC 5321 §4.5.3.1.3.
const MAX_PATH_BYTES: usize = 254;
const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Reads messages one after the other. A message that is too large is an error; the next one can be read.
pub(super) struct Mbox<R> {
    input: R,
    /// The `From ` line of the next message.
    from: Option<Vec<u8>>,
    is_over: bool,
}

/// One message of an mbox.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MboxMessage {
    /// The time in its `From ` line.
    pub(super) received: Option<Timestamp>,
    /// The bytes after that line, unquoted.
    pub(super) bytes: Vec<u8>,
}

impl<R: BufRead> Mbox<R> {
    /// A reader of a file that begins with `From `.
    pub(super) fn new(input: R) -> Self {
        Self { input, from: None, is_over: false }
    }

    /// Reads a line with its line end, of which [`MAX_MESSAGE_BYTES`] and one more at most; empty at the end of the
    /// file.
    fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        let mut limited = io::Read::take(&mut self.input, MAX_MESSAGE_BYTES as u64 + 1);
        limited.read_until(b'\n', &mut line).inspect_err(|_| self.is_over = true)?;
        Ok(line)
    }

    /// Reads one message, up to the next complete `From ` line or to the end; `None` if there is no more.
    fn message(&mut self) -> io::Result<Option<MboxMessage>> {
        let from = match self.from.take() {
            Some(from) => from,
            None => self.line()?,
        };
        if from.is_empty() {
            return Ok(None);
        }
        if !from.starts_with(b"From ") {
            self.is_over = true;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no mbox: it does not begin with `From `"));
        }
        let (mut bytes, mut is_too_large) = (Vec::new(), false);
        loop {
            let line = self.line()?;
            if line.is_empty() || from_line_date(&line).is_some() {
                self.from = Some(line).filter(|line| !line.is_empty());
                break;
            }
            is_too_large |= MAX_MESSAGE_BYTES < bytes.len() + line.len();
            if !is_too_large {
                bytes.extend_from_slice(unquoted(&line));
            }
        }
        if is_too_large {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a message in it is larger than 64 MiB"));
        }
        // The empty line before the next `From ` belongs to the file, not to the message.
        let end = if bytes.ends_with(b"\r\n\r\n") { 2 } else { usize::from(bytes.ends_with(b"\n\n")) };
        bytes.truncate(bytes.len() - end);
        Ok(Some(MboxMessage { received: from_line_date(&from), bytes }))
    }
}

impl<R: BufRead> Iterator for Mbox<R> {
    type Item = io::Result<MboxMessage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over { None } else { self.message().transpose() }
    }
}

/// The date of a line that begins a message: `From `, an address, and a date with its day of the week and its time, as
/// asctime writes it or as RFC 5322 does. `None` for other lines: one that begins with `From ` is unquoted text then.
fn from_line_date(line: &[u8]) -> Option<Timestamp> {
    if MAX_FROM_LINE_BYTES < line.len() {
        return None;
    }
    let text = std::str::from_utf8(line.strip_prefix(b"From ")?).ok()?;
    let words: Vec<_> = text.split_ascii_whitespace().collect();
    let is_of = |names: &[&str], word: &str| names.iter().any(|name| name.eq_ignore_ascii_case(word));
    let begins_date = |at: &usize| {
        let next = words.get(at + 1).copied().unwrap_or_default();
        is_of(&WEEKDAYS, words[*at].trim_end_matches(','))
            && (is_of(&MONTHS, next) || matches!(next.parse::<u8>(), Ok(1..=31)))
    };
    // The first word is, or begins, the address.
    let date = &words[(1..words.len()).find(begins_date)?..];
    let is_time = |word: &&str| word.contains(':') && word.bytes().all(|byte| byte == b':' || byte.is_ascii_digit());
    date.iter().find(|word| is_time(word))?;
    Timestamp::from_second(SentDate::parse(&date.join(" "))?.timestamp).ok()
}

/// The line without one level of quoting: `>From ` was `From `, `>>From ` was `>From `. Other lines stay as they are.
fn unquoted(line: &[u8]) -> &[u8] {
    let quotes = line.iter().take_while(|byte| **byte == b'>').count();
    if 0 < quotes && line[quotes..].starts_with(b"From ") { &line[1..] } else { line }
}

/// Writes a `From ` line, the message, whose lines end in LF, with its own `From ` lines quoted, and an empty line.
pub(super) fn write_mbox_message(out: &mut impl Write, received: Timestamp, bytes: &[u8]) -> io::Result<()> {
    // The format has no years before 0.
    let when = received.max(Timestamp::UNIX_EPOCH).to_zoned(TimeZone::UTC).strftime(DATE).to_string();
    writeln!(out, "From {} {when}", sender(bytes))?;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let quotes = line.iter().take_while(|byte| **byte == b'>').count();
        if line[quotes..].starts_with(b"From ") {
            out.write_all(b">")?;
        }
        out.write_all(line)?;
    }
    out.write_all(if bytes.ends_with(b"\n") { b"\n" } else { b"\n\n" })
}

/// The address in a Return-Path on the first line, or `MAILER-DAEMON` if that is missing, empty, too long or has white
/// space, because RFC 4155 requires an address.
fn sender(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| *byte == b'\n').next().and_then(|line| std::str::from_utf8(line).ok());
    let path = line.and_then(|line| line.strip_prefix("Return-Path: <")).and_then(|rest| rest.split_once('>'));
    let is_word = |address: &&str| {
        (1..=MAX_PATH_BYTES).contains(&address.len()) && !address.contains(|char: char| char.is_whitespace())
    };
    let address = path.map(|(address, _)| address).filter(is_word);
    address.unwrap_or("MAILER-DAEMON").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line that begins a message.
    const FROM: &str = "From a@b Thu Jan  1 00:00:00 2026";

    fn read(file: &str) -> Vec<MboxMessage> {
        Mbox::new(file.as_bytes()).map(Result::unwrap).collect()
    }

    fn texts(file: &str) -> Vec<String> {
        read(file).into_iter().map(|message| String::from_utf8(message.bytes).unwrap()).collect()
    }

    #[test]
    fn messages_are_split_and_unquoted() {
        for (file, wanted) in [
            ("", vec![]),
            ("From a\n", vec![""]),
            ("FROM\nS: 1\n\nx\n\nFROM\nS: 2\n\n", vec!["S: 1\n\nx\n", "S: 2\n"]),
            ("FROM\r\nS: 1\r\n\r\nx\r\n\r\nFROM\r\nS: 2", vec!["S: 1\r\n\r\nx\r\n", "S: 2"]),
            ("FROM\n\n>From x\n>>From y\n> From z\nFrom a\n", vec!["\nFrom x\n>From y\n> From z\nFrom a\n"]),
            ("FROM\nS: 1\n\n\n\nFROM\n\n\n", vec!["S: 1\n\n\n", "\n"]),
            ("FROM\nS: 1\n\nx\nFROM\nS: 2\n\n", vec!["S: 1\n\nx\n", "S: 2\n"]),
            ("FROM\nS: 1\n\nx\n\nFrom here on it was\ntext\n", vec!["S: 1\n\nx\n\nFrom here on it was\ntext\n"]),
        ] {
            let file = file.replace("FROM", FROM);
            assert_eq!(texts(&file), wanted, "{file:?}");
        }
        assert!(Mbox::new("no mbox\n".as_bytes()).next().unwrap().is_err());
    }

    #[test]
    fn from_line_with_address_and_date_begins_a_message() {
        for (line, wanted) in [
            ("From a@b Thu Jan  1 00:00:00 2026", Some("2026-01-01T00:00:00Z")),
            ("From a b c Sat Feb 10 13:05:59 2024\r", Some("2024-02-10T13:05:59Z")),
            ("From ???@??? Sat Feb 10 13:05 2024", Some("2024-02-10T13:05:00Z")),
            ("From - Sat Feb 10 13:05:59 2024", Some("2024-02-10T13:05:59Z")),
            ("From a@b Sat Feb 10 13:05:59 EST 2024", Some("2024-02-10T18:05:59Z")),
            ("From 17@xxx Sat Feb 10 13:05:59 +0100 2024", Some("2024-02-10T12:05:59Z")),
            ("From a@b Sat, 10 Feb 2024 13:05:59 +0100", Some("2024-02-10T12:05:59Z")),
            ("From a@b Sat Feb 10 13:05:59 2024 remote from host", Some("2024-02-10T13:05:59Z")),
            ("From a@b once", None),
            ("From a", None),
            ("From here on, nothing", None),
            ("From a@b Sat Feb 10 2024", None),
            ("From a@b Feb 10 13:05:59 2024", None),
            ("From Sat Feb 10 13:05:59 2024", None),
            ("From the Sun Times of 10:30, Jan 3 2024", None),
            ("From a@b Sat Feb 31 13:05:59 2024", None),
            ("from a@b Thu Jan  1 00:00:00 2026", None),
        ] {
            let wanted: Option<Timestamp> = wanted.map(|wanted| wanted.parse().unwrap());
            assert_eq!(from_line_date(line.as_bytes()), wanted, "{line}");
            let file = format!("{FROM}\nS: 1\n\nx\n{line}\nS: 2\n\n");
            assert_eq!(read(&file).len(), 1 + usize::from(wanted.is_some()), "{line}");
        }
    }

    #[test]
    fn message_when_too_large_does_not_end_the_file() {
        let large = "x".repeat(MAX_MESSAGE_BYTES);
        let file = format!("{FROM}\nS: 1\n\n{FROM}\n{large}\n\nmore\n\n{FROM}\nS: 3\n\n");
        let read: Vec<_> =
            Mbox::new(file.as_bytes()).map(|item| item.ok().map(|message| message.bytes.len())).collect();
        assert_eq!(read, [Some(5), None, Some(5)]);
    }

    #[test]
    fn written_mbox_is_read_back() {
        let received = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut file = Vec::new();
        let messages = ["Return-Path: <a@b>\nS: 1\n\nFrom x\n>From y\nFROM\n\n", "S: 2\n", "\n\n\n"];
        let messages = messages.map(|text| text.replace("FROM", FROM));
        messages.iter().for_each(|text| write_mbox_message(&mut file, received, text.as_bytes()).unwrap());
        let text = String::from_utf8(file).unwrap();
        assert!(text.starts_with("From a@b Thu Jan  1 00:00:00 2026\n"), "{text}");
        assert!(text.contains("\nFrom MAILER-DAEMON Thu Jan  1 "), "{text}");
        assert_eq!(texts(&text), messages);
        assert!(read(&text).iter().all(|message| message.received == Some(received)));
    }
}
