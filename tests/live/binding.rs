//! Where the servers listen: at the address that was given, and nowhere else.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};

use super::eventually;

/// A server, killed when it goes out of scope.
struct Server(Child, SocketAddr);

impl Server {
    /// Starts a server that prints where it waits.
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_postroad"));
        let mut child = command.args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let at = line.trim_end_matches(['.', '\n']).rsplit(' ').next().unwrap().parse().unwrap();
        Self(child, at)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn greeter_and_udp_serve_listen_at_the_given_address_only() {
    let has_ipv6 = TcpListener::bind("[::1]:0").is_ok();
    for given in ["127.0.0.1:0", "127.0.0.2:0", "[::1]:0"].iter().filter(|given| has_ipv6 || !given.contains("::1")) {
        let address: SocketAddr = given.parse().unwrap();
        let Server(_, at) = &Server::start(&["greeter", "serve", "--listen", given]);
        assert_eq!(at.ip(), address.ip());
        TcpStream::connect(at).unwrap();
        assert!(TcpStream::connect(("127.0.0.9", at.port())).is_err(), "{given}");
        let Server(_, at) = &Server::start(&["udp", "serve", "--listen", given]);
        assert_eq!(at.ip(), address.ip());
        // Taken at this address, and free at another.
        assert!(UdpSocket::bind(at).is_err() && UdpSocket::bind(("127.0.0.9", at.port())).is_ok(), "{given}");
    }
}

/// Two hosts of a world on one machine with two addresses: neither is in the way of the other.
#[cfg(target_os = "linux")]
#[test]
fn host_listens_at_its_own_addresses_only() {
    // Ports below 1024 are not for everybody.
    if TcpListener::bind("127.0.53.1:53").is_err() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let world = folder.path().join("world.toml");
    let text = std::fs::read_to_string("config/journey.toml").unwrap();
    let text = text.replace("\"192.0.2.53\"", "[\"127.0.53.1\", \"127.0.53.2\"]\n[dns.two]\naddress = \"127.0.53.3\"");
    let text = text.rsplit_once("[ports]").unwrap().0;
    std::fs::write(&world, text).unwrap();
    let start = |name: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_postroad"));
        command.args(["host", name]).arg(&world).arg("--data").arg(folder.path().join(name));
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, format!("{name} of world journey is up\n"));
        Server(child, ([127, 0, 0, 1], 0).into())
    };
    let both = [start("dns"), start("two")];
    // A query for the start of authority of `test`, with id 7.
    let query = b"\0\x07\0\0\0\x01\0\0\0\0\0\0\x04test\0\0\x06\0\x01";
    for ip in ["127.0.53.1", "127.0.53.2", "127.0.53.3"] {
        TcpStream::connect((ip, 53)).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(super::TIMEOUT)).unwrap();
        // A connected socket gets datagrams from this address only.
        socket.connect((ip, 53)).unwrap();
        let mut answer = [0; 512];
        let len = eventually(ip, || {
            socket.send(query).ok()?;
            socket.recv(&mut answer).ok()
        });
        assert_eq!((answer[1], answer[2] & 0x80), (7, 0x80), "{len} octets");
    }
    assert!(TcpStream::connect("127.0.53.4:53").is_err());
    drop(both);
}
