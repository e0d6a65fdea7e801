//! GETMETADATA and SETMETADATA. RFC 5464 §4. Annotations of the server belong to the user who sets them; what all users
//! share of the server is ours to say.

use bytes::Bytes;

use super::refusal::Failure;
use super::visit::Visit;
use crate::imap::{Code, GetMetadata, METADATA_OCTETS_MAX, MetadataRequest, Reply};
use crate::mda::Error;

/// How to reach who runs the server. RFC 5464 §3.2.1.1.
const ADMIN: &str = "/shared/admin";

impl Visit {
    pub(super) async fn metadata(&mut self, request: MetadataRequest) -> Result<Reply, Failure> {
        match request {
            MetadataRequest::Get(get) => self.get_metadata(&get),
            MetadataRequest::Set { mailbox, values } => self.set_metadata(&mailbox, values).await,
        }
    }

    /// RFC 5464 §4.2. An entry that does not exist is told once, as `NIL`.
    fn get_metadata(&mut self, get: &GetMetadata) -> Result<Reply, Failure> {
        let GetMetadata { mailbox, entries, depth, size_max } = get;
        let mut all = self.mailboxes.annotations(&self.account, place(mailbox))?;
        if mailbox.is_empty() {
            let admin = format!("mailto:postmaster@{}", self.user.address.domain());
            all.push((ADMIN.to_owned(), admin.into_bytes()));
        }
        let fits = |value: &[u8]| size_max.is_none_or(|max| value.len() <= max as usize);
        let mut told: Vec<(&str, Option<&[u8]>)> = vec![];
        let mut longest = 0;
        for asked in entries {
            let mut found = all.iter().filter(|(entry, _)| depth.reaches(asked, entry)).peekable();
            if found.peek().is_none() {
                told.push((asked, None));
            }
            for (entry, value) in found {
                if !fits(value) {
                    longest = longest.max(value.len());
                } else if !told.iter().any(|(known, _)| known == entry) {
                    told.push((entry, Some(value)));
                }
            }
        }
        if !told.is_empty() {
            self.conn.machine.out().metadata(mailbox, &told);
        }
        // RFC 5464 §4.2.1.
        let reply = Reply::ok("that is all");
        Ok(if longest == 0 { reply } else { reply.with(Code::LongEntries(longest as u64)) })
    }

    /// RFC 5464 §4.3.
    async fn set_metadata(&mut self, mailbox: &str, values: Vec<(String, Option<Bytes>)>) -> Result<Reply, Failure> {
        if values.iter().flat_map(|(_, value)| value).any(|value| METADATA_OCTETS_MAX < value.len()) {
            return Ok(Reply::no("the value is too large").with(Code::MetadataMaxSize(METADATA_OCTETS_MAX as u64)));
        }
        let is_shared = |entry: &str| entry.split('/').nth(1).is_some_and(|scope| scope.eq_ignore_ascii_case("shared"));
        if mailbox.is_empty() && values.iter().any(|(entry, _)| is_shared(entry)) {
            return Ok(Reply::no("what all users share is not yours to change").with(Code::Word("NOPERM")));
        }
        match self.mailboxes.annotate(&self.account, place(mailbox), values).await {
            Ok(()) => Ok(Reply::ok("noted")),
            Err(Error::TooMany(_)) => {
                Ok(Reply::no("there would be too many entries").with(Code::Word("METADATA TOOMANY")))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// A mailbox, or the server.
fn place(mailbox: &str) -> Option<&str> {
    (!mailbox.is_empty()).then_some(mailbox)
}
