//! Finds the header fields that IMAP needs, in one pass. RFC 2045 §3, RFC 9051 §7.5.2.

use super::{AddressList, Disposition, Envelope, Part, fields, unfold};
use crate::imap::comments::without_comments;

/// The needed fields.
const NAMES: [&str; 18] = [
    "Date",
    "Subject",
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Bcc",
    "In-Reply-To",
    "Message-ID",
    "Content-Type",
    "Content-ID",
    "Content-Description",
    "Content-Transfer-Encoding",
    "Content-MD5",
    "Content-Disposition",
    "Content-Language",
    "Content-Location",
];

/// The first field of each name in [`NAMES`], and the repeated fields with the index of their name.
pub(super) struct Header<'a> {
    first: [Option<&'a [u8]>; NAMES.len()],
    others: Vec<(usize, &'a [u8])>,
}

impl<'a> Header<'a> {
    /// Finds the fields of [`NAMES`], in any case, in a header; other fields are dropped.
    pub(super) fn of(header: &'a [u8]) -> Self {
        let (mut first, mut others) = ([None; NAMES.len()], Vec::new());
        for field in fields(header) {
            match NAMES.iter().position(|name| field.is(name)) {
                Some(at) if first[at].is_some() => others.push((at, field.value)),
                Some(at) => first[at] = Some(field.value),
                None => {}
            }
        }
        Self { first, others }
    }

    /// Returns the value of the first field of this name, with its folding; `None` if it is missing, or the name is not
    /// written as in [`NAMES`].
    fn raw(&self, name: &str) -> Option<&'a [u8]> {
        self.first[name_index(name)?]
    }

    /// Returns the value of the first field of this name, unfolded, also an empty one; `None` as for [`Header::raw`].
    fn text(&self, name: &str) -> Option<String> {
        self.raw(name).map(unfold)
    }

    /// Returns the value of the first field of this name, unfolded; `None` if it is missing or empty.
    fn word(&self, name: &str) -> Option<String> {
        self.text(name).filter(|text| !text.is_empty())
    }

    /// Returns the addresses of all fields with this name, written as in [`NAMES`]; an empty list without one. RFC 5322
    /// §3.6 allows one field, but the addresses of a second one are recipients, too.
    fn addresses(&self, name: &str) -> AddressList {
        let mut list = self.text(name).unwrap_or_default();
        for (_, value) in self.others.iter().filter(|(at, _)| name_index(name) == Some(*at)) {
            list.push_str(", ");
            list.push_str(&unfold(value));
        }
        AddressList::new(list)
    }

    /// Returns the values of `ENVELOPE`: texts from the first field of a name, addresses from all fields of a name.
    pub(super) fn envelope(&self) -> Envelope {
        let addresses = |name| self.addresses(name);
        Envelope {
            date: self.text("Date"),
            subject: self.text("Subject"),
            from: addresses("From"),
            sender: addresses("Sender"),
            reply_to: addresses("Reply-To"),
            to: addresses("To"),
            cc: addresses("Cc"),
            bcc: addresses("Bcc"),
            in_reply_to: self.text("In-Reply-To"),
            message_id: self.text("Message-ID"),
        }
    }

    /// Returns a part described by this header, still without its position and content; `default` is its type and
    /// subtype if Content-Type is missing or invalid. Text without Content-Type gets the parameter `charset=us-ascii`.
    pub(super) fn part(&self, default: (&str, &str)) -> Part {
        let content_type = self.text("Content-Type").map(|text| parameterized(&text));
        let named = content_type.as_ref().and_then(|(value, _)| media_type(value));
        let (kind, subtype) = named.unwrap_or_else(|| (default.0.to_owned(), default.1.to_owned()));
        let mut parameters = content_type.map(|(_, parameters)| parameters).unwrap_or_default();
        // RFC 2045 §5.2: the default type has a charset.
        if parameters.is_empty() && self.raw("Content-Type").is_none() && kind == "text" {
            parameters.push(("charset".to_owned(), "us-ascii".to_owned()));
        }
        let languages = self.text("Content-Language").unwrap_or_default();
        let languages = languages.split(',').map(str::trim).filter(|text| !text.is_empty());
        Part {
            kind,
            subtype,
            parameters,
            id: self.word("Content-ID"),
            description: self.word("Content-Description"),
            encoding: self.word("Content-Transfer-Encoding").map(|text| encoding(&text)),
            md5: self.word("Content-MD5"),
            disposition: self.word("Content-Disposition").and_then(|text| disposition(&text)),
            languages: languages.map(str::to_owned).collect(),
            location: self.word("Content-Location"),
            ..Part::default()
        }
    }
}

/// Returns the index of a name in [`NAMES`], in the same case; `None` if it is not there.
fn name_index(name: &str) -> Option<usize> {
    NAMES.iter().position(|known| *known == name)
}

/// Parses the value of Content-Disposition; `None` if it names no disposition.
fn disposition(text: &str) -> Option<Disposition> {
    let (kind, parameters) = parameterized(text);
    (!kind.is_empty()).then_some(Disposition { kind, parameters })
}

/// Splits the value of Content-Type, as in `text/plain`, into type and subtype, in the case as given; `None` if it is
/// not a media type.
fn media_type(value: &str) -> Option<(String, String)> {
    let (kind, subtype) = value.split_once('/')?;
    let (kind, subtype) = (kind.trim(), subtype.trim());
    let token = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
    (token(kind) && token(subtype)).then(|| (kind.to_owned(), subtype.to_owned()))
}

/// Returns the value of Content-Transfer-Encoding in upper case, without comments, and without the `;` that some
/// programs append.
fn encoding(text: &str) -> String {
    without_comments(text).split(';').next().unwrap_or_default().trim().to_ascii_uppercase()
}

/// Parses `value; name=value; name="value"`: the value in lower case, and the parameters, names in lower case and
/// values without quotes. Comments, and parameters without `=` or a name, are dropped. RFC 2045 §5.1.
fn parameterized(text: &str) -> (String, Vec<(String, String)>) {
    let text = without_comments(text);
    let mut pieces = split_outside_quotes(&text, ';').into_iter();
    let value = pieces.next().unwrap_or_default().trim().to_ascii_lowercase();
    let parameters = pieces.filter_map(|piece| {
        let (name, value) = piece.split_once('=')?;
        let name = name.trim().to_ascii_lowercase();
        (!name.is_empty()).then(|| (name, parameter_value(value.trim())))
    });
    (value, parameters.collect())
}

/// Returns the value of a parameter; of a quoted one the text up to the closing quote, without escapes.
fn parameter_value(value: &str) -> String {
    let Some(quoted) = value.strip_prefix('"') else { return value.to_owned() };
    let mut text = String::new();
    let mut chars = quoted.chars();
    while let Some(char) = chars.next() {
        match char {
            '"' => break,
            '\\' => text.extend(chars.next()),
            char => text.push(char),
        }
    }
    text
}

/// Splits at each separator that is not in double quotes, in which a backslash escapes the next character. Pieces may
/// be empty; there is at least one.
fn split_outside_quotes(text: &str, separator: char) -> Vec<&str> {
    let (mut pieces, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, char) in text.char_indices() {
        match char {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            char if char == separator && !quoted => {
                pieces.push(&text[start..at]);
                start = at + separator.len_utf8();
            }
            _ => {}
        }
    }
    pieces.push(&text[start..]);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_keep_quoted_characters() {
        let (value, parameters) =
            parameterized(r#"Text/HTML (really) ; Charset=utf-8 ; name="a;\"b\\.txt"; x; =y; z= 1 "#);
        assert_eq!(value, "text/html");
        let wanted = [("charset", "utf-8"), ("name", "a;\"b\\.txt"), ("z", "1")];
        assert_eq!(parameters, wanted.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn envelope_of_repeated_address_fields_joins_them() {
        let header =
            b"To: a@x.test\r\nCc: c@x.test\r\nTO: b@x.test (B),\r\n\td@x.test\r\nSubject: 1\r\nSubject: 2\r\nTo:\r\n";
        let envelope = Header::of(header).envelope();
        let locals: Vec<_> = envelope.to.iter().filter_map(|address| address.local).collect();
        assert_eq!((locals, envelope.cc.iter().count()), (vec!["a".to_owned(), "b".to_owned(), "d".to_owned()], 1));
        assert_eq!(envelope.subject.as_deref(), Some("1"));
    }

    #[test]
    fn media_type_when_invalid_is_none() {
        for text in ["", "text", "text/", "/plain", "a/b/c", "te xt/plain"] {
            assert_eq!(media_type(text), None, "{text}");
        }
    }
}
