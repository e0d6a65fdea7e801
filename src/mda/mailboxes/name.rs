//! Mailbox names: levels separated by `/`, in UTF-8. RFC 9051 §5.1.

use super::Error;

/// Longest name, in bytes.
const MAX_NAME_BYTES: usize = 255;
/// Most levels of a name.
const MAX_LEVELS: usize = 16;

/// The mailbox that receives deliveries. RFC 9051 §5.1.
pub(in crate::mda) const INBOX: &str = "INBOX";
/// Separates two levels.
const SEPARATOR: char = '/';

/// The stored spelling of a name: INBOX in capitals, also as the first level; without a trailing separator, by which a
/// client only announces that it will create mailboxes below (RFC 9051 §6.3.4). Fails for more than 255 bytes or 16
/// levels, an empty level, control characters, `*` and `%`.
pub(super) fn canonical(name: &str) -> Result<String, Error> {
    let name = name.strip_suffix(SEPARATOR).unwrap_or(name);
    if MAX_NAME_BYTES < name.len() {
        return Err(Error::BadName("the mailbox name is too long"));
    }
    if name.chars().any(|char| char.is_control() || matches!(char, '*' | '%')) {
        return Err(Error::BadName("a mailbox name must not contain control characters, * or %"));
    }
    if name.split(SEPARATOR).any(str::is_empty) || MAX_LEVELS < name.split(SEPARATOR).count() {
        return Err(Error::BadName("a mailbox name has 1 to 16 levels, none of them empty"));
    }
    Ok(match name.get(..INBOX.len()) {
        Some(first) if first.eq_ignore_ascii_case(INBOX) && is_or_below(&name[INBOX.len()..]) => {
            format!("{INBOX}{}", &name[INBOX.len()..])
        }
        _ => name.to_owned(),
    })
}

/// Whether this rest of a name, behind the name of a mailbox, names that mailbox itself (empty) or one below it.
fn is_or_below(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(SEPARATOR)
}

/// Whether `name` is `top` or a mailbox below it.
pub(in crate::mda) fn is_within(name: &str, top: &str) -> bool {
    name.strip_prefix(top).is_some_and(is_or_below)
}

/// The names of the levels above a mailbox, the topmost first, whether mailboxes of these names exist or not; none for
/// a name of one level.
pub(super) fn parents(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices(SEPARATOR).map(|(at, _)| &name[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_name_unifies_only_inbox() {
        for (given, canonical_name) in [
            ("inbox", "INBOX"),
            ("Inbox/Lists/", "INBOX/Lists"),
            ("inboxes", "inboxes"),
            ("a/inbox", "a/inbox"),
            ("Z\u{fc}rich", "Z\u{fc}rich"),
        ] {
            assert_eq!(canonical(given).unwrap(), canonical_name);
        }
    }

    #[test]
    fn canonical_name_refuses_unusable_names() {
        for name in ["", "/", "a//b", "/a", "a\0b", "a\r\nb", "a*", "%", &"x".repeat(256), &"x/".repeat(17)] {
            assert!(canonical(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn parents_start_at_the_top() {
        assert_eq!(parents("a/b/c").collect::<Vec<_>>(), ["a", "a/b"]);
        assert!(is_within("a/b", "a") && is_within("a", "a") && !is_within("ab", "a"));
    }
}
