//! `CREATE` with the special uses of the new mailbox. RFC 9051 §6.3.4, RFC 6154 §3, §6.

use super::scanner::Scanner;
use super::{Parsed, bad};
use crate::imap::command::Request;

/// Most special uses in one command.
const MAX_USES: usize = 20;

/// Parses the arguments of `CREATE`: a mailbox, and its special uses if `(USE (...))` follows, at most `MAX_USES`, each
/// with its backslash and as the client wrote it.
pub(super) fn create(scanner: &mut Scanner<'_>) -> Parsed<Request> {
    scanner.space()?;
    let (mailbox, mut uses) = (scanner.mailbox()?, Vec::new());
    if scanner.eat(" ") {
        scanner.list(|scanner| {
            scanner.expect("USE ", "Unknown parameter")?;
            scanner.list(|scanner| {
                scanner.expect("\\", "A special use begins with a backslash")?;
                uses.push(format!("\\{}", scanner.atom()?));
                if uses.len() <= MAX_USES { Ok(()) } else { bad("Too many special uses") }
            })
        })?;
    }
    Ok(Request::Create { mailbox, uses })
}
