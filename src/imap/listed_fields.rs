//! What is kept of a header apart from the message: the fields that clients ask for when they list messages, so that a list
//! is written without a look at the messages; of a large message the whole header, so that it is read without the body.

use super::structure::fields;

/// Their names in lower case; and all that begin with `list-`. The fields that hosts add on top of a message
/// ([`crate::mail::Message::trace`]) are not among them.
const NAMES: [&str; 33] = [
    "auto-submitted",
    "bcc",
    "cc",
    "content-description",
    "content-language",
    "content-transfer-encoding",
    "content-type",
    "date",
    "disposition-notification-to",
    "from",
    "importance",
    "in-reply-to",
    "lines",
    "mail-followup-to",
    "mail-reply-to",
    "message-id",
    "mime-version",
    "newsgroups",
    "precedence",
    "priority",
    "references",
    "reply-to",
    "sender",
    "subject",
    "to",
    "user-agent",
    "x-label",
    "x-mailer",
    "x-mailing-list",
    "x-msmail-priority",
    "x-original-to",
    "x-priority",
    "x-spam-flag",
];
const PREFIX: &str = "list-";

/// More bytes are not kept; then the message is read.
const MAX_KEPT_BYTES: usize = 8 * 1024;
/// Of a message from this size on, the whole header is kept.
const LARGE_MESSAGE_BYTES: usize = 16 * 1024;

/// What is kept of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptHeader<T> {
    /// The fields as they are, in order.
    pub bytes: T,
    /// Whether these are all, with the empty line at the end.
    pub is_whole: bool,
}

/// Returns whether the fields of this name, in any case, are kept of every message, also of small ones: the name is one
/// of a fixed list, such as `subject` and `message-id`, or begins with `list-`.
pub fn is_listed_field(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    NAMES.binary_search(&name.as_str()).is_ok() || name.starts_with(PREFIX)
}

impl KeptHeader<Vec<u8>> {
    /// Returns what is kept of a header, given with its empty line: all of it if the content, header included, has at
    /// least `LARGE_MESSAGE_BYTES`, and the header at most `MAX_KEPT_BYTES`; else its listed fields; `None` if these
    /// are longer than that.
    pub(super) fn of(header: &[u8], content_bytes: usize) -> Option<Self> {
        if LARGE_MESSAGE_BYTES <= content_bytes && header.len() <= MAX_KEPT_BYTES {
            return Some(Self { bytes: header.to_vec(), is_whole: true });
        }
        let mut bytes = Vec::new();
        for field in fields(header) {
            if std::str::from_utf8(field.name).is_ok_and(is_listed_field) {
                bytes.extend_from_slice(field.whole);
            }
        }
        (bytes.len() <= MAX_KEPT_BYTES).then_some(Self { bytes, is_whole: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_header_has_the_listed_fields_or_all_of_a_large_message() {
        assert!(NAMES.is_sorted());
        assert!(is_listed_field("Message-ID") && is_listed_field("LIST-Post") && !is_listed_field("Received"));
        let header = b"Subject: a\r\n b\r\nX-Run: 1\r\nFROM : x\r\nList-Id: <l>\r\n\r\n";
        let listed = b"Subject: a\r\n b\r\nFROM : x\r\nList-Id: <l>\r\n".to_vec();
        assert_eq!(KeptHeader::of(header, 100), Some(KeptHeader { bytes: listed, is_whole: false }));
        let whole = Some(KeptHeader { bytes: header.to_vec(), is_whole: true });
        assert_eq!(KeptHeader::of(header, LARGE_MESSAGE_BYTES), whole);
        let long = format!("Subject: x\r\nX-Long: {}\r\n\r\n", "x".repeat(MAX_KEPT_BYTES));
        let listed = Some(KeptHeader { bytes: b"Subject: x\r\n".to_vec(), is_whole: false });
        assert_eq!(KeptHeader::of(long.as_bytes(), LARGE_MESSAGE_BYTES), listed);
        let long = format!("Subject: {}\r\n\r\n", "x".repeat(MAX_KEPT_BYTES));
        assert_eq!(KeptHeader::of(long.as_bytes(), 100), None);
    }
}
