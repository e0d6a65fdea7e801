//! `GETMETADATA` and `SETMETADATA`. RFC 5464 §5.

use super::scanner::Scanner;
use super::{ParseError, Parsed, bad};
use crate::imap::command::Request;
use crate::imap::metadata::{Depth, GetMetadata, MetadataRequest, invalid_entry};

/// Most entries in one command.
const MAX_ENTRIES: usize = 100;

/// Parses the arguments of `GETMETADATA`: optional options, a mailbox, and one entry, or at most `MAX_ENTRIES` in
/// parentheses. Options come before the mailbox by the grammar, but after it in the examples of RFC 5464 §4.2; both are
/// accepted.
pub(super) fn get(scanner: &mut Scanner<'_>) -> Parsed<Request> {
    let mut get = GetMetadata::default();
    scanner.space()?;
    if scanner.eat("(") {
        options(scanner, &mut get)?;
        scanner.space()?;
    }
    get.mailbox = scanner.mailbox()?;
    scanner.space()?;
    let mut in_list = scanner.eat("(");
    if in_list && scanner.peek().is_some_and(|byte| byte.is_ascii_alphabetic()) {
        options(scanner, &mut get)?;
        scanner.space()?;
        in_list = scanner.eat("(");
    }
    get.entries.push(entry(scanner)?);
    while in_list && !scanner.eat(")") {
        scanner.space()?;
        get.entries.push(entry(scanner)?);
        if MAX_ENTRIES < get.entries.len() {
            return bad("Too many entries");
        }
    }
    Ok(Request::Metadata(MetadataRequest::Get(get)))
}

/// Parses options up to and including `)`, at least one, into `get`; the `(` was read.
fn options(scanner: &mut Scanner<'_>, get: &mut GetMetadata) -> Parsed<()> {
    loop {
        match scanner.word()?.as_str() {
            "MAXSIZE" => {
                scanner.space()?;
                get.size_max = Some(scanner.number32()?);
            }
            "DEPTH" => {
                scanner.space()?;
                get.depth = match scanner.word()?.as_str() {
                    "0" => Depth::Itself,
                    "1" => Depth::Children,
                    "INFINITY" => Depth::All,
                    _ => return bad("DEPTH is 0, 1 or infinity"),
                };
            }
            _ => return bad("Unknown option"),
        }
        if scanner.eat(")") {
            return Ok(());
        }
        scanner.space()?;
    }
}

/// Parses the arguments of `SETMETADATA`: a mailbox, and in parentheses at least one entry, and at most `MAX_ENTRIES`,
/// each with its value, `NIL` for none.
pub(super) fn set(scanner: &mut Scanner<'_>) -> Parsed<Request> {
    scanner.space()?;
    let mailbox = scanner.mailbox()?;
    scanner.space()?;
    let mut values = Vec::new();
    scanner.list(|scanner| {
        let entry = entry_to_set(scanner)?;
        scanner.space()?;
        let value = match scanner.peek() {
            Some(b'"' | b'{') => Some(scanner.string()?),
            _ if scanner.eat("~") => Some(scanner.literal8()?),
            _ => {
                scanner.expect("NIL", "A value is missing")?;
                None
            }
        };
        values.push((entry, value));
        if values.len() <= MAX_ENTRIES { Ok(()) } else { bad("Too many entries") }
    })?;
    if values.is_empty() {
        return bad("An entry is missing");
    }
    Ok(Request::Metadata(MetadataRequest::Set { mailbox, values }))
}

/// Parses the name of an entry, and returns it as the client wrote it; an error if [`invalid_entry`] has a reason.
fn entry(scanner: &mut Scanner<'_>) -> Parsed<String> {
    let entry = scanner.text()?;
    invalid_entry(&entry).map_or(Ok(entry), bad)
}

/// Parses the name of an entry that can have a value, as [`entry`] does. RFC 5464 §3.2: it has at least two parts, and
/// at least four if the second is `vendor`.
fn entry_to_set(scanner: &mut Scanner<'_>) -> Parsed<String> {
    let entry = entry(scanner)?;
    let mut parts = entry.split('/').skip(2);
    let parts_min = match parts.next() {
        None => return bad("An entry name has at least two parts"),
        Some(part) if part.eq_ignore_ascii_case("vendor") => 2,
        Some(_) => 0,
    };
    if parts.count() < parts_min {
        return Err(ParseError::Syntax("An entry name under vendor has at least four parts"));
    }
    Ok(entry)
}
