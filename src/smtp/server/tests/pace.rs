//! Slow clients, over the in-process wire and in virtual time. RFC 5321 §4.5.3.2.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};

use super::{Config, Event, Session, smtp};
use crate::net::{Conn, Net, Stop, Stream};
use crate::smtp::Reply;

const MINUTE: Duration = Duration::from_secs(60);

/// A client's stream to a server that agrees to everything and waits an hour for each message.
async fn connect() -> Stream {
    let (net, server) = (Net::memory(Arc::new(|_, _| Duration::ZERO)), IpAddr::from([192, 0, 2, 1]));
    let mut listener = net.interface(&[server]).listen(25).await.unwrap().remove(0);
    let caller = net.interface(&[[192, 0, 2, 2].into()]);
    let (client, stream) = tokio::join!(caller.connect(SocketAddr::new(server, 25)), listener.accept());
    let config = Config { message_timeout: MINUTE * 60, ..smtp() };
    let session = Session::new(config, &Reply::plain(220, "mx.b.test"), "nonce".into());
    let mut conn = Conn::new(stream.unwrap(), session, Stop::new());
    tokio::spawn(async move {
        while let Ok(Some(event)) = conn.event().await {
            // Our own work does not count against the client.
            if matches!(event, Event::Message { .. }) {
                sleep(MINUTE * 90).await;
            }
            conn.machine.answer(Reply::new(250, (2, 0, 0), "OK"));
        }
    });
    client.unwrap()
}

/// Says something, then one part a minute until the server has enough; what it said and how long that took.
async fn drip(opening: &str, part: &str) -> (String, Duration) {
    let (mut client, began) = (connect().await, Instant::now());
    client.write_all(opening.as_bytes()).await.unwrap();
    let (mut reader, mut writer) = tokio::io::split(client);
    let part = part.to_owned();
    tokio::spawn(async move {
        while writer.write_all(part.as_bytes()).await.is_ok() {
            sleep(MINUTE).await;
        }
    });
    let mut said = String::new();
    reader.read_to_string(&mut said).await.unwrap();
    (said, began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn session_when_client_drips_closes_after_an_hour() {
    let data = "HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<b@b.test>\r\nDATA\r\n";
    let bdat = "HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<b@b.test>\r\nBDAT 999\r\n";
    for (opening, part) in [("", "x"), ("HELO a\r\n", "NOOP\r\n"), (data, "x"), (bdat, "x")] {
        let (said, took) = drip(opening, part).await;
        assert!(said.ends_with("421 4.4.2 Message took too long\r\n"), "{part:?}: {said}");
        assert_eq!(took, MINUTE * 60, "{part:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn session_when_client_is_silent_closes_after_five_minutes() {
    let (mut client, began) = (connect().await, Instant::now());
    let mut said = String::new();
    client.read_to_string(&mut said).await.unwrap();
    assert_eq!((said.as_str(), began.elapsed()), ("220 mx.b.test\r\n421 4.4.2 Idle timeout\r\n", MINUTE * 5));
}

#[tokio::test(start_paused = true)]
async fn session_with_slow_complete_messages_stays_open() {
    let mut client = connect().await;
    client.write_all(b"HELO a\r\n").await.unwrap();
    for _ in 0..3 {
        for part in "MAIL FROM:<>\r\n|RCPT TO:<b@b.test>\r\n|DATA\r\n|Subject: s\r\n|\r\n|.\r\n".split('|') {
            client.write_all(part.as_bytes()).await.unwrap();
            sleep(MINUTE * 4).await;
        }
        sleep(MINUTE * 90).await;
    }
    client.write_all(b"QUIT\r\n").await.unwrap();
    let mut said = String::new();
    client.read_to_string(&mut said).await.unwrap();
    assert!(said.ends_with("250 2.0.0 OK\r\n221 2.0.0 Bye\r\n"), "{said}");
    assert_eq!(said.matches("354 ").count(), 3);
}
