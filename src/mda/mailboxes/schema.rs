//! The tables of the mailboxes. Dates are seconds since 1970.

use crate::store::Schema;

/// What [`crate::store::Store::open`] needs to know of us.
pub const SCHEMA: Schema = Schema {
    room: "mda",
    steps: &[
        STEP_1,
        STEP_2,
        STEP_3,
        super::quota::STEP,
        super::metadata::STEP,
        super::vanished::STEP,
        STEP_OBJECTS,
        STEP_UNTRIGGERED,
        STEP_WHOLE,
    ],
    forget: Some("DELETE FROM summary WHERE content = ?1"),
    recount: Some(super::quota::RECOUNT),
};

const STEP_1: &str = "
CREATE TABLE account (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE, -- the address, lower case, without detail
    uidvalidity INTEGER NOT NULL -- the last one given to a mailbox
) STRICT;

CREATE TABLE mailbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL REFERENCES account (id),
    name TEXT NOT NULL,
    use TEXT, -- RFC 6154, as in Sent; with a space between if several
    uidvalidity INTEGER NOT NULL,
    uidnext INTEGER NOT NULL DEFAULT 1,
    modseq INTEGER NOT NULL DEFAULT 1, -- of the last change
    recent INTEGER NOT NULL DEFAULT 1, -- no session was told of messages from this uid on
    UNIQUE (account, name)
) STRICT;

CREATE TABLE subscription (
    account INTEGER NOT NULL REFERENCES account (id),
    name TEXT NOT NULL, -- of a mailbox, which may not exist
    PRIMARY KEY (account, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE message (
    mailbox INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    content INTEGER NOT NULL,
    trace BLOB NOT NULL, -- the header lines above the content
    flags INTEGER NOT NULL, -- imap::SystemFlags
    keywords TEXT NOT NULL, -- with a space between
    modseq INTEGER NOT NULL, -- of its last change
    received INTEGER NOT NULL, -- internal date
    saved INTEGER NOT NULL, -- in this mailbox
    size INTEGER NOT NULL, -- octets, trace included
    journey TEXT, -- mail::JourneyId, where it came from
    structure BLOB, -- worked out when first asked for
    PRIMARY KEY (mailbox, uid)
) STRICT, WITHOUT ROWID;
CREATE INDEX message_modseq ON message (mailbox, modseq);

CREATE TABLE expunged (
    mailbox INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    PRIMARY KEY (mailbox, modseq, uid)
) STRICT, WITHOUT ROWID;
";

// Flags change often and are few octets; what never changes is kept apart, once for each content.
const STEP_2: &str = "
CREATE TABLE trace (
    mailbox INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    octets BLOB NOT NULL, -- the header lines above the content; a message without any has no row
    journey TEXT, -- mail::JourneyId, where it came from
    PRIMARY KEY (mailbox, uid)
) STRICT, WITHOUT ROWID;
INSERT INTO trace SELECT mailbox, uid, trace, journey FROM message WHERE length(trace) != 0;

DROP INDEX message_modseq;
ALTER TABLE message DROP COLUMN trace;
ALTER TABLE message DROP COLUMN journey;
ALTER TABLE message DROP COLUMN structure;

CREATE TABLE summary (
    content INTEGER PRIMARY KEY,
    envelope BLOB NOT NULL, -- this and the others: imap::Summary
    body_structure BLOB NOT NULL,
    sender BLOB NOT NULL,
    recipient BLOB NOT NULL,
    cc BLOB NOT NULL,
    bcc BLOB NOT NULL,
    subject BLOB NOT NULL,
    sent INTEGER,
    structure BLOB NOT NULL,
    grams BLOB NOT NULL
) STRICT;
";

// RFC 5256, RFC 8474, RFC 8970: what SORT, THREAD, EMAILID and PREVIEW ask for.
const STEP_OBJECTS: &str = "
ALTER TABLE message ADD COLUMN email INTEGER NOT NULL DEFAULT 0; -- the same for all copies
UPDATE message SET email = mailbox << 32 | uid;
ALTER TABLE summary ADD COLUMN standing BLOB; -- imap::sort::Standing
ALTER TABLE summary ADD COLUMN sent_at INTEGER;
ALTER TABLE summary ADD COLUMN preview TEXT;
";

// The first builds had triggers for every message, for each of which SQLite keeps a journal.
const STEP_UNTRIGGERED: &str = "
DROP TRIGGER IF EXISTS summary_ends;
DROP TRIGGER IF EXISTS message_comes;
DROP TRIGGER IF EXISTS message_goes;
";

// Summaries of the first builds lack addresses and parts of large messages, and dates in obsolete forms. Readers work out
// what is missing.
const STEP_WHOLE: &str = "
DELETE FROM summary;
";

// What lies in Maildirs, as it was last seen there.
const STEP_3: &str = "
CREATE TABLE maildir (
    mailbox INTEGER PRIMARY KEY, -- which may be gone, and then its folder goes too
    account INTEGER NOT NULL,
    directory TEXT NOT NULL -- empty for INBOX
) STRICT;

CREATE TABLE maildir_file (
    mailbox INTEGER NOT NULL,
    uid INTEGER NOT NULL, -- of a message, which may be gone, and then its file goes too
    base TEXT NOT NULL, -- the file's name without flags
    letters TEXT NOT NULL, -- its flags
    PRIMARY KEY (mailbox, uid)
) STRICT, WITHOUT ROWID;
";
