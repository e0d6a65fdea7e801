//! `CREATE` with the uses of the new mailbox. RFC 9051 §6.3.4, RFC 6154 §3, §6.

use super::scanner::Scanner;
use super::{Parsed, bad};
use crate::imap::command::Request;

/// How many uses one command may name.
const USES_MAX: usize = 20;

pub(super) fn create(scanner: &mut Scanner<'_>) -> Parsed<Request> {
    scanner.space()?;
    let (mailbox, mut uses) = (scanner.mailbox()?, Vec::new());
    if scanner.eat(" ") {
        scanner.list(|scanner| {
            scanner.expect("USE ", "only USE can be said of a new mailbox")?;
            scanner.list(|scanner| {
                scanner.expect("\\", "a use begins with a backslash")?;
                uses.push(format!("\\{}", scanner.atom()?));
                if uses.len() <= USES_MAX { Ok(()) } else { bad("there are too many uses") }
            })
        })?;
    }
    Ok(Request::Create { mailbox, uses })
}
