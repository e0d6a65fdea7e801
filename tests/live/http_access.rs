//! Who may use the HTTP interface, and how it bears those who may not, or who send nonsense.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use super::{Served, TIMEOUT, err, out, postroad};

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";

/// The header of the response to a request.
fn head(served: &Served, header: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(served.at("http")).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n").unwrap();
    let lines = BufReader::new(stream).lines().map(Result::unwrap).take_while(|line| !line.is_empty());
    lines.map(|line| line + "\n").collect()
}

#[test]
fn http_with_credentials_refuses_every_route_without_them() {
    let served = Served::spawn(|command| {
        command.args(["--ephemeral", "--http-user", "ann:secret"]).env("POSTROAD_HTTP_TOKEN", "t0ken");
    });
    let paths = ["/", "/api/v1/hosts", "/api/v1/messages", "/view/latest.txt", "/api/events", "/nowhere", "//view/x"];
    for path in paths {
        for header in ["X: y", "Authorization: Bearer other", "Authorization: Basic YW5uOm90aGVy", UPGRADE] {
            let page = head(&served, header, path);
            assert!(page.starts_with("HTTP/1.1 401 "), "{path}, {header}: {page}");
            let head = page.to_lowercase();
            assert!(head.contains("www-authenticate: basic ") && head.contains("www-authenticate: bearer "), "{page}");
            assert!(head.contains("content-type: application/problem+json"), "{page}");
        }
    }
    for path in ["/livez", "/readyz"] {
        assert!(served.ask("GET", path).starts_with("HTTP/1.1 200 "), "{path}");
    }
    // `ann:secret`, and the token as the password of any user.
    for given in ["Bearer t0ken", "Basic YW5uOnNlY3JldA==", "Basic eDp0MGtlbg=="] {
        let header = format!("Authorization: {given}");
        assert!(head(&served, &header, "/api/v1/messages").starts_with("HTTP/1.1 200 "), "{given}");
        let switched = head(&served, &format!("{header}\r\n{UPGRADE}"), "/api/events");
        assert!(switched.starts_with("HTTP/1.1 101 "), "{given}: {switched}");
    }

    let list = |with: &[&str]| postroad(&[&["queue", "list", "--control", served.at("http")], with].concat());
    let refused = list(&[]);
    assert_eq!((refused.status.code(), err(&refused).lines().count()), (Some(1), 1), "{}", err(&refused));
    assert!(err(&refused).contains("token"), "{}", err(&refused));
    for with in [["--http-token", "t0ken"], ["--http-user", "ann:secret"]] {
        let listed = list(&with);
        assert!(out(&listed).contains("0 messages"), "{}{}", out(&listed), err(&listed));
    }
}

#[test]
fn serve_at_an_address_of_other_machines_needs_credentials() {
    let refused = postroad(&["serve", "--ephemeral", "--bind", "0.0.0.0"]);
    let text = err(&refused);
    assert_eq!((refused.status.code(), text.lines().count()), (Some(1), 1), "{text}");
    assert!(text.contains("--http-token") && text.contains("--insecure-http"), "{text}");
    for with in ["--insecure-http", "--http-token=t0ken"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_postroad"));
        command.args(["serve", "--ephemeral", "--json", "--bind", "0.0.0.0", with]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(line.contains("\"http\":\"0.0.0.0:"), "{with}: {line}");
    }
}
