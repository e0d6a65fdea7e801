//! The core over the in-process wire and over real loopback sockets.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::*;
use crate::world::Clock;

const LATENCY: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);

fn ip(last: u8) -> IpAddr {
    [192, 0, 2, last].into()
}

fn at(last: u8, port: u16) -> SocketAddr {
    SocketAddr::new(ip(last), port)
}

/// The two kinds of network that a world runs on, with the addresses 192.0.2.1 and .2.
fn networks() -> [Net; 2] {
    [Net::memory(Arc::new(|_, _| LATENCY)), Net::loopback([ip(1), ip(2)].into())]
}

fn slow() -> Net {
    Net::memory(Arc::new(|_, _| LATENCY))
}

async fn listen(net: &Net, last: u8, port: u16) -> Listener {
    net.interface(&[ip(last)]).listen(port).await.unwrap().remove(0)
}

/// Two ends of one connection: the one that connected, the one that accepted.
async fn joined(net: &Net) -> (Stream, Stream) {
    let mut listener = listen(net, 1, 25).await;
    let caller = net.interface(&[ip(2)]);
    let (client, server) = tokio::join!(caller.connect(at(1, 25)), listener.accept());
    (client.unwrap(), server.unwrap())
}

/// Repeats each line; `quit` ends it. Says `bye` when the house closes and `late` to the silent.
#[derive(Default)]
struct Echo {
    unread: BytesMut,
    out: BytesMut,
    over: bool,
}

impl Machine for Echo {
    type Event = Bytes;

    fn receive(&mut self, bytes: &[u8]) {
        self.over |= bytes.is_empty();
        self.unread.extend_from_slice(bytes);
    }

    fn next(&mut self) -> Next<Bytes> {
        if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
            let line = self.unread.split_to(end + 1).freeze();
            self.over |= line == "quit\n";
            self.out.extend_from_slice(&line);
            return Next::Event(line);
        }
        match (self.out.is_empty(), self.over) {
            (false, _) => Next::Send(self.out.split().freeze()),
            (true, true) => Next::Close,
            (true, false) => Next::Read,
        }
    }

    fn patience(&self) -> Duration {
        SECOND
    }

    fn stop(&mut self) {
        self.out.extend_from_slice(b"bye\n");
        self.over = true;
    }

    fn expire(&mut self) {
        self.out.extend_from_slice(b"late\n");
    }
}

#[derive(Clone)]
struct EchoService;

impl Service for EchoService {
    async fn converse(self, stream: Stream, stop: Stop) -> Result<(), Error> {
        let mut conn = Conn::new(stream, Echo::default(), stop);
        while conn.event().await?.is_some() {}
        Ok(())
    }

    fn farewell(&self) -> &'static str {
        "full\n"
    }
}

async fn read_all(stream: &mut Stream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test(start_paused = true)]
async fn bytes_take_the_latency_of_the_link_and_stay_in_order() {
    let (mut client, mut server) = joined(&slow()).await;
    let start = Instant::now();
    client.write_all(b"one ").await.unwrap();
    client.write_all(b"two").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_all(&mut server).await, "one two");
    assert_eq!(start.elapsed(), LATENCY);
}

#[tokio::test(start_paused = true)]
async fn a_connection_takes_one_round_trip() {
    let start = Instant::now();
    let _ends = joined(&slow()).await;
    assert_eq!(start.elapsed(), LATENCY * 2);
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_read_holds_up_the_sender_and_is_not_sent_for_ever() {
    let (client, server) = joined(&slow()).await;
    let mut conn = Conn::new(client, Echo::default(), Stop::new());
    let held = 256 * 1024;
    let written = timeout(SECOND * 5, conn_write(&mut conn, held * 2)).await.unwrap();
    assert!(matches!(written, Err(Error::Silent(SECOND))), "{written:?}");
    drop(server);
}

async fn conn_write(conn: &mut Conn<Echo>, octets: usize) -> Result<(), Error> {
    conn.machine.out.resize(octets, b'x');
    conn.flush().await
}

#[tokio::test(start_paused = true)]
async fn an_end_that_is_dropped_is_heard_of() {
    let (client, mut server) = joined(&slow()).await;
    drop(client);
    assert_eq!(read_all(&mut server).await, "");
    assert!(server.write_all(b"x").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_datagram_outlives_a_wait_that_was_cut_off_and_goes_nowhere_where_nobody_listens() {
    let net = slow();
    let (here, there) = (net.interface(&[ip(1)]), net.interface(&[ip(2)]));
    let (here, there) = (here.bind_udp(53).await.unwrap(), there.bind_udp(0).await.unwrap());
    there.send_to(b"lost", at(1, 54)).await.unwrap();
    there.send_to(b"hello", at(1, 53)).await.unwrap();
    assert!(timeout(LATENCY / 2, here.recv_from()).await.is_err());
    let (bytes, from) = here.recv_from().await.unwrap();
    assert_eq!((bytes.as_slice(), from), (b"hello".as_slice(), there.address()));
}

#[tokio::test]
async fn hosts_see_each_others_addresses_of_the_world() {
    for net in networks() {
        let (client, server) = joined(&net).await;
        assert_eq!((client.peer(), server.local()), (at(1, 25), at(1, 25)));
        assert_eq!((server.peer(), server.peer().ip()), (client.local(), ip(2)));
        let (one, two) =
            (net.interface(&[ip(1)]).bind_udp(53).await.unwrap(), net.interface(&[ip(2)]).bind_udp(0).await.unwrap());
        two.send_to(b"?", at(1, 53)).await.unwrap();
        let (_, from) = one.recv_from().await.unwrap();
        one.send_to(b"!", from).await.unwrap();
        assert_eq!((from.ip(), two.recv_from().await.unwrap().1), (ip(2), at(1, 53)));
    }
}

#[tokio::test]
async fn what_cannot_be_is_said_in_one_line() {
    for net in networks() {
        let host = net.interface(&[ip(1)]);
        let _held = host.listen(25).await.unwrap();
        assert!(matches!(host.listen(25).await, Err(Error::PortTaken(_))));
        assert!(matches!(host.connect(at(2, 25)).await, Err(Error::Refused(address)) if address == at(2, 25)));
    }
    let [_, world] = networks();
    assert!(matches!(world.interface(&[ip(1)]).connect(at(9, 25)).await, Err(Error::NotInWorld(_))));
    assert!(world.interface(&[ip(1)]).bind_udp(0).await.unwrap().send_to(b"x", at(9, 53)).await.is_err());
    let open = Net::sockets().interface(&[]);
    let taken = open.open_door("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let said = |error: Error| error.to_string();
    let port = taken.address().port();
    assert_eq!(
        open.open_door(taken.address()).await.err().map(said).unwrap(),
        format!("port {port} of 127.0.0.1 is taken by another program; stop it, or choose another port")
    );
    let (listener, datagrams) = open.open_both_doors("127.0.0.1:0".parse().unwrap()).await.unwrap();
    assert_eq!(listener.address(), datagrams.address());
    let port = listener.address().port();
    drop(listener);
    // Its number is still taken for UDP.
    let both = open.open_both_doors(datagrams.address()).await.map(drop);
    assert!(said(both.unwrap_err()).starts_with(&format!("port {port} of 127.0.0.1 is taken")));
    let foreign = open.open_door("240.0.0.1:0".parse().unwrap()).await.err().map(said);
    assert_eq!(foreign.unwrap(), "240.0.0.1 is not an address of this machine");
    drop(taken);
    let refused = open.connect(SocketAddr::new([127, 0, 0, 1].into(), port)).await.err().map(said).unwrap();
    assert_eq!(refused, format!("127.0.0.1:{port} refused the connection: nothing listens there"));
}

/// RFC 6724 §6, rule 9.
#[tokio::test]
async fn a_machine_in_several_networks_is_reached_by_the_one_in_common() {
    let all = ["198.51.100.25", "2001:db8::25", "203.0.113.125", "192.0.2.25"].map(|text| text.parse().unwrap());
    let first = |own: [&str; 2], net: Net| {
        let mut addresses = all;
        net.interface(&own.map(|text| text.parse().unwrap())).nearest_first(&mut addresses);
        addresses[0].to_string()
    };
    assert_eq!(first(["10.0.0.2", "203.0.113.90"], Net::sockets()), "203.0.113.125");
    assert_eq!(first(["10.0.0.1", "2001:db8::1"], Net::sockets()), "2001:db8::25");
    let [_, world] = networks();
    assert_eq!(first(["192.0.2.10", "203.0.113.90"], world), "198.51.100.25", "one machine is as near as another");
}

#[tokio::test]
async fn a_visitor_from_outside_keeps_its_address() {
    let [_, world] = networks();
    let mut door = world.interface(&[]).open_door("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let visitor = Net::sockets().interface(&[]);
    let (client, server) = tokio::join!(visitor.connect(door.address()), door.accept());
    assert_eq!(server.unwrap().peer(), client.unwrap().local());
}

#[tokio::test(start_paused = true)]
async fn the_first_address_that_answers_is_taken() {
    let net = slow();
    let _listener = listen(&net, 1, 25).await;
    let caller = net.interface(&[ip(2)]);
    let stream = caller.connect_any("mx", &[at(3, 25), at(1, 25)]).await.unwrap();
    assert_eq!(stream.peer(), at(1, 25));
    assert!(matches!(caller.connect_any("mx", &[]).await, Err(Error::NoAddress(name)) if name == "mx"));
}

async fn serving(net: &Net, limits: Limits, stop: &Stop) -> tokio::task::JoinHandle<()> {
    let door = Door { listener: listen(net, 1, 7).await, tls: None, limits };
    tokio::spawn(serve(door, EchoService, stop.clone()))
}

async fn call(net: &Net) -> Stream {
    net.interface(&[ip(2)]).connect(at(1, 7)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn pipelined_lines_are_answered_together_and_silence_ends_the_conversation() {
    let (net, stop) = (slow(), Stop::new());
    let server = serving(&net, Limits::default(), &stop).await;
    let mut client = call(&net).await;
    let start = Instant::now();
    client.write_all(b"one\ntw").await.unwrap();
    client.write_all(b"o\n").await.unwrap();
    assert_eq!(read_all(&mut client).await, "one\ntwo\nlate\n");
    assert_eq!(start.elapsed(), SECOND + LATENCY * 2);
    stop.cancel();
    server.await.unwrap();
}

/// RFC 2920 §3.2.
#[tokio::test]
async fn replies_wait_until_all_that_came_is_read_and_no_longer() {
    const FULL: usize = 64 * 1024;
    let [_, net] = networks();
    let (mut client, server) = joined(&net).await;
    let mut server = Conn::new(server, Echo::default(), Stop::default());
    let long = |octets: usize| [vec![b'x'; octets - 1], b"\n".to_vec()].concat();
    let sent = [b"one\n".to_vec(), long(FULL)].concat();
    client.write_all(&sent).await.unwrap();
    // The system has taken it all before the first of it is read.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(server.event().await.unwrap().unwrap(), "one\n");
    assert_eq!(server.event().await.unwrap().unwrap().len(), FULL);
    let mut heard = vec![0; sent.len()];
    assert!(timeout(Duration::from_millis(50), client.read(&mut heard)).await.is_err(), "nothing is said yet");
    let (event, read) = tokio::join!(timeout(SECOND / 4, server.event()), client.read_exact(&mut heard));
    assert!(event.is_err() && read.is_ok() && heard == sent);

    // A read that was filled to its end may have been the last one.
    client.write_all(&long(FULL)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let answered = async { while server.event().await.unwrap().is_some() {} };
    let read = client.read_exact(&mut heard[..FULL]);
    tokio::select! { () = answered => panic!("it hung up"), read = timeout(SECOND, read) => assert!(read.is_ok()) }
}

#[tokio::test]
async fn a_peer_that_speaks_at_once_is_answered_at_once_and_hears_of_a_stop_all_the_same() {
    let (net, stop) = (Net::loopback([ip(1), ip(2)].into()), Stop::new());
    let server = serving(&net, Limits { grace: SECOND * 600, ..Limits::default() }, &stop).await;
    let mut client = call(&net).await;
    let talk = async {
        for line in 0.. {
            client.write_all(b"a\n").await.unwrap();
            let mut reply = [0; 2];
            client.read_exact(&mut reply).await.unwrap();
            match &reply {
                b"a\n" if line == 100 => stop.cancel(),
                b"a\n" => {}
                _ => return reply,
            }
        }
        unreachable!()
    };
    assert_eq!(timeout(SECOND * 30, talk).await.unwrap(), *b"by");
    drop(client);
    timeout(SECOND * 30, server).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn too_many_from_one_address_are_turned_away_and_too_many_in_all_wait() {
    let (net, stop) = (slow(), Stop::new());
    let limits = Limits { connections: 2, connections_per_peer: 1, ..Limits::default() };
    let _server = serving(&net, limits, &stop).await;
    let mut first = call(&net).await;
    first.write_all(b"a\n").await.unwrap();
    assert_eq!(read_all(&mut call(&net).await).await, "full\n");
    first.write_all(b"quit\n").await.unwrap();
    assert_eq!(read_all(&mut first).await, "a\nquit\n");
    let mut next = call(&net).await;
    next.write_all(b"quit\n").await.unwrap();
    assert_eq!(read_all(&mut next).await, "quit\n");
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_conversations_say_farewell_and_cuts_off_who_does_not_listen() {
    let (net, stop) = (slow(), Stop::new());
    let server = serving(&net, Limits { grace: SECOND * 3, ..Limits::default() }, &stop).await;
    let mut client = call(&net).await;
    client.write_all(b"a\n").await.unwrap();
    tokio::time::sleep(SECOND / 2).await;
    stop.cancel();
    assert_eq!(read_all(&mut client).await, "a\nbye\n");
    server.await.unwrap();
    assert!(net.interface(&[ip(2)]).connect(at(1, 7)).await.is_err());

    #[derive(Clone)]
    struct Deaf;
    impl Service for Deaf {
        async fn converse(self, _stream: Stream, _: Stop) -> Result<(), Error> {
            std::future::pending().await
        }
    }
    let (stop, start) = (Stop::new(), Instant::now());
    let door = Door {
        listener: listen(&net, 1, 8).await,
        tls: None,
        limits: Limits { grace: SECOND * 3, ..Limits::default() },
    };
    let server = tokio::spawn(serve(door, Deaf, stop.clone()));
    let _client = net.interface(&[ip(2)]).connect(at(1, 8)).await.unwrap();
    tokio::time::sleep(SECOND).await;
    stop.cancel();
    server.await.unwrap();
    assert_eq!(start.elapsed(), LATENCY * 2 + SECOND + SECOND * 3);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_not_waited_for_any_more_loses_nothing() {
    let (mut client, server) = joined(&slow()).await;
    let mut conn = Conn::new(server, Echo::default(), Stop::new());
    client.write_all(b"one\n").await.unwrap();
    assert!(timeout(LATENCY / 2, conn.event()).await.is_err());
    assert_eq!(conn.event().await.unwrap().unwrap(), "one\n");
    assert!(timeout(LATENCY / 2, conn.event()).await.is_err());
    client.write_all(b"quit\n").await.unwrap();
    while conn.event().await.unwrap().is_some() {}
    assert_eq!(read_all(&mut client).await, "one\nquit\n");
}

/// Encrypts both ends, as a host of `name` and a client that expects `asked`.
async fn encrypted(
    net: &Net,
    issuer: &Authority,
    trust: &Trust,
    name: &str,
    asked: &str,
) -> Result<(Stream, Stream), Error> {
    let identity = issuer.issue(&[name.to_owned()]).unwrap();
    let (mut client, mut server) = joined(net).await;
    let (shaken, accepted) = tokio::join!(client.connect_tls(trust, asked), server.accept_tls(&identity));
    shaken.and(accepted).map(|()| (client, server))
}

#[tokio::test]
async fn tls_works_on_both_networks_and_only_with_the_right_name_and_root() {
    let clock = Clock::wall();
    let (authority, other) = (Authority::create("a", clock).unwrap(), Authority::create("b", clock).unwrap());
    for net in networks() {
        let trust = authority.trust().unwrap();
        let (mut client, mut server) = encrypted(&net, &authority, &trust, "mx.test", "mx.test").await.unwrap();
        assert!(client.tls().unwrap().starts_with("TLSv1.3 "));
        client.write_all(b"secret").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(read_all(&mut server).await, "secret");
        assert!(encrypted(&net, &authority, &trust, "mx.test", "other.test").await.is_err());
        assert!(encrypted(&net, &other, &trust, "mx.test", "mx.test").await.is_err());
        assert!(encrypted(&net, &other, &Trust::anyone(clock).unwrap(), "x.test", "mx.test").await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn an_authority_goes_on_after_a_restart_and_certificates_expire_by_the_worlds_clock() {
    let clock = Clock::starting_at("2026-11-01T00:00:00Z".parse().unwrap());
    let authority = Authority::create("a", clock).unwrap();
    let again = Authority::from_pem("a", &authority.root_pem(), &authority.key_pem(), clock).unwrap();
    let trust = Trust::pem(&authority.root_pem(), clock).unwrap();
    assert!(encrypted(&slow(), &again, &trust, "mx.test", "mx.test").await.is_ok());
    let identity = again.issue(&["mx.test".to_owned()]).unwrap();
    tokio::time::advance(SECOND * 3600 * 24 * 900).await;
    let (mut client, mut server) = joined(&slow()).await;
    let (shaken, _) = tokio::join!(client.connect_tls(&trust, "mx.test"), server.accept_tls(&identity));
    assert!(shaken.unwrap_err().to_string().contains("expired"));
}
