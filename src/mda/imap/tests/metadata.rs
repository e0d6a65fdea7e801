//! Annotations and special uses.

use super::*;

/// RFC 5464 §4.2, §4.3.
#[tokio::test(start_paused = true)]
async fn metadata_is_set_reported_and_removed() {
    let transcript = "
        C: a1 SETMETADATA INBOX (/private/comment \"My own\" /shared/comment \"Ours\" /private/a/b \"x\" /private/a/b/c \"y\")
        S: a1 OK SETMETADATA completed
        C: a2 GETMETADATA INBOX (/shared/comment /private/comment /private/none /private/none)
        S: * METADATA \"INBOX\" (/shared/comment \"Ours\" /private/comment \"My own\" /private/none NIL)
        S: a2 OK GETMETADATA completed
        C: a3 GETMETADATA (DEPTH 1) INBOX (/private/a)
        S: * METADATA \"INBOX\" (/private/a/b \"x\")
        S: a3 OK GETMETADATA completed
        C: a4 GETMETADATA (DEPTH infinity) INBOX (/private /private/a)
        S: * METADATA \"INBOX\" (/private/a/b \"x\" /private/a/b/c \"y\" /private/comment \"My own\")
        S: a4 OK GETMETADATA completed
        C: a5 GETMETADATA INBOX (MAXSIZE 4) (/private/comment /shared/comment)
        S: * METADATA \"INBOX\" (/shared/comment \"Ours\")
        S: a5 OK [METADATA LONGENTRIES 6] GETMETADATA completed
        C: a6 SETMETADATA INBOX (/PRIVATE/Comment NIL)
        S: a6 OK SETMETADATA completed
        C: a7 GETMETADATA INBOX /private/comment
        S: * METADATA \"INBOX\" (/private/comment NIL)
        S: a7 OK GETMETADATA completed
        C: a8 GETMETADATA Nowhere /private/comment
        S: a8 NO [NONEXISTENT] No such mailbox
        C: a9 SETMETADATA Nowhere (/private/comment \"x\")
        S: a9 NO [NONEXISTENT] No such mailbox";
    play_with(&[], transcript).await;
}

/// RFC 5464 §3.2.1.1, §3.3.
#[tokio::test(start_paused = true)]
async fn metadata_works_for_the_server() {
    let transcript = "
        C: a1 GETMETADATA \"\" (/shared/admin /shared/comment)
        S: * METADATA \"\" (/shared/admin mailto:postmaster@sina.test /shared/comment NIL)
        S: a1 OK GETMETADATA completed
        C: a2 SETMETADATA \"\" (/private/vendor/x/y \"mine\")
        S: a2 OK SETMETADATA completed
        C2: b1 GETMETADATA (DEPTH infinity) \"\" /private
        S2: * METADATA \"\" (/private/vendor/x/y \"mine\")
        S2: b1 OK GETMETADATA completed
        C: a3 SETMETADATA \"\" (/private/vendor/x/y NIL /shared/admin \"me\")
        S: a3 NO [NOPERM] Shared server annotations are read-only
        C: a4 GETMETADATA \"\" /private/vendor/x/y
        S: * METADATA \"\" (/private/vendor/x/y \"mine\")
        S: a4 OK GETMETADATA completed"
        .replace("/shared/admin mailto:postmaster@sina.test", "/shared/admin \"mailto:postmaster@sina.test\"");
    play_with(&[], &transcript).await;
}

/// RFC 5464 §4.3: nothing is set when one entry cannot be.
#[tokio::test(start_paused = true)]
async fn metadata_beyond_limits_is_refused_with_its_code() {
    let large = "x".repeat(32_769);
    let many: Vec<String> = (0..100).map(|at| format!("/private/{at} \"\"")).collect();
    let transcript = format!(
        "C: a1 SETMETADATA INBOX (/private/a \"\" /private/b {{{}+}}
        C: {large})
        S: a1 NO [METADATA MAXSIZE 32768] Value too large
        C: a2 SETMETADATA INBOX ({})
        S: a2 OK SETMETADATA completed
        C: a3 SETMETADATA INBOX (/private/0 NIL /private/a \"\" /private/b \"\")
        S: a3 NO [METADATA TOOMANY] Too many entries
        C: a4 GETMETADATA INBOX (/private/0 /private/a)
        S: * METADATA \"INBOX\" (/private/0 \"\" /private/a NIL)
        S: a4 OK GETMETADATA completed",
        large.len(),
        many.join(" ")
    );
    play_with(&[], &transcript).await;
}

/// RFC 6154 §3, §5.3.
#[tokio::test(start_paused = true)]
async fn create_accepts_known_special_uses() {
    let transcript = "
        C: a1 CREATE Special/Mine (USE (\\Drafts \\sent))
        S: a1 OK [MAILBOXID (F8)] CREATE completed
        C: a2 CREATE Everything (USE (\\All))
        S: a2 NO [USEATTR] Unknown special use
        C: a3 STATUS Everything (MESSAGES)
        S: a3 NO [NONEXISTENT] No such mailbox
        C: a4 LIST (SPECIAL-USE) \"\" S*
        S: * LIST (\\HasNoChildren \\Sent) \"/\" \"Sent\"
        S: * LIST (\\HasNoChildren \\Drafts \\Sent) \"/\" \"Special/Mine\"
        S: a4 OK LIST completed
        C: a5 RENAME Special/Mine Other
        S: a5 OK RENAME completed
        C: a6 LIST \"\" Other RETURN (SPECIAL-USE)
        S: * LIST (\\HasNoChildren \\Drafts \\Sent) \"/\" \"Other\"
        S: a6 OK LIST completed";
    play_with(&[], transcript).await;
}

/// RFC 6154 §4, §5.4.
#[tokio::test(start_paused = true)]
async fn metadata_includes_the_special_use() {
    let transcript = "
        C: a1 GETMETADATA Drafts /private/specialuse
        S: * METADATA \"Drafts\" (/private/specialuse \"\\\\Drafts\")
        S: a1 OK GETMETADATA completed
        C: a2 SETMETADATA Archive (/private/comment \"old\" /private/SpecialUse \"\\\\Junk \\\\Archive\")
        S: a2 OK SETMETADATA completed
        C: a3 LIST \"\" Archive
        S: * LIST (\\HasNoChildren \\Archive \\Junk) \"/\" \"Archive\"
        S: a3 OK LIST completed
        C: a4 SETMETADATA Archive (/private/comment NIL /private/specialuse \"\\\\All\")
        S: a4 NO [USEATTR] Unknown special use
        C: a5 GETMETADATA (DEPTH 1) Archive /private
        S: * METADATA \"Archive\" (/private/comment \"old\" /private/specialuse \"\\\\Archive \\\\Junk\")
        S: a5 OK GETMETADATA completed
        C: a6 SETMETADATA Archive (/private/specialuse NIL)
        S: a6 OK SETMETADATA completed
        C: a7 LIST \"\" Archive
        S: * LIST (\\HasNoChildren) \"/\" \"Archive\"
        S: a7 OK LIST completed
        C: a8 GETMETADATA Archive /private/specialuse
        S: * METADATA \"Archive\" (/private/specialuse NIL)
        S: a8 OK GETMETADATA completed";
    play_with(&[], transcript).await;
}

/// RFC 5464 §4.1, §4.4.2.
#[tokio::test(start_paused = true)]
async fn metadata_when_enabled_reports_changes_of_other_sessions() {
    let transcript = "
        C: a1 ENABLE METADATA
        S: * ENABLED METADATA
        S: a1 OK ENABLE completed
        C2: b1 SETMETADATA INBOX (/private/comment \"x\" /shared/comment NIL)
        S2: b1 OK SETMETADATA completed
        C2: b2 SETMETADATA \"\" (/private/comment \"y\")
        S2: b2 OK SETMETADATA completed
        C: a2 SETMETADATA Sent (/private/comment \"own\")
        S: * METADATA \"INBOX\" /private/comment /shared/comment
        S: * METADATA \"\" /private/comment
        S: a2 OK SETMETADATA completed
        C2: b3 NOOP
        S2: b3 OK NOOP completed
        C: a3 NOOP
        S: a3 OK NOOP completed
        C: a4 IDLE
        S: + idling
        C2: b4 SETMETADATA Sent (/private/specialuse NIL)
        S2: b4 OK SETMETADATA completed
        S: * METADATA \"Sent\" /private/specialuse
        C: DONE
        S: a4 OK IDLE completed";
    play_with(&[], transcript).await;
}
