//! Parameters and modifiers of CONDSTORE and QRESYNC. RFC 7162 §7.

use super::scanner::Scanner;
use super::{Parsed, bad};
use crate::imap::command::Request;
use crate::imap::sync::{ChangedSince, Resync};
use crate::imap::value::{SequenceSet, Window};

/// Parses the arguments of `SELECT`, or with `read_only` of `EXAMINE`: a mailbox, and optionally `CONDSTORE` and
/// `QRESYNC` in parentheses. RFC 7162 §3.1.8, §3.2.5.
pub(super) fn select(scanner: &mut Scanner<'_>, read_only: bool) -> Parsed<Request> {
    scanner.space()?;
    let mailbox = scanner.mailbox()?;
    let (mut condstore, mut resync) = (false, None);
    if scanner.eat(" ") {
        scanner.list(|scanner| {
            match scanner.word()?.as_str() {
                "CONDSTORE" => condstore = true,
                "QRESYNC" => resync = Some(qresync(scanner)?),
                _ => return bad("Unknown parameter"),
            }
            Ok(())
        })?;
    }
    Ok(Request::Select { mailbox, read_only, condstore, resync })
}

/// Parses the value of `QRESYNC`, with the space before it: `(uidvalidity modseq known-uids (numbers uids))`, the last
/// two optional. The pair would help the server to find expunged messages; it is not needed here, and dropped.
fn qresync(scanner: &mut Scanner<'_>) -> Parsed<Resync> {
    scanner.space()?;
    scanner.expect("(", "A list in parentheses is missing")?;
    let uidvalidity = scanner.nonzero()?.get();
    scanner.space()?;
    let modseq = modseq(scanner)?;
    let mut known = None;
    let mut pair = false;
    while scanner.eat(" ") {
        match scanner.peek() {
            Some(b'(') if !pair => {
                pair = true;
                scanner.expect("(", "")?;
                plain_set(scanner)?;
                scanner.space()?;
                plain_set(scanner)?;
                scanner.expect(")", "A closing parenthesis is missing")?;
            }
            Some(b'0'..=b'9' | b'*' | b'$') if known.is_none() && !pair => known = Some(plain_set(scanner)?),
            _ => return bad("QRESYNC takes a UID set and a pair of sets"),
        }
    }
    scanner.expect(")", "A closing parenthesis is missing")?;
    Ok(Resync { uidvalidity, modseq, known })
}

/// Parses a set of numbers; an error if it has `*` or `$`. RFC 7162 §7 (known-uids, known-sequence-set).
fn plain_set(scanner: &mut Scanner<'_>) -> Parsed<SequenceSet> {
    let set = scanner.set()?;
    let is_plain = match &set {
        SequenceSet::Saved => false,
        SequenceSet::Ranges(ranges) => ranges.iter().all(|(from, to)| from.is_some() && to.is_some()),
    };
    if is_plain { Ok(set) } else { bad("The set must contain only numbers") }
}

/// Parses the modifiers after the items of `FETCH`, with the space before them, if any: `CHANGEDSINCE` with `VANISHED`,
/// and `PARTIAL`. `VANISHED` without `CHANGEDSINCE`, or without `uid`, which is set for `UID FETCH`, is an error. RFC
/// 7162 §3.1.4.1, §3.2.6; RFC 9394 §3.3.
pub(super) fn fetch_modifiers(scanner: &mut Scanner<'_>, uid: bool) -> Parsed<(Option<ChangedSince>, Option<Window>)> {
    let (mut since, mut vanished, mut page) = (None, false, None);
    if !scanner.eat(" ") {
        return Ok((None, None));
    }
    scanner.list(|scanner| {
        match scanner.word()?.as_str() {
            // The grammar forbids 0; Thunderbird sends it for a mailbox that it does not know yet.
            "CHANGEDSINCE" if since.is_none() => {
                scanner.space()?;
                since = Some(scanner.number()?);
            }
            "VANISHED" => vanished = true,
            "PARTIAL" if page.is_none() => {
                scanner.space()?;
                page = Some(scanner.window()?);
            }
            _ => return bad("Unknown modifier"),
        }
        Ok(())
    })?;
    match since {
        Some(_) if vanished && !uid => bad("VANISHED needs UID FETCH"),
        None if vanished || page.is_none() => bad("CHANGEDSINCE is missing"),
        since => Ok((since.map(|modseq| ChangedSince { modseq, vanished }), page)),
    }
}

/// Parses the modifier `UNCHANGEDSINCE` of `STORE` before its flags, with the space after it, and returns its number,
/// which may be 0; `None` without parentheses. RFC 7162 §3.1.3.
pub(super) fn unchanged_since(scanner: &mut Scanner<'_>) -> Parsed<Option<u64>> {
    if scanner.peek() != Some(b'(') {
        return Ok(None);
    }
    let mut since = None;
    scanner.list(|scanner| {
        match scanner.word()?.as_str() {
            "UNCHANGEDSINCE" if since.is_none() => {
                scanner.space()?;
                since = Some(scanner.number()?);
            }
            _ => return bad("Unknown modifier"),
        }
        Ok(())
    })?;
    scanner.space()?;
    if since.is_some() { Ok(since) } else { bad("UNCHANGEDSINCE is missing") }
}

/// Parses the argument of the key `MODSEQ`, and returns its number, which may be 0. Modification sequences are per
/// message, so the entry name and type before it are checked and ignored. RFC 7162 §3.1.5.
pub(super) fn search_modseq(scanner: &mut Scanner<'_>) -> Parsed<u64> {
    if scanner.peek() == Some(b'"') {
        let entry = scanner.text()?;
        if !entry.to_ascii_lowercase().starts_with("/flags/") {
            return bad("Unknown entry");
        }
        scanner.space()?;
        if !matches!(scanner.word()?.as_str(), "PRIV" | "SHARED" | "ALL") {
            return bad("Unknown entry type");
        }
        scanner.space()?;
    }
    scanner.number()
}

/// Parses a modification sequence, of at most 63 bits; an error for 0. RFC 7162 §7 (mod-sequence-value).
fn modseq(scanner: &mut Scanner<'_>) -> Parsed<u64> {
    match scanner.number()? {
        0 => bad("The number must not be 0"),
        modseq => Ok(modseq),
    }
}
