//! The crate async-imap, an independent IMAP client, with an embedded world: read, search, flag, move, delete, IDLE and
//! resynchronization.

use std::collections::BTreeSet;

use async_imap::extensions::idle::IdleResponse;
use async_imap::types::{Fetch, Flag};
use async_imap::{Client, Session};
use futures_util::TryStreamExt;
use postroad::Postroad;
use postroad::world::Service;
use tokio::net::TcpStream;

use super::TIMEOUT;

/// Another session of the same user, in INBOX.
async fn open(post: &Postroad) -> Session<TcpStream> {
    let mut client = Client::new(TcpStream::connect(post.at(Service::Imap).unwrap()).await.unwrap());
    client.read_response().await.unwrap().unwrap();
    let mut session = client.login("ann@shop.test", "postroad").await.map_err(|(error, _)| error).unwrap();
    session.select("INBOX").await.unwrap();
    session
}

async fn fetch(session: &mut Session<TcpStream>, set: &str, items: &str) -> Vec<Fetch> {
    session.uid_fetch(set, items).await.unwrap().try_collect().await.unwrap()
}

async fn search(session: &mut Session<TcpStream>, query: &str) -> BTreeSet<u32> {
    session.uid_search(query).await.unwrap().into_iter().collect()
}

async fn store(session: &mut Session<TcpStream>, set: &str, what: &str) -> Vec<Fetch> {
    session.uid_store(set, what).await.unwrap().try_collect().await.unwrap()
}

async fn expunge(session: &mut Session<TcpStream>, set: &str) {
    store(session, set, "+FLAGS (\\Deleted)").await;
    session.uid_expunge(set).await.unwrap().try_collect::<Vec<_>>().await.unwrap();
}

#[tokio::test]
async fn async_imap_reads_changes_idles_and_resynchronizes() {
    let post = Postroad::builder().user("ann@shop.test").start().await.unwrap();
    let mut session = open(&post).await;
    for number in 1..=5 {
        let message = format!("From: bob@home.test\r\nSubject: message {number}\r\n\r\nBody {number}\r\n");
        session.append("INBOX", None, None, message).await.unwrap();
    }
    let all = fetch(&mut session, "1:*", "(FLAGS ENVELOPE BODYSTRUCTURE RFC822.SIZE INTERNALDATE BODY.PEEK[])").await;
    assert_eq!(all.len(), 5);
    assert_eq!(all[1].envelope().unwrap().subject.as_deref(), Some(&b"message 2"[..]));
    assert!(all[1].body().unwrap().ends_with(b"\r\n\r\nBody 2\r\n") && all[1].bodystructure().is_some());
    assert_eq!(search(&mut session, "SUBJECT \"message 4\"").await, BTreeSet::from([4]));
    assert_eq!(search(&mut session, "BODY \"Body 5\"").await, BTreeSet::from([5]));
    let stored = store(&mut session, "2", "+FLAGS (\\Flagged $Mine)").await;
    assert!(stored[0].flags().any(|flag| flag == Flag::Flagged));
    assert_eq!(search(&mut session, "FLAGGED KEYWORD $Mine").await, BTreeSet::from([2]));
    session.uid_mv("3", "Archive").await.unwrap();
    assert_eq!(session.status("Archive", "(MESSAGES)").await.unwrap().exists, 1);
    expunge(&mut session, "1").await;
    assert_eq!(search(&mut session, "ALL").await, BTreeSet::from([2, 4, 5]));

    // What another session appends is told in IDLE. RFC 2177 §3.
    let mut other = open(&post).await;
    let mut idle = session.idle();
    idle.init().await.unwrap();
    let (told, _stop) = idle.wait_with_timeout(TIMEOUT);
    other.append("INBOX", None, None, "Subject: while idle\r\n\r\n").await.unwrap();
    assert!(matches!(told.await.unwrap(), IdleResponse::NewData(_)));
    let mut session = idle.done().await.unwrap();

    // Away: others flag, delete and append; back: CONDSTORE and the UIDs tell what. RFC 7162 §3.1.4.1.
    let known = search(&mut session, "ALL").await;
    let modseq = session.select_condstore("INBOX").await.unwrap().highest_modseq.unwrap();
    session.logout().await.unwrap();
    store(&mut other, "4", "+FLAGS (\\Answered)").await;
    expunge(&mut other, "5").await;
    other.append("INBOX", None, None, "Subject: while away\r\n\r\n").await.unwrap();
    let mut session = open(&post).await;
    let changed = fetch(&mut session, "1:*", &format!("(FLAGS) (CHANGEDSINCE {modseq})")).await;
    assert_eq!(changed.iter().map(|one| one.uid.unwrap()).collect::<Vec<_>>(), [4, 7]);
    let now = search(&mut session, "ALL").await;
    assert_eq!(known.difference(&now).collect::<Vec<_>>(), [&5]);
    assert_eq!(now.difference(&known).collect::<Vec<_>>(), [&7]);
    store(&mut session, "2", "-FLAGS (\\Flagged)").await;
    other.noop().await.unwrap();
    assert!(search(&mut other, "FLAGGED").await.is_empty());
    post.stop().await;
}
