//! What lets a client keep up with a mailbox without asking for all of it: CONDSTORE and QRESYNC. RFC 7162.

use super::value::SequenceSet;

/// What a client has enabled; it changes how things are told. RFC 9051 §6.3.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Enabled {
    /// IMAP4rev2: no `RECENT`, always `ESEARCH`, names in UTF-8. RFC 9051 Appendix E.
    pub rev2: bool,
    /// UTF8=ACCEPT: names in UTF-8. RFC 6855 §3.
    pub utf8: bool,
    /// The client is told which annotations others have changed. RFC 5464 §4.4.
    pub metadata: bool,
    /// Flags that have changed are told with `MODSEQ`. RFC 7162 §3.1.
    pub condstore: bool,
    /// What is gone is told by UID, as `VANISHED`. RFC 7162 §3.2.3.
    pub qresync: bool,
}

/// What a client knew of a mailbox when it was here last: `QRESYNC` of `SELECT`. RFC 7162 §3.2.5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resync {
    /// UIDVALIDITY as it was; if it is another one now, the rest is worth nothing.
    pub uidvalidity: u32,
    /// All changes up to this one are known.
    pub modseq: u64,
    /// UIDs that the client cares about; `None` for all.
    pub known: Option<SequenceSet>,
}

/// `CHANGEDSINCE` of `FETCH`. RFC 7162 §3.1.4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangedSince {
    /// Only messages with a later change are told.
    pub modseq: u64,
    /// `VANISHED`: UIDs of the set that are gone are told too. RFC 7162 §3.2.6.
    pub vanished: bool,
}
