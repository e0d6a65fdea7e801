//! LIST with its options, by the examples of RFC 5258, RFC 5819 and RFC 6154; and `$` after a failed search.

use super::*;

/// Plays a transcript with exactly these mailboxes and subscriptions.
async fn play_among(mailboxes: &[&str], deleted: &[&str], subscribed: &[&str], transcript: &str) {
    let fixture = Fixture::new().await;
    for listed in fixture.mailboxes.list(USER).unwrap() {
        fixture.mailboxes.subscribe(USER, &listed.name, false).await.unwrap();
        if listed.name != "INBOX" {
            fixture.mailboxes.delete(USER, &listed.name).await.unwrap();
        }
    }
    for name in mailboxes {
        fixture.mailboxes.create(USER, name).await.unwrap();
    }
    for name in deleted {
        fixture.mailboxes.delete(USER, name).await.unwrap();
    }
    for name in subscribed {
        fixture.mailboxes.subscribe(USER, name, true).await.unwrap();
    }
    play(&fixture, transcript).await;
}

/// RFC 5258 §5 (8).
#[tokio::test(start_paused = true)]
async fn list_distinguishes_children_and_subscribed_children() {
    let made = ["Foo", "Foo/Bar", "Foo/Baz", "Moo"];
    let transcript = "
        C: a1 LIST \"\" % RETURN (CHILDREN)
        S: * LIST (\\HasChildren) \"/\" \"Foo\"
        S: * LIST (\\HasNoChildren) \"/\" \"INBOX\"
        S: * LIST (\\HasNoChildren) \"/\" \"Moo\"
        S: a1 OK LIST completed
        C: a2 LIST (SUBSCRIBED) \"\" *
        S: * LIST (\\Subscribed \\HasNoChildren) \"/\" \"Foo/Baz\"
        S: a2 OK LIST completed
        C: a3 LIST (SUBSCRIBED) \"\" %
        S: a3 OK LIST completed
        C: a4 LIST (SUBSCRIBED RECURSIVEMATCH) \"\" %
        S: * LIST (\\HasChildren) \"/\" \"Foo\" (\"CHILDINFO\" (\"SUBSCRIBED\"))
        S: a4 OK LIST completed
        C: a5 SUBSCRIBE Foo
        S: a5 OK SUBSCRIBE completed
        C: a6 LIST (SUBSCRIBED RECURSIVEMATCH) \"\" %
        S: * LIST (\\Subscribed \\HasChildren) \"/\" \"Foo\" (\"CHILDINFO\" (\"SUBSCRIBED\"))
        S: a6 OK LIST completed
        C: a7 UNSUBSCRIBE Foo/Baz
        S: a7 OK UNSUBSCRIBE completed
        C: a8 LIST (SUBSCRIBED RECURSIVEMATCH) \"\" %
        S: * LIST (\\Subscribed \\HasChildren) \"/\" \"Foo\"
        S: a8 OK LIST completed";
    play_among(&made, &[], &["Foo/Baz"], transcript).await;
}

/// RFC 9051 §5.1.
#[tokio::test(start_paused = true)]
async fn list_matches_inbox_in_any_case_also_in_front_of_names_below_it() {
    let transcript = "
        C: a1 LIST \"\" inbox/*
        S: * LIST (\\HasNoChildren) \"/\" \"INBOX/x\"
        S: a1 OK LIST completed
        C: a2 LIST \"\" InBox/X
        S: a2 OK LIST completed
        C: a3 LIST \"\" Inbox*
        S: * LIST (\\HasChildren) \"/\" \"INBOX\"
        S: * LIST (\\HasNoChildren) \"/\" \"INBOX/x\"
        S: a3 OK LIST completed";
    play_among(&["INBOX/x"], &[], &[], transcript).await;
}

/// RFC 5258 §3.5, §5 (9).
#[tokio::test(start_paused = true)]
async fn list_reports_parents_of_unlisted_matches() {
    let made = ["foo2/bar1", "foo2/bar2", "baz2/bar2", "baz2/bar22", "eps2/mamba", "qux2/bar2"];
    let subscribed = ["foo2/bar1", "foo2/bar2", "baz2/bar2", "baz2/bar22", "eps2", "eps2/mamba", "qux2/bar2"];
    let transcript = "
        C: a1 LIST (RECURSIVEMATCH SUBSCRIBED) \"\" *2
        S: * LIST (\\Subscribed \\HasNoChildren) \"/\" \"baz2/bar2\"
        S: * LIST (\\Subscribed \\HasNoChildren) \"/\" \"baz2/bar22\"
        S: * LIST (\\Subscribed \\HasChildren) \"/\" \"eps2\" (\"CHILDINFO\" (\"SUBSCRIBED\"))
        S: * LIST (\\HasChildren) \"/\" \"foo2\" (\"CHILDINFO\" (\"SUBSCRIBED\"))
        S: * LIST (\\Subscribed \\HasNoChildren) \"/\" \"foo2/bar2\"
        S: * LIST (\\Subscribed \\HasNoChildren) \"/\" \"qux2/bar2\"
        S: a1 OK LIST completed
        C: a2 LIST (RECURSIVEMATCH) \"\" *
        S: a2 BAD RECURSIVEMATCH needs SUBSCRIBED
        C: a3 LIST (RECURSIVEMATCH REMOTE SPECIAL-USE) \"\" *
        S: a3 BAD RECURSIVEMATCH needs SUBSCRIBED";
    play_among(&made, &["qux2"], &subscribed, transcript).await;
}

/// RFC 5258 §5 (2, 6, 10, 11).
#[tokio::test(start_paused = true)]
async fn list_reports_names_without_a_mailbox_where_needed() {
    let transcript = "
        C: a1 LIST () \"\" m%
        S: * LIST (\\NonExistent \\HasChildren) \"/\" \"music\"
        S: a1 OK LIST completed
        C: a2 LIST \"\" (m% music/rock)
        S: * LIST (\\HasNoChildren) \"/\" \"music/rock\"
        S: a2 OK LIST completed
        C: a3 LIST \"\" m*
        S: * LIST (\\Noselect \\HasChildren) \"/\" \"music\"
        S: * LIST (\\HasNoChildren) \"/\" \"music/rock\"
        S: a3 OK LIST completed
        C: a4 LIST (SUBSCRIBED) \"\" *
        S: * LIST (\\NonExistent \\Subscribed \\HasNoChildren) \"/\" \"foo/bar\"
        S: a4 OK LIST completed
        C: a5 LIST \"\" foo* RETURN (SUBSCRIBED)
        S: * LIST (\\HasNoChildren) \"/\" \"foo\"
        S: a5 OK LIST completed
        C: a6 LIST (SUBSCRIBED RECURSIVEMATCH) \"\" foo RETURN (CHILDREN)
        S: * LIST (\\HasNoChildren) \"/\" \"foo\" (\"CHILDINFO\" (\"SUBSCRIBED\"))
        S: a6 OK LIST completed";
    play_among(&["music/rock", "foo"], &["music"], &["foo/bar"], transcript).await;
}

/// RFC 5819 §2, §3.
#[tokio::test(start_paused = true)]
async fn list_status_covers_only_matching_mailboxes() {
    let transcript = "
        C: a1 LIST (SUBSCRIBED RECURSIVEMATCH) \"\" % RETURN (STATUS (MESSAGES))
        S: * LIST (\\Subscribed \\HasNoChildren) \"/\" \"INBOX\"
        S: * STATUS \"INBOX\" (MESSAGES 0)
        S: * LIST (\\HasChildren) \"/\" \"foo\" (\"CHILDINFO\" (\"SUBSCRIBED\"))
        S: * LIST (\\NonExistent \\Subscribed \\HasNoChildren) \"/\" \"gone\"
        S: a1 OK LIST completed";
    play_among(&["foo/bar"], &[], &["INBOX", "foo/bar", "gone"], transcript).await;
}

/// RFC 5182 §2.1, §2.2 (5).
#[tokio::test(start_paused = true)]
async fn search_save_when_failed_clears_the_saved_result() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C: a2 SEARCH RETURN (SAVE) ALL
        S: a2 OK SEARCH completed
        C: a3 SEARCH CHARSET KOI8-R ALL
        S: a3 NO [BADCHARSET (US-ASCII UTF-8)] Unknown charset
        C: a4 SEARCH RETURN (COUNT) $
        S: * ESEARCH (TAG \"a4\") COUNT 2
        S: a4 OK SEARCH completed
        C: b1 UID SEARCH UID $ NOT SMALLER 1
        S: * SEARCH 1 2
        S: b1 OK SEARCH completed
        C: b2 SEARCH OR NOT $ 2
        S: * SEARCH 2
        S: b2 OK SEARCH completed
        C: a5 SEARCH RETURN (SAVE) CHARSET KOI8-R (OR $ 1,3000:3021) TEXT {{4+}}
        C: XXXX
        S: a5 NO [BADCHARSET (US-ASCII UTF-8)] Unknown charset
        C: a6 SEARCH RETURN (COUNT) $
        S: * ESEARCH (TAG \"a6\") COUNT 0
        S: a6 OK SEARCH completed
        C: a7 FETCH $ UID
        S: a7 OK FETCH completed
        C: a8 COPY $ Archive
        S: a8 OK No matching messages",
        selected("a1", 2, 2, 3)
    );
    play_with(&["one", "two"], &transcript).await;
}

/// RFC 3501 §5.1.3: such a command is well-formed, but there is no such mailbox.
#[tokio::test(start_paused = true)]
async fn name_that_is_not_modified_utf7_names_no_mailbox() {
    let transcript = "
        C: a1 SELECT &AA
        S: a1 NO [NONEXISTENT] No such mailbox
        C: a2 STATUS \"&-&x\" (MESSAGES)
        S: a2 NO [NONEXISTENT] No such mailbox
        C: a3 LIST \"\" &AA
        S: a3 OK LIST completed
        C: a4 LIST \"\" (Sent &AA)
        S: * LIST (\\HasNoChildren \\Sent) \"/\" \"Sent\"
        S: a4 OK LIST completed
        C: a5 LSUB \"\" &AA
        S: a5 OK LSUB completed
        C: a6 CREATE &AA
        S: a6 NO [CANNOT] a mailbox name must not contain control characters, * or %
        C: a7 GETQUOTAROOT &AA
        S: a7 NO [NONEXISTENT] No such mailbox";
    play_with(&[], transcript).await;
}
