//! QUOTA and APPENDLIMIT. RFC 9208 §4, RFC 7889.

use super::*;
use crate::imap::quota::{QuotaRequest, Resource};

/// A test owner whose only quota root has a space in its name.
pub(super) fn answer(session: &mut Session, request: &QuotaRequest) {
    let root = "the root";
    match request {
        QuotaRequest::Of(name) if name != root => {
            return session.done(&Reply::no("No such quota root").with(Code::Word("NONEXISTENT")));
        }
        QuotaRequest::Of(_) => {}
        QuotaRequest::Roots(mailbox) => session.out().quota_root(mailbox, (mailbox != "free").then_some(root)),
    }
    if !matches!(request, QuotaRequest::Roots(mailbox) if mailbox == "free") {
        session.out().quota(root, [(Resource::Storage, 10, 512), (Resource::Message, 3, u64::MAX >> 1)]);
    }
    session.done(&Reply::ok("that is all"));
}

/// RFC 9208 §4.1.1, §4.1.2, §7.
#[test]
fn quota_is_reported_by_root_and_by_mailbox() {
    play_as_ann(
        "
        C: a1 GETQUOTAROOT inbox
        S: * QUOTAROOT \"INBOX\" \"the root\"
        S: * QUOTA \"the root\" (STORAGE 10 512 MESSAGE 3 9223372036854775807)
        S: a1 OK that is all
        C: a2 GETQUOTA \"the root\"
        S: * QUOTA \"the root\" (STORAGE 10 512 MESSAGE 3 9223372036854775807)
        S: a2 OK that is all
        C: a3 GETQUOTA {8+}
        C: the root
        S: * QUOTA \"the root\" (STORAGE 10 512 MESSAGE 3 9223372036854775807)
        S: a3 OK that is all
        C: a4 GETQUOTA \"\"
        S: a4 NO [NONEXISTENT] No such quota root
        C: a5 getquotaroot free
        S: * QUOTAROOT \"free\"
        S: a5 OK that is all
        C: a6 GETQUOTA
        S: a6 BAD A space is missing
        C: a7 GETQUOTAROOT INBOX INBOX
        S: a7 BAD Unexpected text at the end of the command
        C: a8 SETQUOTA \"\" (STORAGE 1)
        S: a8 BAD Unknown command
    ",
    );
}

/// RFC 9208 §4.1.4, RFC 7889 §3.1, §3.2.
#[test]
fn status_accepts_deleted_storage_and_appendlimit() {
    play_as_ann(
        "
        C: a1 STATUS INBOX (DELETED DELETED-STORAGE APPENDLIMIT)
        S: * STATUS \"INBOX\" ()
        S: a1 OK done
        C: a2 LIST \"\" % RETURN (STATUS (APPENDLIMIT DELETED-STORAGE))
        S: a2 OK done
    ",
    );
}

/// RFC 7889 §2: the limit is that of the user's mailboxes, capped to an IMAP number.
#[test]
fn appendlimit_is_that_of_the_users_mailboxes() {
    let mut session = Session::new(config(), true);
    for (limit, told) in [(5_000, "APPENDLIMIT=5000"), (usize::MAX, "APPENDLIMIT=4294967295")] {
        session.limit_append(limit);
        session.state = State::Ready(SessionState::Authenticated);
        assert!(session.capabilities().ends_with(told));
    }
}
