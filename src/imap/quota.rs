//! Quota requests and responses. RFC 9208.

use super::write::ResponseBuffer;

/// `GETQUOTA` or `GETQUOTAROOT`. RFC 9208 §4.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuotaRequest {
    /// The quota of this root. RFC 9208 §4.1.1.
    Of(String),
    /// The roots of this mailbox, which need not exist. RFC 9208 §4.1.2.
    Roots(String),
}

/// A limited resource. RFC 9208 §5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Units of 1024 bytes. RFC 9208 §5.1.
    Storage,
    /// Messages. RFC 9208 §5.2.
    Message,
}

impl Resource {
    /// Returns the name of the resource on the wire: `STORAGE` or `MESSAGE`.
    fn name(self) -> &'static str {
        match self {
            Self::Storage => "STORAGE",
            Self::Message => "MESSAGE",
        }
    }
}

impl ResponseBuffer {
    /// Writes `QUOTA` of a quota root: each resource with its usage and its limit, in this order, both in the unit of
    /// the [`Resource`]. RFC 9208 §4.2.1.
    pub fn quota(&mut self, root: &str, resources: impl IntoIterator<Item = (Resource, u64, u64)>) {
        self.text("* QUOTA ").astring(root).text(" (");
        for (at, (resource, usage, limit)) in resources.into_iter().enumerate() {
            self.text(if at == 0 { "" } else { " " }).text(resource.name());
            self.text(" ").number(usage).text(" ").number(limit);
        }
        self.text(")").end();
    }

    /// Writes `QUOTAROOT` with the mailbox, and behind it its root if it has one. RFC 9208 §4.2.2.
    pub fn quota_root(&mut self, mailbox: &str, root: Option<&str>) {
        self.text("* QUOTAROOT ").mailbox(mailbox);
        if let Some(root) = root {
            self.text(" ").astring(root);
        }
        self.end();
    }
}
