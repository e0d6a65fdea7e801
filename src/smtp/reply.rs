//! SMTP replies: three digits, an enhanced status code (RFC 3463) and text. RFC 5321 §4.2.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Maximum text length of a line to be sent, so that the line stays below 512 bytes. RFC 5321 §4.5.3.1.5.
const MAX_TEXT_BYTES: usize = 480;
/// Maximum number of lines in a peer's reply.
const MAX_REPLY_LINES: usize = 128;
/// Maximum text length of a peer's reply; more is cut, and marked so.
const MAX_REPLY_BYTES: usize = 16 * 1024;
/// The end of a text that was cut.
const CUT_MARK: &str = " [...]";

/// A reply, to be sent by a server or read by a client.
///
/// ```
/// use postroad::smtp::Reply;
/// let reply = Reply::new(550, (5, 1, 1), "no such user\nask the postmaster");
/// assert_eq!(reply.to_string(), "550-5.1.1 no such user\r\n550 5.1.1 ask the postmaster");
/// assert!(reply.is_permanent());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The three digits. RFC 5321 §4.2.1.
    pub code: u16,
    /// Class, subject and detail, in each line. RFC 3463 §2; none in the greeting and the answer to EHLO (RFC 2034 §3).
    /// The codes of a peer's reply whose lines differ are part of the text; see [`Reply::status`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enhanced: Option<(u8, u16, u16)>,
    /// The text, one entry a line; at least one.
    pub text: Vec<String>,
}

/// Error: the peer's line is not a valid reply line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReply {
    /// Not `2yz` to `5yz` followed by a space, a hyphen or nothing.
    #[error("a reply without its three digits")]
    Code,
    /// Two lines of one reply have different codes.
    #[error("a reply whose lines disagree about their code")]
    Mixed,
    /// The reply has too many lines.
    #[error("a reply without end")]
    TooLong,
}

impl Reply {
    /// A reply with an enhanced status code. The text may have several lines, separated by LF; each is cut to fit into
    /// a reply line, and control characters become spaces.
    pub fn new(code: u16, enhanced: (u8, u16, u16), text: &str) -> Self {
        Self { enhanced: Some(enhanced), ..Self::plain(code, text) }
    }

    /// A reply without enhanced status code: the greeting, the reply to EHLO, and intermediate replies (`3yz`). The
    /// text is treated as by [`Reply::new`].
    pub fn plain(code: u16, text: &str) -> Self {
        let mut lines: Vec<_> = text.lines().map(|line| clean(line, MAX_TEXT_BYTES)).collect();
        if lines.is_empty() {
            lines.push(String::new());
        }
        Self { code, enhanced: None, text: lines }
    }

    /// `2yz`: success. RFC 5321 §4.2.1.
    pub fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// `3yz`: the command is accepted so far, and the server waits for more input, as after DATA.
    pub fn is_intermediate(&self) -> bool {
        self.code / 100 == 3
    }

    /// `4yz`: a transient failure; the sender tries again.
    pub fn is_transient(&self) -> bool {
        self.code / 100 == 4
    }

    /// `5yz`: a permanent failure.
    pub fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }

    /// The status of RFC 3463: the enhanced code of the reply or that in its first line; without one, the class with
    /// subject and detail 0.
    pub fn status(&self) -> (u8, u16, u16) {
        let first = || self.text.first().and_then(|text| enhanced(self.code, text)).map(|(status, _)| status);
        self.enhanced.or_else(first).unwrap_or(((self.code / 100) as u8, 0, 0))
    }

    /// `421`: the server closes the connection. RFC 5321 §3.8.
    pub fn is_farewell(&self) -> bool {
        self.code == 421
    }
}

/// A line of text, cut to `max_bytes` at most, at the end of a character; control characters, which could end it early,
/// become spaces.
fn clean(line: &str, max_bytes: usize) -> String {
    let end = (0..=max_bytes.min(line.len())).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
    line[..end].chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

/// As on the wire, lines separated by CR LF, without the last CR LF. RFC 5321 §4.2 (Reply-line), RFC 2034 §4.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let empty = [String::new()];
        let lines = if self.text.is_empty() { &empty } else { self.text.as_slice() };
        for (at, text) in lines.iter().enumerate() {
            let is_last = at + 1 == lines.len();
            write!(f, "{:03}{}", self.code, if is_last { ' ' } else { '-' })?;
            if let Some((class, subject, detail)) = self.enhanced {
                write!(f, "{class}.{subject}.{detail} ")?;
            }
            f.write_str(text)?;
            if !is_last {
                f.write_str("\r\n")?;
            }
        }
        Ok(())
    }
}

/// Assembles replies from lines. Strict about the code, tolerant about the text.
#[derive(Debug, Default)]
pub struct Replies {
    lines: Vec<(u16, String)>,
    /// Length of the text of the reply so far.
    bytes: usize,
}

impl Replies {
    /// Adds one line, given without its line end; returns the whole reply after its last line, else `None`. Text beyond
    /// 16 KiB in a reply is cut and marked with ` [...]`, and control characters become spaces.
    ///
    /// # Errors
    /// The line is not a reply line, its code differs from that of the lines before, or the reply has more than 128
    /// lines.
    pub fn line(&mut self, line: &[u8]) -> Result<Option<Reply>, InvalidReply> {
        let (code, is_last, text) = split(line).ok_or(InvalidReply::Code)?;
        if self.lines.first().is_some_and(|(first, _)| *first != code) {
            return Err(InvalidReply::Mixed);
        }
        if self.lines.len() == MAX_REPLY_LINES {
            return Err(InvalidReply::TooLong);
        }
        let (text, room) = (String::from_utf8_lossy(text), MAX_REPLY_BYTES.saturating_sub(self.bytes));
        self.bytes += text.len();
        self.lines.push((code, clean(&text, room) + if room < text.len() { CUT_MARK } else { "" }));
        Ok(is_last.then(|| whole(std::mem::take(self).lines)))
    }
}

/// Splits a line of a peer's reply into its code, whether it is the last line of the reply, and its text; `None` if it
/// is not a reply line.
fn split(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (digits, rest) = line.split_at_checked(3)?;
    if !(digits.iter().all(u8::is_ascii_digit) && matches!(digits[0], b'2'..=b'5')) {
        return None;
    }
    let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    match rest.split_first() {
        None => Some((code, true, rest)),
        Some((b' ', text)) => Some((code, true, text)),
        Some((b'-', text)) => Some((code, false, text)),
        Some(_) => None,
    }
}

/// The reply of these lines, each a code and its text. The enhanced code is taken out of the text if each line has the
/// same (RFC 2034 §4); else it stays there, so that the reply reads as it was sent.
fn whole(lines: Vec<(u16, String)>) -> Reply {
    let code = lines.first().map_or(0, |(code, _)| *code);
    let split: Option<Vec<_>> = lines.iter().map(|(_, text)| enhanced(code, text)).collect();
    match split.as_deref() {
        Some([(first, _), rest @ ..]) if rest.iter().all(|(other, _)| other == first) => {
            let text = split.iter().flatten().map(|(_, text)| (*text).to_owned()).collect();
            Reply { code, enhanced: Some(*first), text }
        }
        _ => Reply { code, enhanced: None, text: lines.into_iter().map(|(_, text)| text).collect() },
    }
}

/// Splits `2.1.5 text` into the enhanced code and the text; `None` without one whose class is that of the reply code.
/// RFC 3463 §2.
fn enhanced(code: u16, text: &str) -> Option<((u8, u16, u16), &str)> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let mut parts = word.split('.');
    let mut number = |len: usize| {
        let part = parts.next()?;
        let digits = !part.is_empty() && part.len() <= len && part.bytes().all(|byte| byte.is_ascii_digit());
        if digits { part.parse::<u16>().ok() } else { None }
    };
    let (class, subject, detail) = (number(1)?, number(3)?, number(3)?);
    let agrees = parts.next().is_none() && class == code / 100 && matches!(class, 2 | 4 | 5);
    agrees.then_some(((class as u8, subject, detail), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Reply>, InvalidReply> {
        let mut reader = Replies::default();
        let mut last = Ok(None);
        for line in text.split("\r\n") {
            last = reader.line(line.as_bytes());
            last.as_ref().map_err(|error| *error)?;
        }
        last
    }

    #[test]
    fn reply_when_written_parses_to_the_same_reply() {
        for reply in [
            Reply::plain(220, "a.test ESMTP"),
            Reply::plain(250, "a.test\nPIPELINING\nSIZE 1000"),
            Reply::new(250, (2, 1, 5), "yes"),
            Reply::new(550, (5, 7, 1), "no\n\nbecause"),
            Reply::plain(354, ""),
        ] {
            assert_eq!(read(&reply.to_string()), Ok(Some(reply)));
        }
        let wordless = Reply { code: 250, enhanced: None, text: Vec::new() };
        assert_eq!(wordless.to_string(), Reply::plain(250, "").to_string());
    }

    #[test]
    fn reply_without_text_or_with_partial_codes_is_accepted() {
        assert_eq!(read("250").unwrap().unwrap().text, [""]);
        for (text, status) in [
            ("250-2.0.0 a\r\n250 b", (2, 0, 0)),
            ("250-a\r\n250 2.0.0 b", (2, 0, 0)),
            ("550-5.1.1 a\r\n550 5.7.1 b", (5, 1, 1)),
            ("550-5.1.1 a\r\n550-5.1.1\r\n550 5.1.1 b", (5, 1, 1)),
            ("421 no", (4, 0, 0)),
        ] {
            let reply = read(text).unwrap().unwrap();
            assert_eq!((reply.to_string().replace("5.1.1 \r", "5.1.1\r").as_str(), reply.status()), (text, status));
        }
        let mismatched = read("550 2.1.1 odd").unwrap().unwrap();
        assert_eq!((mismatched.enhanced, mismatched.text[0].as_str()), (None, "2.1.1 odd"));
    }

    #[test]
    fn reply_when_invalid_is_rejected() {
        for line in
            ["", "2", "25", "25x ok", "250ok", "150 early", "650 late", "+OK", "\u{ff12}50 ok", "220-a\r\n250 b"]
        {
            assert!(read(line).is_err(), "{line:?}");
        }
        assert_eq!(read(&["250-x"; MAX_REPLY_LINES + 1].join("\r\n")), Err(InvalidReply::TooLong));
    }

    #[test]
    fn reply_of_a_peer_is_kept_whole_and_marked_where_it_is_cut() {
        let long = format!("550 5.7.1 {}\u{e9}", "word ".repeat(380));
        assert_eq!(read(&long).unwrap().unwrap().to_string(), long);
        let endless = vec![format!("550-{}", "\u{e9}".repeat(900)); 100].join("\r\n") + "\r\n550 end";
        let text = read(&endless).unwrap().unwrap().text;
        assert!(text.iter().map(String::len).sum::<usize>() < MAX_REPLY_BYTES + 101 * CUT_MARK.len());
        assert!(!text[8].ends_with(CUT_MARK) && text[9].ends_with(CUT_MARK) && text[100] == CUT_MARK);
    }

    #[test]
    fn reply_text_with_line_ends_stays_on_one_line() {
        let reply = Reply::new(550, (5, 0, 0), &format!("a\r250 b\0{}", "x".repeat(1000)));
        assert!(reply.to_string().starts_with("550 5.0.0 a 250 b x"));
        assert!(reply.to_string().len() <= 510);
    }
}
