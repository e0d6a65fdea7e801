//! Subjects, as threads compare them.

/// Returns the base subject, and whether it is that of a reply or forward. The marks of those, such as `Re:` and
/// `(fwd)`, are removed, as is `[text]` before it. Its case is kept, runs of white space become one space, and encoded
/// words are not decoded. RFC 5256 §2.1.
pub fn base_subject(subject: &str) -> (String, bool) {
    let words = subject.split_whitespace().collect::<Vec<_>>().join(" ");
    let (mut rest, mut is_reply) = (words.as_str(), false);
    loop {
        while let Some(shorter) = strip_suffix(rest, "(fwd)") {
            (rest, is_reply) = (shorter.trim_end(), true);
        }
        loop {
            rest = rest.trim_start();
            if let Some(shorter) = without_refwd(rest) {
                (rest, is_reply) = (shorter, true);
            } else if let Some(shorter) = without_blob(rest).filter(|shorter| !shorter.is_empty()) {
                rest = shorter;
            } else {
                break;
            }
        }
        match strip_prefix(rest, "[fwd:").and_then(|inner| inner.strip_suffix(']')) {
            Some(inner) => (rest, is_reply) = (inner.trim(), true),
            None => return (rest.to_owned(), is_reply),
        }
    }
}

/// The subject after `*subj-blob ("re" / "fw" / "fwd") *WSP [subj-blob] ":"`; `None` if it does not start so.
fn without_refwd(subject: &str) -> Option<&str> {
    let mut rest = subject;
    while let Some(shorter) = without_blob(rest) {
        rest = shorter;
    }
    let rest = ["re", "fwd", "fw"].iter().find_map(|mark| strip_prefix(rest, mark))?.trim_start();
    without_blob(rest).unwrap_or(rest).strip_prefix(':')
}

/// The subject after `"[" *BLOBCHAR "]" *WSP`; `None` if it does not start so.
fn without_blob(subject: &str) -> Option<&str> {
    let (inner, rest) = subject.strip_prefix('[')?.split_once(']')?;
    if inner.contains('[') { None } else { Some(rest.trim_start()) }
}

/// As [`str::strip_prefix`], in any ASCII case.
fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// As [`str::strip_suffix`], in any ASCII case.
fn strip_suffix<'a>(text: &'a str, suffix: &str) -> Option<&'a str> {
    let (rest, end) = text.split_at_checked(text.len().checked_sub(suffix.len())?)?;
    end.eq_ignore_ascii_case(suffix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_subject_strips_reply_and_forward_marks() {
        for (subject, expected, is_reply) in [
            ("hello  world", "hello world", false),
            ("Re: hello", "hello", true),
            ("RE: fwd: Re : hello (fwd) (FWD)", "hello", true),
            ("[list] Re: [x] hello", "hello", true),
            ("Re[2]: hello", "hello", true),
            ("[list] hello", "hello", false),
            ("[list]", "[list]", false),
            ("[Fwd: Re: hello]", "hello", true),
            ("Rest: hello", "Rest: hello", false),
            ("re:", "", true),
            ("[a[b] hello", "[a[b] hello", false),
            ("", "", false),
            ("\u{e9}(fwd", "\u{e9}(fwd", false),
        ] {
            assert_eq!(base_subject(subject), (expected.to_owned(), is_reply), "{subject:?}");
        }
    }
}
