//! NOTIFY: what a client wants to hear of all the time, not only while a command is answered. RFC 5465.

use super::fetch::Item;

/// The names of the events that there are. RFC 5465 §3.1 (BADEVENT).
pub(super) const BAD_EVENT: &str = "BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange \
    MailboxMetadataChange ServerMetadataChange)";

/// `NOTIFY SET`, in place of all that was set before. RFC 5465 §3.1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Notify {
    /// `STATUS`: first tell where the mailboxes stand.
    pub status: bool,
    /// What of the selected mailbox; `None` for nothing. RFC 5465 §6.1.
    pub selected: Option<SelectedEvents>,
    /// What of all other mailboxes. RFC 5465 §6.
    pub groups: Vec<EventGroup>,
}

/// `SELECTED` and `SELECTED-DELAYED`, with messages that come and go, which are there whatever else is. RFC 5465 §6.1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SelectedEvents {
    /// Whether messages that go are told only when a command allows it.
    pub delayed: bool,
    /// `FlagChange`.
    pub flags: bool,
    /// What to tell of new messages. RFC 5465 §5.2.
    pub items: Vec<Item>,
}

/// What is told of some mailboxes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventGroup {
    /// Which mailboxes.
    pub filter: Filter,
    /// What of them.
    pub events: Events,
}

/// Which mailboxes. RFC 5465 §6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// `PERSONAL`; and `INBOXES`, for mail may come into any mailbox. RFC 5465 §6.2, §6.3.
    Personal,
    /// `SUBSCRIBED`, at any time. RFC 5465 §6.4.
    Subscribed,
    /// `SUBTREE`: these and all below. RFC 5465 §6.5.
    Subtree(Vec<String>),
    /// `MAILBOXES`: just these. RFC 5465 §6.6.
    Mailboxes(Vec<String>),
}

impl Filter {
    /// The names in it.
    pub fn names(&self) -> &[String] {
        match self {
            Self::Personal | Self::Subscribed => &[],
            Self::Subtree(names) | Self::Mailboxes(names) => names,
        }
    }
}

/// What happens in mailboxes. RFC 5465 §5. None of it is `NONE`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// `MessageNew` and `MessageExpunge`, which go together.
    pub messages: bool,
    /// `FlagChange`.
    pub flags: bool,
    /// `MailboxName`.
    pub names: bool,
    /// `SubscriptionChange`.
    pub subscriptions: bool,
    /// `MailboxMetadataChange`.
    pub metadata: bool,
    /// `ServerMetadataChange`.
    pub server_metadata: bool,
}

impl Events {
    /// `NONE`.
    pub const NONE: Self = Self {
        messages: false,
        flags: false,
        names: false,
        subscriptions: false,
        metadata: false,
        server_metadata: false,
    };

    /// These and those.
    pub fn with(self, other: Self) -> Self {
        Self {
            messages: self.messages || other.messages,
            flags: self.flags || other.flags,
            names: self.names || other.names,
            subscriptions: self.subscriptions || other.subscriptions,
            metadata: self.metadata || other.metadata,
            server_metadata: self.server_metadata || other.server_metadata,
        }
    }
}
