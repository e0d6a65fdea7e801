//! Connections over the in-process network and over real loopback sockets.

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

/// The two kinds of network of a world, with the addresses 192.0.2.1 and .2.
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
async fn connected_pair(net: &Net) -> (Stream, Stream) {
    let mut listener = listen(net, 1, 25).await;
    let caller = net.interface(&[ip(2)]);
    let (client, server) = tokio::join!(caller.connect(at(1, 25)), listener.accept());
    (client.unwrap(), server.unwrap())
}

/// Echoes each line; `quit` closes. Sends `bye` on shutdown and `late` on a timeout.
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

    fn timeout(&self) -> Duration {
        SECOND
    }

    fn shut_down(&mut self) {
        self.out.extend_from_slice(b"bye\n");
        self.over = true;
    }

    fn on_timeout(&mut self) {
        self.out.extend_from_slice(b"late\n");
    }
}

#[derive(Clone)]
struct EchoService;

impl Service for EchoService {
    async fn serve_connection(self, stream: Stream, stop: Stop) -> Result<(), Error> {
        let mut conn = Conn::new(stream, Echo::default(), stop);
        while conn.event().await?.is_some() {}
        Ok(())
    }

    fn too_many_reply(&self) -> &'static str {
        "full\n"
    }
}

async fn read_all(stream: &mut Stream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test(start_paused = true)]
async fn memory_network_delays_bytes_by_the_latency_in_order() {
    let (mut client, mut server) = connected_pair(&slow()).await;
    let start = Instant::now();
    client.write_all(b"one ").await.unwrap();
    client.write_all(b"two").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_all(&mut server).await, "one two");
    assert_eq!(start.elapsed(), LATENCY);
}

#[tokio::test(start_paused = true)]
async fn memory_network_connect_takes_one_round_trip() {
    let start = Instant::now();
    let _ends = connected_pair(&slow()).await;
    assert_eq!(start.elapsed(), LATENCY * 2);
}

#[tokio::test(start_paused = true)]
async fn conn_when_peer_does_not_read_times_out() {
    let (client, server) = connected_pair(&slow()).await;
    let mut conn = Conn::new(client, Echo::default(), Stop::new());
    let held = 256 * 1024;
    let written = timeout(SECOND * 5, conn_write(&mut conn, held * 2)).await.unwrap();
    assert!(matches!(written, Err(Error::Silent(SECOND))), "{written:?}");
    drop(server);
}

async fn conn_write(conn: &mut Conn<Echo>, bytes: usize) -> Result<(), Error> {
    conn.machine.out.resize(bytes, b'x');
    conn.flush().await
}

#[tokio::test(start_paused = true)]
async fn memory_network_when_an_end_is_dropped_closes_the_other() {
    let (client, mut server) = connected_pair(&slow()).await;
    drop(client);
    assert_eq!(read_all(&mut server).await, "");
    assert!(server.write_all(b"x").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn datagram_when_receive_is_cancelled_is_kept_and_to_an_unbound_port_is_lost() {
    let net = slow();
    let (here, there) = (net.interface(&[ip(1)]), net.interface(&[ip(2)]));
    let (here, there) = (here.listen_udp(53).await.unwrap().remove(0), there.bind_udp().await.unwrap());
    there.send_to(b"lost", at(1, 54)).await.unwrap();
    there.send_to(b"hello", at(1, 53)).await.unwrap();
    assert!(timeout(LATENCY / 2, here.recv_from()).await.is_err());
    let (bytes, from) = here.recv_from().await.unwrap();
    assert_eq!((bytes.as_slice(), from), (b"hello".as_slice(), there.address()));
}

#[tokio::test]
async fn peers_on_both_networks_have_addresses_of_the_world() {
    for net in networks() {
        let (client, server) = connected_pair(&net).await;
        assert_eq!((client.peer(), server.local()), (at(1, 25), at(1, 25)));
        assert_eq!((server.peer(), server.peer().ip()), (client.local(), ip(2)));
        let (one, two) = (
            net.interface(&[ip(1)]).listen_udp(53).await.unwrap().remove(0),
            net.interface(&[ip(2)]).bind_udp().await.unwrap(),
        );
        two.send_to(b"?", at(1, 53)).await.unwrap();
        let (_, from) = one.recv_from().await.unwrap();
        one.send_to(b"!", from).await.unwrap();
        assert_eq!((from.ip(), two.recv_from().await.unwrap().1), (ip(2), at(1, 53)));
    }
}

#[tokio::test]
async fn bind_and_connect_errors_are_one_clear_line() {
    for net in networks() {
        let host = net.interface(&[ip(1)]);
        let _held = host.listen(25).await.unwrap();
        assert!(matches!(host.listen(25).await, Err(Error::PortTaken(_))));
        assert!(matches!(host.connect(at(2, 25)).await, Err(Error::Refused(address)) if address == at(2, 25)));
    }
    let [_, world] = networks();
    assert!(matches!(world.interface(&[ip(1)]).connect(at(9, 25)).await, Err(Error::NotInWorld(_))));
    assert!(world.interface(&[ip(1)]).bind_udp().await.unwrap().send_to(b"x", at(9, 53)).await.is_err());
    let open = Net::sockets().interface(&[]);
    let taken = open.bind_public("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let text = |error: Error| error.to_string();
    let port = taken.address().port();
    assert_eq!(
        open.bind_public(taken.address()).await.err().map(text).unwrap(),
        format!("port {port} of 127.0.0.1 is taken by another program; stop it, or choose another port")
    );
    let (listener, datagrams) = open.bind_public_tcp_udp("127.0.0.1:0".parse().unwrap()).await.unwrap();
    assert_eq!(listener.address(), datagrams.address());
    let port = listener.address().port();
    drop(listener);
    // Its number is still taken for UDP.
    let both = open.bind_public_tcp_udp(datagrams.address()).await.map(drop);
    assert!(text(both.unwrap_err()).starts_with(&format!("port {port} of 127.0.0.1 is taken")));
    let not_local = open.bind_public("240.0.0.1:0".parse().unwrap()).await.err().map(text);
    assert_eq!(not_local.unwrap(), "240.0.0.1 is not an address of this machine");
    drop(taken);
    let refused = open.connect(SocketAddr::new([127, 0, 0, 1].into(), port)).await.err().map(text).unwrap();
    assert_eq!(refused, format!("127.0.0.1:{port} refused the connection: nothing listens there"));
}

/// RFC 6724 §6, rule 9.
#[tokio::test]
async fn nearest_first_with_real_sockets_prefers_the_common_network() {
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

/// One socket at all addresses would be reachable at others, too, and could not be bound beside one of the other family.
#[tokio::test]
async fn listener_on_real_sockets_is_bound_to_the_given_addresses_only() {
    let free = Net::sockets().interface(&[]).bind_public_tcp_udp("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let port = free.0.address().port();
    drop(free);
    let at = |ip: &str| SocketAddr::new(ip.parse().unwrap(), port);
    for own in [&["127.0.0.1"][..], &["127.0.0.2", "127.0.0.3"], &["127.0.0.1", "::1"]] {
        let host = Net::sockets().interface(&own.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<_>>());
        let listeners = match host.listen(port).await {
            Ok(listeners) => listeners,
            // A machine without IPv6.
            Err(_) if own.contains(&"::1") => continue,
            Err(error) => panic!("{error}"),
        };
        let sockets = host.listen_udp(port).await.unwrap();
        let wanted: Vec<_> = own.iter().map(|ip| at(ip)).collect();
        assert_eq!(listeners.iter().map(Listener::address).collect::<Vec<_>>(), wanted);
        assert_eq!(sockets.iter().map(Datagrams::address).collect::<Vec<_>>(), wanted);
        let outside = Net::sockets().interface(&[]);
        assert!(matches!(outside.connect(at("127.0.0.9")).await, Err(Error::Refused(_))));
        // The other address is free for another program.
        outside.bind_public_udp(at("127.0.0.9")).await.unwrap();
        // The answer comes from the address that was asked, also if it is not the first.
        let caller = Net::sockets().interface(&[own[own.len() - 1].parse().unwrap()]).bind_udp().await.unwrap();
        caller.send_to(b"question", wanted[own.len() - 1]).await.unwrap();
        let (_, from) = sockets[own.len() - 1].recv_from().await.unwrap();
        sockets[own.len() - 1].send_to(b"answer", from).await.unwrap();
        assert_eq!(caller.recv_from().await.unwrap(), (b"answer".to_vec(), wanted[own.len() - 1]));
    }
}

#[tokio::test]
async fn public_port_client_keeps_its_real_address() {
    let [_, world] = networks();
    let mut listener = world.interface(&[]).bind_public("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let outside = Net::sockets().interface(&[]);
    let (client, server) = tokio::join!(outside.connect(listener.address()), listener.accept());
    assert_eq!(server.unwrap().peer(), client.unwrap().local());
}

#[tokio::test(start_paused = true)]
async fn connect_any_uses_the_first_address_that_answers() {
    let net = slow();
    let _listener = listen(&net, 1, 25).await;
    let caller = net.interface(&[ip(2)]);
    let stream = caller.connect_any("mx", &[at(3, 25), at(1, 25)], CONNECT_TIMEOUT).await.unwrap();
    assert_eq!(stream.peer(), at(1, 25));
    assert!(
        matches!(caller.connect_any("mx", &[], CONNECT_TIMEOUT).await, Err(Error::NoAddress(name)) if name == "mx")
    );
}

async fn serving(net: &Net, limits: Limits, stop: &Stop) -> tokio::task::JoinHandle<()> {
    let config = ServerConfig { listener: listen(net, 1, 7).await, tls: None, limits };
    tokio::spawn(serve(config, EchoService, stop.clone()))
}

async fn call(net: &Net) -> Stream {
    net.interface(&[ip(2)]).connect(at(1, 7)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn conn_with_pipelined_lines_replies_together_and_times_out() {
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
async fn conn_with_unread_input_delays_replies_until_it_is_read() {
    const FULL: usize = 64 * 1024;
    let [_, net] = networks();
    let (mut client, server) = connected_pair(&net).await;
    let mut server = Conn::new(server, Echo::default(), Stop::default());
    let long = |bytes: usize| [vec![b'x'; bytes - 1], b"\n".to_vec()].concat();
    let sent = [b"one\n".to_vec(), long(FULL)].concat();
    client.write_all(&sent).await.unwrap();
    // The system has taken it all before the first of it is read.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(server.event().await.unwrap().unwrap(), "one\n");
    assert_eq!(server.event().await.unwrap().unwrap().len(), FULL);
    let mut received = vec![0; sent.len()];
    assert!(timeout(Duration::from_millis(50), client.read(&mut received)).await.is_err(), "no reply is sent yet");
    let (event, read) = tokio::join!(timeout(SECOND / 4, server.event()), client.read_exact(&mut received));
    assert!(event.is_err() && read.is_ok() && received == sent);

    // A read that was filled to its end may have been the last one.
    client.write_all(&long(FULL)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let answered = async { while server.event().await.unwrap().is_some() {} };
    let read = client.read_exact(&mut received[..FULL]);
    tokio::select! { () = answered => panic!("the connection is closed"), read = timeout(SECOND, read) => assert!(read.is_ok()) }
}

/// Without reading it, the system would answer with a reset.
#[tokio::test]
async fn conn_when_the_peer_sends_on_after_the_end_does_not_reset_the_connection() {
    let (net, stop) = (Net::loopback([ip(1), ip(2)].into()), Stop::new());
    let limits = Limits { connections_per_peer: 1, ..Limits::default() };
    let _server = serving(&net, limits, &stop).await;
    let sent = [b"quit\n".to_vec(), vec![b'x'; 1 << 20]].concat();
    let (mut first, mut rejected) = (call(&net).await, call(&net).await);
    for (client, reply) in [(&mut rejected, "full\n"), (&mut first, "quit\n")] {
        client.write_all(&sent).await.unwrap();
        assert_eq!(read_all(client).await, reply);
    }
}

#[tokio::test]
async fn conn_when_the_peer_does_not_close_ends_soon() {
    let net = Net::loopback([ip(1), ip(2)].into());
    let (mut client, server) = connected_pair(&net).await;
    let mut server = Conn::new(server, Echo::default(), Stop::default());
    client.write_all(b"quit\n").await.unwrap();
    let over = async { while server.event().await.unwrap().is_some() {} };
    timeout(SECOND * 10, over).await.unwrap();
    assert_eq!(read_all(&mut client).await, "quit\n");
}

#[tokio::test]
async fn conn_when_the_server_stops_amid_commands_shuts_down() {
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
async fn serve_over_the_peer_limit_rejects_and_over_the_total_limit_waits() {
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
async fn serve_on_stop_sends_the_closing_reply_and_drops_the_rest_after_the_grace_period() {
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
    struct IgnoresStop;
    impl Service for IgnoresStop {
        async fn serve_connection(self, _stream: Stream, _: Stop) -> Result<(), Error> {
            std::future::pending().await
        }
    }
    let (stop, start) = (Stop::new(), Instant::now());
    let config = ServerConfig {
        listener: listen(&net, 1, 8).await,
        tls: None,
        limits: Limits { grace: SECOND * 3, ..Limits::default() },
    };
    let server = tokio::spawn(serve(config, IgnoresStop, stop.clone()));
    let _client = net.interface(&[ip(2)]).connect(at(1, 8)).await.unwrap();
    tokio::time::sleep(SECOND).await;
    stop.cancel();
    server.await.unwrap();
    assert_eq!(start.elapsed(), LATENCY * 2 + SECOND + SECOND * 3);
}

#[tokio::test(start_paused = true)]
async fn conn_event_when_cancelled_loses_nothing() {
    let (mut client, server) = connected_pair(&slow()).await;
    let mut conn = Conn::new(server, Echo::default(), Stop::new());
    client.write_all(b"one\n").await.unwrap();
    assert!(timeout(LATENCY / 2, conn.event()).await.is_err());
    assert_eq!(conn.event().await.unwrap().unwrap(), "one\n");
    assert!(timeout(LATENCY / 2, conn.event()).await.is_err());
    client.write_all(b"quit\n").await.unwrap();
    while conn.event().await.unwrap().is_some() {}
    assert_eq!(read_all(&mut client).await, "one\nquit\n");
}

/// Encrypts both ends, as a host with `name` and a client that expects `expected`.
async fn encrypted(
    net: &Net,
    issuer: &Authority,
    trust: &Trust,
    name: &str,
    expected: &str,
) -> Result<(Stream, Stream), Error> {
    let identity = issuer.issue(&[name.to_owned()]).unwrap().into();
    let (mut client, mut server) = connected_pair(net).await;
    let (connected, accepted) = tokio::join!(client.connect_tls(trust, expected), server.accept_tls(&identity));
    connected.and(accepted).map(|()| (client, server))
}

#[tokio::test]
async fn tls_with_wrong_name_or_root_is_refused_on_both_networks() {
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
        assert!(encrypted(&net, &other, &Trust::any_certificate(clock), "x.test", "mx.test").await.is_ok());
    }
}

/// A client that is not ours gets through over a socket, also in a world with virtual time; in the process it does not.
#[tokio::test]
async fn tls_keys_over_a_socket_are_real_and_in_the_process_simulated() {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let clock = Clock::starting_at("2026-11-01T00:00:00Z".parse().unwrap());
    let authority = Authority::create("a", clock).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.root_pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_details(provider, Arc::new(clock));
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    let acceptor = authority.issue(&["mx.test".to_owned()]).unwrap().into();
    let [in_process, sockets] = networks();
    for (net, is_real) in [(in_process, false), (sockets, true)] {
        let (client, mut server) = connected_pair(&net).await;
        let connector = tokio_rustls::TlsConnector::from(config.clone());
        let connected = connector.connect("mx.test".try_into().unwrap(), client);
        let (connected, accepted) = tokio::join!(connected, server.accept_tls(&acceptor));
        assert_eq!((connected.is_ok(), accepted.is_ok()), (is_real, is_real));
    }
}

#[tokio::test(start_paused = true)]
async fn authority_from_pem_is_trusted_and_certificates_expire_by_the_worlds_clock() {
    let clock = Clock::starting_at("2026-11-01T00:00:00Z".parse().unwrap());
    let authority = Authority::create("a", clock).unwrap();
    let again = Authority::from_pem("a", &authority.root_pem(), &authority.key_pem(), clock).unwrap();
    let trust = Trust::pem(&authority.root_pem(), clock).unwrap();
    assert!(encrypted(&slow(), &again, &trust, "mx.test", "mx.test").await.is_ok());
    let identity = again.issue(&["mx.test".to_owned()]).unwrap().into();
    tokio::time::advance(SECOND * 3600 * 24 * 900).await;
    let (mut client, mut server) = connected_pair(&slow()).await;
    let (connected, _) = tokio::join!(client.connect_tls(&trust, "mx.test"), server.accept_tls(&identity));
    assert!(connected.unwrap_err().to_string().contains("expired"));
}

#[test]
fn identity_from_pem_without_a_certificate_or_its_key_is_refused() {
    let [one, other] = ["a.test", "b.test"].map(|name| rcgen::generate_simple_self_signed([name.to_owned()]).unwrap());
    let (chain, key) = (one.cert.pem(), one.signing_key.serialize_pem());
    assert!(Identity::from_pem(chain.as_bytes(), key.as_bytes(), Clock::wall()).is_ok());
    for (chain, key) in [(&*chain, &*other.signing_key.serialize_pem()), (&chain, &chain), (&key, &key), ("", &key)] {
        let error = Identity::from_pem(chain.as_bytes(), key.as_bytes(), Clock::wall()).err().unwrap().to_string();
        assert!(error.starts_with("TLS with this certificate: "), "{error}");
    }
}
