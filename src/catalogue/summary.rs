//! What lists show of a message, and the words by which it is found.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use mail_parser::{Addr, HeaderName, HeaderValue, MessageParser, PartType};
use serde::{Deserialize, Serialize};

use super::octets::with_readable_header;
use super::parts::{Placement, parts};
use super::thread::{self, ThreadKey};
use crate::mail::{Address, Message, ReversePath};

/// The longest snippet, in bytes.
const MAX_SNIPPET_BYTES: usize = 200;
/// What is indexed of a body, in bytes; words beyond it are not found.
const MAX_INDEXED_BYTES: usize = 256 * 1024;
/// Bytes of an HTML part whose text is looked at: it is copied for that.
const MAX_HTML_BYTES: usize = 4 * 1024 * 1024;
/// Elements that can be a part of a word. HTML Standard §4.5.
const WITHIN_LINES: [&str; 22] = [
    "a", "abbr", "b", "bdi", "bdo", "cite", "code", "del", "em", "font", "i", "ins", "kbd", "mark", "q", "s", "small",
    "span", "strong", "sub", "sup", "u",
];

/// A display name and an address of a header field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SummaryAddress {
    /// The display name, decoded.
    #[serde(rename = "Name")]
    pub name: String,
    /// The address.
    #[serde(rename = "Address")]
    pub address: String,
}

/// What lists show of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // The header fields.
pub struct Summary {
    pub message_id: String,
    pub from: Option<SummaryAddress>,
    pub to: Vec<SummaryAddress>,
    pub cc: Vec<SummaryAddress>,
    /// Those of the field, and the recipients of the envelope that no field names.
    pub bcc: Vec<SummaryAddress>,
    pub reply_to: Vec<SummaryAddress>,
    pub subject: String,
    /// The number of attached files.
    pub attachments: usize,
    /// The number of parts that the HTML shows.
    pub inlines: usize,
    /// The beginning of the text.
    pub snippet: String,
}

/// The words of a message, each column normalised by [`normalise`], and the keys of its threads.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    pub(super) columns: [String; COLUMNS.len()],
    /// What it is found by as one of a thread.
    pub(super) threads: Vec<ThreadKey>,
}

impl Words {
    /// Returns the number of bytes of all columns; thread keys do not count.
    pub(super) fn len(&self) -> usize {
        self.columns.iter().map(String::len).sum()
    }
}

/// The columns of words; the first five hold addresses.
pub(super) const COLUMNS: [&str; 8] = ["sender", "recipient", "cc", "bcc", "reply_to", "subject", "message_id", "body"];

impl Summary {
    /// Returns the summary and the words of a message with this envelope (`MAIL FROM` and `RCPT TO`); both are empty if
    /// the parser cannot read it, or panics.
    pub(super) fn of(message: &Message, from: &ReversePath, recipients: &[Address]) -> (Self, Words) {
        let content = message.content.bytes();
        let whole = || Self::parse(&message.to_bytes(), from, recipients);
        // Nothing of the trace fields is used, except that they are the header of a content that has none.
        let parse = || match content.starts_with(b"\r\n") {
            true => whole(),
            false => Self::parse(content, from, recipients).or_else(whole),
        };
        // A defect of the parser must not keep other messages from being listed.
        catch_unwind(AssertUnwindSafe(parse)).ok().flatten().unwrap_or_default()
    }

    /// Parses a message to its summary and words; `None` if the parser cannot read it. Recipients that no
    /// field names are added to Bcc; the body column has the text, the targets of links, the names of files and the
    /// reverse-path. A From field without an address is used as a display name.
    fn parse(bytes: &[u8], reverse_path: &ReversePath, recipients: &[Address]) -> Option<(Self, Words)> {
        let bytes = with_readable_header(bytes);
        let message = MessageParser::default().parse(bytes.as_ref())?;
        let all = |name: HeaderName<'static>| addresses(&message, name);
        let (to, cc, mut bcc) = (all(HeaderName::To), all(HeaderName::Cc), all(HeaderName::Bcc));
        bcc.extend(unnamed(recipients, [&to, &cc, &bcc]));
        let mut names = String::new();
        let (mut attachments, mut inlines) = (0, 0);
        for part in parts(&message) {
            match part.placement() {
                Some(Placement::Attached) => attachments += 1,
                Some(Placement::Inline) => inlines += 1,
                None => continue,
            }
            names.push_str(part.name());
            names.push(' ');
        }
        let (text, targets) = text_of(&message);
        let from = all(HeaderName::From).into_iter().next();
        let from = from.or_else(|| Some(SummaryAddress { name: raw_value(&message, "From")?, ..Default::default() }));
        let summary = Self {
            message_id: message.message_id().unwrap_or_default().to_owned(),
            from,
            to,
            cc,
            bcc,
            reply_to: all(HeaderName::ReplyTo),
            subject: message.subject().unwrap_or_default().to_owned(),
            attachments,
            inlines,
            snippet: snippet(&text),
        };
        let return_path = reverse_path.as_ref().map(ToString::to_string).unwrap_or_default();
        let body = format!(
            "{} {} {names} {return_path}",
            truncated(&text, MAX_INDEXED_BYTES),
            truncated(&targets, MAX_INDEXED_BYTES)
        );
        let columns = [
            address_words(summary.from.as_slice()),
            address_words(&summary.to),
            address_words(&summary.cc),
            address_words(&summary.bcc),
            address_words(&summary.reply_to),
            normalise(&summary.subject),
            normalise(&summary.message_id),
            normalise(&body),
        ];
        Some((summary, Words { columns, threads: thread::keys(&message) }))
    }
}

/// Returns the addresses of all header fields of this name, those of groups too, in order.
pub fn addresses(message: &mail_parser::Message<'_>, name: HeaderName<'static>) -> Vec<SummaryAddress> {
    let fields = message.header_values(name).filter_map(HeaderValue::as_address);
    fields.flat_map(|field| field.iter().map(address).collect::<Vec<_>>()).collect()
}

/// Converts an address of the parser; a missing display name or address becomes empty.
fn address(found: &Addr<'_>) -> SummaryAddress {
    let text = |text: &Option<Cow<'_, str>>| text.as_deref().unwrap_or_default().to_owned();
    SummaryAddress { name: text(&found.name), address: text(&found.address) }
}

/// Returns the recipients of the envelope that none of these fields names, compared in any case, without a display
/// name.
fn unnamed(recipients: &[Address], fields: [&Vec<SummaryAddress>; 3]) -> Vec<SummaryAddress> {
    let named: BTreeSet<String> =
        fields.into_iter().flatten().map(|found| found.address.to_ascii_lowercase()).collect();
    let unnamed = recipients.iter().map(ToString::to_string).filter(|text| !named.contains(&text.to_ascii_lowercase()));
    unnamed.map(|address| SummaryAddress { name: String::new(), address }).collect()
}

/// Returns the value of a field of this name as it is in the message, trimmed; `None` if it is empty or absent.
fn raw_value(message: &mail_parser::Message<'_>, name: &'static str) -> Option<String> {
    let text = message.header_raw(name)?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Returns the text that a reader sees, and the quoted targets of the links in the HTML, with a space after each. If
/// there is HTML, the text is that of the HTML, without tags; else it is that of the text parts, and there are no
/// targets. Of an HTML part, only `MAX_HTML_BYTES` are used, and text parts beyond `MAX_INDEXED_BYTES` are left out.
fn text_of(message: &mail_parser::Message<'_>) -> (String, String) {
    let html = message.html_body.iter().filter_map(|id| match &message.part(*id)?.body {
        PartType::Html(html) => Some(truncated(html, MAX_HTML_BYTES)),
        _ => None,
    });
    let html: Vec<&str> = html.collect();
    if html.is_empty() {
        let mut text = String::new();
        for part in (0..message.text_body_count()).filter_map(|at| message.body_text(at)) {
            // What follows is not used, and a copy of all would be as large as the message.
            if MAX_INDEXED_BYTES <= text.len() {
                break;
            }
            text.push_str(truncated(&part, MAX_INDEXED_BYTES));
            text.push(' ');
        }
        return (text, String::new());
    }
    let (mut text, mut targets) = (String::new(), String::new());
    for part in html {
        text.push_str(&mail_parser::decoders::html::html_to_text(&with_spaces(part)));
        text.push(' ');
        for target in part.split("href=").skip(1).filter_map(|rest| {
            let quote = rest.chars().next().filter(|first| matches!(first, '"' | '\''))?;
            rest[1..].split(quote).next()
        }) {
            targets.push_str(target);
            targets.push(' ');
        }
    }
    (text, targets)
}

/// Returns HTML with a space before each tag, opening or closing, except those of `WITHIN_LINES`, so that the last word
/// of a block and the first of the next one stay apart when the tags are removed.
fn with_spaces(html: &str) -> String {
    let mut spaced = String::with_capacity(html.len() + html.len() / 16);
    for (at, piece) in html.split('<').enumerate() {
        if at != 0 {
            let name = piece.trim_start_matches('/');
            let name = &name[..name.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(name.len())];
            if !name.is_empty() && !WITHIN_LINES.contains(&name.to_ascii_lowercase().as_str()) {
                spaced.push(' ');
            }
            spaced.push('<');
        }
        spaced.push_str(piece);
    }
    spaced
}

/// Returns at most the first `MAX_SNIPPET_BYTES` of a text, with one space for each run of white space; `...` follows
/// if there is more.
fn snippet(text: &str) -> String {
    let mut snippet = String::new();
    for word in text.split_whitespace() {
        if !snippet.is_empty() {
            snippet.push(' ');
        }
        snippet.push_str(word);
        if MAX_SNIPPET_BYTES < snippet.len() {
            return format!("{}...", truncated(&snippet, MAX_SNIPPET_BYTES));
        }
    }
    snippet
}

/// Returns the beginning of the text of at most this many bytes, cut at a character boundary.
fn truncated(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// Returns display names and addresses as the text of one column of words, normalised.
fn address_words(addresses: &[SummaryAddress]) -> String {
    let texts = addresses.iter().map(|found| format!("{} {}", found.name, found.address));
    normalise(&texts.collect::<Vec<_>>().join(" "))
}

/// Returns text in the form that is stored and searched: in lower case, with one space for each run of white space, NUL
/// and the characters `<>",;()`, and none at the ends.
pub(super) fn normalise(text: &str) -> String {
    let is_space = |letter: char| letter.is_whitespace() || "<>\",;()\0".contains(letter);
    let words = text.split(is_space).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_of_a_message_without_fields_has_its_recipient() {
        for content in ["", "x\r\n", "\r\nx\r\n"] {
            let message = Message::new(content.into()).with_header("Received: by mx.a.test; now");
            let (summary, words) = Summary::of(&message, &None, &["ann@a.test".parse().unwrap()]);
            assert_eq!(summary.bcc.first().map(|found| &*found.address), Some("ann@a.test"), "{content:?}");
            assert!(words.columns[3].contains("ann@a.test"), "{content:?}");
        }
    }

    #[test]
    fn text_of_html_keeps_blocks_apart_and_words_together_and_has_targets_apart() {
        let html = "Content-Type: text/html\r\n\r\n<H1>Hi</H1><p>a w<b>or</b>d<br>2 <a href='http://l.test/x'>link</a></p>\
            <table><tr><td>1<td>2</table>&lt;3";
        let message = mail_parser::MessageParser::new().parse(html).unwrap();
        let (text, targets) = text_of(&message);
        assert_eq!(snippet(&text), "Hi a word 2 link 1 2 <3");
        assert_eq!(targets, "http://l.test/x ");
        let long = format!("Content-Type: text/html\r\n\r\n<p>begin{}<p>end", " ".repeat(MAX_HTML_BYTES));
        let message = mail_parser::MessageParser::new().parse(&long).unwrap();
        assert_eq!(text_of(&message).0.trim(), "begin");
    }
}
