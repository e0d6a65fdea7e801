//! A message as programs hand it to sendmail: lines of any kind, recipients in its header, and fields left out.

use bytes::Bytes;
use jiff::Timestamp;
use mail_parser::MessageParser;

use crate::mail::{Address, normalize};
use crate::world::rfc5322_date;

/// A message that was handed over, made whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handed {
    /// Its bytes, every line ended by CR LF, without `Bcc`, with `From`, `Date` and `Message-ID`. RFC 5322 §3.6.
    pub message: Bytes,
    /// The address in `From`.
    pub from: Option<Address>,
    /// Who is named in `To`, `Cc` and `Bcc`.
    pub named: Vec<Address>,
    /// What is named there and is no address.
    pub unknown: Vec<String>,
}

/// What stands in a field that was left out.
#[derive(Clone, Debug)]
pub struct Missing<'a> {
    /// Who sends, if the message does not say.
    pub sender: &'a Address,
    /// The sender's name.
    pub name: Option<&'a str>,
    /// When.
    pub date: Timestamp,
    /// The part of `Message-ID` before the `@`.
    pub id: &'a str,
}

impl Handed {
    /// Takes a message over.
    pub fn new(bytes: &[u8], missing: &Missing<'_>) -> Self {
        let (text, _) = normalize(bytes);
        let (header, body) = split(&text);
        let parsed = MessageParser::default().parse_headers(header);
        let addresses = |list: Option<&mail_parser::Address<'_>>| -> Vec<String> {
            let entries = list.into_iter().flat_map(mail_parser::Address::iter);
            // A word that is no address is read as a name.
            entries.filter_map(|entry| entry.address.as_deref().or(entry.name()).map(str::to_owned)).collect()
        };
        let (mut named, mut unknown, mut from) = (Vec::new(), Vec::new(), None);
        if let Some(parsed) = &parsed {
            from = addresses(parsed.from()).first().and_then(|text| text.parse().ok());
            for text in [parsed.to(), parsed.cc(), parsed.bcc()].into_iter().flat_map(addresses) {
                text.parse().map_or_else(|_| unknown.push(text.clone()), |address| named.push(address));
            }
        }
        let fields: Vec<_> = fields(header).into_iter().filter(|field| !is(field, "Bcc")).collect();
        let message = write(&fields, body, missing);
        Self { message: message.into(), from, named, unknown }
    }
}

/// The header, with the CR LF of its last line, and the rest, which begins with an empty line. What begins with no
/// field has no header.
fn split(text: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if line == b"\r\n" {
            return text.split_at(at);
        }
        let folded = at != 0 && line.starts_with(b" ") || line.starts_with(b"\t");
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        let is_field = name.len() < line.len() && !name.is_empty() && name.iter().all(|byte| (33..=126).contains(byte));
        if !folded && !is_field {
            return text.split_at(at);
        }
        at += line.len();
    }
    (text, b"")
}

/// The fields of a header, each with its folded lines.
fn fields(header: &[u8]) -> Vec<Vec<u8>> {
    let mut fields: Vec<Vec<u8>> = Vec::new();
    for line in header.split_inclusive(|byte| *byte == b'\n') {
        match fields.last_mut() {
            Some(field) if line.starts_with(b" ") || line.starts_with(b"\t") => field.extend_from_slice(line),
            _ => fields.push(line.to_vec()),
        }
    }
    fields
}

fn is(field: &[u8], name: &str) -> bool {
    let end = field.iter().position(|byte| *byte == b':').unwrap_or(field.len());
    field[..end].trim_ascii().eq_ignore_ascii_case(name.as_bytes())
}

fn write(fields: &[Vec<u8>], body: &[u8], missing: &Missing<'_>) -> Vec<u8> {
    let mut message = fields.concat();
    let lacks = |name: &str| !fields.iter().any(|field| is(field, name));
    if lacks("From") {
        let name = missing.name.map(|name| format!("\"{}\" ", name.replace(['"', '\\', '\r', '\n'], "")));
        let from = format!("From: {}<{}>\r\n", name.unwrap_or_default(), missing.sender);
        message.extend_from_slice(from.as_bytes());
    }
    if lacks("Date") {
        message.extend_from_slice(format!("Date: {}\r\n", rfc5322_date(missing.date)).as_bytes());
    }
    if lacks("Message-ID") {
        let id = format!("Message-ID: <{}@{}>\r\n", missing.id, missing.sender.domain());
        message.extend_from_slice(id.as_bytes());
    }
    if !body.starts_with(b"\r\n") {
        message.extend_from_slice(b"\r\n");
    }
    message.extend_from_slice(body);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handed(text: &str) -> Handed {
        let sender: Address = "app@web.test".parse().unwrap();
        let date = "2026-11-01T08:00:00Z".parse().unwrap();
        Handed::new(text.as_bytes(), &Missing { sender: &sender, name: Some("The App"), date, id: "1" })
    }

    const ADDED: &str = "From: \"The App\" <app@web.test>\r\nDate: Sun, 1 Nov 2026 08:00:00 +0000\r\n\
                         Message-ID: <1@web.test>\r\n";

    #[test]
    fn what_is_left_out_is_added() {
        for (text, expected) in [
            ("To: a@b.test\n\nhello\n", format!("To: a@b.test\r\n{ADDED}\r\nhello\r\n")),
            ("hello: no\nbut no field\n", format!("hello: no\r\n{ADDED}\r\nbut no field\r\n")),
            ("just text\n", format!("{ADDED}\r\njust text\r\n")),
            ("", format!("{ADDED}\r\n")),
            (
                "from: x@y.test\nDATE: today\nmessage-id: <2>\nSubject: s\n\tfolded\n\n",
                "from: x@y.test\r\nDATE: today\r\nmessage-id: <2>\r\nSubject: s\r\n\tfolded\r\n\r\n".to_owned(),
            ),
        ] {
            assert_eq!(String::from_utf8_lossy(&handed(text).message), expected);
        }
    }

    #[test]
    fn bcc_is_read_and_taken_out() {
        let handed = handed(
            "To: A <a@x.test>, b@x.test\nBcc:\n c@x.test\nCc: g: d@x.test, nobody;\nFrom: me@x.test\n\nBcc: stays\n",
        );
        let named: Vec<_> = handed.named.iter().map(ToString::to_string).collect();
        assert_eq!(named, ["a@x.test", "b@x.test", "d@x.test", "c@x.test"]);
        assert_eq!(
            (handed.unknown, handed.from.unwrap().to_string()),
            (vec!["nobody".to_owned()], "me@x.test".to_owned())
        );
        let text = String::from_utf8(handed.message.to_vec()).unwrap();
        assert!(!text.contains("c@x.test") && text.ends_with("\r\n\r\nBcc: stays\r\n"), "{text}");
    }
}
