//! GETQUOTA and GETQUOTAROOT. RFC 9208 §4.1. An account with a quota is one quota root, named by its address.

use super::error_reply::Failure;
use super::handler::ImapHandler;
use crate::imap::{Code, QuotaRequest, Reply, Resource};
use crate::mda::{Error, Usage, canonical_name};
use crate::world::Quota;

/// The unit of STORAGE. RFC 9208 §5.1.
const STORAGE_UNIT_BYTES: u64 = 1024;

impl ImapHandler {
    /// Executes GETQUOTA of a quota root or GETQUOTAROOT of a mailbox, RFC 9208 §4.1: writes `QUOTAROOT` and `QUOTA`.
    /// Replies NO with NONEXISTENT for another root than the account, an account without a quota, or a name that no
    /// mailbox can have.
    pub(super) fn quota(&mut self, request: &QuotaRequest) -> Result<Reply, Failure> {
        let quota = self.mailboxes.quota(&self.account);
        // RFC 9208 §4.1.2: the mailbox need not exist, but there can be one.
        if matches!(request, QuotaRequest::Roots(mailbox) if canonical_name(mailbox).is_none()) {
            return Ok(Reply::no("No such mailbox").with(Code::Word("NONEXISTENT")));
        }
        match (request, quota) {
            (QuotaRequest::Of(root), Some(quota)) if *root == self.account => self.write_quota(quota)?,
            (QuotaRequest::Of(_), _) => {
                return Ok(Reply::no("No such quota root").with(Code::Word("NONEXISTENT")));
            }
            (QuotaRequest::Roots(mailbox), Some(quota)) => {
                self.conn.machine.out().quota_root(mailbox, Some(&self.account));
                self.write_quota(quota)?;
            }
            (QuotaRequest::Roots(mailbox), None) => self.conn.machine.out().quota_root(mailbox, None),
        }
        Ok(Reply::ok(match request {
            QuotaRequest::Of(_) => "GETQUOTA completed",
            QuotaRequest::Roots(_) => "GETQUOTAROOT completed",
        }))
    }

    /// Writes `QUOTA` with the usage and the limit of each limited resource; STORAGE in units of 1024 bytes, the usage
    /// rounded up and the limit down.
    fn write_quota(&mut self, Quota { storage, messages }: Quota) -> Result<(), Error> {
        let Usage { bytes, messages: count } = self.mailboxes.usage(&self.account)?;
        let (used, limit) = (bytes.div_ceil(STORAGE_UNIT_BYTES), storage.map(|storage| storage / STORAGE_UNIT_BYTES));
        let resources = [
            limit.map(|limit| (Resource::Storage, used, limit)),
            messages.map(|limit| (Resource::Message, count, limit)),
        ];
        self.conn.machine.out().quota(&self.account, resources.into_iter().flatten());
        Ok(())
    }
}
