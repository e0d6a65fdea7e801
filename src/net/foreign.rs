//! Recognizes HTTP at the ports of mail protocols. A web page can make a browser send a request there, whose body holds
//! commands, so a connection that begins one is closed at its first line.

/// RFC 9110 §9.3, RFC 5789, and the HTTP/2 preface (RFC 9113 §3.4). No mail protocol has a command of these names.
const METHODS: [&[u8]; 10] =
    [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH", b"PRI"];
/// How a request target begins, or what follows that of `CONNECT`. RFC 9112 §3.2.
const TARGETS: [&[u8]; 4] = [b"/", b"http://", b"https://", b"* HTTP/"];

/// Whether a line begins like an HTTP request. The end of the line is not needed. In IMAP a method may be a tag, but no
/// command begins like a target.
pub fn is_http_request(line: &[u8]) -> bool {
    let Some(space) = line.iter().take(8).position(|byte| *byte == b' ') else { return false };
    let (method, target) = (&line[..space], &line[space + 1..]);
    METHODS.contains(&method)
        && (TARGETS.iter().any(|begin| target.starts_with(begin)) || (method == b"CONNECT" && is_connect(target)))
}

/// Whether what follows `CONNECT` is host and port, then the version. RFC 9112 §3.2.3.
fn is_connect(target: &[u8]) -> bool {
    let mut words = target.split(|byte| *byte == b' ');
    words.next().is_some_and(|host| host.contains(&b':')) && words.next().is_some_and(|word| word.starts_with(b"HTTP/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_http_request_knows_requests_and_no_mail_commands() {
        for line in [
            "GET / HTTP/1.1",
            "POST /api HTTP/1.0",
            "POST /",
            "OPTIONS * HTTP/1.1",
            "HEAD http://a.test/ HTTP/1.1",
            "CONNECT a.test:25 HTTP/1.1",
            "PRI * HTTP/2.0",
            "DELETE /x",
        ] {
            assert!(is_http_request(line.as_bytes()), "{line}");
        }
        for line in [
            "",
            "GET",
            "GET LOGIN ann pw",
            "POST SELECT INBOX",
            "CONNECT NOOP",
            "CONNECT LOGIN a:b c",
            "OPTIONS * LOGIN",
            "get / HTTP/1.1",
            "VRFY /home",
            "HELP /",
            "a GET / HTTP/1.1",
            "EHLO / HTTP/1.1",
            "PUT 1 HTTP/1.1",
        ] {
            assert!(!is_http_request(line.as_bytes()), "{line}");
        }
    }
}
