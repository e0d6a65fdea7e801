//! Comments in the values of header fields. RFC 5322 §3.2.2.

/// Returns the text with a space for each `(`, and without the comments, which nest; a backslash in one escapes the
/// next character. A comment that is not closed extends to the end; a `)` without `(` is dropped. Quoted strings are
/// kept as they are.
pub(super) fn without_comments(text: &str) -> String {
    let (mut kept, mut depth, mut is_quoted) = (String::with_capacity(text.len()), 0_usize, false);
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' if is_quoted => kept.extend([Some(char), chars.next()].into_iter().flatten()),
            '\\' if 0 < depth => drop(chars.next()),
            '"' if depth == 0 => {
                is_quoted = !is_quoted;
                kept.push(char);
            }
            '(' if !is_quoted => {
                depth += 1;
                kept.push(' ');
            }
            ')' if !is_quoted => depth = depth.saturating_sub(1),
            char if depth == 0 => kept.push(char),
            _ => {}
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_nest_and_have_escapes_and_quoted_strings_are_kept() {
        for (text, wanted) in [
            ("(x) text/html", " text/html"),
            ("a (b (c) d) e", "a   e"),
            (r"a (b \) c) d", "a  d"),
            (r#"name="a (b) \" (c)" (d)"#, r#"name="a (b) \" (c)"  "#),
            ("a (b", "a  "),
            ("a) b", "a b"),
        ] {
            assert_eq!(
                without_comments(text).split_whitespace().collect::<Vec<_>>(),
                wanted.split_whitespace().collect::<Vec<_>>(),
                "{text}"
            );
        }
    }
}
