//! What a client asks for, as types. RFC 9051 §6.
//!
//! ```text
//! Command
//!   tag    "a1"
//!   body   CAPABILITY LOGIN ...            the session answers these itself
//!          Request                         the owner answers these from its mailboxes
//!            Mailbox, List, Append ...       RFC 9051 §6.3, in the authenticated state
//!            Fetch, Store, Search ...        RFC 9051 §6.4, with a mailbox selected
//! ```

use super::append::{Append, Replace};
use super::fetch::Item;
use super::metadata::MetadataRequest;
use super::notify::Notify;
use super::quota::QuotaRequest;
use super::search::Search;
use super::sort::Sort;
use super::sync::{ChangedSince, Resync};
use super::thread::Thread;
use super::value::{Flags, SequenceSet, StoreMode, Window};

/// One command line with its literals.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// What the reply will begin with.
    pub tag: String,
    /// What is asked.
    pub body: Body,
}

/// What a command asks.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// `CAPABILITY`. RFC 9051 §6.1.1.
    Capability,
    /// `LOGOUT`. RFC 9051 §6.1.3.
    Logout,
    /// `STARTTLS`. RFC 9051 §6.2.1.
    StartTls,
    /// `AUTHENTICATE`. RFC 9051 §6.2.2.
    Authenticate {
        /// The mechanism's name, in upper case.
        mechanism: String,
        /// The initial response, still in base64; `=` is an empty one. RFC 4959 §3.
        initial: Option<String>,
    },
    /// `LOGIN`. RFC 9051 §6.2.3.
    Login {
        /// The user name.
        user: String,
        /// The password.
        password: String,
    },
    /// `ENABLE`, with the capabilities in upper case. RFC 9051 §6.3.1.
    Enable(Vec<String>),
    /// `ID`, with what the client says about itself. RFC 2971 §3.1.
    Id(Vec<(String, Option<String>)>),
    /// `COMPRESS`. RFC 4978 §3.
    Compress,
    /// What needs mailboxes to answer.
    Request(Request),
}

/// A command that the owner of the session answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// `NOOP` and `CHECK`: tell what has changed. RFC 9051 §6.1.2, RFC 3501 §6.4.1.
    Noop,
    /// `IDLE`: tell what changes as it happens. RFC 9051 §6.3.13.
    Idle,
    /// `NOTIFY`; `None` for `NOTIFY NONE`. RFC 5465 §3.1.
    Notify(Option<Notify>),
    /// `SELECT` and `EXAMINE`. RFC 9051 §6.3.2, §6.3.3.
    Select {
        /// Which mailbox.
        mailbox: String,
        /// `EXAMINE`.
        read_only: bool,
        /// `CONDSTORE`. RFC 7162 §3.1.8.
        condstore: bool,
        /// `QRESYNC`: what the client knows already. RFC 7162 §3.2.5.
        resync: Option<Resync>,
    },
    /// `CREATE`. RFC 9051 §6.3.4.
    Create {
        /// Which mailbox.
        mailbox: String,
        /// What it shall be for, as in `\Sent`. RFC 6154 §3.
        uses: Vec<String>,
    },
    /// `DELETE`. RFC 9051 §6.3.5.
    Delete(String),
    /// `RENAME`. RFC 9051 §6.3.6.
    Rename {
        /// The name it has.
        from: String,
        /// The name it gets.
        to: String,
    },
    /// `SUBSCRIBE` and `UNSUBSCRIBE`. RFC 9051 §6.3.7, §6.3.8.
    Subscribe {
        /// Which mailbox.
        mailbox: String,
        /// `false` for `UNSUBSCRIBE`.
        on: bool,
    },
    /// `LIST`. RFC 9051 §6.3.9.
    List(List),
    /// `LSUB`. RFC 3501 §6.3.9.
    Lsub {
        /// What the pattern is relative to.
        reference: String,
        /// A name with wildcards.
        pattern: String,
    },
    /// `NAMESPACE`. RFC 9051 §6.3.10.
    Namespace,
    /// `STATUS`. RFC 9051 §6.3.11.
    Status {
        /// Which mailbox.
        mailbox: String,
        /// What to tell of it.
        items: Vec<StatusItem>,
    },
    /// `GETMETADATA` and `SETMETADATA`. RFC 5464 §4.
    Metadata(MetadataRequest),
    /// `GETQUOTA` and `GETQUOTAROOT`. RFC 9208 §4.1.
    Quota(QuotaRequest),
    /// `APPEND`. RFC 9051 §6.3.12.
    Append(Append),
    /// `REPLACE` and `UID REPLACE`. RFC 8508.
    Replace(Replace),
    /// `CLOSE` and `UNSELECT`. RFC 9051 §6.4.1, §6.4.2.
    Close {
        /// Whether messages with `\Deleted` go; not so for `UNSELECT`.
        expunge: bool,
    },
    /// `EXPUNGE`, and `UID EXPUNGE` with a set of UIDs. RFC 9051 §6.4.3, §6.4.9.
    Expunge(Option<SequenceSet>),
    /// `SEARCH` and `UID SEARCH`. RFC 9051 §6.4.4.
    Search(Search),
    /// `SORT` and `UID SORT`. RFC 5256.
    Sort(Sort),
    /// `THREAD` and `UID THREAD`. RFC 5256.
    Thread(Thread),
    /// A search that was to be saved speaks of an unknown charset: `$` is empty from here on, and the answer is
    /// [`bad_charset`](super::Reply::bad_charset). RFC 5182 §2.1.
    Unsave,
    /// `FETCH` and `UID FETCH`. RFC 9051 §6.4.5.
    Fetch {
        /// Which messages.
        set: MessageSet,
        /// What to tell of them, macros written out.
        items: Vec<Item>,
        /// Only those that have changed. RFC 7162 §3.1.4.1.
        since: Option<ChangedSince>,
        /// `PARTIAL`: only a page of them. RFC 9394 §3.3.
        page: Option<Window>,
    },
    /// `STORE` and `UID STORE`. RFC 9051 §6.4.6.
    Store(Store),
    /// `COPY`, `MOVE` and their `UID` variants. RFC 9051 §6.4.7, §6.4.8.
    Copy {
        /// Which messages.
        set: MessageSet,
        /// Where to.
        mailbox: String,
        /// Whether they leave the selected mailbox: `MOVE`.
        leave: bool,
    },
}

impl Request {
    /// Whether it makes sense only with a mailbox selected. RFC 9051 §6.4.
    pub fn needs_mailbox(&self) -> bool {
        match self {
            Self::Close { .. }
            | Self::Expunge(_)
            | Self::Search(_)
            | Self::Unsave
            | Self::Sort(_)
            | Self::Thread(_) => true,
            Self::Fetch { .. } | Self::Store(_) | Self::Copy { .. } | Self::Replace(_) => true,
            Self::Noop | Self::Idle | Self::Select { .. } | Self::Create { .. } | Self::Delete(_) => false,
            Self::Rename { .. } | Self::Subscribe { .. } | Self::List(_) | Self::Lsub { .. } => false,
            Self::Namespace | Self::Status { .. } | Self::Append(_) => false,
            Self::Quota(_) | Self::Metadata(_) | Self::Notify(_) => false,
        }
    }

    /// Whether no `EXPUNGE` may be told while it is answered, because the client counts messages by sequence number.
    /// RFC 9051 §7.5.1.
    pub fn holds_expunges(&self) -> bool {
        match self {
            Self::Fetch { set, .. } | Self::Store(Store { set, .. }) => !set.uid,
            Self::Search(search) | Self::Sort(Sort { search, .. }) | Self::Thread(Thread { search, .. }) => !search.uid,
            _ => false,
        }
    }

    /// Whether only a client that has enabled QRESYNC may ask this. RFC 7162 §3.2.5, §3.2.6.
    pub fn needs_qresync(&self) -> bool {
        match self {
            Self::Select { resync, .. } => resync.is_some(),
            Self::Fetch { since, .. } => since.is_some_and(|since| since.vanished),
            _ => false,
        }
    }

    /// Whether a client that asks this wants to hear of modification sequences from now on. RFC 7162 §3.1.
    pub fn enables_condstore(&self) -> bool {
        match self {
            Self::Select { condstore, resync, .. } => *condstore || resync.is_some(),
            Self::Status { items, .. } => items.contains(&StatusItem::HighestModSeq),
            Self::List(list) => {
                list.returns.as_ref().is_some_and(|returns| returns.status.contains(&StatusItem::HighestModSeq))
            }
            Self::Fetch { items, since, .. } => since.is_some() || items.contains(&Item::ModSeq),
            Self::Search(search) | Self::Sort(Sort { search, .. }) | Self::Thread(Thread { search, .. }) => {
                search.key.asks_modseq()
            }
            Self::Store(store) => store.unchanged_since.is_some(),
            Self::Notify(Some(Notify { selected: Some(selected), .. })) => selected.items.contains(&Item::ModSeq),
            _ => false,
        }
    }
}

/// `STORE` and `UID STORE`. RFC 9051 §6.4.6.
#[derive(Clone, Debug, PartialEq)]
pub struct Store {
    /// Which messages.
    pub set: MessageSet,
    /// Whether to set, add or remove.
    pub mode: StoreMode,
    /// `.SILENT`: the client does not want to be told.
    pub silent: bool,
    /// Messages with a later change stay as they are. RFC 7162 §3.1.3.
    pub unchanged_since: Option<u64>,
    /// Which flags.
    pub flags: Flags,
}

/// Messages named by sequence number or by UID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageSet {
    /// The numbers.
    pub set: SequenceSet,
    /// Whether they are UIDs, and the answer speaks of UIDs.
    pub uid: bool,
}

/// `LIST` with the options of LIST-EXTENDED. RFC 9051 §6.3.9, RFC 5258.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// `SUBSCRIBED`: list subscriptions, not mailboxes.
    pub subscribed: bool,
    /// `RECURSIVEMATCH`: also parents of what matches otherwise.
    pub recursive_match: bool,
    /// `SPECIAL-USE`: only mailboxes with a use. RFC 6154 §3.
    pub special_use: bool,
    /// What the patterns are relative to.
    pub reference: String,
    /// Names with wildcards.
    pub patterns: Vec<String>,
    /// What to tell of each; `None` for the `LIST` of RFC 3501.
    pub returns: Option<ListReturn>,
}

/// `RETURN (...)` of `LIST`. RFC 9051 §6.3.9.6.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListReturn {
    /// `SUBSCRIBED`: mark what is subscribed.
    pub subscribed: bool,
    /// `CHILDREN`: tell whether there are children.
    pub children: bool,
    /// `SPECIAL-USE`: tell the use. RFC 6154 §2.
    pub special_use: bool,
    /// `STATUS (...)`. RFC 5819.
    pub status: Vec<StatusItem>,
}

/// What `STATUS` can tell. RFC 9051 §6.3.11.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusItem {
    /// How many messages.
    Messages,
    /// How many messages with `\Recent`. RFC 3501 §6.3.10.
    Recent,
    /// The next UID, at least.
    UidNext,
    /// What makes UIDs of this mailbox unlike those of an earlier one of its name.
    UidValidity,
    /// How many messages without `\Seen`.
    Unseen,
    /// How many messages with `\Deleted`.
    Deleted,
    /// The octets of messages with `\Deleted`. RFC 9208 §4.1.4.
    DeletedStorage,
    /// The octets of all messages. RFC 8438.
    Size,
    /// The largest message that `APPEND` takes. RFC 7889 §3.1.
    AppendLimit,
    /// The number of the last change. RFC 7162 §3.1.7.
    HighestModSeq,
    /// The id of the mailbox. RFC 8474 §4.3.
    MailboxId,
}

impl StatusItem {
    /// All of them with their names.
    pub const ALL: [(Self, &'static str); 11] = [
        (Self::Messages, "MESSAGES"),
        (Self::Recent, "RECENT"),
        (Self::UidNext, "UIDNEXT"),
        (Self::UidValidity, "UIDVALIDITY"),
        (Self::Unseen, "UNSEEN"),
        (Self::Deleted, "DELETED"),
        (Self::DeletedStorage, "DELETED-STORAGE"),
        (Self::Size, "SIZE"),
        (Self::AppendLimit, "APPENDLIMIT"),
        (Self::HighestModSeq, "HIGHESTMODSEQ"),
        (Self::MailboxId, "MAILBOXID"),
    ];
}
