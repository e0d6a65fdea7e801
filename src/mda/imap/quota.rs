//! GETQUOTA and GETQUOTAROOT. RFC 9208 §4.1. An account with a quota is one quota root, called after its address.

use super::refusal::Failure;
use super::visit::Visit;
use crate::imap::{Code, QuotaRequest, Reply, Resource};
use crate::mda::{Error, Usage};
use crate::world::Quota;

/// What STORAGE is counted in. RFC 9208 §5.1.
const STORAGE_UNIT_OCTETS: u64 = 1024;

impl Visit {
    pub(super) fn quota(&mut self, request: &QuotaRequest) -> Result<Reply, Failure> {
        let quota = self.mailboxes.quota(&self.account);
        match (request, quota) {
            (QuotaRequest::Of(root), Some(quota)) if *root == self.account => self.tell_quota(quota)?,
            (QuotaRequest::Of(_), _) => {
                return Ok(Reply::no("no such quota root").with(Code::Word("NONEXISTENT")));
            }
            (QuotaRequest::Roots(mailbox), Some(quota)) => {
                self.conn.machine.out().quota_root(mailbox, Some(&self.account));
                self.tell_quota(quota)?;
            }
            (QuotaRequest::Roots(mailbox), None) => self.conn.machine.out().quota_root(mailbox, None),
        }
        Ok(Reply::ok("that is all"))
    }

    fn tell_quota(&mut self, Quota { storage, messages }: Quota) -> Result<(), Error> {
        let Usage { octets, messages: count } = self.mailboxes.usage(&self.account)?;
        let (used, limit) =
            (octets.div_ceil(STORAGE_UNIT_OCTETS), storage.map(|storage| storage / STORAGE_UNIT_OCTETS));
        let resources = [
            limit.map(|limit| (Resource::Storage, used, limit)),
            messages.map(|limit| (Resource::Message, count, limit)),
        ];
        self.conn.machine.out().quota(&self.account, resources.into_iter().flatten());
        Ok(())
    }
}
