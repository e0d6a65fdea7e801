//! Parses address lists of header fields. RFC 5322 §3.4, with the obsolete forms of §4.4. Encoded words are not
//! decoded, as `ENVELOPE` returns them unchanged.

use std::collections::VecDeque;
use std::str::Chars;

use super::EnvelopeAddress;

/// Parses an unfolded address list, one entry at a time, with an entry for each begin and end of a group; accepts any
/// text.
pub(crate) fn addresses(text: &str) -> impl Iterator<Item = EnvelopeAddress> {
    entries(text).map(|entry| entry.address)
}

/// Parses an address list as [`addresses`] does, and adds to each entry its words if it is not clearly one address.
pub(crate) fn entries(text: &str) -> impl Iterator<Item = Entry> {
    Entries { list: List::default(), chars: text.chars(), is_at_end: false }
}

/// One entry of an address list.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    /// The address, or the begin or end of a group.
    pub(crate) address: EnvelopeAddress,
    /// The words, if several words without `@` or `.` between them were read as one address: `ann@a.test bob@b.test`.
    pub(crate) words: Option<String>,
}

struct Entries<'a> {
    list: List,
    chars: Chars<'a>,
    is_at_end: bool,
}

impl Iterator for Entries<'_> {
    type Item = Entry;

    /// Parses characters until there is an entry; at the end of the text, ends the last address, and a group that is
    /// open.
    fn next(&mut self) -> Option<Entry> {
        while self.list.found.is_empty() && !self.is_at_end {
            match self.chars.next() {
                Some(char) => self.list.take(char, &mut self.chars),
                None => {
                    self.is_at_end = true;
                    self.list.finish();
                    self.list.close_group();
                }
            }
        }
        self.list.found.pop_front()
    }
}

#[derive(Default)]
struct List {
    found: VecDeque<Entry>,
    in_group: bool,
    /// The text outside of angle brackets, with single spaces, as a display name.
    phrase: String,
    /// The same without spaces, as an address.
    bare: String,
    /// Whether a space follows its last character.
    is_word_over: bool,
    is_several_words: bool,
    angle: Option<String>,
    /// The length of `phrase` before the angle bracket.
    phrase_len: usize,
    comment: Option<String>,
}

impl List {
    /// Handles one character, and after a quote, parenthesis or bracket reads all up to its closing one: text is added
    /// to the current address, a comma ends it, a colon begins a group, and a semicolon ends that.
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
            '<' => {
                self.finish_before_name();
                self.phrase_len = self.phrase.len();
                self.angle = Some(angle(chars));
            }
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
                self.is_word_over = true;
            }
            char => self.push(char.encode_utf8(&mut [0; 4])),
        }
    }

    /// Adds text to the phrase and to the bare address; sets `is_several_words` if it begins another word of the
    /// address.
    fn push(&mut self, text: &str) {
        const JOINTS: [char; 2] = ['@', '.'];
        self.is_several_words |= std::mem::take(&mut self.is_word_over)
            && !self.bare.is_empty()
            && !self.bare.ends_with(JOINTS)
            && !text.starts_with(JOINTS);
        self.phrase.push_str(text);
        self.bare.push_str(text);
    }

    /// Adds the address that was read, if any, to `found`: what is in angle brackets, else the bare text. A comment is
    /// its name if it has no other. Clears what was read.
    fn finish(&mut self) {
        let phrase = std::mem::take(&mut self.phrase);
        let bare = std::mem::take(&mut self.bare);
        let comment = self.comment.take();
        let words = std::mem::take(&mut self.is_several_words) && self.angle.is_none();
        let words = words.then(|| phrase.trim().to_owned());
        let (name, address) = match self.angle.take() {
            Some(angle) => (Some(phrase.trim()).filter(|name| !name.is_empty()).map(str::to_owned), angle),
            None if bare.is_empty() => return,
            None => (None, bare),
        };
        let (route, local, domain) = split(&address);
        let name = name.or(comment.filter(|name| !name.is_empty()));
        let address = EnvelopeAddress { name, route, local: Some(local), domain: Some(domain) };
        self.found.push_back(Entry { address, words });
    }

    /// At an angle bracket, finishes the address before it if that has angle brackets, too: a comma is missing, as in
    /// `Ann <ann@a.test> Bob <bob@b.test>`. The words after the first address are kept as the name of the second.
    fn finish_before_name(&mut self) {
        if self.angle.is_some() {
            let name = self.phrase.split_off(self.phrase_len.min(self.phrase.len()));
            self.finish();
            self.phrase = name.trim_start().to_owned();
        }
    }

    /// Begins a group, named by the text before the colon; its entry has the name as local part, and nothing else.
    fn open_group(&mut self) {
        let name = std::mem::take(&mut self.phrase).trim().to_owned();
        self.bare.clear();
        self.comment = None;
        self.is_several_words = false;
        self.in_group = true;
        let address = EnvelopeAddress { local: Some(name), ..EnvelopeAddress::default() };
        self.found.push_back(Entry { address, words: None });
    }

    /// Ends the group, if one is open, and adds the empty entry that stands for its end.
    fn close_group(&mut self) {
        if std::mem::take(&mut self.in_group) {
            self.found.push_back(Entry::default());
        }
    }
}

/// Reads up to the closing character, or the end, and returns the text before it; `\` escapes the next character.
/// Unless `"` closes it, a closing character in quotes does not count, and the quotes are dropped.
fn until(chars: &mut Chars<'_>, close: char) -> String {
    let mut text = String::new();
    let mut quoted = false;
    while let Some(char) = chars.next() {
        match char {
            '\\' => text.extend(chars.next()),
            char if char == close && !quoted => break,
            // In a domain literal; the quotes are dropped.
            '"' => quoted = !quoted,
            char => text.push(char),
        }
    }
    text
}

/// Reads up to the matching parenthesis, or the end, and returns the trimmed text before it, with inner comments and
/// without backslashes. RFC 5322 §3.2.2.
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

/// Reads up to the closing angle bracket, or the end, and returns the address without quotes and comments, and without
/// the spaces at its ends and around `@`, `.`, `,` and `:`. RFC 5322 §3.4.1, §4.4 (obs-angle-addr).
fn angle(chars: &mut Chars<'_>) -> String {
    const MARKS: [char; 4] = ['@', '.', ',', ':'];
    let mut text = String::new();
    // Up to here nothing is removed: it was quoted, or is no space.
    let (mut solid, mut quoted) = (0, false);
    while let Some(char) = chars.next() {
        match char {
            '\\' => text.extend(chars.next()),
            '"' => quoted = !quoted,
            '(' if !quoted => drop(comment(chars)),
            '>' if !quoted => break,
            char if char.is_whitespace() && !quoted => {
                if !text.is_empty() && !text.ends_with(MARKS) {
                    text.push(char);
                }
                continue;
            }
            char => {
                if MARKS.contains(&char) && !quoted {
                    text.truncate(solid);
                }
                text.push(char);
            }
        }
        solid = text.len();
    }
    text.truncate(solid);
    text
}

/// Splits an address into its source route (RFC 5322 §4.4), local part and domain. A missing domain is returned as an
/// empty string, because `None` marks a group.
fn split(address: &str) -> (Option<String>, String, String) {
    let (route, address) = match route_len(address) {
        Some(len) => (Some(address[..len].to_owned()), &address[len + 1..]),
        None => (None, address),
    };
    let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    (route, local.trim().to_owned(), domain.trim().to_owned())
}

/// Returns the length of the source route that the address begins with, without its colon; `None` if there is none.
fn route_len(address: &str) -> Option<usize> {
    let mut in_literal = false;
    let is_end = |char: char| {
        in_literal = char == '[' || (in_literal && char != ']');
        char == ':' && !in_literal
    };
    if address.starts_with('@') { address.find(is_end) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        let part = |part: Option<String>| part.unwrap_or("NIL".into());
        addresses(text)
            .map(|EnvelopeAddress { name, route, local, domain }| {
                let route = route.map(|route| format!("{route} : ")).unwrap_or_default();
                format!("{} | {route}{} | {}", part(name), part(local), part(domain))
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
            ("<@x.test,@y.test:ann@a.test>", &["NIL | @x.test,@y.test : ann | a.test"]),
            ("Ann < @x.test , @[IPv6:::1] : ann @ a . test >", &["Ann | @x.test,@[IPv6:::1] : ann | a.test"]),
            ("<(one) ann (two) @ (three (four)) a.test (five)>", &["NIL | ann | a.test"]),
            ("ann (two) @ (three) a.test", &["two | ann | a.test"]),
            (r#"<"ann )( ,"@a.test>"#, &["NIL | ann )( , | a.test"]),
            ("ann@[IPv6:::1]", &["NIL | ann | [IPv6:::1]"]),
            ("ann", &["NIL | ann | "]),
            ("<>", &["NIL |  | "]),
            ("Ann <ann@a.test> Bob <bob@b.test>", &["Ann | ann | a.test", "Bob | bob | b.test"]),
            ("<ann@a.test><bob@b.test>", &["NIL | ann | a.test", "NIL | bob | b.test"]),
            ("<ann@a.test> Ann", &["Ann | ann | a.test"]),
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
    }

    #[test]
    fn addresses_of_a_long_list_are_complete() {
        assert_eq!(addresses(&"a,".repeat(50_000)).count(), 50_000);
    }

    #[test]
    fn entries_of_unjoined_words_have_the_words() {
        for (text, wanted) in [
            ("ann@a.test bob@b.test", true),
            ("John Smith", true),
            ("ann \"lee\"@a.test", true),
            ("ann @ a . test", false),
            (" ann@a.test ", false),
            ("root (Cron Daemon)", false),
            ("John Smith <ann@a.test>", false),
            ("My Friends: ann@a.test;", false),
        ] {
            assert_eq!(entries(text).any(|entry| entry.words.is_some()), wanted, "{text}");
        }
    }
}
