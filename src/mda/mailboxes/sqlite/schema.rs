//! The tables of the mailboxes. Dates are seconds since 1970.

use crate::store::Schema;

/// What [`crate::store::Store::open`] needs to know of this module.
pub const SCHEMA: Schema = Schema {
    module: "mda",
    migrations: &[
        "
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
    messages INTEGER NOT NULL DEFAULT 0, -- from here to recents: Counters
    octets INTEGER NOT NULL DEFAULT 0,
    unseen INTEGER NOT NULL DEFAULT 0,
    deleted INTEGER NOT NULL DEFAULT 0,
    deleted_octets INTEGER NOT NULL DEFAULT 0,
    recents INTEGER NOT NULL DEFAULT 0,
    forgotten INTEGER NOT NULL DEFAULT 0, -- what went up to this change is not in expunged
    UNIQUE (account, name)
) STRICT;

CREATE TABLE subscription (
    account INTEGER NOT NULL REFERENCES account (id),
    name TEXT NOT NULL, -- of a mailbox, which may not exist
    PRIMARY KEY (account, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE metadata (
    account INTEGER NOT NULL REFERENCES account (id),
    mailbox INTEGER NOT NULL, -- 0 for the account as a whole
    entry TEXT NOT NULL COLLATE NOCASE,
    value BLOB NOT NULL,
    PRIMARY KEY (account, mailbox, entry)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER metadata_ends AFTER DELETE ON mailbox BEGIN
    DELETE FROM metadata WHERE account = old.account AND mailbox = old.id;
END;

CREATE TABLE message (
    mailbox INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    content INTEGER NOT NULL,
    flags INTEGER NOT NULL, -- imap::SystemFlags
    keywords TEXT NOT NULL, -- with a space between
    modseq INTEGER NOT NULL, -- of its last change
    received INTEGER NOT NULL, -- internal date
    saved INTEGER NOT NULL, -- in this mailbox
    size INTEGER NOT NULL, -- bytes, trace included
    email INTEGER NOT NULL, -- RFC 8474: the same for all copies
    PRIMARY KEY (mailbox, uid)
) STRICT, WITHOUT ROWID;

-- What never changes of a message.
CREATE TABLE trace (
    mailbox INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    octets BLOB NOT NULL, -- the header lines above the content; a message without any has no row
    journey TEXT, -- mail::JourneyId, where it came from
    PRIMARY KEY (mailbox, uid)
) STRICT, WITHOUT ROWID;

CREATE TABLE expunged (
    mailbox INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    PRIMARY KEY (mailbox, modseq, uid)
) STRICT, WITHOUT ROWID;

-- What is worked out of a content once, before it is committed: imap::Summary.
CREATE TABLE summary (
    content INTEGER PRIMARY KEY,
    header BLOB, -- this and whole_header: imap::KeptHeader
    whole_header INTEGER NOT NULL,
    envelope BLOB NOT NULL,
    body_structure BLOB NOT NULL,
    sender BLOB NOT NULL,
    recipient BLOB NOT NULL,
    cc BLOB NOT NULL,
    bcc BLOB NOT NULL,
    subject BLOB NOT NULL,
    sent INTEGER,
    structure BLOB NOT NULL,
    grams BLOB NOT NULL,
    standing BLOB, -- imap::sort::SortKeys
    sent_at INTEGER,
    preview TEXT
) STRICT;

-- What lies in Maildirs, as it was last seen there.
CREATE TABLE maildir (
    mailbox INTEGER PRIMARY KEY, -- which may be gone, and then its folder goes too
    account INTEGER NOT NULL,
    directory TEXT NOT NULL -- empty for INBOX
) STRICT;
CREATE TABLE maildir_file (
    mailbox INTEGER NOT NULL,
    uid INTEGER NOT NULL, -- of a message, which may be gone, and then its file goes too
    base TEXT NOT NULL, -- the file's name without flags
    flag_chars TEXT NOT NULL, -- its flags
    PRIMARY KEY (mailbox, uid)
) STRICT, WITHOUT ROWID;
",
        "
-- The entry of the catalogue whose copy it is.
ALTER TABLE trace ADD COLUMN entry INTEGER;
CREATE INDEX trace_entry ON trace (entry) WHERE entry IS NOT NULL;
",
        "
-- The entries with a copy in a mailbox, for the lists of the catalogue.
CREATE INDEX trace_folder ON trace (mailbox, entry) WHERE entry IS NOT NULL;
CREATE VIEW entry_copy (folder, entry) AS SELECT mailbox, entry FROM trace WHERE entry IS NOT NULL;
",
        "
-- What most messages have the same way takes no room, and is read faster.
CREATE TABLE compact_message (
    mailbox INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    content INTEGER NOT NULL,
    flags INTEGER NOT NULL, -- imap::SystemFlags
    keywords TEXT, -- with a space between; NULL: none
    modseq INTEGER NOT NULL, -- of its last change
    received INTEGER NOT NULL, -- internal date
    saved INTEGER, -- in this mailbox; NULL: when it was received
    size INTEGER NOT NULL, -- bytes, trace included
    email INTEGER, -- RFC 8474: the same for all copies; NULL: mailbox << 32 | uid
    PRIMARY KEY (mailbox, uid)
) STRICT, WITHOUT ROWID;
INSERT INTO compact_message
    SELECT mailbox, uid, content, flags, nullif(keywords, ''), modseq, received, nullif(saved, received), size,
        nullif(email, mailbox << 32 | uid)
    FROM message;
DROP TABLE message;
ALTER TABLE compact_message RENAME TO message;
",
        "
-- 'SAVED EMAIL': when it was added to this mailbox, and its email id (RFC 8474: the same for all copies);
-- NULL: when it was received, and mailbox << 32 | uid. One column, since each takes time in a SELECT.
ALTER TABLE message ADD COLUMN origin TEXT;
UPDATE message SET origin = ifnull(saved, received) || ' ' || ifnull(email, mailbox << 32 | uid)
    WHERE saved IS NOT NULL OR email IS NOT NULL;
ALTER TABLE message DROP COLUMN saved;
ALTER TABLE message DROP COLUMN email;
",
    ],
    on_content_deleted: Some("DELETE FROM summary WHERE content = ?1"),
    content_owners: Some(
        "SELECT 'the message with UID ' || uid || ' in ' || mailbox.name || ' of ' || account.key FROM message
         JOIN mailbox ON mailbox.id = message.mailbox JOIN account ON account.id = mailbox.account
         WHERE content = ?1",
    ),
    content_uses: Some("SELECT content, count(*) FROM message GROUP BY 1"),
};
