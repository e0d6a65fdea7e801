//! Annotations of mailboxes and of the server: what a client asks, and what it is told. RFC 5464.

use bytes::Bytes;

use super::write::Out;

/// The largest value of an entry, in octets. RFC 5464 §4.1 asks for 1024 at least.
pub const METADATA_OCTETS_MAX: usize = 32 * 1024;

/// `GETMETADATA` or `SETMETADATA`. An empty name of a mailbox stands for the server.
#[derive(Clone, Debug, PartialEq)]
pub enum MetadataRequest {
    /// RFC 5464 §4.2.
    Get(GetMetadata),
    /// RFC 5464 §4.3.
    Set {
        /// Whose annotations.
        mailbox: String,
        /// Entries with their new values; `None` removes.
        values: Vec<(String, Option<Bytes>)>,
    },
}

/// Which annotations to tell. RFC 5464 §4.2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetMetadata {
    /// Whose annotations.
    pub mailbox: String,
    /// The entries.
    pub entries: Vec<String>,
    /// How far below them.
    pub depth: Depth,
    /// `MAXSIZE`: larger values are left out. RFC 5464 §4.2.1.
    pub size_max: Option<u32>,
}

/// How far below an entry. RFC 5464 §4.2.2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// `0`: the entry itself.
    #[default]
    Itself,
    /// `1`: also those just below it.
    Children,
    /// `infinity`: also all below it.
    All,
}

impl Depth {
    /// Whether someone who asks for `asked` means `entry`. RFC 5464 §3.2: their case does not matter.
    ///
    /// ```
    /// use postroad::imap::Depth;
    /// assert!(Depth::Children.reaches("/private/a", "/private/A/b"));
    /// assert!(!Depth::Children.reaches("/private/a", "/private/a/b/c"));
    /// assert!(!Depth::All.reaches("/private/a", "/private/ab"));
    /// ```
    pub fn reaches(self, asked: &str, entry: &str) -> bool {
        let Some((top, below)) = entry.split_at_checked(asked.len()) else { return false };
        let is_below = top.eq_ignore_ascii_case(asked) && (below.is_empty() || below.starts_with('/'));
        is_below
            && match self {
                Self::Itself => below.is_empty(),
                Self::Children => below.matches('/').count() <= 1,
                Self::All => true,
            }
    }
}

/// Why a name is none of an entry; `None` when it is one. RFC 5464 §3.2.
pub(super) fn wrong_entry(entry: &str) -> Option<&'static str> {
    let scope = entry.split('/').nth(1).unwrap_or_default();
    if entry.bytes().any(|byte| !(b' '..=b'~').contains(&byte) || matches!(byte, b'*' | b'%')) {
        return Some("the name of an entry is ASCII without * and %");
    }
    if ENTRY_OCTETS_MAX < entry.len() {
        return Some("the name of an entry is too long");
    }
    if !entry.starts_with('/') || entry.ends_with('/') || entry.contains("//") {
        return Some("the name of an entry has parts with a / before each");
    }
    let known = ["private", "shared"].iter().any(|known| scope.eq_ignore_ascii_case(known));
    (!known).then_some("an entry is /private/... or /shared/...")
}

/// Longer names are refused.
const ENTRY_OCTETS_MAX: usize = 255;

impl Out {
    /// `METADATA` with the names of entries that somebody has changed. RFC 5464 §4.4.2.
    pub fn annotated(&mut self, mailbox: &str, entries: &[String]) {
        self.text("* METADATA ").mailbox(mailbox);
        for entry in entries {
            self.text(" ").astring(entry);
        }
        self.end();
    }

    /// `METADATA`, with at least one entry. RFC 5464 §4.4.1.
    pub fn metadata(&mut self, mailbox: &str, values: &[(&str, Option<&[u8]>)]) {
        self.text("* METADATA ").mailbox(mailbox).text(" (");
        for (at, (entry, value)) in values.iter().enumerate() {
            self.text(if at == 0 { "" } else { " " }).astring(entry).text(" ");
            match value {
                None => self.text("NIL"),
                // RFC 5464 §5 (value): only a literal8 holds a NUL.
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
