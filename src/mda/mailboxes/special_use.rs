//! Special uses of mailboxes. RFC 6154.

use super::Error;

/// The special use of a mailbox; several mailboxes may have the same. RFC 6154 §2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SpecialUse {
    /// `\Archive`.
    Archive,
    /// `\Drafts`.
    Drafts,
    /// `\Junk`.
    Junk,
    /// `\Sent`.
    Sent,
    /// `\Trash`.
    Trash,
}

impl SpecialUse {
    pub(super) const ALL: [Self; 5] = [Self::Archive, Self::Drafts, Self::Junk, Self::Sent, Self::Trash];

    /// The name of the mailbox with this use in a new account; with a `\` in front, the attribute.
    pub fn name(self) -> &'static str {
        match self {
            Self::Archive => "Archive",
            Self::Drafts => "Drafts",
            Self::Junk => "Junk",
            Self::Sent => "Sent",
            Self::Trash => "Trash",
        }
    }
}

/// Uses by their attributes, as in `\Sent`, in any case; sorted, each once.
///
/// # Errors
/// There is no such use, or no mailbox can have it: none of ours is `\All` or `\Flagged`.
pub(super) fn parse_uses<'a>(attributes: impl IntoIterator<Item = &'a str>) -> Result<Vec<SpecialUse>, Error> {
    let named = |attribute: &str| {
        let name = attribute.strip_prefix('\\')?;
        SpecialUse::ALL.into_iter().find(|special| special.name().eq_ignore_ascii_case(name))
    };
    let mut uses =
        attributes.into_iter().map(|word| named(word).ok_or(Error::BadUse)).collect::<Result<Vec<_>, _>>()?;
    uses.sort();
    uses.dedup();
    Ok(uses)
}

/// The names of special uses, each after `prefix`, separated by spaces: without a prefix as they are stored, with `\`
/// their attributes. Empty for no uses.
pub(super) fn format_uses(uses: &[SpecialUse], prefix: &str) -> String {
    uses.iter().map(|special| format!("{prefix}{}", special.name())).collect::<Vec<_>>().join(" ")
}

/// The special uses in the column `use` of a mailbox: their names, separated by spaces; unknown ones are ignored.
/// `None`, for NULL, gives none.
pub(super) fn parse_stored_uses(stored: Option<&str>) -> Vec<SpecialUse> {
    let words = stored.unwrap_or_default().split_ascii_whitespace();
    words.filter_map(|word| SpecialUse::ALL.into_iter().find(|special| special.name() == word)).collect()
}
