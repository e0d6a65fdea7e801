//! Parses and completes a message that a program passes to sendmail(1): any line ends, recipients in the header,
//! missing fields. It follows Postfix's sendmail.

use bytes::Bytes;
use jiff::Timestamp;

use crate::imap::{Field, address_entries, fields, unfold};
use crate::mail::{Address, normalize};
use crate::world::rfc5322_date;

/// Fields that are not sent: those of blind recipients, and those that only a mailbox may write. These are Postfix's
/// `message_drop_headers`.
pub(super) const DROPPED: [&str; 4] = ["Bcc", "Resent-Bcc", "Return-Path", "Content-Length"];
/// The fields with the recipients.
const RECIPIENTS: [&str; 3] = ["To", "Cc", "Bcc"];
/// The fields with the recipients of a resent message, whose `To`, `Cc` and `Bcc` are those of the first sending.
/// RFC 5322 §3.6.6.
const RESENT_RECIPIENTS: [&str; 3] = ["Resent-To", "Resent-Cc", "Resent-Bcc"];

/// A message from standard input, completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendmailInput {
    /// Its bytes, with lines that end in CR LF, without `Bcc`, with `From`, `Date` and `Message-ID`. RFC 5322 §3.6.
    pub message: Bytes,
    /// The address in `From`, or in `Resent-From` of a resent message.
    pub from: Option<Address>,
    /// The addresses in its recipient fields.
    pub recipients: AddressArguments,
}

/// Values for missing fields.
#[derive(Clone, Debug)]
pub struct MessageDefaults<'a> {
    /// The address in `From`.
    pub sender: &'a Address,
    /// The sender's name.
    pub name: Option<&'a str>,
    /// The value of `Date`.
    pub date: Timestamp,
    /// The part of `Message-ID` before the `@`.
    pub id: &'a str,
    /// The domain of a user name without one.
    pub origin: &'a str,
}

/// Addresses in arguments or header fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressArguments {
    /// The addresses, in order.
    pub addresses: Vec<Address>,
    /// Entries that are not addresses.
    pub invalid: Vec<String>,
}

impl AddressArguments {
    /// Adds the entries of an address list, such as `ann@a.test, Bob <bob@b.test>, root`; invalid ones are kept apart.
    /// A user name without a domain gets `origin`; `postmaster` alone is that of the server (RFC 5321 §4.5.1).
    pub fn add(&mut self, list: &str, origin: &str) {
        for entry in address_entries(list) {
            let (Some(local), Some(domain)) = (entry.address.local, entry.address.domain) else { continue };
            if let Some(words) = entry.words {
                self.invalid.push(words);
                continue;
            }
            let address = match domain.is_empty() {
                true if local.eq_ignore_ascii_case("postmaster") => Some(Address::postmaster()),
                true => Address::new(&local, origin).ok(),
                false => Address::new(&local, &domain).ok(),
            };
            match address {
                Some(address) => self.addresses.push(address),
                None if domain.is_empty() => self.invalid.push(local),
                None => self.invalid.push(format!("{local}@{domain}")),
            }
        }
    }
}

impl SendmailInput {
    /// Reads and completes a message.
    pub fn new(bytes: &[u8], defaults: &MessageDefaults<'_>) -> Self {
        let (text, _) = normalize(bytes);
        let text = skip_mbox_lines(&text);
        let header: Vec<_> = header_fields(text).collect();
        let body = &text[header.iter().map(|field| field.whole.len()).sum()..];
        let is_resent = RESENT_RECIPIENTS.iter().any(|name| has(&header, name));
        let (recipient_fields, from_field) =
            if is_resent { (RESENT_RECIPIENTS, "Resent-From") } else { (RECIPIENTS, "From") };
        let (mut recipients, mut from) = (AddressArguments::default(), AddressArguments::default());
        for field in &header {
            if recipient_fields.iter().any(|name| field.is(name)) {
                recipients.add(&unfold(field.value), defaults.origin);
            } else if field.is(from_field) {
                from.add(&unfold(field.value), defaults.origin);
            }
        }
        let message = complete(&header, body, is_resent, defaults).into();
        Self { message, from: from.addresses.into_iter().next(), recipients }
    }
}

/// The text after lines such as `From ann@a.test Thu Jan ...` above the header, perhaps quoted by `>`, which programs
/// that read mailbox files leave.
fn skip_mbox_lines(mut text: &[u8]) -> &[u8] {
    while let Some(end) = memchr::memchr(b'\n', text)
        && text[text.iter().take_while(|byte| **byte == b'>').count()..].starts_with(b"From ")
    {
        text = &text[end + 1..];
    }
    text
}

/// The fields at the beginning of a text, up to the first line that is none. The names of fields are printable ASCII.
fn header_fields(text: &[u8]) -> impl Iterator<Item = Field<'_>> {
    fields(text).take_while(|field| field.name.iter().all(u8::is_ascii_graphic))
}

/// Whether the header has a field of this name, in any case.
pub(super) fn has(header: &[Field<'_>], name: &str) -> bool {
    header.iter().any(|field| field.is(name))
}

/// Returns the message without the fields of [`DROPPED`]; adds `From`, `Date` and `Message-ID` below the header if they
/// are missing, and to a resent message these with `Resent-` above it.
fn complete(header: &[Field<'_>], body: &[u8], is_resent: bool, defaults: &MessageDefaults<'_>) -> Vec<u8> {
    let MessageDefaults { sender, name, date, id, .. } = defaults;
    let name = name.map(|name| format!("\"{}\" ", name.replace(['"', '\\', '\r', '\n'], ""))).unwrap_or_default();
    let added = [
        ("From", format!("{name}<{sender}>")),
        ("Date", rfc5322_date(*date)),
        ("Message-ID", format!("<{id}@{}>", sender.domain())),
    ];
    let lacking = |prefix: &str| -> String {
        let fields = added.iter().map(|(name, value)| (format!("{prefix}{name}"), value));
        let lacking = fields.filter(|(name, _)| !has(header, name));
        lacking.map(|(name, value)| format!("{name}: {value}\r\n")).collect()
    };
    let mut message = Vec::new();
    if is_resent {
        // RFC 5322 §3.6.6: above the others.
        message.extend_from_slice(lacking("Resent-").as_bytes());
    }
    for field in header.iter().filter(|field| !DROPPED.iter().any(|name| field.is(name))) {
        // Without the space before the colon that RFC 5322 §4.5 no longer allows.
        message.extend_from_slice(field.name);
        message.push(b':');
        message.extend_from_slice(field.value);
    }
    message.extend_from_slice(lacking("").as_bytes());
    if !body.starts_with(b"\r\n") {
        message.extend_from_slice(b"\r\n");
    }
    message.extend_from_slice(body);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(text: &str) -> SendmailInput {
        let sender: Address = "app@web.test".parse().unwrap();
        let date = "2026-11-01T08:00:00Z".parse().unwrap();
        let defaults = MessageDefaults { sender: &sender, name: Some("The App"), date, id: "1", origin: "here.test" };
        SendmailInput::new(text.as_bytes(), &defaults)
    }

    fn message(text: &str) -> String {
        String::from_utf8(input(text).message.to_vec()).unwrap()
    }

    fn recipients(text: &str) -> Vec<String> {
        input(text).recipients.addresses.iter().map(ToString::to_string).collect()
    }

    const ADDED: &str = "From: \"The App\" <app@web.test>\r\nDate: Sun, 1 Nov 2026 08:00:00 +0000\r\n\
                         Message-ID: <1@web.test>\r\n";

    #[test]
    fn message_when_fields_are_missing_gets_them() {
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
            assert_eq!(message(text), expected);
        }
    }

    #[test]
    fn text_without_a_field_at_the_start_is_body() {
        for text in ["\tTo: a@b.test\n\nx\n", " To: a@b.test\n\nx\n", "Gr\u{fc}\u{df}e: a\n\nx\n", ": x\n\ny\n"] {
            assert_eq!(message(text), format!("{ADDED}\r\n{}", text.replace('\n', "\r\n")));
            assert!(recipients(text).is_empty(), "{text:?}");
        }
    }

    #[test]
    fn bcc_is_read_and_removed() {
        let text =
            "To: A <a@x.test>, b@x.test\nBcc:\n c@x.test\nCc: g: d@x.test, nobody;\nFrom: me@x.test\n\nBcc: stays\n";
        assert_eq!(recipients(text), ["a@x.test", "b@x.test", "c@x.test", "d@x.test", "nobody@here.test"]);
        assert_eq!(input(text).from.unwrap().to_string(), "me@x.test");
        let message = message(text);
        assert!(!message.contains("c@x.test") && message.ends_with("\r\n\r\nBcc: stays\r\n"), "{message}");
    }

    #[test]
    fn recipient_fields_when_repeated_are_all_read() {
        let text = "To: a@x.test\nBcc: b@x.test\nTo: c@x.test\nCc: d@x.test\nbcc: e@x.test\nCC: f@x.test\n\n";
        assert_eq!(recipients(text), ["a@x.test", "b@x.test", "c@x.test", "d@x.test", "e@x.test", "f@x.test"]);
        assert!(!message(text).contains("b@x.test") && !message(text).contains("e@x.test"));
    }

    #[test]
    fn fields_with_a_space_before_the_colon_are_fields() {
        let text = "Subject : s\nBcc : hidden@x.test\nTo\t: a@x.test\n\nbody\n";
        assert_eq!(recipients(text), ["hidden@x.test", "a@x.test"]);
        assert_eq!(message(text), format!("Subject: s\r\nTo: a@x.test\r\n{ADDED}\r\nbody\r\n"));
    }

    #[test]
    fn from_lines_above_the_header_are_removed() {
        for line in ["From me@x Thu Jan  1 00:00:00 2026\n", ">From me@x Thu\n>>From x\nFrom y\n"] {
            let text = format!("{line}To: a@x.test\n\nFrom here\n");
            assert_eq!(recipients(&text), ["a@x.test"]);
            assert_eq!(message(&text), format!("To: a@x.test\r\n{ADDED}\r\nFrom here\r\n"));
        }
    }

    #[test]
    fn resent_fields_when_present_name_the_recipients() {
        let first = "From: ann@x.test\r\nDate: today\r\nMessage-ID: <2>\r\nTo: old@x.test\r\nCc: old2@x.test\r\n";
        let resent = "Resent-To: a@x.test\r\nResent-Cc: b@x.test\r\n";
        let text = format!("{resent}Resent-Bcc: c@x.test\r\n{first}Bcc: old3@x.test\r\n\r\nx\r\n");
        assert_eq!(recipients(&text), ["a@x.test", "b@x.test", "c@x.test"]);
        let added: String = ADDED.split_inclusive('\n').map(|field| format!("Resent-{field}")).collect();
        assert_eq!(message(&text), format!("{added}{resent}{first}\r\nx\r\n"));
        assert_eq!(input(&text).from, None, "failures are not reported to the first author");
        let text = format!("Resent-From: me@x.test\r\n{text}");
        assert_eq!(input(&text).from.unwrap().to_string(), "me@x.test");
    }

    #[test]
    fn fields_of_mailboxes_are_removed() {
        let text = "Return-Path: <x@x.test>\nContent-Length: 99\nTo: a@x.test\n\nx\n";
        assert_eq!(message(text), format!("To: a@x.test\r\n{ADDED}\r\nx\r\n"));
    }

    #[test]
    fn address_arguments_accept_lists_names_and_bare_users() {
        for (text, wanted, invalid) in [
            ("a@x.test, b@x.test", &["a@x.test", "b@x.test"][..], &[][..]),
            ("Ann Lee <a@x.test>", &["a@x.test"], &[]),
            ("\"Lee, Ann\" <a@x.test>,b@x.test (Bob)", &["a@x.test", "b@x.test"], &[]),
            ("root", &["root@here.test"], &[]),
            ("root (Cron Daemon)", &["root@here.test"], &[]),
            ("Postmaster", &["postmaster"], &[]),
            ("<a@x.test> <b@x.test>", &["a@x.test", "b@x.test"], &[]),
            ("list: a@x.test, root;", &["a@x.test", "root@here.test"], &[]),
            ("undisclosed-recipients:;", &[], &[]),
            ("John Smith", &[], &["John Smith"]),
            ("a@x.test b@x.test", &[], &["a@x.test b@x.test"]),
            ("a@-x, <>", &[], &["a@-x", ""]),
            ("", &[], &[]),
        ] {
            let mut read = AddressArguments::default();
            read.add(text, "here.test");
            let addresses: Vec<_> = read.addresses.iter().map(ToString::to_string).collect();
            assert_eq!((addresses, read.invalid), (own(wanted), own(invalid)), "{text}");
        }
    }

    fn own(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn recipients_of_a_long_list_are_all_read() {
        let list: Vec<_> = (0..3_000).map(|at| format!("person{at}@example.test")).collect();
        assert_eq!(recipients(&format!("To: {}\n\n", list.join(",\n "))).len(), 3_000);
    }
}
