//! Efficient resynchronisation: CONDSTORE and QRESYNC. RFC 7162.

use super::value::SequenceSet;

/// The extensions that a client has enabled; they change the responses. RFC 9051 §6.3.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Enabled {
    /// IMAP4rev2: no `RECENT`, always `ESEARCH`, names in UTF-8. RFC 9051 Appendix E.
    pub rev2: bool,
    /// UTF8=ACCEPT: names in UTF-8. RFC 6855 §3.
    pub utf8: bool,
    /// METADATA: changes of annotations by other sessions are reported. RFC 5464 §4.4.
    pub metadata: bool,
    /// CONDSTORE: changed flags are reported with `MODSEQ`. RFC 7162 §3.1.
    pub condstore: bool,
    /// QRESYNC: expunges are reported by UID, as `VANISHED`. RFC 7162 §3.2.3.
    pub qresync: bool,
}

/// The state of a mailbox that a client remembers: `QRESYNC` of `SELECT`. RFC 7162 §3.2.5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resync {
    /// The remembered UIDVALIDITY; if it has changed, the rest is ignored.
    pub uidvalidity: u32,
    /// The client knows all changes up to this modification sequence.
    pub modseq: u64,
    /// The UIDs that the client remembers; `None` for all.
    pub known: Option<SequenceSet>,
}

/// `CHANGEDSINCE` of `FETCH`. RFC 7162 §3.1.4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangedSince {
    /// Only messages changed later are reported.
    pub modseq: u64,
    /// `VANISHED`: expunged UIDs of the set are reported too. RFC 7162 §3.2.6.
    pub vanished: bool,
}
