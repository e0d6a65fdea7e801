//! Quotas of accounts, and messages that exceed them.

use super::*;

/// The world in which friend@sina.test has this quota.
fn world_with(quota: &str) -> World {
    let user = format!("users = [{{ name = \"friend\", quota = {quota} }}]");
    World::parse("w.toml", &world::JOURNEY.replace("users = [\"friend\"]", &user)).unwrap()
}

async fn play_under(quota: &str, subjects: &[&str], transcript: &str) {
    let fixture = Fixture::of(world_with(quota)).await;
    for subject in subjects {
        fixture.deliver(&format!("Subject: {subject}\r\n\r\nhello\r\n")).await;
    }
    play(&fixture, transcript).await;
}

/// RFC 9208 §4.1.1, §4.1.2; §5.1: usage is rounded up.
#[tokio::test(start_paused = true)]
async fn quota_root_is_the_account() {
    let transcript = "
        C: a1 GETQUOTAROOT INBOX
        S: * QUOTAROOT \"INBOX\" friend@sina.test
        S: * QUOTA friend@sina.test (STORAGE 1 3 MESSAGE 2 10)
        S: a1 OK GETQUOTAROOT completed
        C: a2 GETQUOTAROOT NoSuchMailbox
        S: * QUOTAROOT \"NoSuchMailbox\" friend@sina.test
        S: * QUOTA friend@sina.test (STORAGE 1 3 MESSAGE 2 10)
        S: a2 OK GETQUOTAROOT completed
        C: a3 GETQUOTA friend@sina.test
        S: * QUOTA friend@sina.test (STORAGE 1 3 MESSAGE 2 10)
        S: a3 OK GETQUOTA completed
        C: a4 GETQUOTA me@163.test
        S: a4 NO [NONEXISTENT] No such quota root";
    play_under("{ storage = 4000, messages = 10 }", &["one", "two"], transcript).await;
}

#[tokio::test(start_paused = true)]
async fn quota_omits_unlimited_resources() {
    let transcript = "
        C: a1 GETQUOTA friend@sina.test
        S: * QUOTA friend@sina.test (MESSAGE 0 5)
        S: a1 OK GETQUOTA completed";
    play_under("{ messages = 5 }", &[], transcript).await;
    let transcript = "
        C: a1 GETQUOTAROOT INBOX
        S: * QUOTAROOT \"INBOX\"
        S: a1 OK GETQUOTAROOT completed
        C: a2 GETQUOTA friend@sina.test
        S: a2 NO [NONEXISTENT] No such quota root";
    play_with(&[], transcript).await;
}

/// RFC 9208 §4.3.1.
#[tokio::test(start_paused = true)]
async fn quota_when_full_refuses_messages_but_allows_moves() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C: a2 APPEND Sent {{10+}}
        C: Subject: x
        S: a2 NO [OVERQUOTA] Quota exceeded
        C: a3 COPY 1 Archive
        S: a3 NO [OVERQUOTA] Quota exceeded
        C: a4 APPEND Nowhere {{1+}}
        C: x
        S: a4 NO [TRYCREATE] No such mailbox
        C: a5 MOVE 1 Archive
        S: * OK [COPYUID 1767225601 1 1] Moved messages
        S: * 1 EXPUNGE
        S: a5 OK MOVE completed
        C: a6 STATUS Archive (MESSAGES)
        S: * STATUS \"Archive\" (MESSAGES 1)
        S: a6 OK STATUS completed
        C: a7 DELETE Archive
        S: a7 OK DELETE completed
        C: a8 GETQUOTA friend@sina.test
        S: * QUOTA friend@sina.test (MESSAGE 1 2)
        S: a8 OK GETQUOTA completed
        C: a9 COPY 1 Sent
        S: a9 OK [COPYUID 1767225604 2 1] COPY completed",
        selected("a1", 2, 2, 3)
    );
    play_under("{ messages = 2 }", &["one", "two"], &transcript).await;
}

/// RFC 9208 §4.1.4, RFC 7889 §3.1.
#[tokio::test(start_paused = true)]
async fn status_reports_deleted_storage() {
    let transcript = format!(
        "C: a1 SELECT INBOX
        {}
        C: a2 STORE 2 +FLAGS.SILENT (\\Deleted)
        S: a2 OK STORE completed
        C: a3 STATUS INBOX (DELETED DELETED-STORAGE SIZE APPENDLIMIT)
        S: * STATUS \"INBOX\" (DELETED 1 DELETED-STORAGE 64 SIZE 128 APPENDLIMIT 100000)
        S: a3 OK STATUS completed",
        selected("a1", 2, 2, 3)
    );
    play_with(&["one", "two"], &transcript).await;
}
