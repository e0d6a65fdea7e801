//! LIST with its options, by the examples of RFC 5258, RFC 5819 and RFC 6154; and what a failed search leaves of `$`.

use super::*;

/// Plays a transcript where these mailboxes were made and those are subscribed, nothing else.
async fn play_among(mailboxes: &[&str], deleted: &[&str], subscribed: &[&str], transcript: &str) {
    let scene = Scene::new().await;
    for listed in scene.mailboxes.list(USER).unwrap() {
        scene.mailboxes.subscribe(USER, &listed.name, false).await.unwrap();
        if listed.name != "INBOX" {
            scene.mailboxes.delete(USER, &listed.name).await.unwrap();
        }
    }
    for name in mailboxes {
        scene.mailboxes.create(USER, name).await.unwrap();
    }
    for name in deleted {
        scene.mailboxes.delete(USER, name).await.unwrap();
    }
    for name in subscribed {
        scene.mailboxes.subscribe(USER, name, true).await.unwrap();
    }
    play(&scene, transcript).await;
}

/// RFC 5258 §5 (8).
#[tokio::test(start_paused = true)]
async fn children_and_subscribed_children_are_told_apart() {
    let made = ["Foo", "Foo/Bar", "Foo/Baz", "Moo"];
    let transcript = "
        C: a1 LIST \"\" % RETURN (CHILDREN)
        S: * LIST (\\HasChildren) \"/\" \"Foo\"
        S: * LIST (\\HasNoChildren) \"/\" \"INBOX\"
        S: * LIST (\\HasNoChildren) \"/\" \"Moo\"
        S: a1 OK that is all
        C: a2 LIST (SUBSCRIBED) \"\" *
        S: * LIST (\\Subscribed \\HasNoChildren) \"/\" \"Foo/Baz\"
        S: a2 OK that is all
        C: a3 LIST (SUBSCRIBED) \"\" %
        S: a3 OK that is all
        C: a4 LIST (SUBSCRIBED RECURSIVEMATCH) \"\" %
        S: * LIST (\\HasChildren) \"/\" \"Foo\" (\"CHILDINFO\" (\"SUBSCRIBED\"))
        S: a4 OK that is all
        C: a5 SUBSCRIBE Foo
        S: a5 OK subscribed
        C: a6 LIST (SUBSCRIBED RECURSIVEMATCH) \"\" %
        S: * LIST (\\Subscribed \\HasChildren) \"/\" \"Foo\" (\"CHILDINFO\" (\"SUBSCRIBED\"))
        S: a6 OK that is all
        C: a7 UNSUBSCRIBE Foo/Baz
        S: a7 OK no longer subscribed
        C: a8 LIST (SUBSCRIBED RECURSIVEMATCH) \"\" %
        S: * LIST (\\Subscribed \\HasChildren) \"/\" \"Foo\"
        S: a8 OK that is all";
    play_among(&made, &[], &["Foo/Baz"], transcript).await;
}

/// RFC 5258 §3.5, §5 (9).
#[tokio::test(start_paused = true)]
async fn a_parent_is_told_for_children_that_are_not_told_themselves() {
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
        S: a1 OK that is all
        C: a2 LIST (RECURSIVEMATCH) \"\" *
        S: a2 BAD RECURSIVEMATCH needs SUBSCRIBED
        C: a3 LIST (RECURSIVEMATCH REMOTE SPECIAL-USE) \"\" *
        S: a3 BAD RECURSIVEMATCH needs SUBSCRIBED";
    play_among(&made, &["qux2"], &subscribed, transcript).await;
}

/// RFC 5258 §5 (2, 6, 10, 11).
#[tokio::test(start_paused = true)]
async fn names_without_a_mailbox_are_told_where_they_stand_for_something() {
    let transcript = "
        C: a1 LIST () \"\" m%
        S: * LIST (\\NonExistent \\HasChildren) \"/\" \"music\"
        S: a1 OK that is all
        C: a2 LIST \"\" (m% music/rock)
        S: * LIST (\\HasNoChildren) \"/\" \"music/rock\"
        S: a2 OK that is all
        C: a3 LIST \"\" m*
        S: * LIST (\\Noselect \\HasChildren) \"/\" \"music\"
        S: * LIST (\\HasNoChildren) \"/\" \"music/rock\"
        S: a3 OK that is all
        C: a4 LIST (SUBSCRIBED) \"\" *
        S: * LIST (\\NonExistent \\Subscribed \\HasNoChildren) \"/\" \"foo/bar\"
        S: a4 OK that is all
        C: a5 LIST \"\" foo* RETURN (SUBSCRIBED)
        S: * LIST (\\HasNoChildren) \"/\" \"foo\"
        S: a5 OK that is all
        C: a6 LIST (SUBSCRIBED RECURSIVEMATCH) \"\" foo RETURN (CHILDREN)
        S: * LIST (\\HasNoChildren) \"/\" \"foo\" (\"CHILDINFO\" (\"SUBSCRIBED\"))
        S: a6 OK that is all";
    play_among(&["music/rock", "foo"], &["music"], &["foo/bar"], transcript).await;
}

/// RFC 5819 §2, §3.
#[tokio::test(start_paused = true)]
async fn status_is_told_of_what_fits_itself_and_can_be_selected() {
    let transcript = "
        C: a1 LIST (SUBSCRIBED RECURSIVEMATCH) \"\" % RETURN (STATUS (MESSAGES))
        S: * LIST (\\Subscribed \\HasNoChildren) \"/\" \"INBOX\"
        S: * STATUS \"INBOX\" (MESSAGES 0)
        S: * LIST (\\HasChildren) \"/\" \"foo\" (\"CHILDINFO\" (\"SUBSCRIBED\"))
        S: * LIST (\\NonExistent \\Subscribed \\HasNoChildren) \"/\" \"gone\"
        S: a1 OK that is all";
    play_among(&["foo/bar"], &[], &["INBOX", "foo/bar", "gone"], transcript).await;
}

/// RFC 5182 §2.1, §2.2 (5).
#[tokio::test(start_paused = true)]
async fn a_search_that_fails_to_be_saved_leaves_nothing_saved() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C: a2 SEARCH RETURN (SAVE) ALL
        S: a2 OK searched
        C: a3 SEARCH CHARSET KOI8-R ALL
        S: a3 NO [BADCHARSET (US-ASCII UTF-8)] no such charset
        C: a4 SEARCH RETURN (COUNT) $
        S: * ESEARCH (TAG \"a4\") COUNT 2
        S: a4 OK searched
        C: b1 UID SEARCH UID $ NOT SMALLER 1
        S: * SEARCH 1 2
        S: b1 OK searched
        C: b2 SEARCH OR NOT $ 2
        S: * SEARCH 2
        S: b2 OK searched
        C: a5 SEARCH RETURN (SAVE) CHARSET KOI8-R (OR $ 1,3000:3021) TEXT {{4+}}
        C: XXXX
        S: a5 NO [BADCHARSET (US-ASCII UTF-8)] no such charset
        C: a6 SEARCH RETURN (COUNT) $
        S: * ESEARCH (TAG \"a6\") COUNT 0
        S: a6 OK searched
        C: a7 FETCH $ UID
        S: a7 OK fetched
        C: a8 COPY $ Archive
        S: a8 OK there was nothing to do",
        selected("a1", 2, 2, 3)
    );
    play_with(&["one", "two"], &transcript).await;
}
