//! Slow servers, over the in-process wire and in virtual time. RFC 5321 §4.5.3.2.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::time::{Instant, sleep};

use super::super::Stage;
use super::{Event, Session, config};
use crate::mail::{Address, Envelope, Message};
use crate::net::{Conn, Net, Stop, Stream};

const MINUTE: Duration = Duration::from_secs(60);

/// How a server is slow, once it has said what it says.
#[derive(Clone, Copy)]
enum Slow {
    /// It says so much each minute.
    Says(&'static str),
    /// It reads one octet each minute.
    Reads,
}

/// Says each line but the first to one of the client's.
async fn serve(server: Stream, replies: &[&str], slow: Slow) -> std::io::Result<()> {
    let mut server = BufReader::with_capacity(1, server);
    for (number, reply) in replies.iter().enumerate() {
        while 0 < number && server.read_u8().await? != b'\n' {}
        server.write_all(format!("{reply}\r\n").as_bytes()).await?;
    }
    loop {
        sleep(MINUTE).await;
        match slow {
            Slow::Says(part) => server.write_all(part.as_bytes()).await?,
            Slow::Reads => drop(server.read_u8().await?),
        }
    }
}

/// Where a client with a message of so many bytes gives such a server up, and how long that took.
async fn with(replies: &'static [&'static str], slow: Slow, bytes: usize) -> (Stage, Duration) {
    let (net, place) = (Net::memory(Arc::new(|_, _| Duration::ZERO)), IpAddr::from([192, 0, 2, 1]));
    let mut listener = net.interface(&[place]).listen(25).await.unwrap().remove(0);
    let caller = net.interface(&[[192, 0, 2, 2].into()]);
    let (client, server) = tokio::join!(caller.connect(SocketAddr::new(place, 25)), listener.accept());
    tokio::spawn(serve(server.unwrap(), replies, slow));
    let mut conn = Conn::new(client.unwrap(), Session::new(config()), Stop::new());
    let began = Instant::now();
    let (message, to) = (Message::new("x".repeat(bytes).into()), "bob@b.test".parse::<Address>().unwrap());
    while let Ok(event) = conn.event().await {
        assert_eq!(event, Some(Event::Ready));
        conn.machine.send(Envelope { recipients: vec![to.clone().into()], ..Envelope::default() }, &message);
    }
    (conn.machine.abandon().stage, began.elapsed())
}

/// Whoever is never quite silent goes as if it were.
#[tokio::test(start_paused = true)]
async fn a_server_that_drips_is_given_up_where_a_silent_one_would_be() {
    let all: &[&str] = &["220 hi", "250 b.test", "250 ok", "250 ok", "354 go"];
    for (count, drip, stage, minutes) in [
        (0, "220-x\r\n", Stage::Greeting, 5),
        (0, "2", Stage::Greeting, 5),
        (1, "250-x\r\n", Stage::Hello, 5),
        (2, "2", Stage::Mail, 5),
        (3, "250-x\r\n", Stage::Rcpt, 5),
        (4, "354-x\r\n", Stage::Data, 2),
        (5, "250-x\r\n", Stage::Dot, 10),
    ] {
        assert_eq!(
            with(&all[..count], Slow::Says(drip), 10).await,
            (stage, MINUTE * minutes),
            "{drip:?} after {count}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_reads_a_message_octet_by_octet_is_given_up_before_it_has_read_it() {
    for has_chunking in [true, false] {
        let replies: &[&str] = if has_chunking {
            &["220 hi", "250-b.test\r\n250 CHUNKING", "250 ok", "250 ok"]
        } else {
            &["220 hi", "250 b.test", "250 ok", "250 ok", "354 go"]
        };
        let (stage, took) = with(replies, Slow::Reads, 1_000_000).await;
        assert_eq!(stage, Stage::Message);
        // 500 bytes a second, and three minutes.
        assert!((MINUTE * 36..MINUTE * 37).contains(&took), "{took:?}");
    }
}
