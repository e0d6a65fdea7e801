//! The tables. Times are milliseconds since 1970.
//!
//! The module with the mailboxes has a view `entry_copy (folder, entry)` of the copies of entries, with an index by both: lists of
//! a folder read it.

use crate::store::Schema;

/// The tables of this module.
pub const SCHEMA: Schema = Schema {
    module: "catalogue",
    migrations: &[
        "
CREATE TABLE entry (
    number INTEGER PRIMARY KEY AUTOINCREMENT, -- in the order of acceptance
    journey INTEGER NOT NULL UNIQUE, -- mail::JourneyId
    content INTEGER NOT NULL REFERENCES content (id),
    trace BLOB NOT NULL,
    arrived INTEGER NOT NULL,
    reverse_path TEXT, -- NULL for the null reverse-path, and for what was appended
    recipients TEXT NOT NULL, -- JSON
    login TEXT,
    addresses TEXT NOT NULL, -- JSON: those that it is listed under
    size INTEGER NOT NULL,
    unread INTEGER NOT NULL DEFAULT 1, -- a copy lacks \\Seen; without copies: not seen
    seen INTEGER NOT NULL DEFAULT 0, -- copies to come are marked so
    tags TEXT NOT NULL DEFAULT '' -- keywords of copies to come, with a space between
) STRICT;
CREATE INDEX entry_unread ON entry (number) WHERE unread;

-- Under which addresses it is listed: recipients, and accounts with a copy.
CREATE TABLE entry_address (
    address TEXT NOT NULL,
    entry INTEGER NOT NULL,
    PRIMARY KEY (address, entry)
) STRICT, WITHOUT ROWID;

CREATE TABLE entry_tag (
    entry INTEGER NOT NULL,
    tag TEXT NOT NULL COLLATE NOCASE,
    PRIMARY KEY (entry, tag)
) STRICT, WITHOUT ROWID;
CREATE INDEX entry_tag_tag ON entry_tag (tag, entry);

-- What the indexer works out.
CREATE TABLE entry_summary (
    entry INTEGER PRIMARY KEY,
    summary TEXT NOT NULL, -- JSON
    attachments INTEGER NOT NULL,
    inlines INTEGER NOT NULL
) STRICT;
CREATE VIRTUAL TABLE entry_text USING fts5(
    sender, recipient, cc, bcc, reply_to, subject, message_id, body, tokenize = 'trigram case_sensitive 1'
);

-- Deleted while copies may be under way.
CREATE TABLE entry_deleted (
    number INTEGER PRIMARY KEY,
    journey INTEGER NOT NULL UNIQUE
) STRICT;
",
        "
-- They are those of the deleted journeys.
DROP TABLE entry_deleted;
-- What enters is not read, and costs no row of an index then.
DROP INDEX entry_unread;
CREATE INDEX entry_read ON entry (unread) WHERE unread = 0;
",
        "
-- What makes messages a thread. The summaries are worked out again, with these.
CREATE TABLE entry_thread (
    key INTEGER NOT NULL, -- the hash of a Message-ID, or of a subject
    entry INTEGER NOT NULL,
    weak INTEGER NOT NULL, -- two weak keys make no thread
    PRIMARY KEY (key, entry)
) STRICT, WITHOUT ROWID;
CREATE INDEX entry_thread_entry ON entry_thread (entry);
DELETE FROM entry_summary;
DROP TABLE entry_text;
CREATE VIRTUAL TABLE entry_text USING fts5(
    sender, recipient, cc, bcc, reply_to, subject, message_id, body, tokenize = 'trigram case_sensitive 1'
);
",
    ],
    on_content_deleted: None,
    content_owners: Some("SELECT 'the entry ' || number || ' of the catalogue' FROM entry WHERE content = ?1"),
    content_uses: Some("SELECT content, count(*) FROM entry GROUP BY 1"),
};
