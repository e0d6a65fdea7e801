//! `GETQUOTA` and `GETQUOTAROOT`. RFC 9208 §7.

use super::Parsed;
use super::scanner::Scanner;
use crate::imap::command::Request;
use crate::imap::quota::QuotaRequest;

/// Parses the argument of GETQUOTA: a quota root, which is an opaque name.
pub(super) fn of(scanner: &mut Scanner<'_>) -> Parsed<Request> {
    scanner.space()?;
    Ok(Request::Quota(QuotaRequest::Of(scanner.text()?)))
}

/// Parses the argument of GETQUOTAROOT: a mailbox.
pub(super) fn roots(scanner: &mut Scanner<'_>) -> Parsed<Request> {
    scanner.space()?;
    Ok(Request::Quota(QuotaRequest::Roots(scanner.mailbox()?)))
}
