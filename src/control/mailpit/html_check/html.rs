//! Reads the tags of an HTML document, as <https://html.spec.whatwg.org/multipage/parsing.html#tokenization> says, and counts what
//! they use. Every byte is read once, and nothing of the tree is built.

use std::borrow::Cow;

use super::css;
use super::usage::Usage;

/// Elements whose content is text up to their end tag.
const RAW_TEXT: [&str; 6] = ["style", "script", "textarea", "title", "xmp", "noembed"];
/// Elements of the document itself, which are no nodes of a message.
const OUTER: [&str; 3] = ["html", "head", "meta"];

/// Counts what a document uses, the style sheets and attributes in it too, and its elements.
pub(super) fn count(html: &str, usage: &mut Usage) {
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            usage.note("comment", "html");
            rest = after(comment, "-->");
        } else if rest.starts_with(['!', '?', '/']) {
            let (tag, next) = rest.split_once('>').unwrap_or((rest, ""));
            if tag.get(.."!doctype".len()).is_some_and(|start| start.eq_ignore_ascii_case("!doctype")) {
                let name = tag["!doctype".len()..].trim().to_ascii_lowercase();
                usage.note("doctype", &name);
            }
            rest = next;
        } else if rest.starts_with(|first: char| first.is_ascii_alphabetic()) {
            rest = element(rest, usage);
        }
    }
}

/// Returns what comes after the first `end` in a text; empty if it is not there.
fn after<'a>(text: &'a str, end: &str) -> &'a str {
    text.split_once(end).map_or("", |(_, rest)| rest)
}

/// Counts a start tag, whose name is at the beginning of the text, with its attributes, and returns what comes after
/// it. Of the elements in [`RAW_TEXT`], the content is skipped, too: it returns the text from the end tag on. The
/// content of `style` is counted as a style sheet.
fn element<'a>(text: &'a str, usage: &mut Usage) -> &'a str {
    let end = text.find(|end: char| end.is_ascii_whitespace() || matches!(end, '/' | '>')).unwrap_or(text.len());
    let name = text[..end].to_ascii_lowercase();
    usage.nodes += u64::from(!OUTER.contains(&name.as_str()));
    usage.note("element", &name);
    let (mut rest, mut has_type) = (&text[end..], false);
    while let Some((attribute, value, next)) = attribute(rest) {
        rest = next;
        let attribute = attribute.to_ascii_lowercase();
        has_type |= attribute == "type";
        note_attribute(&name, &attribute, &value, usage);
    }
    match name.as_str() {
        "input" if !has_type => usage.note("input", "text"),
        "button" if !has_type => usage.note("button", "submit"),
        _ => {}
    }
    let rest = after(rest, ">");
    if !RAW_TEXT.contains(&name.as_str()) {
        return rest;
    }
    let end = end_tag(rest, &name);
    if name == "style" {
        css::count_sheet(&rest[..end], usage);
    }
    &rest[end..]
}

/// Returns the index at which the first end tag of the element `name` begins in the text, at its `</`; the length of
/// the text if there is none.
fn end_tag(text: &str, name: &str) -> usize {
    let is_it = |(at, _): &(usize, &str)| {
        text.get(at + 2..at + 2 + name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name))
    };
    text.match_indices("</").find(is_it).map_or(text.len(), |(at, _)| at)
}

/// Reads the next attribute of a tag: returns its name, its value with character references [`decoded`] (empty if it
/// has none), and what comes after it. `None` at the end of the tag, or of the text.
fn attribute(text: &str) -> Option<(&str, Cow<'_, str>, &str)> {
    let text = text.trim_start_matches(|skipped: char| skipped.is_ascii_whitespace() || skipped == '/');
    if text.is_empty() || text.starts_with('>') {
        return None;
    }
    // An equals sign at the beginning is part of the name.
    let is_end =
        |(at, end): (usize, char)| end.is_ascii_whitespace() || matches!(end, '/' | '>') || end == '=' && 0 < at;
    let end = text.char_indices().find_map(|found| is_end(found).then_some(found.0)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let Some(value) = rest.trim_ascii_start().strip_prefix('=').map(str::trim_ascii_start) else {
        return Some((name, Cow::Borrowed(""), rest));
    };
    let (value, rest) = match value.strip_prefix(['"', '\'']) {
        Some(quoted) => quoted.split_once(&value[..1]).unwrap_or((quoted, "")),
        None => {
            let end = value.find(|end: char| end.is_ascii_whitespace() || end == '>').unwrap_or(value.len());
            value.split_at(end)
        }
    };
    Some((name, decoded(value), rest))
}

/// Returns the value of an attribute with those character references resolved that stand in styles: quotes and `&`.
fn decoded(value: &str) -> Cow<'_, str> {
    if !value.contains('&') {
        return Cow::Borrowed(value);
    }
    let named = [("&quot;", "\""), ("&#34;", "\""), ("&apos;", "'"), ("&#39;", "'"), ("&amp;", "&")];
    Cow::Owned(named.iter().fold(value.to_owned(), |value, (reference, text)| value.replace(reference, text)))
}

/// Counts an attribute, and what its value uses: styles, links, pictures, types of inputs. Names are in lower case.
fn note_attribute(element: &str, attribute: &str, value: &str, usage: &mut Usage) {
    usage.note("attribute", attribute);
    match (element, attribute) {
        (_, "style") => css::count_declarations(value, usage),
        ("input" | "button", "type") => usage.note(element, &value.trim().to_ascii_lowercase()),
        ("meta", "name") => usage.note("meta", &value.trim().to_ascii_lowercase()),
        ("a" | "area", "href") if value.trim_start().starts_with('#') => usage.note("link", "#"),
        ("a" | "area", "href") => {
            let scheme = value.split_once(':').map_or("", |(scheme, _)| scheme.trim());
            usage.note("link", &scheme.to_ascii_lowercase());
        }
        ("img" | "source" | "input", "src") | (_, "background") => note_image(value, usage),
        _ => {}
    }
}

/// Counts the format of a picture: the ending of the path of its address, or `data` for a `data:` URL; nothing without
/// an ending.
pub(super) fn note_image(address: &str, usage: &mut Usage) {
    let address = address.trim();
    if address.get(.."data:".len()).is_some_and(|start| start.eq_ignore_ascii_case("data:")) {
        return usage.note("image", "data");
    }
    let path = address.split(['?', '#']).next().unwrap_or_default();
    if let Some((_, format)) = path.rsplit_once('.') {
        usage.note("image", &format.to_ascii_lowercase());
    }
}
