//! `APPEND` and `REPLACE`. RFC 9051 §6.3.12, RFC 3502 §6.3.11, RFC 8508 §3.3.

use super::scanner::Scanner;
use super::{ParseError, Parsed, bad, command};
use crate::imap::append::{Append, NewMessage, Replace};
use crate::imap::command::{MessageSet, Request};
use crate::imap::value::{SequenceSet, parse_date_time};

/// Parses the arguments of `APPEND`: a mailbox and at least one message, each with its flags and date.
pub(super) fn append(scanner: &mut Scanner<'_>) -> Parsed<Request> {
    scanner.space()?;
    let mailbox = scanner.mailbox()?;
    let mut messages = Vec::new();
    while messages.is_empty() || scanner.peek() == Some(b' ') {
        messages.push(message(scanner)?);
    }
    Ok(Request::Append(Append { mailbox, messages }))
}

/// Parses the arguments of `REPLACE`, and with `uid` of `UID REPLACE`: a set that must be a single number or `*`, a
/// mailbox and a message.
pub(super) fn replace(scanner: &mut Scanner<'_>, uid: bool) -> Parsed<Request> {
    scanner.space()?;
    let set = scanner.set()?;
    if !matches!(&set, SequenceSet::Ranges(ranges) if matches!(ranges.as_slice(), [(from, to)] if from == to)) {
        return bad("REPLACE takes exactly one message");
    }
    scanner.space()?;
    let mailbox = scanner.mailbox()?;
    Ok(Request::Replace(Replace { old: MessageSet { set, uid }, mailbox, message: message(scanner)? }))
}

/// Parses one message with the space before it: optional flags, an optional date, and a literal, also as `~{n}`, or as
/// `UTF8 (~{n})` if the client has enabled UTF-8.
fn message(scanner: &mut Scanner<'_>) -> Parsed<NewMessage> {
    scanner.space()?;
    let mut new = NewMessage::default();
    if scanner.peek() == Some(b'(') {
        new.flags = command::flag_list(scanner)?;
        scanner.space()?;
    }
    if scanner.peek() == Some(b'"') {
        let date = scanner.text()?;
        new.internal_date = Some(parse_date_time(&date).ok_or(ParseError::Syntax("The date is not a date-time"))?);
        scanner.space()?;
    }
    // RFC 6855 §4: the header of the message may be in UTF-8.
    let in_utf8 = scanner.eat("UTF8 (");
    if in_utf8 && !scanner.allows_utf8() {
        return bad("UTF8=ACCEPT is not enabled");
    }
    let is_binary = scanner.eat("~");
    if in_utf8 && !is_binary {
        return bad("A literal8 is missing");
    }
    new.message = if is_binary { scanner.literal8()? } else { scanner.literal()? };
    if in_utf8 {
        scanner.expect(")", "A closing parenthesis is missing")?;
    }
    Ok(new)
}
