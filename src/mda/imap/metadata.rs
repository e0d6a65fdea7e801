//! GETMETADATA and SETMETADATA. RFC 5464 §4. Private server annotations belong to the user; shared server annotations
//! are read-only.

use bytes::Bytes;

use super::error_reply::Failure;
use super::handler::ImapHandler;
use crate::imap::{Code, GetMetadata, MAX_METADATA_BYTES, MetadataRequest, Reply};
use crate::mda::Error;

/// The address of the administrator. RFC 5464 §3.2.1.1.
const ADMIN: &str = "/shared/admin";

impl ImapHandler {
    /// Executes GETMETADATA or SETMETADATA.
    pub(super) async fn metadata(&mut self, request: MetadataRequest) -> Result<Reply, Failure> {
        match request {
            MetadataRequest::Get(get) => self.get_metadata(&get),
            MetadataRequest::Set { mailbox, values } => self.set_metadata(&mailbox, values).await,
        }
    }

    /// Executes GETMETADATA of a mailbox, or of the server if its name is empty, RFC 5464 §4.2: writes the entries that
    /// the request reaches, each once, and `NIL` for one that reaches none; of the server, `/shared/admin` is always
    /// there. Leaves out values longer than MAXSIZE;
    /// LONGENTRIES in the reply is the size of the longest of them.
    fn get_metadata(&mut self, get: &GetMetadata) -> Result<Reply, Failure> {
        let GetMetadata { mailbox, entries, depth, size_max } = get;
        let mut all = self.mailboxes.annotations(&self.account, mailbox_or_server(mailbox))?;
        if mailbox.is_empty() {
            let admin = format!("mailto:postmaster@{}", self.user.address.domain());
            all.push((ADMIN.to_owned(), admin.into_bytes()));
        }
        let fits = |value: &[u8]| size_max.is_none_or(|max| value.len() <= max as usize);
        let mut reported: Vec<(&str, Option<&[u8]>)> = vec![];
        let mut longest = 0;
        for requested in entries {
            let mut found = all.iter().filter(|(entry, _)| depth.reaches(requested, entry)).peekable();
            if found.peek().is_none() && !reported.iter().any(|(known, _)| known == requested) {
                reported.push((requested, None));
            }
            for (entry, value) in found {
                if !fits(value) {
                    longest = longest.max(value.len());
                } else if !reported.iter().any(|(known, _)| known == entry) {
                    reported.push((entry, Some(value)));
                }
            }
        }
        if !reported.is_empty() {
            self.conn.machine.out().metadata(mailbox, &reported);
        }
        // RFC 5464 §4.2.1.
        let reply = Reply::ok("GETMETADATA completed");
        Ok(if longest == 0 { reply } else { reply.with(Code::LongEntries(longest as u64)) })
    }

    /// Executes SETMETADATA of a mailbox, or of the server if its name is empty, RFC 5464 §4.3: all entries or none.
    /// Replies NO with MAXSIZE for a value that is too large, TOOMANY for too many entries, and NOPERM for shared
    /// entries of the server.
    async fn set_metadata(&mut self, mailbox: &str, values: Vec<(String, Option<Bytes>)>) -> Result<Reply, Failure> {
        if values.iter().flat_map(|(_, value)| value).any(|value| MAX_METADATA_BYTES < value.len()) {
            return Ok(Reply::no("Value too large").with(Code::MetadataMaxSize(MAX_METADATA_BYTES as u64)));
        }
        let is_shared = |entry: &str| entry.split('/').nth(1).is_some_and(|scope| scope.eq_ignore_ascii_case("shared"));
        if mailbox.is_empty() && values.iter().any(|(entry, _)| is_shared(entry)) {
            return Ok(Reply::no("Shared server annotations are read-only").with(Code::Word("NOPERM")));
        }
        match self.mailboxes.annotate(&self.account, mailbox_or_server(mailbox), values).await {
            Ok(()) => Ok(Reply::ok("SETMETADATA completed")),
            Err(Error::TooMany(_)) => Ok(Reply::no("Too many entries").with(Code::Word("METADATA TOOMANY"))),
            Err(error) => Err(error.into()),
        }
    }
}

/// The name of the mailbox; `None` for the empty name, which stands for the server.
fn mailbox_or_server(mailbox: &str) -> Option<&str> {
    (!mailbox.is_empty()).then_some(mailbox)
}
