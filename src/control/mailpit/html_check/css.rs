//! Reads style sheets and the declarations of `style` attributes, as CSS Syntax Level 3 has them, and counts what they use. What
//! it does not understand it skips, as browsers do.

use super::html::note_image;
use super::usage::Usage;

/// The deepest nesting of blocks that is read.
const MAX_DEPTH: usize = 32;

/// Counts what a style sheet uses.
pub(super) fn count_sheet(text: &str, usage: &mut Usage) {
    let text = without_comments(text, usage);
    rules(&mut Source(&text), 0, usage);
}

/// Counts what the value of a `style` attribute uses; blocks in it are skipped.
pub(super) fn count_declarations(text: &str, usage: &mut Usage) {
    let text = without_comments(text, usage);
    block(&mut Source(&text), MAX_DEPTH, usage);
}

/// Returns the text of a style sheet with a space for each comment, which is counted, and for each `<!--` and `-->`,
/// which hide styles from programs that know none.
fn without_comments(text: &str, usage: &mut Usage) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, comment)) = rest.split_once("/*") {
        usage.note("comment", "css");
        out.push_str(before);
        out.push(' ');
        rest = comment.split_once("*/").map_or("", |(_, rest)| rest);
    }
    out.push_str(rest);
    out.replace("<!--", " ").replace("-->", " ")
}

/// What is not read yet.
struct Source<'a>(&'a str);

impl<'a> Source<'a> {
    /// Reads up to one of these characters, outside of strings and brackets, though `}` counts in brackets, too;
    /// returns the text before it, and the character, which is read, too. Without one, returns all that is left, and
    /// `None`.
    fn until(&mut self, stops: &[u8]) -> (&'a str, Option<u8>) {
        let bytes = self.0.as_bytes();
        let (mut quote, mut open, mut at) = (None, 0_u32, 0);
        while let Some(&byte) = bytes.get(at) {
            match (quote, byte) {
                (_, b'\\') => at += 1,
                (Some(end), byte) if byte == end => quote = None,
                // A string ends with its line.
                (Some(_), b'\n') => quote = None,
                (Some(_), _) => {}
                (None, b'"' | b'\'') => quote = Some(byte),
                (None, b'(' | b'[') => open += 1,
                (None, b')' | b']') => open = open.saturating_sub(1),
                // What is not closed ends with its block.
                (None, byte) if stops.contains(&byte) && (open == 0 || byte == b'}') => {
                    let (text, rest) = self.0.split_at(at);
                    self.0 = &rest[1..];
                    return (text, Some(byte));
                }
                _ => {}
            }
            at += 1;
        }
        (std::mem::take(&mut self.0), None)
    }
}

/// Reads rules up to the end of their block, or of the style sheet at depth 0, and counts what they use. `depth` is how
/// many blocks are open.
fn rules(source: &mut Source<'_>, depth: usize, usage: &mut Usage) {
    loop {
        let (prelude, stop) = source.until(b"{;}");
        let prelude = prelude.trim();
        match stop {
            Some(b'{') => rule(prelude, source, depth, usage),
            Some(b';') => at_rule(prelude, usage),
            // One too many is skipped.
            Some(_) if depth == 0 => {}
            _ => return,
        }
    }
}

/// Counts a rule by its prelude, the text before `{`, and reads its block; one that is too deep is skipped.
fn rule(prelude: &str, source: &mut Source<'_>, depth: usize, usage: &mut Usage) {
    if MAX_DEPTH <= depth {
        return skip_block(source);
    }
    at_rule(prelude, usage);
    let name = prelude.strip_prefix('@').map(|rest| ident(rest).to_ascii_lowercase());
    match name.as_deref() {
        Some("media" | "supports" | "layer" | "container" | "document" | "-moz-document" | "scope") => {
            rules(source, depth + 1, usage);
        }
        // Its blocks have no selectors.
        Some(name) if name.ends_with("keyframes") => {
            while let (_, Some(b'{')) = source.until(b"{}") {
                block(source, depth + 1, usage);
            }
        }
        Some(_) => block(source, depth + 1, usage),
        None => {
            selectors(prelude, 0, usage);
            block(source, depth + 1, usage);
        }
    }
}

/// Reads up to the end of a block, after its `{`, and counts nothing.
fn skip_block(source: &mut Source<'_>) {
    let mut open = 1_u32;
    while 0 < open {
        match source.until(b"{}").1 {
            Some(b'{') => open += 1,
            Some(_) => open -= 1,
            None => return,
        }
    }
}

/// Counts an at-rule, and the media features that its conditions name; nothing if the prelude does not begin with `@`.
fn at_rule(prelude: &str, usage: &mut Usage) {
    let Some(rest) = prelude.strip_prefix('@') else { return };
    let name = ident(rest);
    usage.note("at", &name.to_ascii_lowercase());
    if name.eq_ignore_ascii_case("media") || name.eq_ignore_ascii_case("import") {
        for condition in rest.split('(').skip(1) {
            usage.note("media", &ident(condition.trim_start()).to_ascii_lowercase());
        }
    }
}

/// Reads declarations and nested rules up to the end of their block, or of the text, and counts what they use. `depth`
/// is how many blocks are open: at [`MAX_DEPTH`], nested rules are skipped.
fn block(source: &mut Source<'_>, depth: usize, usage: &mut Usage) {
    loop {
        let (text, stop) = source.until(b"{;}");
        let text = text.trim();
        match stop {
            Some(b'{') if text.starts_with("--") => skip_block(source),
            Some(b'{') => {
                if !text.starts_with('@') {
                    usage.note("selector", "nesting");
                }
                rule(text, source, depth, usage);
            }
            stop => {
                declaration(text, usage);
                if stop != Some(b';') {
                    return;
                }
            }
        }
    }
}

/// Counts the property or variable of a declaration, `NAME:VALUE` without `!important`, and what the value uses. A text
/// without a colon is skipped.
fn declaration(text: &str, usage: &mut Usage) {
    let Some((name, value)) = text.split_once(':') else { return };
    let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().to_ascii_lowercase());
    match name.starts_with("--") {
        true => usage.note("variable", "css"),
        false => usage.note("property", &name),
    }
    let plain = value.split('!').next().unwrap_or_default().trim();
    usage.note("value", &format!("{name}:{plain}"));
    values(&value, usage);
}

/// Counts functions, units, keywords and pictures of a value, which is in lower case.
fn values(value: &str, usage: &mut Usage) {
    let mut rest = value;
    while let Some(first) = rest.chars().next() {
        let next = &rest[first.len_utf8()..];
        rest = match first {
            '"' | '\'' => next.split_once(first).map_or("", |(_, rest)| rest),
            // A colour.
            '#' => &next[ident(next).len()..],
            '!' => {
                let name = ident(next.trim_start());
                usage.note("keyword", &format!("!{name}"));
                &next.trim_start()[name.len()..]
            }
            '0'..='9' | '.' => number(rest, usage),
            '-' | '+' if next.starts_with(|digit: char| digit.is_ascii_digit() || digit == '.') => next,
            first if is_ident(first) => word(rest, usage),
            _ => next,
        };
    }
}

/// Counts the unit of the number (digits and dots) at the beginning, and returns what comes after the unit.
fn number<'a>(text: &'a str, usage: &mut Usage) -> &'a str {
    let end = text.find(|end: char| !end.is_ascii_digit() && end != '.').unwrap_or(text.len());
    let rest = &text[end..];
    if let Some(rest) = rest.strip_prefix('%') {
        usage.note("unit", "%");
        return rest;
    }
    let unit = ident(rest);
    usage.note("unit", unit);
    &rest[unit.len()..]
}

/// Counts the keyword or the function (a name before `(`) at the beginning, and returns what comes after: for a
/// function its arguments, which are not counted yet; `url` is counted with its picture, and what comes after `)` is
/// returned.
fn word<'a>(text: &'a str, usage: &mut Usage) -> &'a str {
    let name = ident(text);
    let rest = &text[name.len()..];
    let Some(arguments) = rest.strip_prefix('(') else {
        usage.note("keyword", name);
        return rest;
    };
    usage.note("function", name);
    if name != "url" {
        return arguments;
    }
    let (address, rest) = arguments.split_once(')').unwrap_or((arguments, ""));
    note_image(address.trim().trim_matches(['"', '\'']), usage);
    rest
}

/// Whether a character may be in an identifier: a letter or digit of any script, `-` or `_`.
fn is_ident(first: char) -> bool {
    first.is_alphanumeric() || matches!(first, '-' | '_')
}

/// Returns the identifier at the beginning of a text; empty if there is none.
fn ident(text: &str) -> &str {
    &text[..text.find(|end: char| !is_ident(end)).unwrap_or(text.len())]
}

/// Counts the selectors of a list with commas between, and `grouping` if there are several. `depth` is how many
/// pseudo-classes the list is an argument within.
fn selectors(list: &str, depth: usize, usage: &mut Usage) {
    let mut source = Source(list);
    let mut count = 0;
    loop {
        let (selector, stop) = source.until(b",");
        complex_selector(selector.trim(), depth, usage);
        count += 1;
        if stop.is_none() {
            break;
        }
    }
    if 1 < count {
        usage.note("selector", "grouping");
    }
}

/// Counts the parts of a selector (`type`, `class`, `id`, `attribute`, `universal`, pseudo-classes), how they are
/// combined (`descendant`, `child` and others), and `chaining` for several classes or ids of one element. Selectors
/// Level 4.
fn complex_selector(selector: &str, depth: usize, usage: &mut Usage) {
    let (mut rest, mut chained) = (selector, 0);
    while let Some(first) = rest.chars().next() {
        let next = &rest[first.len_utf8()..];
        let name = ident(next);
        rest = match first {
            '.' | '#' => {
                usage.note("selector", if first == '.' { "class" } else { "id" });
                chained += 1;
                if chained == 2 {
                    usage.note("selector", "chaining");
                }
                &next[name.len()..]
            }
            '*' => {
                usage.note("selector", "universal");
                next
            }
            '[' => {
                usage.note("selector", "attribute");
                Source(next).until_closed(b']')
            }
            ':' => pseudo(next.trim_start_matches(':'), depth, usage),
            '>' | '+' | '~' => {
                chained = 0;
                usage.note(
                    "selector",
                    match first {
                        '>' => "child",
                        '+' => "adjacent-sibling",
                        _ => "general-sibling",
                    },
                );
                next.trim_start()
            }
            first if first.is_whitespace() => {
                let next = next.trim_start();
                chained = 0;
                if !next.is_empty() && !next.starts_with(['>', '+', '~']) {
                    usage.note("selector", "descendant");
                }
                next
            }
            first if is_ident(first) => {
                usage.note("selector", "type");
                &rest[ident(rest).len()..]
            }
            _ => next,
        };
    }
}

/// Counts a pseudo-class or a pseudo-element, whose name is at the beginning, and the selectors that it has as
/// arguments; returns what comes after.
fn pseudo<'a>(text: &'a str, depth: usize, usage: &mut Usage) -> &'a str {
    let name = ident(text);
    usage.note("pseudo", &name.to_ascii_lowercase());
    let rest = &text[name.len()..];
    let Some(arguments) = rest.strip_prefix('(') else { return rest };
    let rest = Source(arguments).until_closed(b')');
    if ["not", "has", "is", "where"].iter().any(|known| name.eq_ignore_ascii_case(known)) && depth < MAX_DEPTH {
        let list = &arguments[..arguments.len() - rest.len()];
        selectors(list.strip_suffix(')').unwrap_or(list), depth + 1, usage);
    }
    rest
}

impl<'a> Source<'a> {
    /// Returns what comes after the bracket `close` (`)` or `]`) that closes the one just before the source. Brackets
    /// of the same kind may be nested; those in strings do not count. Empty if none closes it.
    fn until_closed(mut self, close: u8) -> &'a str {
        let open = if close == b')' { '(' } else { '[' };
        let mut depth = 1_u32;
        let mut quote = None;
        for (at, found) in self.0.char_indices() {
            match (quote, found) {
                (Some(end), found) if found == end => quote = None,
                (Some(_), _) => {}
                (None, '"' | '\'') => quote = Some(found),
                (None, found) if found == open => depth += 1,
                (None, found) if found == char::from(close) => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                self.0 = &self.0[at + 1..];
                return self.0;
            }
        }
        ""
    }
}
