//! Link faults, in-process and on real sockets.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::*;
use crate::world::Rng;

/// Long enough for anything that arrives.
const READ_TIMEOUT: Duration = Duration::from_millis(300);

fn ip(last: u8) -> IpAddr {
    [192, 0, 2, last].into()
}

fn networks() -> [Net; 2] {
    [Net::memory(Arc::new(|_, _| Duration::from_millis(10))), Net::loopback([ip(1), ip(2)].into())]
}

async fn connected_pair(net: &Net) -> (Stream, Stream, Listener) {
    let mut listener = net.interface(&[ip(1)]).listen(25).await.unwrap().remove(0);
    let caller = net.interface(&[ip(2)]);
    let (client, server) = tokio::join!(caller.connect(SocketAddr::new(ip(1), 25)), listener.accept());
    (client.unwrap(), server.unwrap(), listener)
}

fn towards_the_server() -> Link {
    Link { from: LinkEnd::Among(vec![ip(2)]), to: LinkEnd::Among(vec![ip(1)]) }
}

async fn read(stream: &mut Stream, len: usize) -> Option<std::io::Result<Vec<u8>>> {
    let mut bytes = vec![0; len];
    let read = timeout(READ_TIMEOUT, stream.read_exact(&mut bytes)).await.ok()?;
    Some(read.map(|_| bytes))
}

#[tokio::test]
async fn link_when_cut_delivers_after_it_is_cleared_and_the_other_direction_works() {
    for net in networks() {
        let (mut client, mut server, _listener) = connected_pair(&net).await;
        let id = net.faults().inject(towards_the_server(), LinkFault::Cut);
        client.write_all(b"hello").await.unwrap();
        server.write_all(b"there").await.unwrap();
        assert!(read(&mut server, 5).await.is_none());
        assert_eq!(read(&mut client, 5).await.unwrap().unwrap(), b"there");
        net.faults().clear(id);
        assert_eq!(read(&mut server, 5).await.unwrap().unwrap(), b"hello");
    }
}

#[tokio::test]
async fn connect_over_a_cut_link_waits_and_over_a_refusing_link_fails() {
    for net in networks() {
        let (_client, _server, mut listener) = connected_pair(&net).await;
        let (caller, to) = (net.interface(&[ip(2)]), SocketAddr::new(ip(1), 25));
        let cut = net.faults().inject(Link::default(), LinkFault::Cut);
        assert!(timeout(READ_TIMEOUT, caller.connect(to)).await.is_err());
        let refusing = net.faults().inject(towards_the_server(), LinkFault::Refuse);
        net.faults().clear(cut);
        assert!(matches!(caller.connect(to).await, Err(Error::Refused(_))));
        net.faults().clear(refusing);
        assert!(tokio::join!(caller.connect(to), listener.accept()).0.is_ok());
    }
}

#[tokio::test]
async fn link_with_stall_or_reset_passes_the_given_bytes() {
    for net in networks() {
        let (mut client, mut server, _listener) = connected_pair(&net).await;
        let id = net.faults().inject(towards_the_server(), LinkFault::Stall { after: 7 });
        client.write_all(b"hello world").await.unwrap();
        assert_eq!(read(&mut server, 7).await.unwrap().unwrap(), b"hello w");
        assert!(read(&mut server, 1).await.is_none());
        net.faults().inject(towards_the_server(), LinkFault::Reset { after: 9 });
        net.faults().clear(id);
        assert_eq!(read(&mut server, 2).await.unwrap().unwrap(), b"or");
        assert_eq!(read(&mut server, 1).await.unwrap().unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    }
}

#[tokio::test(start_paused = true)]
async fn link_when_slow_delays_bytes_and_keeps_their_order() {
    let [net, _] = networks();
    let (mut client, mut server, _listener) = connected_pair(&net).await;
    let second = Duration::from_secs(1);
    let slow = LinkFault::Slow { latency: second, jitter: second, bandwidth: 1000, rng: Rng::seeded(1) };
    let id = net.faults().inject(towards_the_server(), slow);
    let began = Instant::now();
    client.write_all(&[b'a'; 5000]).await.unwrap();
    net.faults().clear(id);
    client.write_all(b"b").await.unwrap();
    let mut bytes = vec![0; 5001];
    server.read_exact(&mut bytes).await.unwrap();
    assert_eq!(bytes.last(), Some(&b'b'));
    let took = began.elapsed();
    assert!((second * 6..=second * 8).contains(&took), "{took:?}");
}

#[tokio::test]
async fn link_of_real_sockets_when_slow_delays_streams_connects_and_datagrams() {
    let [_, net] = networks();
    let (mut client, mut server, mut listener) = connected_pair(&net).await;
    let (tenth, bandwidth) = (Duration::from_millis(100), 10_000);
    let slow = LinkFault::Slow { latency: tenth, jitter: Duration::ZERO, bandwidth, rng: Rng::seeded(1) };
    let id = net.faults().inject(towards_the_server(), slow);
    let began = Instant::now();
    // 200 ms of sending, in two parts, and the end of the stream behind them.
    client.write_all(&[b'a'; 1000]).await.unwrap();
    client.write_all(&[b'b'; 1000]).await.unwrap();
    client.shutdown().await.unwrap();
    let mut bytes = Vec::new();
    server.read_to_end(&mut bytes).await.unwrap();
    assert!(bytes.len() == 2000 && tenth * 3 <= began.elapsed(), "{:?}", began.elapsed());
    let (began, to) = (Instant::now(), SocketAddr::new(ip(1), 25));
    let caller = net.interface(&[ip(2)]);
    let (connected, _) = tokio::join!(caller.connect(to), listener.accept());
    assert!(connected.is_ok() && tenth <= began.elapsed());
    let (here, there) =
        (caller.listen_udp(9).await.unwrap().remove(0), net.interface(&[ip(1)]).listen_udp(9).await.unwrap().remove(0));
    let began = Instant::now();
    here.send_to(b"hello", SocketAddr::new(ip(1), 9)).await.unwrap();
    assert_eq!(there.recv_from().await.unwrap().0, b"hello");
    assert!(tenth <= began.elapsed());
    net.faults().clear(id);
}
