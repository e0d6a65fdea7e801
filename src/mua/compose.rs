//! Composes a message (RFC 5322, MIME) with mail-builder.

use jiff::Timestamp;
use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address as Header;
use mail_builder::mime::MimePart;

use crate::mail::Address;

/// The parts of a message to compose.
#[derive(Clone, Debug)]
pub struct Draft {
    /// `From`.
    pub from: Address,
    /// `To`.
    pub to: Vec<Address>,
    /// `Cc`.
    pub cc: Vec<Address>,
    /// `Subject`, any characters.
    pub subject: String,
    /// The text.
    pub text: String,
    /// Attached files.
    pub attachments: Vec<Attachment>,
    /// `Date`.
    pub date: Timestamp,
    /// The part of `Message-ID` before the `@`, unique in the world; also names the MIME boundary.
    pub id: String,
}

/// An attached file.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// Its name, without folders.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Draft {
    /// Composes the message, with CR LF as line ends, also after the last line.
    ///
    /// # Errors
    /// Writing to memory failed; this does not happen.
    pub fn write(&self) -> std::io::Result<Vec<u8>> {
        let domain = self.from.domain();
        let headers = |list: &[Address]| Header::new_list(list.iter().map(|address| header(address)).collect());
        let mut message = MessageBuilder::new()
            .from(header(&self.from))
            .to(headers(&self.to))
            .subject(self.subject.as_str())
            .date(self.date.as_second())
            .message_id(format!("{}@{domain}", self.id));
        if !self.cc.is_empty() {
            message = message.cc(headers(&self.cc));
        }
        let text = MimePart::new("text/plain", self.text.as_str());
        let body = if self.attachments.is_empty() { text } else { self.mixed(text) };
        let mut bytes = message.body(body).write_to_vec()?;
        if !bytes.ends_with(b"\r\n") {
            bytes.extend_from_slice(b"\r\n");
        }
        Ok(bytes)
    }

    /// A multipart with the attachments. Its boundary is set, since mail-builder's depends on the clock and the
    /// machine.
    fn mixed<'a>(&'a self, text: MimePart<'a>) -> MimePart<'a> {
        let files = self
            .attachments
            .iter()
            .map(|file| MimePart::new(file.media_type.as_str(), file.bytes.as_slice()).attachment(file.name.as_str()));
        let kind = mail_builder::headers::content_type::ContentType::new("multipart/mixed");
        let kind = kind.attribute("boundary", format!("={}=", self.id));
        MimePart::new(kind, std::iter::once(text).chain(files).collect::<Vec<_>>())
    }
}

/// The address as the value of a header field, without a display name.
fn header(address: &Address) -> Header<'static> {
    Header::new_address(None::<String>, address.to_string())
}

#[cfg(test)]
mod tests {
    use mail_parser::{MessageParser, MimeHeaders};

    use super::*;

    fn draft() -> Draft {
        Draft {
            from: "me@163.test".parse().unwrap(),
            to: vec!["friend@sina.test".parse().unwrap()],
            cc: Vec::new(),
            subject: "Gr\u{fc}\u{df}e aus \u{6c5f}\u{6e56}".to_owned(),
            text: "Dear friend,\n\nhow are you?\n".to_owned(),
            attachments: Vec::new(),
            date: Timestamp::from_second(1_700_000_000).unwrap(),
            id: "0123".to_owned(),
        }
    }

    #[test]
    fn draft_write_produces_a_message_that_parses_back() {
        let bytes = draft().write().unwrap();
        let message = MessageParser::new().parse(&bytes).unwrap();
        assert_eq!(message.subject(), Some(draft().subject.as_str()));
        assert_eq!(message.message_id(), Some("0123@163.test"));
        assert_eq!(message.body_text(0).unwrap().replace("\r\n", "\n"), draft().text);
        assert_eq!(crate::mail::normalize(&bytes).0, bytes);
    }

    #[test]
    fn draft_without_final_line_end_gets_one() {
        let bytes = Draft { text: "no end".to_owned(), ..draft() }.write().unwrap();
        assert!(bytes.ends_with(b"no end\r\n"));
    }

    #[test]
    fn draft_with_attachments_is_written_deterministically() {
        let file = Attachment {
            name: "a.bin".to_owned(),
            media_type: "application/octet-stream".to_owned(),
            bytes: vec![0, 1, 2],
        };
        let draft = Draft { attachments: vec![file], ..draft() };
        let bytes = draft.write().unwrap();
        assert_eq!(bytes, draft.write().unwrap());
        let message = MessageParser::new().parse(&bytes).unwrap();
        let attached = message.attachment(0).unwrap();
        assert_eq!((attached.attachment_name(), attached.contents()), (Some("a.bin"), [0, 1, 2].as_slice()));
    }
}
