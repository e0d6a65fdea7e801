//! The keys of `SEARCH`. RFC 9051 §6.4.4, §9 (search, search-key).

use jiff::civil::Date;

use super::scanner::Scanner;
use super::{MAX_DEPTH, ParseError, Parsed, bad, sync};
use crate::imap::search::{Key, Search, SearchReturn, When};
use crate::imap::sort::{Criterion, Sort, SortKey};
use crate::imap::thread::{Thread, Threading};
use crate::imap::value::{SystemFlags, parse_date};

/// Most keys of one search, as each is evaluated for each message.
const MAX_KEYS: usize = 2_000;
/// Most criteria of one `SORT`; there are seven keys.
const MAX_CRITERIA: usize = 20;

/// Parses the arguments of `SEARCH`, and with `uid` of `UID SEARCH`: return options and a charset, which are optional,
/// and keys. An unknown charset is an error of its own kind.
pub(super) fn search(scanner: &mut Scanner<'_>, uid: bool) -> Parsed<Search> {
    scanner.space()?;
    let mut reply = None;
    if scanner.eat("RETURN ") {
        reply = Some(returns(scanner)?);
        scanner.space()?;
    }
    let names_charset = scanner.eat("CHARSET ");
    if names_charset {
        charset(&scanner.text()?, reply.is_some_and(|reply| reply.save))?;
        scanner.space()?;
    }
    let mut left = MAX_KEYS;
    let key = keys(scanner, MAX_DEPTH, &mut left)?;
    Ok(Search { uid, returns: reply, names_charset, key })
}

/// Parses the arguments of `SORT`, and with `uid` of `UID SORT`: criteria in parentheses, at least one and at most
/// `MAX_CRITERIA`, a charset and keys. RFC 5256 §3 (SORT).
pub(super) fn sort(scanner: &mut Scanner<'_>, uid: bool) -> Parsed<Sort> {
    scanner.space()?;
    let mut criteria = Vec::new();
    scanner.list(|scanner| {
        criteria.push(criterion(scanner)?);
        if criteria.len() <= MAX_CRITERIA { Ok(()) } else { bad("Too many criteria") }
    })?;
    if criteria.is_empty() {
        return bad("A criterion is missing");
    }
    Ok(Sort { criteria, search: in_charset(scanner, uid)? })
}

/// Parses a sort key, in any case, with `REVERSE` before it or not; an error if it is unknown.
fn criterion(scanner: &mut Scanner<'_>) -> Parsed<Criterion> {
    let reverse = scanner.eat("REVERSE ");
    let by = match scanner.word()?.as_str() {
        "ARRIVAL" => SortKey::Arrival,
        "CC" => SortKey::Cc,
        "DATE" => SortKey::Date,
        "FROM" => SortKey::From,
        "SIZE" => SortKey::Size,
        "SUBJECT" => SortKey::Subject,
        "TO" => SortKey::To,
        _ => return bad("Unknown sort key"),
    };
    Ok(Criterion { reverse, by })
}

/// Parses the arguments of `THREAD`, and with `uid` of `UID THREAD`: an algorithm, a charset and keys; an error if the
/// algorithm is unknown. RFC 5256 §3 (THREAD).
pub(super) fn thread(scanner: &mut Scanner<'_>, uid: bool) -> Parsed<Thread> {
    scanner.space()?;
    let by = match scanner.word()?.as_str() {
        "ORDEREDSUBJECT" => Threading::OrderedSubject,
        "REFERENCES" => Threading::References,
        _ => return bad("Unknown threading algorithm"),
    };
    Ok(Thread { by, search: in_charset(scanner, uid)? })
}

/// Parses the charset, which is mandatory in `SORT` and `THREAD`, and the keys behind it, with the space before them;
/// an unknown charset is an error of its own kind. `uid` is whether the reply is to have UIDs.
fn in_charset(scanner: &mut Scanner<'_>, uid: bool) -> Parsed<Search> {
    scanner.space()?;
    charset(&scanner.text()?, false)?;
    scanner.space()?;
    let mut left = MAX_KEYS;
    let key = keys(scanner, MAX_DEPTH, &mut left)?;
    Ok(Search { uid, returns: None, names_charset: false, key })
}

/// Checks the charset of a search: [`ParseError::Charset`] if it is not supported; `saves` is whether the result of the
/// search was to be saved. RFC 9051 §6.4.4: US-ASCII and UTF-8 are the mandatory charsets.
fn charset(name: &str, saves: bool) -> Parsed<()> {
    let known = ["UTF-8", "US-ASCII"].iter().any(|known| known.eq_ignore_ascii_case(name));
    if known { Ok(()) } else { Err(ParseError::Charset { saves }) }
}

/// Parses the return options of `SEARCH` in parentheses; none count as `ALL`. An error if one is unknown, or `PARTIAL`
/// is there twice or with `ALL`.
fn returns(scanner: &mut Scanner<'_>) -> Parsed<SearchReturn> {
    let mut returns = SearchReturn::default();
    scanner.list(|scanner| {
        let option = match scanner.word()?.as_str() {
            "PARTIAL" => {
                scanner.space()?;
                // RFC 9394 §3.1: at most once.
                return match returns.page.replace(scanner.window()?) {
                    None => Ok(()),
                    Some(_) => bad("PARTIAL is given twice"),
                };
            }
            "MIN" => &mut returns.min,
            "MAX" => &mut returns.max,
            "ALL" => &mut returns.all,
            "COUNT" => &mut returns.count,
            "SAVE" => &mut returns.save,
            _ => return bad("Unknown return option"),
        };
        *option = true;
        Ok(())
    })?;
    // RFC 9394 §3.1: ALL and PARTIAL must not be combined.
    if returns.all && returns.page.is_some() {
        return bad("ALL and PARTIAL exclude each other");
    }
    // RFC 4731 §3.1: an empty list means ALL.
    returns.all |= returns == SearchReturn::default();
    Ok(returns)
}

/// Parses keys separated by spaces, all of which must match. At most `depth` levels are nested; `left` counts down the
/// keys that the command may still have.
fn keys(scanner: &mut Scanner<'_>, depth: usize, left: &mut usize) -> Parsed<Key> {
    let mut keys = vec![key(scanner, depth, left)?];
    while scanner.eat(" ") {
        keys.push(key(scanner, depth, left)?);
    }
    Ok(if keys.len() == 1 { keys.remove(0) } else { Key::And(keys) })
}

/// Parses one key, or several in parentheses. At most `depth` levels are nested; `left` counts down the keys that the
/// command may still have. An error if either is used up.
fn key(scanner: &mut Scanner<'_>, depth: usize, left: &mut usize) -> Parsed<Key> {
    if depth == 0 || *left == 0 {
        return bad("The search is too large");
    }
    *left -= 1;
    match scanner.peek() {
        Some(b'(') => {
            scanner.expect("(", "")?;
            let inner = keys(scanner, depth - 1, left)?;
            scanner.expect(")", "A closing parenthesis is missing")?;
            return Ok(inner);
        }
        Some(b'*' | b'$' | b'0'..=b'9') => return Ok(Key::Sequence(scanner.set()?)),
        _ => {}
    }
    let word = scanner.word()?;
    if let Some(key) = plain_key(&word) {
        return Ok(key);
    }
    scanner.space()?;
    match word.as_str() {
        "NOT" => Ok(not(key(scanner, depth - 1, left)?)),
        "OR" => {
            let first = key(scanner, depth - 1, left)?;
            scanner.space()?;
            Ok(Key::Or(first.into(), key(scanner, depth - 1, left)?.into()))
        }
        word => key_with_argument(word, scanner),
    }
}

/// Returns the key that matches what this one does not.
fn not(key: Key) -> Key {
    Key::Not(key.into())
}

/// Returns the key of a word in upper case that takes no argument, such as `SEEN`; `None` for other words.
fn plain_key(word: &str) -> Option<Key> {
    Some(match word {
        "ALL" => Key::All,
        "ANSWERED" => Key::Flag(SystemFlags::ANSWERED),
        "DELETED" => Key::Flag(SystemFlags::DELETED),
        "DRAFT" => Key::Flag(SystemFlags::DRAFT),
        "FLAGGED" => Key::Flag(SystemFlags::FLAGGED),
        "SEEN" => Key::Flag(SystemFlags::SEEN),
        "UNANSWERED" => not(Key::Flag(SystemFlags::ANSWERED)),
        "UNDELETED" => not(Key::Flag(SystemFlags::DELETED)),
        "UNDRAFT" => not(Key::Flag(SystemFlags::DRAFT)),
        "UNFLAGGED" => not(Key::Flag(SystemFlags::FLAGGED)),
        "UNSEEN" => not(Key::Flag(SystemFlags::SEEN)),
        "RECENT" => Key::Recent,
        // RFC 8514 §4.4: every mailbox supports save dates.
        "SAVEDATESUPPORTED" => Key::All,
        "OLD" => not(Key::Recent),
        "NEW" => Key::And(vec![Key::Recent, not(Key::Flag(SystemFlags::SEEN))]),
        _ => return None,
    })
}

/// Parses the argument of a key, whose word is given in upper case, and returns the key; an error if there is no such
/// key.
fn key_with_argument(word: &str, scanner: &mut Scanner<'_>) -> Parsed<Key> {
    Ok(match word {
        "UID" => Key::Uid(scanner.set()?),
        "EMAILID" => Key::EmailId(scanner.atom()?.strip_prefix('M').and_then(|id| id.parse().ok())),
        "THREADID" => Key::ThreadId(scanner.atom()?.strip_prefix('T').and_then(|id| id.parse().ok())),
        "MODSEQ" => Key::ModSeq(sync::search_modseq(scanner)?),
        "LARGER" => Key::Larger(scanner.number()?),
        "SMALLER" => Key::Smaller(scanner.number()?),
        "KEYWORD" => Key::Keyword(scanner.atom()?.to_owned()),
        "UNKEYWORD" => not(Key::Keyword(scanner.atom()?.to_owned())),
        "BEFORE" => Key::Arrived(When::Before, date(scanner)?),
        "ON" => Key::Arrived(When::On, date(scanner)?),
        "SINCE" => Key::Arrived(When::Since, date(scanner)?),
        "YOUNGER" => Key::Younger(scanner.nonzero()?.get()),
        "OLDER" => not(Key::Younger(scanner.nonzero()?.get())),
        "SAVEDBEFORE" => Key::Saved(When::Before, date(scanner)?),
        "SAVEDON" => Key::Saved(When::On, date(scanner)?),
        "SAVEDSINCE" => Key::Saved(When::Since, date(scanner)?),
        "SENTBEFORE" => Key::Sent(When::Before, date(scanner)?),
        "SENTON" => Key::Sent(When::On, date(scanner)?),
        "SENTSINCE" => Key::Sent(When::Since, date(scanner)?),
        "BCC" | "CC" | "FROM" | "SUBJECT" | "TO" => Key::Header(word.to_owned(), scanner.text()?),
        "HEADER" => {
            let name = scanner.text()?;
            scanner.space()?;
            Key::Header(name, scanner.text()?)
        }
        "BODY" => Key::Body(scanner.text()?),
        "TEXT" => Key::Text(scanner.text()?),
        _ => return bad("Unknown search key"),
    })
}

/// Parses a date like `1-Feb-1994`, with or without quotes. RFC 9051 §9 (date).
fn date(scanner: &mut Scanner<'_>) -> Parsed<Date> {
    parse_date(&scanner.text()?).ok_or(ParseError::Syntax("A date like 1-Feb-1994 is missing"))
}
