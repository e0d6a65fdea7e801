//! A message as a letter for people: the header fields that matter, its text, and a list of what is attached.

use std::fmt::Write;

use console::style;
use mail_parser::{Address, MessageParser};

use super::out::printable;
use crate::catalogue::parts;

/// Formats a message for a terminal, with its number in the mailbox: fields, decoded texts and a list of attachments.
/// Control characters are escaped.
pub(super) fn letter(number: u32, bytes: &[u8]) -> String {
    let message = MessageParser::default().parse(bytes).unwrap_or_default();
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{}", style(format!("message {number}, {} bytes", bytes.len())).cyan());
    let mut field = |name: &str, value: Option<String>| {
        let value = value.map(|value| one_line(&value)).filter(|value| !value.is_empty());
        if let Some(value) = value {
            let _ = writeln!(out, "{}  {value}", style(format!("{name:<8}")).bold());
        }
    };
    field("From", message.from().map(people));
    field("Reply-To", message.reply_to().map(people));
    field("To", message.to().map(people));
    field("Cc", message.cc().map(people));
    field("Date", message.date().map(|date| date.to_rfc822()));
    field("Subject", message.subject().map(str::to_owned));
    for at in 0..message.text_body_count() {
        let text = message.body_text(at).unwrap_or_default().replace("\r\n", "\n");
        let _ = write!(out, "\n{}\n", printable(text.trim_end()));
    }
    let attached: Vec<_> = parts(&message).into_iter().filter(|part| part.placement().is_some()).collect();
    if !attached.is_empty() {
        let _ = writeln!(out, "\n{}", style("attachments").bold());
    }
    for part in attached {
        let name = if part.name().is_empty() { "(no name)" } else { part.name() };
        let (kind, size) = (part.media_type(), part.part.contents().len());
        let _ = writeln!(out, "  {}  {}, {size} bytes", one_line(name), one_line(&kind));
    }
    out
}

/// The people of an address field, as in `Name <address>, address`.
fn people(field: &Address<'_>) -> String {
    let one = |address: &mail_parser::Addr<'_>| match (address.name(), address.address()) {
        (Some(name), Some(address)) => format!("{name} <{address}>"),
        (name, address) => name.or(address).unwrap_or_default().to_owned(),
    };
    field.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// A decoded value with spaces for its line ends, which would look like further fields, and for tabs; other control
/// characters are escaped.
fn one_line(value: &str) -> String {
    printable(&value.replace(['\r', '\n', '\t'], " ")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letter_shows_decoded_fields_text_and_attachments_without_control_characters() {
        let text = "From: =?utf-8?q?J=C3=BCrgen?= <j@a.test>\r\nTo: b@b.test, Cid <c@c.test>\r\n\
            Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe=0AFrom:_evil=1B[2J?=\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n\
            --x\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>one &amp; two</p>\r\n\
            --x\r\nContent-Type: application/pdf; name=\"a\x1b.pdf\"\r\nContent-Disposition: attachment\r\n\r\n1234\r\n--x--\r\n";
        let shown = letter(7, text.as_bytes());
        let shown = console::strip_ansi_codes(&shown);
        let expected = format!("message 7, {} bytes\nFrom      J\u{fc}rgen <j@a.test>\n", text.len());
        assert!(shown.starts_with(&expected), "{shown}");
        for words in [
            "\nTo        b@b.test, Cid <c@c.test>\n",
            "\nSubject   Gr\u{fc}\u{df}e From: evil\\u001b[2J\n",
            "\n\none & two\n",
            "\nattachments\n  a\\u001b.pdf  application/pdf, 4 bytes\n",
        ] {
            assert!(shown.contains(words), "{words:?}\n{shown}");
        }
    }
}
