//! The program under the name `mailpit`, by a link.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

use super::{TIMEOUT, err, fed};

struct Mailpit {
    child: Child,
    smtp: String,
    http: String,
    folder: tempfile::TempDir,
}

impl Mailpit {
    /// Starts it with these variables, and waits for the line that test containers wait for.
    fn start(variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("mailpit");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_postroad"), &link).unwrap();
        let mut command = Command::new(&link);
        command
            .env("MP_SMTP_BIND_ADDR", "127.0.0.1:0")
            .args(["--listen", "127.0.0.1:0"])
            .envs(variables.iter().copied());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut after = |text: &str| {
            let line = lines.find_map(|line| Some(line.split_once(text)?.1.to_owned())).unwrap();
            line.split([' ', '"']).next().unwrap().to_owned()
        };
        let (smtp, http) = (after("[smtpd] starting on "), after("[http] starting on "));
        let port = http.rsplit_once(':').unwrap().1;
        assert_eq!(after("[http] accessible via http://localhost:"), format!("{port}/"));
        Self { child, smtp, http, folder }
    }

    fn json(&self, path: &str) -> Value {
        let mut stream = TcpStream::connect(&self.http).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        serde_json::from_str(page.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    /// Says lines, and returns all replies.
    fn smtp(&self, text: &str) -> String {
        let mut stream = TcpStream::connect(&self.smtp).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        let mut replies = String::new();
        stream.read_to_string(&mut replies).unwrap();
        replies
    }

    /// Hands a message over by `mailpit sendmail`.
    fn sendmail(&self, variables: &[(&str, &str)], arguments: &[&str]) {
        let mut command = Command::new(self.folder.path().join("mailpit"));
        command.arg("sendmail").args(arguments).envs(variables.iter().copied());
        let output = fed(command, "To: ann@shop.example\nSubject: handed over\n\nx\n");
        assert!(output.status.success(), "{}", err(&output));
    }

    fn ready(&self) -> bool {
        let mut command = Command::new(self.folder.path().join("mailpit"));
        command.args(["readyz", "--listen", &self.http]).stderr(Stdio::null()).status().unwrap().success()
    }
}

impl Drop for Mailpit {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn program_called_mailpit_takes_mail_for_anybody_with_any_login_and_lone_line_feeds() {
    let mut mailpit = Mailpit::start(&[
        ("MP_SMTP_AUTH_ACCEPT_ANY", "1"),
        ("MP_SMTP_AUTH_ALLOW_INSECURE", "true"),
        ("MP_MAX_MESSAGES", "5000"),
        ("MP_LABEL", "ours"),
        ("MP_SMTP_RELAY_HOST", "smtp.example.com"),
    ]);
    let replies = mailpit.smtp(
        "EHLO test\r\nAUTH PLAIN AHVzZXIAYW55\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<any.body@some.where.example>\r\n\
         DATA\r\nSubject: lone\nTo: any.body@some.where.example\n\nline\r\n.\r\nQUIT\r\n",
    );
    assert!(replies.contains("250-AUTH PLAIN LOGIN\r\n") || replies.contains("250 AUTH PLAIN LOGIN\r\n"), "{replies}");
    assert!(!replies.contains("STARTTLS") && replies.contains("\r\n235 "), "{replies}");
    let id = replies.split_once("queued as ").unwrap_or_else(|| panic!("{replies}")).1.split('-').next().unwrap();
    let list = mailpit.json("/api/v1/messages");
    let message = &list["messages"][0];
    assert_eq!((&list["total"], &message["ID"], &message["Subject"]), (&1.into(), &id.into(), &"lone".into()));
    assert_eq!(message["Username"], "user");
    let session = &mailpit.json("/api/v1/sessions?outcome=logged_in")["sessions"][0];
    assert_eq!((&session["login"], &session["journeys"][0]), (&"user".into(), &id.into()));
    assert!(mailpit.ready());
    // As PHP calls it.
    let server = [("MP_SENDMAIL_SMTP_ADDR", &*mailpit.smtp), ("MP_SENDMAIL_FROM", "php@app.example")];
    let other = [("MP_SENDMAIL_SMTP_ADDR", "127.0.0.1:1")];
    mailpit.sendmail(&server, &["-t", "-i"]);
    assert_eq!(mailpit.json("/api/v1/messages")["messages"][0]["Envelope"]["From"], "php@app.example");
    mailpit.sendmail(&other, &["-S", &mailpit.smtp, "-t", "-f", "cron@app.example"]);
    let list = mailpit.json("/api/v1/search?query=subject:handed");
    assert_eq!(
        (&list["messages_count"], &list["messages"][0]["Envelope"]["From"]),
        (&2.into(), &"cron@app.example".into())
    );
    mailpit.child.kill().unwrap();
    assert!(!mailpit.ready());
    let mut errors = String::new();
    mailpit.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!(errors, "mailpit: not supported by Postroad and ignored: MP_LABEL, MP_SMTP_RELAY_HOST\n");
}

#[test]
fn program_called_mailpit_knows_the_logins_of_its_variable_only() {
    let mailpit = Mailpit::start(&[("MP_SMTP_AUTH", "app:secret other:word")]);
    assert!(mailpit.smtp("EHLO test\r\nAUTH PLAIN AGFwcABzZWNyZXQ=\r\nQUIT\r\n").contains("\r\n235 "));
    assert!(mailpit.smtp("EHLO test\r\nAUTH PLAIN AGFwcAB3b3Jk\r\nQUIT\r\n").contains("\r\n535 "));
}

#[test]
fn program_called_mailpit_presents_the_certificate_of_its_variables() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["mail.test".to_owned()]).unwrap();
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name).to_str().unwrap().to_owned());
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let files = [("MP_SMTP_TLS_CERT", &*certificate), ("MP_SMTP_TLS_KEY", &*key)];
    let message = "MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\nQUIT\r\n";

    let offered = Mailpit::start(&files);
    let replies = offered.smtp(&format!("EHLO test\r\n{message}"));
    assert!(replies.contains("STARTTLS") && replies.contains("queued as "), "{replies}");

    let required = Mailpit::start(&[files[0], files[1], ("MP_SMTP_REQUIRE_TLS", "1"), ("MP_SMTP_AUTH", "app:secret")]);
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let client =
        ClientConnection::new(Arc::new(config.with_no_client_auth()), "mail.test".try_into().unwrap()).unwrap();
    let stream = TcpStream::connect(&required.smtp).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let (mut tls, mut replies) = (StreamOwned::new(client, stream), String::new());
    tls.write_all(format!("EHLO test\r\nAUTH PLAIN AGFwcABzZWNyZXQ=\r\n{message}").as_bytes()).unwrap();
    // What a server leaves out at its end does not matter.
    let _ = tls.read_to_string(&mut replies);
    assert!(replies.contains("\r\n235 ") && replies.contains("queued as "), "{replies}");
    assert!(!replies.contains("STARTTLS"), "{replies}");
    let session = &required.json("/api/v1/sessions?outcome=accepted")["sessions"][0];
    assert!(session["tls"].is_string() && session["protocol"] == "smtp", "{session}");
    assert_eq!(required.json("/api/v1/messages")["messages"][0]["Username"], "app");
}
