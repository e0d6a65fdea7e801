//! NOTIFY: the events that a client wants to receive at any time, not only with replies. RFC 5465.

use super::fetch::Item;

/// The supported events. RFC 5465 §3.1 (BADEVENT).
pub(super) const BAD_EVENT: &str = "BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange \
    MailboxMetadataChange ServerMetadataChange)";

/// `NOTIFY SET`, which replaces earlier settings. RFC 5465 §3.1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Notify {
    /// `STATUS`: first report the status of the mailboxes.
    pub status: bool,
    /// Events of the selected mailbox; `None` for none. RFC 5465 §6.1.
    pub selected: Option<SelectedEvents>,
    /// Events of all other mailboxes. RFC 5465 §6.
    pub groups: Vec<EventGroup>,
}

/// `SELECTED` and `SELECTED-DELAYED`; new and expunged messages are always reported. RFC 5465 §6.1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SelectedEvents {
    /// Whether expunges are only reported when a command allows it.
    pub delayed: bool,
    /// `FlagChange`.
    pub flags: bool,
    /// The items to report of new messages. RFC 5465 §5.2.
    pub items: Vec<Item>,
}

/// The events of a group of mailboxes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventGroup {
    /// The mailboxes.
    pub filter: Filter,
    /// Their events.
    pub events: Events,
}

/// A group of mailboxes. RFC 5465 §6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// `PERSONAL`, and also `INBOXES`, because messages may be delivered into any mailbox. RFC 5465 §6.2, §6.3.
    Personal,
    /// `SUBSCRIBED`, at the time of the event. RFC 5465 §6.4.
    Subscribed,
    /// `SUBTREE`: these mailboxes and all below. RFC 5465 §6.5.
    Subtree(Vec<String>),
    /// `MAILBOXES`: exactly these. RFC 5465 §6.6.
    Mailboxes(Vec<String>),
}

impl Filter {
    /// Returns the mailbox names that the client gave with the filter; none for [`Filter::Personal`] and
    /// [`Filter::Subscribed`].
    pub fn names(&self) -> &[String] {
        match self {
            Self::Personal | Self::Subscribed => &[],
            Self::Subtree(names) | Self::Mailboxes(names) => names,
        }
    }
}

/// A set of events of mailboxes. RFC 5465 §5. The empty set is `NONE`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// `MessageNew` and `MessageExpunge`, which are only valid together.
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

    /// Returns the union of both sets.
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
