//! Names of mailboxes: levels with `/` between, in UTF-8. RFC 9051 §5.1.

use super::Error;

/// Longer names are refused, in octets.
const NAME_OCTETS_MAX: usize = 255;
/// Deeper trees are refused.
const LEVELS_MAX: usize = 16;

/// Where mail arrives. RFC 9051 §5.1.
pub(super) const INBOX: &str = "INBOX";
/// What stands between two levels.
const SEPARATOR: char = '/';

/// The spelling under which a mailbox is kept: INBOX in capitals, also as the first level; no separator at the end,
/// with which a client only says that it means to put mailboxes below (RFC 9051 §6.3.4).
pub(super) fn canonical(name: &str) -> Result<String, Error> {
    let name = name.strip_suffix(SEPARATOR).unwrap_or(name);
    if NAME_OCTETS_MAX < name.len() {
        return Err(Error::BadName("the name of the mailbox is too long"));
    }
    if name.chars().any(|char| char.is_control() || matches!(char, '*' | '%')) {
        return Err(Error::BadName("a name of a mailbox has no control characters and no * or %"));
    }
    if name.split(SEPARATOR).any(str::is_empty) || LEVELS_MAX < name.split(SEPARATOR).count() {
        return Err(Error::BadName("a name of a mailbox has 1 to 16 levels, and none of them is empty"));
    }
    Ok(match name.get(..INBOX.len()) {
        Some(first) if first.eq_ignore_ascii_case(INBOX) && is_or_below(&name[INBOX.len()..]) => {
            format!("{INBOX}{}", &name[INBOX.len()..])
        }
        _ => name.to_owned(),
    })
}

fn is_or_below(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(SEPARATOR)
}

/// Whether `name` is `top` or a mailbox below it.
pub(in crate::mda) fn is_within(name: &str, top: &str) -> bool {
    name.strip_prefix(top).is_some_and(is_or_below)
}

/// The mailboxes that a mailbox is below, the topmost first.
pub(super) fn superiors(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices(SEPARATOR).map(|(at, _)| &name[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inbox_has_one_spelling_and_other_names_have_many() {
        for (given, kept) in [
            ("inbox", "INBOX"),
            ("Inbox/Lists/", "INBOX/Lists"),
            ("inboxes", "inboxes"),
            ("a/inbox", "a/inbox"),
            ("Z\u{fc}rich", "Z\u{fc}rich"),
        ] {
            assert_eq!(canonical(given).unwrap(), kept);
        }
    }

    #[test]
    fn names_that_no_client_could_use_are_refused() {
        for name in ["", "/", "a//b", "/a", "a\0b", "a\r\nb", "a*", "%", &"x".repeat(256), &"x/".repeat(17)] {
            assert!(canonical(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn superiors_come_from_the_top() {
        assert_eq!(superiors("a/b/c").collect::<Vec<_>>(), ["a", "a/b"]);
        assert!(is_within("a/b", "a") && is_within("a", "a") && !is_within("ab", "a"));
    }
}
