//! The commands of a client, as types. RFC 9051 §6.
//!
//! ```text
//! Command
//!   tag    "a1"
//!   body   CAPABILITY LOGIN ...            answered by the session itself
//!          Request                         answered by the owner from its mailboxes
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

/// One command with its literals.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// The tag, which is repeated in the reply.
    pub tag: String,
    /// The command.
    pub body: Body,
}

/// A command without its tag.
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
    /// `ID`, with the fields that the client sends. RFC 2971 §3.1.
    Id(Vec<(String, Option<String>)>),
    /// `COMPRESS`. RFC 4978 §3.
    Compress,
    /// A command that needs the mailboxes.
    Request(Request),
}

/// A command that the owner of the session answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// `NOOP` and `CHECK`: report changes. RFC 9051 §6.1.2, RFC 3501 §6.4.1.
    Noop,
    /// `IDLE`: report changes as they happen. RFC 9051 §6.3.13.
    Idle,
    /// `NOTIFY`; `None` for `NOTIFY NONE`. RFC 5465 §3.1.
    Notify(Option<Notify>),
    /// `SELECT` and `EXAMINE`. RFC 9051 §6.3.2, §6.3.3.
    Select {
        /// The mailbox.
        mailbox: String,
        /// `EXAMINE`.
        read_only: bool,
        /// `CONDSTORE`. RFC 7162 §3.1.8.
        condstore: bool,
        /// `QRESYNC`: the state that the client knows. RFC 7162 §3.2.5.
        resync: Option<Resync>,
    },
    /// `CREATE`. RFC 9051 §6.3.4.
    Create {
        /// The mailbox.
        mailbox: String,
        /// Its special uses, as in `\Sent`. RFC 6154 §3.
        uses: Vec<String>,
    },
    /// `DELETE`. RFC 9051 §6.3.5.
    Delete(String),
    /// `RENAME`. RFC 9051 §6.3.6.
    Rename {
        /// The current name.
        from: String,
        /// The new name.
        to: String,
    },
    /// `SUBSCRIBE` and `UNSUBSCRIBE`. RFC 9051 §6.3.7, §6.3.8.
    Subscribe {
        /// The mailbox.
        mailbox: String,
        /// `false` for `UNSUBSCRIBE`.
        on: bool,
    },
    /// `LIST`. RFC 9051 §6.3.9.
    List(List),
    /// `LSUB`. RFC 3501 §6.3.9.
    Lsub {
        /// A prefix of the pattern.
        reference: String,
        /// A name with wildcards.
        pattern: String,
    },
    /// `NAMESPACE`. RFC 9051 §6.3.10.
    Namespace,
    /// `STATUS`. RFC 9051 §6.3.11.
    Status {
        /// The mailbox.
        mailbox: String,
        /// The items to report.
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
        /// Whether messages with `\Deleted` are expunged: `CLOSE`.
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
    /// A search with `SAVE` and an unknown charset: `$` becomes empty, and the reply is
    /// [`bad_charset`](super::Reply::bad_charset). RFC 5182 §2.1.
    Unsave,
    /// `FETCH` and `UID FETCH`. RFC 9051 §6.4.5.
    Fetch {
        /// The messages.
        set: MessageSet,
        /// The items to report, with macros expanded.
        items: Vec<Item>,
        /// Only messages that changed. RFC 7162 §3.1.4.1.
        since: Option<ChangedSince>,
        /// `PARTIAL`: only a page of the messages. RFC 9394 §3.3.
        page: Option<Window>,
    },
    /// `STORE` and `UID STORE`. RFC 9051 §6.4.6.
    Store(Store),
    /// `COPY`, `MOVE` and their `UID` variants. RFC 9051 §6.4.7, §6.4.8.
    Copy {
        /// The messages.
        set: MessageSet,
        /// The target mailbox.
        mailbox: String,
        /// Whether the originals are removed: `MOVE`.
        remove_originals: bool,
    },
}

impl Request {
    /// Returns whether this command is only valid in the selected state (RFC 9051 §6.4): `CLOSE`, `UNSELECT`,
    /// `EXPUNGE`, `SEARCH`, `SORT`, `THREAD`, `FETCH`, `STORE`, `COPY`, `MOVE` and `REPLACE`, with `UID` or without.
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

    /// Returns whether this command is `FETCH`, `STORE`, `SEARCH`, `SORT` or `THREAD` without `UID`: these use sequence
    /// numbers, so no `EXPUNGE` may be sent before the reply. RFC 9051 §7.5.1.
    pub fn holds_expunges(&self) -> bool {
        match self {
            Self::Fetch { set, .. } | Self::Store(Store { set, .. }) => !set.uid,
            Self::Search(search) | Self::Sort(Sort { search, .. }) | Self::Thread(Thread { search, .. }) => !search.uid,
            _ => false,
        }
    }

    /// Returns whether this command reads or changes messages of the selected mailbox: changes by other sessions, except expunges, are reported before it
    /// is executed, so that it finds new messages. RFC 9051 §5.2, §7.
    pub fn sees_arrivals(&self) -> bool {
        let is_read = matches!(self, Self::Search(_) | Self::Sort(_) | Self::Thread(_) | Self::Fetch { .. });
        is_read || matches!(self, Self::Store(_) | Self::Copy { .. } | Self::Expunge(_) | Self::Replace(_))
    }

    /// The messages that this command changes or copies, and whether they are named by UID; `None` for other commands.
    pub fn changed_set(&mut self) -> Option<(&mut SequenceSet, bool)> {
        match self {
            Self::Store(Store { set, .. }) | Self::Copy { set, .. } | Self::Replace(Replace { old: set, .. }) => {
                Some((&mut set.set, set.uid))
            }
            Self::Expunge(Some(set)) => Some((set, true)),
            _ => None,
        }
    }

    /// Returns whether this command is only valid after `ENABLE QRESYNC`: `SELECT` or `EXAMINE` with `QRESYNC`, and
    /// `FETCH` with `VANISHED`. RFC 7162 §3.2.5, §3.2.6.
    pub fn needs_qresync(&self) -> bool {
        match self {
            Self::Select { resync, .. } => resync.is_some(),
            Self::Fetch { since, .. } => since.is_some_and(|since| since.vanished),
            _ => false,
        }
    }

    /// Returns whether this command enables CONDSTORE (RFC 7162 §3.1): `SELECT` with `CONDSTORE` or `QRESYNC`,
    /// `HIGHESTMODSEQ` in `STATUS` or `LIST`, `MODSEQ` or `CHANGEDSINCE` in `FETCH`, `UNCHANGEDSINCE` in `STORE`, the
    /// key `MODSEQ` in a search, sort or thread, and the item `MODSEQ` for the selected mailbox in `NOTIFY`.
    pub fn enables_condstore(&self) -> bool {
        match self {
            Self::Select { condstore, resync, .. } => *condstore || resync.is_some(),
            Self::Status { items, .. } => items.contains(&StatusItem::HighestModSeq),
            Self::List(list) => {
                list.returns.as_ref().is_some_and(|returns| returns.status.contains(&StatusItem::HighestModSeq))
            }
            Self::Fetch { items, since, .. } => since.is_some() || items.contains(&Item::ModSeq),
            Self::Search(search) | Self::Sort(Sort { search, .. }) | Self::Thread(Thread { search, .. }) => {
                search.key.uses_modseq()
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
    /// The messages.
    pub set: MessageSet,
    /// Whether to set, add or remove.
    pub mode: StoreMode,
    /// `.SILENT`: the new flags are not reported.
    pub silent: bool,
    /// Messages changed after this modification sequence stay as they are. RFC 7162 §3.1.3.
    pub unchanged_since: Option<u64>,
    /// The flags.
    pub flags: Flags,
}

/// Messages by sequence number or by UID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageSet {
    /// The numbers.
    pub set: SequenceSet,
    /// Whether the numbers are UIDs, also in the replies.
    pub uid: bool,
}

/// `LIST` with the options of LIST-EXTENDED. RFC 9051 §6.3.9, RFC 5258.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// `SUBSCRIBED`: list subscriptions instead of mailboxes.
    pub subscribed: bool,
    /// `RECURSIVEMATCH`: also list parents of matching names.
    pub recursive_match: bool,
    /// `SPECIAL-USE`: only mailboxes with a use. RFC 6154 §3.
    pub special_use: bool,
    /// A prefix of the patterns.
    pub reference: String,
    /// Names with wildcards.
    pub patterns: Vec<String>,
    /// What to report of each; `None` for the `LIST` of RFC 3501.
    pub returns: Option<ListReturn>,
}

/// `RETURN (...)` of `LIST`. RFC 9051 §6.3.9.6.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListReturn {
    /// `SUBSCRIBED`: mark subscribed names.
    pub subscribed: bool,
    /// `CHILDREN`: report whether there are children.
    pub children: bool,
    /// `SPECIAL-USE`: report special uses. RFC 6154 §2.
    pub special_use: bool,
    /// `STATUS (...)`. RFC 5819.
    pub status: Vec<StatusItem>,
}

/// The items of `STATUS`. RFC 9051 §6.3.11.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusItem {
    /// Number of messages.
    Messages,
    /// Number of messages with `\Recent`. RFC 3501 §6.3.10.
    Recent,
    /// The predicted next UID.
    UidNext,
    /// The UIDVALIDITY of the mailbox.
    UidValidity,
    /// Number of messages without `\Seen`.
    Unseen,
    /// Number of messages with `\Deleted`.
    Deleted,
    /// Bytes of the messages with `\Deleted`. RFC 9208 §4.1.4.
    DeletedStorage,
    /// Bytes of all messages. RFC 8438.
    Size,
    /// The largest message that `APPEND` accepts. RFC 7889 §3.1.
    AppendLimit,
    /// The highest modification sequence. RFC 7162 §3.1.7.
    HighestModSeq,
    /// The id of the mailbox. RFC 8474 §4.3.
    MailboxId,
}

impl StatusItem {
    /// All items with their names.
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
