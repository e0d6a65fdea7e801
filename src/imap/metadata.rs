//! Annotations of mailboxes and of the server: requests and responses. RFC 5464.

use bytes::Bytes;

use super::write::ResponseBuffer;

/// The largest value of an entry, in bytes. RFC 5464 §4.1 requires at least 1024.
pub const MAX_METADATA_BYTES: usize = 32 * 1024;

/// `GETMETADATA` or `SETMETADATA`. An empty mailbox name stands for the server.
#[derive(Clone, Debug, PartialEq)]
pub enum MetadataRequest {
    /// RFC 5464 §4.2.
    Get(GetMetadata),
    /// RFC 5464 §4.3.
    Set {
        /// The mailbox.
        mailbox: String,
        /// Entries with their new values; `None` removes an entry.
        values: Vec<(String, Option<Bytes>)>,
    },
}

/// The annotations to report. RFC 5464 §4.2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetMetadata {
    /// The mailbox.
    pub mailbox: String,
    /// The entries.
    pub entries: Vec<String>,
    /// How many levels below them.
    pub depth: Depth,
    /// `MAXSIZE`: larger values are omitted. RFC 5464 §4.2.1.
    pub size_max: Option<u32>,
}

/// How many levels below an entry. RFC 5464 §4.2.2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// `0`: the entry itself.
    #[default]
    Itself,
    /// `1`: also its children.
    Children,
    /// `infinity`: also all entries below it.
    All,
}

impl Depth {
    /// Returns whether a request for `requested` at this depth includes `entry`: always `requested` itself, with
    /// `Children` also what is one level below it, with `All` everything below it. Names are case-insensitive
    /// (RFC 5464 §3.2).
    ///
    /// ```
    /// use postroad::imap::Depth;
    /// assert!(Depth::Children.reaches("/private/a", "/private/A/b"));
    /// assert!(!Depth::Children.reaches("/private/a", "/private/a/b/c"));
    /// assert!(!Depth::All.reaches("/private/a", "/private/ab"));
    /// ```
    pub fn reaches(self, requested: &str, entry: &str) -> bool {
        let Some((top, below)) = entry.split_at_checked(requested.len()) else { return false };
        let is_below = top.eq_ignore_ascii_case(requested) && (below.is_empty() || below.starts_with('/'));
        is_below
            && match self {
                Self::Itself => below.is_empty(),
                Self::Children => below.matches('/').count() <= 1,
                Self::All => true,
            }
    }
}

/// Returns why an entry name is invalid, as text for the reply; `None` if it is valid: printable ASCII without `*` and
/// `%`, at most `MAX_ENTRY_BYTES` long, with `/private` or `/shared` in any case as its first part, no empty part, and
/// no slash at the end. A lone `/private` or `/shared` is valid. RFC 5464 §3.2.
pub(super) fn invalid_entry(entry: &str) -> Option<&'static str> {
    let scope = entry.split('/').nth(1).unwrap_or_default();
    if entry.bytes().any(|byte| !(b' '..=b'~').contains(&byte) || matches!(byte, b'*' | b'%')) {
        return Some("Entry names are ASCII without * and %");
    }
    if MAX_ENTRY_BYTES < entry.len() {
        return Some("The entry name is too long");
    }
    if !entry.starts_with('/') || entry.ends_with('/') || entry.contains("//") {
        return Some("Each part of an entry name starts with a slash");
    }
    let known = ["private", "shared"].iter().any(|known| scope.eq_ignore_ascii_case(known));
    (!known).then_some("Entry names start with /private or /shared")
}

/// Longest entry name, in bytes.
const MAX_ENTRY_BYTES: usize = 255;

impl ResponseBuffer {
    /// Writes `METADATA` of a mailbox, or of the server if its name is empty, with the names of entries that another
    /// session changed, without their values. RFC 5464 §4.4.2.
    pub fn annotated(&mut self, mailbox: &str, entries: &[String]) {
        self.text("* METADATA ").mailbox(mailbox);
        for entry in entries {
            self.text(" ").astring(entry);
        }
        self.end();
    }

    /// Writes `METADATA` of a mailbox, or of the server if its name is empty, with entries and values, at least one;
    /// the value `None` is sent as `NIL`, one with NUL as a literal8, others as a string. RFC 5464 §4.4.1.
    pub fn metadata(&mut self, mailbox: &str, values: &[(&str, Option<&[u8]>)]) {
        self.text("* METADATA ").mailbox(mailbox).text(" (");
        for (at, (entry, value)) in values.iter().enumerate() {
            self.text(if at == 0 { "" } else { " " }).astring(entry).text(" ");
            match value {
                None => self.text("NIL"),
                // RFC 5464 §5 (value): only a literal8 may contain NUL.
                Some(value) if value.contains(&0) => self.text("~").literal(value),
                Some(value) => match std::str::from_utf8(value) {
                    Ok(text) => self.string(text),
                    Err(_) => self.literal(value),
                },
            };
        }
        self.text(")").end();
    }
}
