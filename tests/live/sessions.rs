//! Conversations at the doors, with and without a message.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::http::Smtp;
use super::{Served, TIMEOUT};

/// The one conversation that a search finds, when it has ended.
fn found(served: &Served, query: &str) -> Value {
    let list = served.json(&format!("/api/v1/sessions?{query}&open=false&wait=30s"));
    let sessions = list["sessions"].as_array().unwrap();
    assert_eq!((sessions.len(), &list["total"], list.get("next")), (1, &json!(1), None), "{query}: {list}");
    assert!(sessions[0].get("dialogue").is_none());
    served.json(&format!("/api/v1/sessions/{}", sessions[0]["id"]))
}

fn said(session: &Value) -> Vec<String> {
    let lines = session["dialogue"]["lines"].as_array().unwrap();
    lines.iter().map(|line| format!("{}: {}", line[0].as_str().unwrap(), line[1].as_str().unwrap())).collect()
}

#[test]
fn sessions_show_what_was_refused_and_the_message_that_it_led_to() {
    let served = Served::ephemeral();
    let mut smtp = Smtp::connect(&served);
    smtp.say("MAIL FROM:<me@163.test>");
    assert!(smtp.say("RCPT TO:<nobody@163.test>").starts_with("550"));
    assert!(smtp.say("HELLO there").starts_with("500"));
    smtp.say("RSET");
    let id = smtp.send(&["friend@sina.test"], "after two refusals");
    // It goes on, and is there already.
    let open = served.json(&format!("/api/v1/sessions?journey={id}&open=true"));
    assert_eq!(open["sessions"][0]["ended"], Value::Null, "{open}");
    smtp.say("QUIT");
    let session = found(&served, "host=mta-163&client=127.0.0.1&outcome=accepted");
    assert_eq!(session["outcome"], json!(["accepted", "refused"]));
    assert_eq!((&session["journeys"], &session["accepted"], &session["refused"]), (&json!([id]), &json!(1), &json!(2)));
    assert_eq!(session["refusals"][0]["command"], "RCPT TO:<nobody@163.test>");
    assert!(session["refusals"][1]["reply"].as_str().unwrap().starts_with("500 5.5.1"), "{session}");
    let (lines, times) = (said(&session), session["dialogue"]["lines"].as_array().unwrap());
    assert_eq!((&*lines[1], &*lines[lines.len() - 2]), ("C: HELO test", "C: QUIT"));
    assert!(lines.iter().any(|line| line.starts_with("C: (") && line.ends_with("bytes of message data)")), "{lines:?}");
    assert!(times.is_sorted_by_key(|line| line[2].as_u64()));
    let journey = served.json(&format!("/api/v1/journeys/{id}?wait=30s"));
    assert_eq!(journey["events"][0]["session"], session["id"], "{journey}");
    assert_eq!(found(&served, "text=hello%20THERE")["id"], session["id"]);
    assert!(served.ask("GET", "/api/v1/sessions/1").starts_with("HTTP/1.1 404"));
    assert!(served.ask("GET", "/api/v1/sessions?outcome=lucky").starts_with("HTTP/1.1 400"));
}

/// Says this at a port, and reads until the server closes or so many lines have come.
fn say(served: &Served, service: &str, lines: &[&str], replies: usize) {
    let mut stream = TcpStream::connect(served.at(service)).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    for line in lines {
        write!(stream, "{line}\r\n").unwrap();
    }
    if replies == 0 {
        let _ = stream.read_to_end(&mut Vec::new());
    } else {
        BufReader::new(stream).lines().take(replies).for_each(|line| drop(line.unwrap()));
    }
}

#[test]
fn sessions_without_a_message_are_found_by_how_they_failed_and_tell_no_secret() {
    let served = Served::ephemeral();
    say(&served, "pop3s", &["this is no TLS"], 0);
    let mut smtp = Smtp::at(&served, "submission");
    assert!(smtp.say("STARTTLS").starts_with("220"));
    smtp.say("nor is this");
    let user = "AUTH PLAIN AG1lQDE2My50ZXN0AHNlc2FtZQ==";
    say(&served, "submission", &["EHLO a.test", user, "c2VzYW1l", "QUIT"], 0);
    say(&served, "pop3", &["USER me@163.test", "PASS sesame", "QUIT"], 0);
    say(&served, "imap", &["a LOGIN me@163.test sesame", "b LOGOUT"], 0);
    let mail = ["HELO a.test", "MAIL FROM:<me@163.test>", "RCPT TO:<friend@sina.test>", "DATA", "Subject: half"];
    say(&served, "smtp", &mail, 5);
    for (query, login) in [
        ("protocol=pop3&outcome=tls_failed", Value::Null),
        ("protocol=submission&outcome=tls_failed", Value::Null),
        ("protocol=submission&outcome=wrong_password", json!("me@163.test")),
        ("protocol=pop3&outcome=wrong_password&login=me@163", json!("me@163.test")),
        ("protocol=imap&outcome=wrong_password", json!("me@163.test")),
        ("outcome=hung_up_in_data", Value::Null),
    ] {
        let session = found(&served, query);
        assert_eq!(session["login"], login, "{session}");
        let text = session.to_string();
        assert!(!text.contains("sesame") && !text.contains("c2VzYW1l") && !text.contains("AG1l"), "{text}");
        assert_eq!(session["journeys"], json!([]));
    }
    let session = found(&served, "outcome=hung_up_in_data");
    assert_eq!(said(&session).last().unwrap(), "C: (15 bytes of message data)");
    assert!(found(&served, "protocol=pop3&outcome=tls_failed")["error"].as_str().unwrap().starts_with("TLS with"));
}
