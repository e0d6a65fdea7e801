//! METADATA and CREATE-SPECIAL-USE. RFC 5464, RFC 6154 §3.

use super::*;
use crate::imap::metadata::{GetMetadata, MetadataRequest};

/// A test owner that returns the parameters of the request as values.
pub(super) fn answer(session: &mut Session, request: MetadataRequest) {
    match request {
        MetadataRequest::Get(GetMetadata { mailbox, entries, depth, size_max }) => {
            let asked = format!("{depth:?} {}", size_max.unwrap_or_default());
            let value = |entry: &str| match entry.rsplit('/').next() {
                Some("none") => None,
                Some("nul") => Some(&b"a\0b"[..]),
                Some("lines") => Some(&b"a\r\nb"[..]),
                Some("noise") => Some(&b"\xff"[..]),
                _ => Some(asked.as_bytes()),
            };
            let values: Vec<_> = entries.iter().map(|entry| (entry.as_str(), value(entry))).collect();
            session.out().metadata(&mailbox, &values);
            session.done(&Reply::ok("done").with(Code::LongEntries(9)));
        }
        MetadataRequest::Set { mailbox, values } => {
            let values: Vec<_> = values.iter().map(|(entry, value)| (entry.as_str(), value.as_deref())).collect();
            session.out().metadata(&mailbox, &values);
            session.done(&Reply::no("Not here").with(Code::MetadataMaxSize(7)));
        }
    }
}

/// RFC 5464 §4.2, §5.
#[test]
fn getmetadata_accepts_options_before_and_after_the_mailbox() {
    play_as_ann(
        "
        C: a1 GETMETADATA \"\" /shared/comment
        S: * METADATA \"\" (/shared/comment \"Itself 0\")
        S: a1 OK [METADATA LONGENTRIES 9] done
        C: a2 GETMETADATA (MAXSIZE 1024 DEPTH infinity) inbox (/private/a \"/Private/b c\")
        S: * METADATA \"INBOX\" (/private/a \"All 1024\" \"/Private/b c\" \"All 1024\")
        S: a2 OK [METADATA LONGENTRIES 9] done
        C: a3 GETMETADATA INBOX (DEPTH 1) /private
        S: * METADATA \"INBOX\" (/private \"Children 0\")
        S: a3 OK [METADATA LONGENTRIES 9] done
        C: a4 GETMETADATA INBOX (MAXSIZE 5) (/private/none)
        S: * METADATA \"INBOX\" (/private/none NIL)
        S: a4 OK [METADATA LONGENTRIES 9] done
        C: a5 GETMETADATA INBOX (/private/nul {14+}
        C: /private/lines)
        S: * METADATA \"INBOX\" (/private/nul ~{3}
    "
        .replace("~{3}", "~{3}\nS: a\0b /private/lines {4}\nS: a\nS: b)\nS: a5 OK [METADATA LONGENTRIES 9] done")
        .as_str(),
    );
}

/// RFC 5464 §4.3, §5.
#[test]
fn setmetadata_accepts_strings_literals_and_nil() {
    play_as_ann(
        "
        C: a1 SETMETADATA INBOX (/private/comment {3}
        S: + Ready for literal data
        C: two /shared/a \"\" /shared/b NIL)
        S: * METADATA \"INBOX\" (/private/comment \"two\" /shared/a \"\" /shared/b NIL)
        S: a1 NO [METADATA MAXSIZE 7] Not here
        C: a2 SETMETADATA \"\" (/private/a ~{3+}
        C: a\0b)
        S: * METADATA \"\" (/private/a ~{3}
        S: a\0b)
        S: a2 NO [METADATA MAXSIZE 7] Not here
        C: a3 SETMETADATA INBOX (/private/a {70000}
        S: a3 NO [METADATA MAXSIZE 32768] Value too large
    ",
    );
}

/// RFC 5464 §3.2.
#[test]
fn metadata_with_invalid_entry_names_is_refused() {
    for (command, why) in [
        ("GETMETADATA INBOX /other/a", "Entry names start with /private or /shared"),
        ("GETMETADATA INBOX /private//a", "Each part of an entry name starts with a slash"),
        ("GETMETADATA INBOX /private/", "Each part of an entry name starts with a slash"),
        ("GETMETADATA INBOX private/a", "Each part of an entry name starts with a slash"),
        ("GETMETADATA INBOX \"/private/*\"", "Entry names are ASCII without * and %"),
        ("GETMETADATA INBOX ()", "A string is missing"),
        ("GETMETADATA (DEPTH 2) INBOX /private/a", "DEPTH is 0, 1 or infinity"),
        ("GETMETADATA (SIZE 2) INBOX /private/a", "Unknown option"),
        ("SETMETADATA INBOX (/private \"a\")", "An entry name has at least two parts"),
        ("SETMETADATA INBOX (/private/vendor/x \"a\")", "An entry name under vendor has at least four parts"),
        ("SETMETADATA INBOX (/private/a)", "A space is missing"),
        ("SETMETADATA INBOX (/private/a b)", "A value is missing"),
        ("SETMETADATA INBOX ()", "An entry is missing"),
    ] {
        play_as_ann(&format!("C: a1 {command}\nS: a1 BAD {why}"));
    }
}

/// RFC 6154 §3, §6.
#[test]
fn create_accepts_special_uses() {
    play_as_ann(
        "
        C: a1 CREATE Mine (USE (\\Drafts \\Sent))
        S: a1 OK made for \\Drafts \\Sent
        C: a2 CREATE Mine (use ())
        S: a2 OK made for nothing
        C: a3 CREATE Mine
        S: a3 OK made for nothing
        C: a4 CREATE Mine (COLOUR blue)
        S: a4 BAD Unknown parameter
        C: a5 CREATE Mine (USE (Sent))
        S: a5 BAD A special use begins with a backslash
    ",
    );
}

/// RFC 5464 §4.1.
#[test]
fn enable_accepts_metadata() {
    play_as_ann(
        "
        C: a1 ENABLE METADATA IMAP4rev2
        S: * ENABLED IMAP4rev2 METADATA
        S: a1 OK ENABLE completed
    ",
    );
}
