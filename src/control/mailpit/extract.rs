//! What clients take out of a message by hand: text, links, one-time codes, unsubscribe links, calendar invitations.

use std::collections::BTreeSet;

use mail_parser::{Message, PartType};
use serde::Serialize;
use url::Url;

use crate::catalogue::parts;

/// The most links of a message.
const MAX_LINKS: usize = 1000;
/// The most codes.
const MAX_CODES: usize = 20;
/// Words beside which a code stands; in lower case.
const CODE_WORDS: [&str; 12] =
    ["code", "otp", "pin", "passcode", "token", "verification", "verify", "kode", "código", "codice", "kod", "код"];

/// Returns the decoded text of a message's body, its text parts with a line end between them; made from the HTML if it
/// has no text.
pub(super) fn text(message: &Message<'_>) -> String {
    let texts: Vec<_> = (0..message.text_body_count()).filter_map(|at| message.body_text(at)).collect();
    texts.join("\n")
}

/// Returns the decoded HTML of a message's body, its HTML parts with a line end between them; empty if it has none.
pub(super) fn html(message: &Message<'_>) -> String {
    let html = message.html_body.iter().filter_map(|at| match &message.part(*at)?.body {
        PartType::Html(html) => Some(html.as_ref()),
        _ => None,
    });
    html.collect::<Vec<_>>().join("\n")
}

/// Returns the different links of a message, each once and [`MAX_LINKS`] at most: those of `href` in the HTML, then
/// those of `src`, then the web addresses in the text.
pub(super) fn links(html: &str, text: &str) -> Vec<String> {
    let (mut links, mut seen) = (Vec::new(), BTreeSet::new());
    for link in attributes(html).chain(addresses(text)).take(100 * MAX_LINKS) {
        if links.len() < MAX_LINKS && seen.insert(link.clone()) {
            links.push(link);
        }
    }
    links
}

/// The values of the attributes `href`, then those of `src`, that are `http:`, `https:`, `mailto:` or `tel:` URLs. The HTML is
/// not parsed: an attribute is such a name after white space or a quote, and before `=`.
fn attributes(html: &str) -> impl Iterator<Item = String> + '_ {
    let lower = html.to_ascii_lowercase();
    let found = |name: &str| {
        let places = lower.match_indices(name).take(100 * MAX_LINKS);
        places.map(|(at, _)| (at, at + name.len())).collect::<Vec<_>>()
    };
    let places: Vec<_> = ["href", "src"].into_iter().flat_map(found).collect();
    places.into_iter().filter_map(move |(start, end)| {
        let before = html[..start].chars().next_back()?;
        let rest = html[end..].trim_start().strip_prefix('=')?.trim_start();
        let value = match rest.chars().next()? {
            quote @ ('"' | '\'') => rest[1..].split(quote).next()?,
            _ => rest.split(|end: char| end.is_whitespace() || end == '>').next()?,
        };
        let value = value.trim().replace("&amp;", "&");
        let is_attribute = before.is_whitespace() || matches!(before, '"' | '\'' | '/');
        let is_link = ["http:", "https:", "mailto:", "tel:"]
            .iter()
            .any(|scheme| value.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
        (is_attribute && is_link).then_some(value)
    })
}

/// Returns what begins with `http://` or `https://` in a text, up to white space, a quote or a bracket, without the
/// punctuation at its end.
fn addresses(text: &str) -> impl Iterator<Item = String> + '_ {
    text.match_indices("http").filter_map(|(at, _)| {
        let rest = &text[at..];
        let is_link = rest.starts_with("http://") || rest.starts_with("https://");
        let end = |end: char| end.is_whitespace() || "<>\"'`{}|\\^".contains(end);
        let link = rest.split(end).next()?.trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']', '*', '_']);
        (is_link && link.len() > "https://".len()).then(|| link.to_owned())
    })
}

/// Returns the one-time codes of a message: 4 to 10 digits, or capitals and digits, in the line of a word such as
/// `code` or in the two lines after it, blank ones not counted. Codes in the subject come first; [`MAX_CODES`] at most,
/// each once.
pub(super) fn codes(subject: &str, text: &str) -> Vec<String> {
    let mut codes: Vec<String> = Vec::new();
    let mut nearby = 0;
    for line in std::iter::once(subject).chain(text.lines()).map(str::trim).filter(|line| !line.is_empty()) {
        let lower = line.to_lowercase();
        let names = |word: &&str| lower.split(|end: char| !end.is_alphanumeric()).any(|found| found == *word);
        // A code often stands alone below the sentence that names it.
        nearby = if CODE_WORDS.iter().any(names) { 3 } else { nearby - 1 };
        if nearby <= 0 {
            continue;
        }
        for code in line.split_whitespace().filter_map(code) {
            if codes.len() < MAX_CODES && !codes.contains(&code) {
                codes.push(code);
            }
        }
    }
    codes
}

/// Returns a word as a one-time code, without the punctuation around it; `None` if it has not the form of one: 4 to 10
/// digits, or digits and capitals with at least one digit, and at most one dash.
fn code(word: &str) -> Option<String> {
    let word = word.trim_matches(|end: char| !end.is_alphanumeric());
    let is_digits = word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let is_mixed = word.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase() || byte == b'-');
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let letters = word.bytes().filter(u8::is_ascii_alphanumeric).count();
    // A date such as 2026-04-01 has two dashes.
    let has_form = (4..=10).contains(&letters) && word.bytes().filter(|byte| *byte == b'-').count() <= 1;
    (has_form && (is_digits || is_mixed && 0 < digits)).then(|| word.to_owned())
}

/// How to unsubscribe. RFC 2369 §3.2, RFC 8058.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Unsubscribe {
    pub(super) links: Vec<String>,
    /// Whether a POST to the `https` link is enough. RFC 8058 §3.1.
    one_click: bool,
    #[serde(skip)]
    pub(super) header: String,
    #[serde(skip)]
    pub(super) header_post: String,
    #[serde(skip)]
    pub(super) errors: String,
}

/// Reads `List-Unsubscribe` and `List-Unsubscribe-Post`, unfolded. All is empty without them; `errors` says what is
/// wrong with them, and is empty if nothing is. `one_click` needs an `https` link and `List-Unsubscribe=One-Click`.
pub(super) fn unsubscribe(message: &Message<'_>) -> Unsubscribe {
    let raw = |name: &str| {
        let found = message.headers_raw().find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map_or("", |(_, text)| text).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let header = raw("List-Unsubscribe");
    let header_post = raw("List-Unsubscribe-Post");
    let links: Vec<String> = header
        .split('<')
        .skip(1)
        .filter_map(|rest| rest.split_once('>'))
        .map(|(link, _)| link.split_whitespace().collect())
        .collect();
    let is_https = links.iter().any(|link| Url::parse(link).is_ok_and(|url| url.scheme() == "https"));
    let one_click = is_https && header_post.eq_ignore_ascii_case("List-Unsubscribe=One-Click");
    let invalid = links.iter().any(|link| Url::parse(link).is_err());
    let errors = match (header.is_empty(), links.is_empty()) {
        (true, _) => "",
        (false, true) => "no link in angle brackets",
        (false, false) if invalid => "a link is not valid",
        (false, false) if header_post.is_empty() || one_click => "",
        (false, false) if is_https => "List-Unsubscribe-Post is not List-Unsubscribe=One-Click",
        (false, false) => "List-Unsubscribe-Post without a link by https",
    };
    Unsubscribe { errors: errors.to_owned(), links, one_click, header, header_post }
}

/// A calendar invitation. RFC 5545, RFC 5546.
#[derive(Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Invitation {
    #[serde(rename = "PartID")]
    part_id: String,
    /// `REQUEST`, `CANCEL`, `REPLY` and others.
    method: String,
    #[serde(rename = "UID")]
    uid: String,
    summary: String,
    start: String,
    end: String,
    location: String,
    organizer: String,
    attendees: Vec<String>,
}

/// Returns an invitation for each part of a message that is `text/calendar`, with the id of the part.
pub(super) fn invitations(message: &Message<'_>) -> Vec<Invitation> {
    let calendars = parts(message).into_iter().filter(|part| part.media_type() == "text/calendar");
    calendars
        .map(|part| Invitation {
            part_id: part.id.clone(),
            ..invitation(&String::from_utf8_lossy(part.part.contents()))
        })
        .collect()
}

/// Returns the first event (`VEVENT`) of a calendar, with the calendar's method. Texts are unescaped, and times stand
/// as in the calendar; what is absent is empty, and so is `part_id`, which the caller sets.
fn invitation(calendar: &str) -> Invitation {
    // RFC 5545 §3.1: a line that begins with white space continues the one before.
    let unfolded = calendar.replace("\r\n", "\n").replace("\n ", "").replace("\n\t", "");
    let mut found = Invitation::default();
    // An event may have an alarm in it, with properties of its own.
    let mut open: Vec<String> = Vec::new();
    for line in unfolded.lines() {
        let Some((name, value)) = property(line) else { continue };
        let is_in_event = open.last().is_some_and(|component| component == "VEVENT");
        match (name.as_str(), is_in_event) {
            ("BEGIN", _) => open.push(value.trim_end().to_ascii_uppercase()),
            ("END", true) => break,
            ("END", false) => drop(open.pop()),
            ("METHOD", _) => found.method = value.to_owned(),
            ("UID", true) => found.uid = value.to_owned(),
            ("SUMMARY", true) => found.summary = unescaped(value),
            ("DTSTART", true) => found.start = value.to_owned(),
            ("DTEND", true) => found.end = value.to_owned(),
            ("LOCATION", true) => found.location = unescaped(value),
            ("ORGANIZER", true) => found.organizer = value.to_owned(),
            ("ATTENDEE", true) => found.attendees.push(value.to_owned()),
            _ => {}
        }
    }
    found
}

/// Returns the name of a property, in upper case, and its value, without parameters; those may have a colon in quotes.
/// `None` for a line without a colon outside of quotes. RFC 5545 §3.1.
fn property(line: &str) -> Option<(String, &str)> {
    let mut is_quoted = false;
    let colon = line.find(|byte: char| {
        is_quoted ^= byte == '"';
        byte == ':' && !is_quoted
    })?;
    let name = line[..colon].split(';').next()?;
    Some((name.to_ascii_uppercase(), &line[colon + 1..]))
}

/// Returns a text with its backslash escapes resolved: `\n` and `\N` are a line end, any other character stands for
/// itself, and a backslash at the end is dropped. RFC 5545 §3.3.11.
fn unescaped(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text.chars());
    while let Some(next) = rest.next() {
        match next {
            '\\' => out.extend(rest.next().map(|escaped| if matches!(escaped, 'n' | 'N') { '\n' } else { escaped })),
            next => out.push(next),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use mail_parser::MessageParser;

    use super::*;

    #[test]
    fn codes_stand_beside_words_that_name_them() {
        for (subject, text, expected) in [
            ("Your code is 123456", "", vec!["123456"]),
            ("Sign in", "Use this code to sign in:\n\n  987-654\n\nIt expires on 2026-04-01.", vec!["987-654"]),
            ("", "Your verification code: G-12345. Call 0800 123", vec!["G-12345", "0800"]),
            ("Invoice 20260401", "Total 1234", vec![]),
            ("", "Enter code ABC123 now", vec!["ABC123"]),
            ("", "no code here", vec![]),
        ] {
            assert_eq!(codes(subject, text), expected, "{subject} {text}");
        }
    }

    #[test]
    fn links_are_those_of_html_and_text_once_each() {
        let html = "<a href=\"https://x.test/?a=1&amp;b=2\">x</a><img src='http://y.test/i.png'><a href=javascript:x>\
            <A HREF=https://x.test/b><img data-src='https://x.test/late.png'>";
        let text = "see https://x.test/?a=1&b=2, or (http://z.test/a).";
        let expected = ["https://x.test/?a=1&b=2", "https://x.test/b", "http://y.test/i.png", "http://z.test/a"];
        assert_eq!(links(html, text), expected);
    }

    #[test]
    fn unsubscribe_links_are_read_from_the_header() {
        let text = "List-Unsubscribe: <https://x.test/u>,\r\n <mailto:u@x.test>\r\n\
            List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n\r\nx";
        let found = unsubscribe(&MessageParser::default().parse(text).unwrap());
        assert_eq!(found.links, ["https://x.test/u", "mailto:u@x.test"]);
        assert!(found.one_click && found.errors.is_empty());
        let found = unsubscribe(&MessageParser::default().parse("List-Unsubscribe: x\r\n\r\nx").unwrap());
        assert_eq!((found.one_click, found.errors.as_str()), (false, "no link in angle brackets"));
    }

    #[test]
    fn invitation_has_the_first_event() {
        let calendar = "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nUID:1@x\r\nSUMMARY:Lunch\\, or\r\n  dinner\r\n\
            DTSTART;TZID=UTC:20260401T120000\r\nORGANIZER:mailto:a@x.test\r\nEND:VEVENT\r\nBEGIN:VEVENT\r\nUID:2\r\n";
        let found = invitation(calendar);
        assert_eq!((found.uid.as_str(), found.summary.as_str()), ("1@x", "Lunch, or dinner"));
        assert_eq!((found.method.as_str(), found.start.as_str()), ("REQUEST", "20260401T120000"));
        let calendar = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:1\nBEGIN:VALARM\nSUMMARY:Alarm\nEND:VALARM\n\
            ATTENDEE;CN=\"a: b\":mailto:b@x.test\nSUMMARY:C:\\\\new\\Nline\nEND:VEVENT\nBEGIN:VEVENT\nUID:2\nEND:VEVENT\n";
        let found = invitation(calendar);
        assert_eq!((found.uid.as_str(), found.summary.as_str()), ("1", "C:\\new\nline"));
        assert_eq!(found.attendees, ["mailto:b@x.test"]);
    }
}
