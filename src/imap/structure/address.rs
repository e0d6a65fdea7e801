//! Parses address lists of header fields. RFC 5322 §3.4, with the obsolete forms of §4.4. Encoded words are not
//! decoded, as `ENVELOPE` returns them unchanged.

use std::str::Chars;

use super::EnvelopeAddress;

/// Most addresses of a field.
const MAX_ADDRESSES: usize = 1_000;

/// Parses an unfolded address list; accepts any text.
pub(crate) fn addresses(text: &str) -> Vec<EnvelopeAddress> {
    let mut list = List::default();
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        if MAX_ADDRESSES <= list.found.len() {
            break;
        }
        list.take(char, &mut chars);
    }
    list.finish();
    list.close_group();
    list.found
}

#[derive(Default)]
struct List {
    found: Vec<EnvelopeAddress>,
    in_group: bool,
    /// The text outside of angle brackets, with single spaces, as a display name.
    phrase: String,
    /// The same without spaces, as an address.
    bare: String,
    angle: Option<String>,
    comment: Option<String>,
}

impl List {
    fn take(&mut self, char: char, chars: &mut Chars<'_>) {
        match char {
            '"' => {
                let text = until(chars, '"');
                self.push(&text);
            }
            '(' => {
                let text = comment(chars);
                self.comment.get_or_insert(text);
            }
            '<' => self.angle = Some(until(chars, '>')),
            '[' => {
                let literal = format!("[{}]", until(chars, ']'));
                self.push(&literal);
            }
            ',' => self.finish(),
            ':' if !self.in_group && self.angle.is_none() => self.open_group(),
            ';' => {
                self.finish();
                self.close_group();
            }
            char if char.is_whitespace() => {
                if !self.phrase.is_empty() && !self.phrase.ends_with(' ') {
                    self.phrase.push(' ');
                }
            }
            char => {
                self.phrase.push(char);
                self.bare.push(char);
            }
        }
    }

    fn push(&mut self, text: &str) {
        self.phrase.push_str(text);
        self.bare.push_str(text);
    }

    /// Completes an address.
    fn finish(&mut self) {
        let phrase = std::mem::take(&mut self.phrase);
        let bare = std::mem::take(&mut self.bare);
        let comment = self.comment.take();
        let (name, address) = match self.angle.take() {
            Some(angle) => (Some(phrase.trim()).filter(|name| !name.is_empty()).map(str::to_owned), angle),
            None if bare.is_empty() => return,
            None => (None, bare),
        };
        let (local, domain) = split(&address);
        let name = name.or(comment.filter(|name| !name.is_empty()));
        self.found.push(EnvelopeAddress { name, local: Some(local), domain: Some(domain) });
    }

    fn open_group(&mut self) {
        let name = std::mem::take(&mut self.phrase).trim().to_owned();
        self.bare.clear();
        self.comment = None;
        self.in_group = true;
        self.found.push(EnvelopeAddress { name: None, local: Some(name), domain: None });
    }

    fn close_group(&mut self) {
        if std::mem::take(&mut self.in_group) {
            self.found.push(EnvelopeAddress::default());
        }
    }
}

/// Reads up to the closing character; `\` escapes the next one.
fn until(chars: &mut Chars<'_>, close: char) -> String {
    let mut text = String::new();
    let mut quoted = false;
    while let Some(char) = chars.next() {
        match char {
            '\\' => text.extend(chars.next()),
            char if char == close && !quoted => break,
            // In angle brackets the local part may be quoted; the quotes are dropped.
            '"' => quoted = !quoted,
            char => text.push(char),
        }
    }
    text
}

/// Reads up to the matching parenthesis. RFC 5322 §3.2.2.
fn comment(chars: &mut Chars<'_>) -> String {
    let mut text = String::new();
    let mut depth = 1;
    while let Some(char) = chars.next() {
        match char {
            '\\' => {
                text.extend(chars.next());
                continue;
            }
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        text.push(char);
    }
    text.trim().to_owned()
}

/// Local part and domain; a source route is dropped (RFC 5322 §4.4). A missing domain is returned as an empty string,
/// because `None` marks a group.
fn split(address: &str) -> (String, String) {
    let address = match address.strip_prefix('@').and_then(|route| route.split_once(':')) {
        Some((_, address)) => address,
        None => address,
    };
    let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    (local.trim().to_owned(), domain.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        let part = |part: Option<String>| part.unwrap_or("NIL".into());
        addresses(text)
            .into_iter()
            .map(|EnvelopeAddress { name, local, domain }| {
                format!("{} | {} | {}", part(name), part(local), part(domain))
            })
            .collect()
    }

    #[test]
    fn addresses_parse_with_their_names() {
        for (text, wanted) in [
            ("ann@a.test", &["NIL | ann | a.test"][..]),
            ("Ann  Lee <ann@a.test>, bob@b.test", &["Ann Lee | ann | a.test", "NIL | bob | b.test"]),
            (r#""Lee, \"Ann\"" <ann@a.test>"#, &[r#"Lee, "Ann" | ann | a.test"#]),
            ("ann@a.test (Ann (the one) Lee)", &["Ann (the one) Lee | ann | a.test"]),
            ("=?utf-8?q?=C3=A9?= <e@a.test>", &["=?utf-8?q?=C3=A9?= | e | a.test"]),
            (r#"<"ann lee"@a.test>"#, &["NIL | ann lee | a.test"]),
            (r#""ann lee"@a.test"#, &["NIL | ann lee | a.test"]),
            ("ann @ a . test", &["NIL | ann | a.test"]),
            ("<@x.test,@y.test:ann@a.test>", &["NIL | ann | a.test"]),
            ("ann@[IPv6:::1]", &["NIL | ann | [IPv6:::1]"]),
            ("ann", &["NIL | ann | "]),
            ("<>", &["NIL |  | "]),
        ] {
            assert_eq!(read(text), wanted, "{text}");
        }
    }

    #[test]
    fn addresses_mark_begin_and_end_of_groups() {
        assert_eq!(read("undisclosed-recipients:;"), ["NIL | undisclosed-recipients | NIL", "NIL | NIL | NIL"]);
        let wanted = ["NIL | A B | NIL", "NIL | c | d", "NIL | e | f", "NIL | NIL | NIL", "NIL | g | h"];
        assert_eq!(read("A B: c@d, e@f;, g@h"), wanted);
        assert_eq!(read("open: c@d"), ["NIL | open | NIL", "NIL | c | d", "NIL | NIL | NIL"]);
    }

    #[test]
    fn addresses_accept_any_text() {
        for text in ["", ",,,", "<", "\"", "(((", "\\", ":;:;", "<a<b>c>", "[", "a:b:c", "\"a\\"] {
            read(text);
        }
        assert!(addresses(&"a,".repeat(50_000)).len() <= MAX_ADDRESSES + 1);
    }
}
