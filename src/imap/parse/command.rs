//! The table of commands. RFC 9051 §6, §9 (command-any, command-auth, command-nonauth, command-select).

use super::scanner::Scanner;
use super::{ParseError, Parsed, RawCommand, append, bad, create, fetch, list, metadata, notify, quota, search, sync};
use crate::imap::command::{Body, Command, MessageSet, Request, Store};
use crate::imap::fetch::Item;
use crate::imap::value::{Flags, StoreMode, SystemFlags};

/// Parses a command; `utf8` is whether the client has enabled UTF-8. An error has the tag for the reply with it, `None`
/// if the tag or the space after it could not be parsed. RFC 9051 §7.1.3.
pub(crate) fn command(frame: &RawCommand, utf8: bool) -> Result<Command, (Option<String>, ParseError)> {
    let mut scanner = Scanner::new(frame, utf8);
    // A single word is not a tag; it may be a secret meant for an authentication exchange that has ended.
    let tag = scanner.tag().and_then(|tag| scanner.space().map(|()| tag.to_owned())).map_err(|why| (None, why))?;
    match body(&mut scanner) {
        Ok(body) => Ok(Command { tag, body }),
        Err(why) => Err((Some(tag), why)),
    }
}

/// Parses a command behind its tag and space, up to its end; more text is an error.
fn body(scanner: &mut Scanner<'_>) -> Parsed<Body> {
    let verb = scanner.word()?;
    let body = match verb.as_str() {
        "CAPABILITY" => Body::Capability,
        "LOGOUT" => Body::Logout,
        "STARTTLS" => Body::StartTls,
        "LOGIN" => login(scanner)?,
        "AUTHENTICATE" => authenticate(scanner)?,
        "ENABLE" => enable(scanner)?,
        "ID" => id(scanner)?,
        "COMPRESS" => compress(scanner)?,
        verb => Body::Request(request(verb, scanner)?),
    };
    scanner.end()?;
    Ok(body)
}

/// Parses the arguments of a command that the owner answers; `verb` is in upper case. An error if there is no such
/// command.
fn request(verb: &str, scanner: &mut Scanner<'_>) -> Parsed<Request> {
    Ok(match verb {
        "NOOP" | "CHECK" => Request::Noop,
        "IDLE" => Request::Idle,
        "NAMESPACE" => Request::Namespace,
        "NOTIFY" => notify::notify(scanner)?,
        "CLOSE" => Request::Close { expunge: true },
        "UNSELECT" => Request::Close { expunge: false },
        "EXPUNGE" => Request::Expunge(None),
        "SELECT" => sync::select(scanner, false)?,
        "EXAMINE" => sync::select(scanner, true)?,
        "CREATE" => create::create(scanner)?,
        "DELETE" => Request::Delete(mailbox(scanner)?),
        "RENAME" => Request::Rename { from: mailbox(scanner)?, to: mailbox(scanner)? },
        "SUBSCRIBE" => Request::Subscribe { mailbox: mailbox(scanner)?, on: true },
        "UNSUBSCRIBE" => Request::Subscribe { mailbox: mailbox(scanner)?, on: false },
        "LIST" => Request::List(list::list(scanner)?),
        "LSUB" => list::lsub(scanner)?,
        "STATUS" => Request::Status { mailbox: mailbox(scanner)?, items: list::status(scanner)? },
        "GETMETADATA" => metadata::get(scanner)?,
        "SETMETADATA" => metadata::set(scanner)?,
        "GETQUOTA" => quota::of(scanner)?,
        "GETQUOTAROOT" => quota::roots(scanner)?,
        "APPEND" => append::append(scanner)?,
        "UID" => uid(scanner)?,
        verb => on_messages(verb, scanner, false)?,
    })
}

/// Parses the command behind `UID`, with its arguments. RFC 9051 §6.4.9.
fn uid(scanner: &mut Scanner<'_>) -> Parsed<Request> {
    scanner.space()?;
    match scanner.word()?.as_str() {
        "EXPUNGE" => {
            scanner.space()?;
            Ok(Request::Expunge(Some(scanner.set()?)))
        }
        verb => on_messages(verb, scanner, true),
    }
}

/// Parses the arguments of a command that may follow `UID`; `verb` is its name in upper case, `uid` whether `UID` comes
/// before it. For `FETCH`, `CHANGEDSINCE` adds the item `MODSEQ`. An error if there is no such command.
fn on_messages(verb: &str, scanner: &mut Scanner<'_>, uid: bool) -> Parsed<Request> {
    Ok(match verb {
        "SEARCH" => Request::Search(search::search(scanner, uid)?),
        "SORT" => Request::Sort(search::sort(scanner, uid)?),
        "THREAD" => Request::Thread(search::thread(scanner, uid)?),
        "FETCH" => {
            let (set, mut items) = (messages(scanner, uid)?, fetch::items(scanner, uid)?);
            let (since, page) = sync::fetch_modifiers(scanner, uid)?;
            // RFC 7162 §3.1.4.1: CHANGEDSINCE implies MODSEQ.
            if since.is_some() && !items.contains(&Item::ModSeq) {
                items.push(Item::ModSeq);
            }
            Request::Fetch { set, items, since, page }
        }
        "STORE" => store(scanner, uid)?,
        "REPLACE" => append::replace(scanner, uid)?,
        "COPY" => Request::Copy { set: messages(scanner, uid)?, mailbox: mailbox(scanner)?, remove_originals: false },
        "MOVE" => Request::Copy { set: messages(scanner, uid)?, mailbox: mailbox(scanner)?, remove_originals: true },
        _ => return bad("Unknown command"),
    })
}

/// Parses a mailbox name with the space before it, as [`Scanner::mailbox`] does.
fn mailbox(scanner: &mut Scanner<'_>) -> Parsed<String> {
    scanner.space()?;
    scanner.mailbox()
}

/// Parses a set of messages with the space before it: UIDs if `uid` is set, else sequence numbers.
fn messages(scanner: &mut Scanner<'_>, uid: bool) -> Parsed<MessageSet> {
    scanner.space()?;
    Ok(MessageSet { set: scanner.set()?, uid })
}

/// Parses the arguments of `LOGIN`: the user name and the password, each an astring.
fn login(scanner: &mut Scanner<'_>) -> Parsed<Body> {
    scanner.space()?;
    let user = scanner.text()?;
    scanner.space()?;
    Ok(Body::Login { user, password: scanner.text()? })
}

/// Parses the arguments of `AUTHENTICATE`: the mechanism, which is returned in upper case, and optionally the initial
/// response, still in base64.
fn authenticate(scanner: &mut Scanner<'_>) -> Parsed<Body> {
    scanner.space()?;
    let mechanism = scanner.atom()?.to_ascii_uppercase();
    let initial = if scanner.eat(" ") { Some(scanner.atom()?.to_owned()) } else { None };
    Ok(Body::Authenticate { mechanism, initial })
}

/// Parses the arguments of `ENABLE`: at least one capability; they are returned in upper case.
fn enable(scanner: &mut Scanner<'_>) -> Parsed<Body> {
    let mut names = Vec::new();
    while scanner.eat(" ") {
        names.push(scanner.atom()?.to_ascii_uppercase());
    }
    if names.is_empty() { bad("A capability is missing") } else { Ok(Body::Enable(names)) }
}

/// Parses the argument of `COMPRESS`, which is always `DEFLATE`. RFC 4978 §5.
fn compress(scanner: &mut Scanner<'_>) -> Parsed<Body> {
    scanner.space()?;
    scanner.expect("DEFLATE", "Unknown compression algorithm")?;
    Ok(Body::Compress)
}

/// Parses the argument of `ID`: at most 30 pairs of name and value in parentheses, or `NIL` for none. A name that is
/// `NIL` is empty. RFC 2971 §3.1, §3.3.
fn id(scanner: &mut Scanner<'_>) -> Parsed<Body> {
    scanner.space()?;
    let mut pairs = Vec::new();
    if scanner.eat("NIL") {
        return Ok(Body::Id(pairs));
    }
    scanner.list(|scanner| {
        let name = scanner.nstring()?.unwrap_or_default();
        scanner.space()?;
        pairs.push((name, scanner.nstring()?));
        if pairs.len() <= 30 { Ok(()) } else { bad("Too many fields") }
    })?;
    Ok(Body::Id(pairs))
}

/// Parses the arguments of `STORE`, or with `uid` of `UID STORE`: a set, a modifier or none, `FLAGS` with its mode, and
/// flags, in parentheses or not. RFC 9051 §9 (store, store-att-flags).
fn store(scanner: &mut Scanner<'_>, uid: bool) -> Parsed<Request> {
    let set = messages(scanner, uid)?;
    scanner.space()?;
    let unchanged_since = sync::unchanged_since(scanner)?;
    let mode = match scanner.peek() {
        Some(b'+') => StoreMode::Add,
        Some(b'-') => StoreMode::Remove,
        _ => StoreMode::Replace,
    };
    let _ = scanner.eat("+") || scanner.eat("-");
    scanner.expect("FLAGS", "Only FLAGS can be stored")?;
    let silent = scanner.eat(".SILENT");
    scanner.space()?;
    let flags = match scanner.peek() {
        Some(b'(') => flag_list(scanner)?,
        _ => {
            let mut flags = Flags::default();
            flag(scanner, &mut flags)?;
            while scanner.eat(" ") {
                flag(scanner, &mut flags)?;
            }
            flags
        }
    };
    Ok(Request::Store(Store { set, mode, silent, unchanged_since, flags }))
}

/// Parses flags in parentheses, as for `STORE` and `APPEND`; there may be none.
pub(super) fn flag_list(scanner: &mut Scanner<'_>) -> Parsed<Flags> {
    let mut flags = Flags::default();
    scanner.list(|scanner| flag(scanner, &mut flags))?;
    Ok(flags)
}

/// Parses one flag and adds it to `flags`; an error for unknown system flags, and for more than `MAX_KEYWORDS`.
/// `\Recent`, which only the server sets (RFC 3501 §2.3.2), is ignored, because some clients copy it back. RFC 9051 §9
/// (flag).
fn flag(scanner: &mut Scanner<'_>, flags: &mut Flags) -> Parsed<()> {
    if scanner.eat("\\") {
        let name = format!("\\{}", scanner.atom()?);
        match SystemFlags::named(&name) {
            Some(flag) => flags.system = flags.system.with(flag),
            None if name.eq_ignore_ascii_case("\\Recent") => {}
            None => return bad("Unknown system flag"),
        }
        return Ok(());
    }
    flags.add_keyword(scanner.atom()?);
    if MAX_KEYWORDS < flags.keywords.len() { bad("Too many keywords") } else { Ok(()) }
}

/// Most keywords in one command.
const MAX_KEYWORDS: usize = 100;
