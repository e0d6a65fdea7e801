//! Reverse-path and forward-path: an address in angle brackets. RFC 5321 §4.1.2.

use crate::mail::{Address, InvalidAddress};

/// Splits `<path> rest` into `path` and ` rest`; `None` if a bracket is missing. A `>` inside a quoted local part does
/// not end the path.
pub(super) fn split(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('<')?;
    let mut is_quoted = false;
    let mut chars = inner.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' if is_quoted => drop(chars.next()),
            '"' => is_quoted = !is_quoted,
            '>' if !is_quoted => return Some((&inner[..at], &inner[at + 1..])),
            _ => {}
        }
    }
    None
}

/// Parses the mailbox of a path, given without its brackets. A source route such as `@a.test:` is dropped: RFC 5321
/// §4.1.1.3, appendix C.
pub(super) fn mailbox(path: &str) -> Result<Address, InvalidAddress> {
    match path.split_once(':') {
        Some((route, mailbox)) if route.starts_with('@') => mailbox.parse(),
        _ => path.parse(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_of_path_ends_at_the_unquoted_bracket() {
        for (text, wanted) in [
            ("<a@b.test> SIZE=1", Some(("a@b.test", " SIZE=1"))),
            ("<>", Some(("", ""))),
            (r#"<"a>\"b"@c.test>x"#, Some((r#""a>\"b"@c.test"#, "x"))),
            ("<a@b.test", None),
            (r#"<"a>@b.test"#, None),
            ("a@b.test", None),
        ] {
            assert_eq!(split(text), wanted, "{text}");
        }
    }

    #[test]
    fn mailbox_with_source_route_ignores_it() {
        assert_eq!(mailbox("@x.test,@y.test:ann@z.test").unwrap().to_string(), "ann@z.test");
        assert_eq!(mailbox(r#""@x:y"@z.test"#).unwrap().local(), "@x:y");
        assert!(mailbox("@x.test:").is_err());
    }
}
