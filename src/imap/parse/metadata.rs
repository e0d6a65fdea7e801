//! `GETMETADATA` and `SETMETADATA`. RFC 5464 §5.

use super::scanner::Scanner;
use super::{Bad, Parsed, bad};
use crate::imap::command::Request;
use crate::imap::metadata::{Depth, GetMetadata, MetadataRequest, wrong_entry};

/// How many entries one command may name.
const ENTRIES_MAX: usize = 100;

/// Options stand before the mailbox, by the grammar, or behind it, by the examples of RFC 5464 §4.2.
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
        if ENTRIES_MAX < get.entries.len() {
            return bad("there are too many entries");
        }
    }
    Ok(Request::Metadata(MetadataRequest::Get(get)))
}

/// What stands behind the parenthesis.
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
                    _ => return bad("a depth is 0, 1 or infinity"),
                };
            }
            _ => return bad("no such option"),
        }
        if scanner.eat(")") {
            return Ok(());
        }
        scanner.space()?;
    }
}

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
            _ if scanner.eat("~") => Some(scanner.literal()?),
            _ => {
                scanner.expect("NIL", "a value is missing")?;
                None
            }
        };
        values.push((entry, value));
        if values.len() <= ENTRIES_MAX { Ok(()) } else { bad("there are too many entries") }
    })?;
    if values.is_empty() {
        return bad("an entry is missing");
    }
    Ok(Request::Metadata(MetadataRequest::Set { mailbox, values }))
}

fn entry(scanner: &mut Scanner<'_>) -> Parsed<String> {
    let entry = scanner.text()?;
    wrong_entry(&entry).map_or(Ok(entry), bad)
}

/// RFC 5464 §3.2: it has two parts at least, and four in the space of a vendor.
fn entry_to_set(scanner: &mut Scanner<'_>) -> Parsed<String> {
    let entry = entry(scanner)?;
    let mut parts = entry.split('/').skip(2);
    let parts_min = match parts.next() {
        None => return bad("the name of an entry has two parts at least"),
        Some(part) if part.eq_ignore_ascii_case("vendor") => 2,
        Some(_) => 0,
    };
    if parts.count() < parts_min {
        return Err(Bad::Syntax("an entry of a vendor has four parts at least"));
    }
    Ok(entry)
}
