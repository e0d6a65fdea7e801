//! Messages in one file, the mbox format. RFC 4155; the quoting is that of mboxrd, which loses nothing.

use std::io::{self, BufRead, Write};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

/// No message in a file may be larger, in octets.
pub(super) const MESSAGE_OCTETS_MAX: usize = 64 * 1024 * 1024;
/// When it came, as in `Thu Jan  1 00:00:00 2026`. RFC 4155 Appendix A (asctime, in UTC).
const DATE: &str = "%a %b %e %H:%M:%S %Y";
const DATE_OCTETS: usize = 24;

/// Reads messages one after the other.
pub(super) struct Mbox<R> {
    input: R,
    /// The `From ` line of the message that comes next.
    from: Option<Vec<u8>>,
    failed: bool,
}

/// One of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Boxed {
    /// When it came, if its `From ` line says so.
    pub(super) received: Option<Timestamp>,
    /// What is below that line, unquoted.
    pub(super) octets: Vec<u8>,
}

impl<R: BufRead> Mbox<R> {
    /// Of a file that begins with `From `.
    pub(super) fn new(input: R) -> Self {
        Self { input, from: None, failed: false }
    }

    fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        let mut limited = io::Read::take(&mut self.input, MESSAGE_OCTETS_MAX as u64 + 1);
        limited.read_until(b'\n', &mut line)?;
        Ok(line)
    }

    /// Up to the next `From ` line behind an empty one, or to the end.
    fn message(&mut self) -> io::Result<Option<Boxed>> {
        let from = match self.from.take() {
            Some(from) => from,
            None => self.line()?,
        };
        if from.is_empty() {
            return Ok(None);
        }
        if !from.starts_with(b"From ") {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no mbox: it does not begin with `From `"));
        }
        let (mut octets, mut after_empty) = (Vec::new(), false);
        loop {
            let line = self.line()?;
            if line.is_empty() || (after_empty && line.starts_with(b"From ")) {
                self.from = Some(line).filter(|line| !line.is_empty());
                break;
            }
            after_empty = line.trim_ascii_end().is_empty();
            octets.extend_from_slice(unquoted(&line));
            if MESSAGE_OCTETS_MAX < octets.len() {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a message in it is larger than 64 MiB"));
            }
        }
        // The empty line before the next `From ` belongs to the file, not to the message.
        let end = if octets.ends_with(b"\r\n\r\n") { 2 } else { usize::from(octets.ends_with(b"\n\n")) };
        octets.truncate(octets.len() - end);
        Ok(Some(Boxed { received: date(&from), octets }))
    }
}

impl<R: BufRead> Iterator for Mbox<R> {
    type Item = io::Result<Boxed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.message().transpose();
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}

/// `>From ` was `From `, `>>From ` was `>From `.
fn unquoted(line: &[u8]) -> &[u8] {
    let quotes = line.iter().take_while(|byte| **byte == b'>').count();
    if 0 < quotes && line[quotes..].starts_with(b"From ") { &line[1..] } else { line }
}

fn date(from: &[u8]) -> Option<Timestamp> {
    let line = std::str::from_utf8(from).ok()?.trim_end();
    let text = line.get(line.len().checked_sub(DATE_OCTETS)?..)?;
    let time: DateTime = strtime::parse(DATE, text).ok()?.to_datetime().ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// Writes a message whose lines end in LF.
pub(super) fn write_boxed(out: &mut impl Write, received: Timestamp, octets: &[u8]) -> io::Result<()> {
    let when = received.to_zoned(TimeZone::UTC).strftime(DATE).to_string();
    writeln!(out, "From {} {when}", sender(octets))?;
    for line in octets.split_inclusive(|byte| *byte == b'\n') {
        let quotes = line.iter().take_while(|byte| **byte == b'>').count();
        if line[quotes..].starts_with(b"From ") {
            out.write_all(b">")?;
        }
        out.write_all(line)?;
    }
    out.write_all(if octets.ends_with(b"\n") { b"\n" } else { b"\n\n" })
}

/// Who sent it, as its Return-Path says; RFC 4155 wants an address in any case.
fn sender(octets: &[u8]) -> String {
    let line = octets.split(|byte| *byte == b'\n').next().and_then(|line| std::str::from_utf8(line).ok());
    let path = line.and_then(|line| line.strip_prefix("Return-Path: <")).and_then(|rest| rest.split_once('>'));
    let address = path.map(|(address, _)| address).filter(|address| !address.is_empty() && !address.contains(' '));
    address.unwrap_or("MAILER-DAEMON").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str) -> Vec<Boxed> {
        Mbox::new(file.as_bytes()).map(Result::unwrap).collect()
    }

    fn texts(file: &str) -> Vec<String> {
        read(file).into_iter().map(|boxed| String::from_utf8(boxed.octets).unwrap()).collect()
    }

    #[test]
    fn messages_are_split_and_unquoted() {
        for (file, wanted) in [
            ("", vec![]),
            ("From a\n", vec![""]),
            ("From a\nS: 1\n\nx\n\nFrom b\nS: 2\n\n", vec!["S: 1\n\nx\n", "S: 2\n"]),
            ("From a\r\nS: 1\r\n\r\nx\r\n\r\nFrom b\r\nS: 2", vec!["S: 1\r\n\r\nx\r\n", "S: 2"]),
            (
                "From a\n\n>From x\n>>From y\n> From z\nFrom no empty line\n",
                vec!["\nFrom x\n>From y\n> From z\nFrom no empty line\n"],
            ),
            ("From a\nS: 1\n\n\n\nFrom b\n\n\n", vec!["S: 1\n\n\n", "\n"]),
        ] {
            assert_eq!(texts(file), wanted, "{file:?}");
        }
        assert!(Mbox::new("no mbox\n".as_bytes()).next().unwrap().is_err());
    }

    #[test]
    fn dates_are_those_of_the_from_lines() {
        for (line, wanted) in [
            ("From a@b Thu Jan  1 00:00:00 2026", Some("2026-01-01T00:00:00Z")),
            ("From a b c Sat Feb 10 13:05:59 2024\r", Some("2024-02-10T13:05:59Z")),
            ("From a@b once", None),
            ("From a", None),
        ] {
            let received = read(&format!("{line}\n\n"))[0].received;
            assert_eq!(received, wanted.map(|wanted| wanted.parse().unwrap()), "{line}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let received = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut file = Vec::new();
        let messages = ["Return-Path: <a@b>\nS: 1\n\nFrom x\n>From y\n\n", "S: 2\n", "\n\n\n"];
        messages.iter().for_each(|octets| write_boxed(&mut file, received, octets.as_bytes()).unwrap());
        let text = String::from_utf8(file).unwrap();
        assert!(text.starts_with("From a@b Thu Jan  1 00:00:00 2026\n"), "{text}");
        assert!(text.contains("\nFrom MAILER-DAEMON Thu Jan  1 "), "{text}");
        assert_eq!(texts(&text), messages);
        assert!(read(&text).iter().all(|boxed| boxed.received == Some(received)));
    }
}
