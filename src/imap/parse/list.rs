//! `LIST`, `LSUB` and `STATUS`. RFC 9051 §6.3.9, §6.3.11, §9 (list, status), RFC 3501 §6.3.9.

use super::scanner::Scanner;
use super::{ParseError, Parsed, bad};
use crate::imap::command::{List, ListReturn, Request, StatusItem};

/// Most bytes of all patterns of one `LIST` together, as each is matched against each name.
const MAX_PATTERN_BYTES: usize = 2_000;

/// Parses the arguments of `LIST`: selection options, a reference, one pattern or several in parentheses, and return
/// options. Without the last, [`List::returns`] is an empty list if there are selection options or parentheses, else
/// `None`.
pub(super) fn list(scanner: &mut Scanner<'_>) -> Parsed<List> {
    scanner.space()?;
    let mut list = List::default();
    let mut extended = scanner.peek() == Some(b'(');
    if extended {
        selection(scanner, &mut list)?;
        scanner.space()?;
    }
    list.reference = scanner.mailbox()?;
    scanner.space()?;
    if scanner.peek() == Some(b'(') {
        extended = true;
        scanner.list(|scanner| {
            list.patterns.push(scanner.pattern()?);
            Ok(())
        })?;
    } else {
        list.patterns.push(scanner.pattern()?);
    }
    check_patterns(&list.reference, &list.patterns)?;
    if scanner.eat(" RETURN ") {
        list.returns = Some(returns(scanner)?);
    } else if extended {
        list.returns = Some(ListReturn::default());
    }
    Ok(list)
}

/// Checks the length of patterns: an error if all of them, each with the reference before it, are together longer than
/// `MAX_PATTERN_BYTES`.
fn check_patterns(reference: &str, patterns: &[String]) -> Parsed<()> {
    let bytes: usize = patterns.iter().map(|pattern| reference.len() + pattern.len()).sum();
    // An empty pattern counts as one byte.
    if bytes + patterns.len() <= MAX_PATTERN_BYTES { Ok(()) } else { bad("The patterns are too long") }
}

/// Parses the selection options in parentheses into `list`; an error if one is unknown, or `RECURSIVEMATCH` is without
/// `SUBSCRIBED`. `REMOTE` is ignored, as there are no remote mailboxes. RFC 9051 §6.3.9.1.
fn selection(scanner: &mut Scanner<'_>, list: &mut List) -> Parsed<()> {
    scanner.list(|scanner| {
        match scanner.word()?.as_str() {
            "SUBSCRIBED" => list.subscribed = true,
            "RECURSIVEMATCH" => list.recursive_match = true,
            "SPECIAL-USE" => list.special_use = true,
            "REMOTE" => {}
            _ => return bad("Unknown selection option"),
        }
        Ok(())
    })?;
    // RFC 5258 §6 (list-select-opts), RFC 6154 §6: SUBSCRIBED is the only option that allows it.
    if list.recursive_match && !list.subscribed {
        return bad("RECURSIVEMATCH needs SUBSCRIBED");
    }
    Ok(())
}

/// Parses the return options of `LIST` in parentheses; an error if one is unknown. RFC 9051 §6.3.9.2.
fn returns(scanner: &mut Scanner<'_>) -> Parsed<ListReturn> {
    let mut returns = ListReturn::default();
    scanner.list(|scanner| {
        match scanner.word()?.as_str() {
            "SUBSCRIBED" => returns.subscribed = true,
            "CHILDREN" => returns.children = true,
            "SPECIAL-USE" => returns.special_use = true,
            "STATUS" => returns.status = status(scanner)?,
            _ => return bad("Unknown return option"),
        }
        Ok(())
    })?;
    Ok(returns)
}

/// Parses the arguments of `LSUB`: a reference and a pattern, with the same limit as those of `LIST`.
pub(super) fn lsub(scanner: &mut Scanner<'_>) -> Parsed<Request> {
    scanner.space()?;
    let reference = scanner.mailbox()?;
    scanner.space()?;
    let pattern = scanner.pattern()?;
    check_patterns(&reference, std::slice::from_ref(&pattern))?;
    Ok(Request::Lsub { reference, pattern })
}

/// Parses the items of `STATUS`, as a command or a return option of `LIST`, with the space before them: at least one;
/// duplicates are dropped.
pub(super) fn status(scanner: &mut Scanner<'_>) -> Parsed<Vec<StatusItem>> {
    scanner.space()?;
    let mut items = Vec::new();
    scanner.list(|scanner| {
        let name = scanner.word()?;
        let found = StatusItem::ALL.iter().find(|(_, known)| *known == name);
        let (item, _) = found.ok_or(ParseError::Syntax("Unknown status item"))?;
        if !items.contains(item) {
            items.push(*item);
        }
        Ok(())
    })?;
    if items.is_empty() { bad("A status item is missing") } else { Ok(items) }
}
