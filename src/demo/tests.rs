//! HTTP responses in chunks of several sizes; then each demo over an in-process network in virtual time.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::echo::RetryPolicy;
use super::fetch::{BadUrl, Download, Failure, Target};
use super::greeter::{Greeter, GreeterClient, GreeterEvent, GreeterSession};
use super::header::Malformed;
use super::response::{Exchange, Part};
use crate::net::{
    Authority, Error, Interface, Limits, Link, LinkFault, Machine, Net, Next, ServerConfig, Stop, Trust, serve,
};
use crate::world::{Clock, Rng};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Feeds `input` to a machine in chunks and then closes; returns what the machine sends.
fn run<M: Machine>(machine: &mut M, input: &[u8], chunk: usize, mut answer: impl FnMut(&mut M, M::Event)) -> Vec<u8> {
    let (mut chunks, mut said) = (input.chunks(chunk), Vec::new());
    loop {
        match machine.next() {
            Next::Send(bytes) => said.extend_from_slice(&bytes),
            Next::Event(event) => answer(machine, event),
            Next::Read => machine.receive(chunks.next().unwrap_or_default()),
            Next::Close => return said,
            Next::AwaitOwner => panic!("an event was not answered"),
        }
    }
}

/// Parses a response at once, byte by byte and in chunks of 7; returns its status, body and result.
fn read(response: &[u8]) -> (u16, String, Result<(), Malformed>) {
    let mut outcomes = Vec::new();
    for chunk in [response.len().max(1), 1, 7] {
        let (mut status, mut body, mut end) = (0, Vec::new(), None);
        let said = run(&mut Exchange::new("GET", TIMEOUT), response, chunk, |_, part| match part {
            Part::Header(header) => status = header.status,
            Part::Body(bytes) => body.extend_from_slice(&bytes),
            Part::End => end = Some(Ok(())),
            Part::Malformed(malformed) => end = Some(Err(malformed)),
        });
        assert_eq!(said, b"GET");
        outcomes.push((status, String::from_utf8_lossy(&body).into_owned(), end.unwrap()));
    }
    assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{outcomes:?}");
    outcomes.swap_remove(0)
}

#[test]
fn response_body_ends_according_to_framing() {
    for (response, status, body) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, ignored", 200, "hello"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\nhi", 200, "hi"),
        ("HTTP/1.0 200 OK\r\n\r\nto the\r\n\r\nend", 200, "to the\r\n\r\nend"),
        ("HTTP/1.1 404\n\nplain line ends", 404, "plain line ends"),
        ("HTTP/1.1 204 No Content\r\n\r\n", 204, ""),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, "x"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n2;a=b\r\n, \r\n00\r\n\r\n",
            200,
            "hello, ",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nContent-Length: 9\r\n\r\n1\r\nx\r\n0\r\nA: b\r\n\r\n",
            200,
            "x",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nX: a\r\n b\r\n\r\nx", 200, "x"),
    ] {
        assert_eq!(read(response.as_bytes()), (status, body.to_owned(), Ok(())), "{response}");
    }
}

#[test]
fn malformed_responses_give_distinct_errors() {
    let chunked = |rest: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{rest}");
    for (response, expected) in [
        (String::new(), Malformed::NoHeader),
        ("HTTP/1.1 200 OK\r\nA: b\r\n".into(), Malformed::NoHeader),
        ("220 mx.test ESMTP\r\n".into(), Malformed::NotHttp),
        ("HTTP/2 200\r\n\r\n".into(), Malformed::NotHttp),
        ("HTTP/1.1 2x0 OK\r\n\r\n".into(), Malformed::NotHttp),
        ("HTTP/1.1 200 OK\r\nno field\r\n\r\n".into(), Malformed::BadField("no field".into())),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello".into(), Malformed::Short(Some(5))),
        ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n".into(), Malformed::BadLength("-1".into())),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nxx".into(), Malformed::BadLength("2".into())),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n".into(), Malformed::UnknownCoding("gzip".into())),
        (chunked("5\r\nhel"), Malformed::Short(None)),
        (chunked("5\r\nhello\r\n"), Malformed::Short(None)),
        (chunked("5\r\nhelloworld\r\n"), Malformed::BadChunk),
        (chunked("+5\r\nhello\r\n"), Malformed::BadChunk),
        (chunked("\r\n"), Malformed::BadChunk),
        (chunked(&"1".repeat(9000)), Malformed::BadChunk),
        (format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "a".repeat(70_000)), Malformed::HeaderTooLong),
        (format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(20_000)), Malformed::HeaderTooLong),
    ] {
        let (_, _, end) = read(response.as_bytes());
        assert_eq!(end, Err(expected), "{}", &response[..response.len().min(80)]);
    }
}

#[test]
fn random_input_does_not_panic_any_demo() {
    let rng = Rng::seeded(80);
    let words: [&[u8]; 7] =
        [b"HTTP/1.1 200 OK\r\n", b"Transfer-Encoding: chunked\r\n", b"\r\n", b"5\r\n", b"Welcome!", b"\xff\0", b"exit"];
    for _ in 0..5_000 {
        let picks: Vec<&[u8]> = (0..rng.below(12)).map(|_| words[rng.below(words.len() as u64) as usize]).collect();
        let (input, chunk) = (picks.concat(), 1 + rng.below(20) as usize);
        run(&mut Exchange::new("GET", TIMEOUT), &input, chunk, |_, _| ());
        run(&mut GreeterClient::new(vec!["a".into(), "b".into()], TIMEOUT), &input, chunk, |_, _| ());
        run(&mut GreeterSession::default(), &input, chunk, |machine, _| machine.greet());
    }
}

#[test]
fn target_parse_gives_host_port_and_request() {
    for (url, host, port, first_lines) in [
        ("http://example.com", "example.com", 80, "GET / HTTP/1.1\r\nHost: example.com\r\n"),
        (
            "https://example.com/a/b.html?c=d#e",
            "example.com",
            443,
            "GET /a/b.html?c=d HTTP/1.1\r\nHost: example.com\r\n",
        ),
        ("http://[::1]:8080/x y", "[::1]", 8080, "GET /x%20y HTTP/1.1\r\nHost: [::1]:8080\r\n"),
    ] {
        let target: Target = url.parse().unwrap();
        assert_eq!((target.host.as_str(), target.port), (host, port));
        assert!(target.request().starts_with(first_lines), "{}", target.request());
    }
    let name = |url: &str| url.parse::<Target>().unwrap().file_name;
    assert_eq!(name("http://a.test/b/c.png?d").as_deref(), Some("c.png"));
    assert_eq!((name("http://a.test/"), name("http://a.test/b/..")), (None, None));
    assert_eq!("ftp://a.test/".parse::<Target>(), Err(BadUrl::OtherScheme("ftp".into())));
    assert_eq!("http://me:secret@a.test/".parse::<Target>(), Err(BadUrl::Login));
    assert!("no url".parse::<Target>().is_err());
}

fn place(net: &Net, last: u8) -> Interface {
    net.interface(&[[192, 0, 2, last].into()])
}

fn network() -> Net {
    Net::memory(Arc::new(|_, _| Duration::from_millis(10)))
}

/// Starts a greeter at 192.0.2.1:9999; returns the log of its connections.
async fn greeter(net: &Net, stop: &Stop) -> Arc<Mutex<Vec<GreeterEvent>>> {
    let log = Arc::new(Mutex::new(Vec::new()));
    let report = {
        let log = log.clone();
        Arc::new(move |event| log.lock().unwrap().push(event))
    };
    let service = Greeter { delay: Duration::from_secs(1), report };
    let listener = place(net, 1).listen(9999).await.unwrap().remove(0);
    tokio::spawn(serve(ServerConfig { listener, tls: None, limits: Limits::default() }, service, stop.clone()));
    log
}

async fn call(net: Net, last: u8, names: &[&str]) -> Result<Vec<String>, Error> {
    let stream = place(&net, last).connect("192.0.2.1:9999".parse().unwrap()).await?;
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    let mut received = Vec::new();
    super::greeter::call(stream, GreeterClient::new(names, TIMEOUT), |words| received.push(words))
        .await
        .map(|()| received)
}

#[tokio::test(start_paused = true)]
async fn greeter_serves_100_clients_concurrently() {
    let (net, stop) = (network(), Stop::new());
    let log = greeter(&net, &stop).await;
    let started = Instant::now();
    let callers: Vec<_> =
        (2..102).map(|last| tokio::spawn(call(net.clone(), last, &["Michael", "Tracy", "\u{674e}\u{96f7}"]))).collect();
    for caller in callers {
        let received = caller.await.unwrap().unwrap();
        assert_eq!(received, ["Welcome!", "Hello, Michael!", "Hello, Tracy!", "Hello, \u{674e}\u{96f7}!"]);
    }
    let took = started.elapsed();
    assert!((3_000..3_200).contains(&took.as_millis()), "{took:?}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let count = |is: fn(&GreeterEvent) -> bool| log.lock().unwrap().iter().filter(|event| is(event)).count();
    assert_eq!(count(|event| matches!(event, GreeterEvent::Connected(_))), 100);
    assert_eq!(count(|event| matches!(event, GreeterEvent::Disconnected(_))), 100);
}

#[tokio::test(start_paused = true)]
async fn greeter_client_when_server_closes_early_fails() {
    let (net, stop) = (network(), Stop::new());
    greeter(&net, &stop).await;
    let caller = tokio::spawn(call(net.clone(), 2, &["a", "b", "c"]));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    stop.cancel();
    assert!(matches!(caller.await.unwrap(), Err(Error::Closed | Error::Io(_))));
    assert!(matches!(call(net, 2, &["a"]).await, Err(Error::Refused(_))));
}

#[tokio::test(start_paused = true)]
async fn greeter_client_without_reply_times_out() {
    let net = network();
    let mut listener = place(&net, 1).listen(9999).await.unwrap().remove(0);
    let holder = tokio::spawn(async move { listener.accept().await });
    let error = call(net, 2, &["a"]).await.unwrap_err();
    assert!(matches!(error, Error::Silent(TIMEOUT)), "{error}");
    holder.await.unwrap().unwrap();
}

#[test]
fn greeter_client_accepts_unexpected_replies() {
    let mut received = Vec::new();
    let said = run(&mut GreeterClient::new(vec!["a".into()], TIMEOUT), b"Hi there!Hello, a!", 9, |_, words| {
        received.push(words)
    });
    assert_eq!((received, said), (vec!["Hi there!".to_owned(), "Hello, a!".to_owned()], b"aexit".to_vec()));
}

#[test]
fn parse_name_refuses_empty_exit_and_long_names() {
    use super::greeter::parse_name;
    assert_eq!(parse_name("Michael"), Ok("Michael".to_owned()));
    assert!([String::new(), "exit".into(), "a".repeat(1025)].iter().all(|name| parse_name(name).is_err()));
}

#[tokio::test(start_paused = true)]
async fn echo_client_retries_lost_datagrams_and_gives_up() {
    let net = network();
    let (server, stop) = (SocketAddr::new(IpAddr::from([192, 0, 2, 1]), 9999), Stop::new());
    let caller = place(&net, 2).bind_udp().await.unwrap();
    let retry = RetryPolicy { timeout: Duration::from_secs(1), attempts: 3 };
    let started = Instant::now();
    assert_eq!(super::echo::call(&caller, server, "Michael", retry).await.unwrap(), None);
    assert_eq!(started.elapsed(), Duration::from_secs(3));

    let (net, seen) = (net.clone(), Arc::new(Mutex::new(Vec::new())));
    let (log, ending) = (seen.clone(), stop.clone());
    let serving = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let socket = place(&net, 1).listen_udp(9999).await.unwrap().remove(0);
        super::echo::serve(socket, ending, |from| log.lock().unwrap().push(from)).await;
    });
    let received = super::echo::call(&caller, server, "Tracy", retry).await.unwrap();
    assert_eq!(received.as_deref(), Some("Hello, Tracy!"));
    stop.cancel();
    serving.await.unwrap();
    let address = caller.address();
    assert_eq!(*seen.lock().unwrap(), [address]);
}

#[tokio::test(start_paused = true)]
async fn download_reads_whole_page() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let net = network();
    let mut listener = place(&net, 1).listen(8080).await.unwrap().remove(0);
    let server = tokio::spawn(async move {
        let mut stream = listener.accept().await.unwrap();
        let mut request = vec![0; 1024];
        let length = stream.read(&mut request).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n").await.unwrap();
        stream.write_all(&[b'x'; 100_000]).await.unwrap();
        String::from_utf8(request[..length].to_vec()).unwrap()
    });
    let target: Target = "http://192.0.2.1:8080/page".parse().unwrap();
    let mut download = Download::begin(&place(&net, 2), &Trust::public(Clock::wall()), &target, TIMEOUT).await.unwrap();
    let mut size = 0;
    while let Some(bytes) = download.read().await.unwrap() {
        size += bytes.len();
    }
    assert_eq!((download.header.status, size), (200, 100_000));
    assert_eq!(server.await.unwrap(), target.request());
}

#[tokio::test(start_paused = true)]
async fn download_when_the_connection_is_not_answered_ends_at_its_timeout() {
    let net = network();
    net.faults().inject(Link::default(), LinkFault::Cut);
    let target: Target = "http://192.0.2.1:8080/page".parse().unwrap();
    let began = Instant::now();
    let begun = Download::begin(&place(&net, 2), &Trust::public(Clock::wall()), &target, TIMEOUT).await;
    assert!(matches!(begun.err().unwrap(), Failure::Net(Error::TimedOut(_, TIMEOUT))));
    assert_eq!(began.elapsed(), TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn download_over_tls_requires_trusted_certificate() {
    use tokio::io::AsyncWriteExt;
    let net = network();
    let authority = Authority::create("test", Clock::wall()).unwrap();
    let identity = authority.issue(&["192.0.2.1".to_owned()]).unwrap().into();
    let mut listener = place(&net, 1).listen(443).await.unwrap().remove(0);
    tokio::spawn(async move {
        while let Ok(mut stream) = listener.accept().await {
            if stream.accept_tls(&identity).await.is_ok() {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
                    .await
                    .unwrap();
            }
        }
    });
    let target: Target = "https://192.0.2.1/".parse().unwrap();
    let begin = |trust: Trust| {
        let (place, target) = (place(&net, 2), target.clone());
        async move { Download::begin(&place, &trust, &target, TIMEOUT).await }
    };
    let mut download = begin(authority.trust().unwrap()).await.unwrap();
    assert_eq!(download.read().await.unwrap().as_deref(), Some(b"hi".as_slice()));
    assert_eq!(download.read().await.unwrap(), None);
    assert!(begin(Trust::any_certificate(Clock::wall())).await.is_ok());
    let error = begin(Trust::public(Clock::wall())).await.err().unwrap();
    assert!(matches!(error, Failure::Net(Error::Tls { .. })), "{error}");
}
