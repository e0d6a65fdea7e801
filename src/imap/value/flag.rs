//! Flags of a message. RFC 9051 §2.3.2.

/// The system flags that a client may set, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SystemFlags(u8);

impl SystemFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// `\Answered`.
    pub const ANSWERED: Self = Self(1);
    /// `\Flagged`.
    pub const FLAGGED: Self = Self(2);
    /// `\Deleted`.
    pub const DELETED: Self = Self(4);
    /// `\Seen`.
    pub const SEEN: Self = Self(8);
    /// `\Draft`.
    pub const DRAFT: Self = Self(16);
    /// All five, in the order in which they are written.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::ANSWERED, "\\Answered"),
        (Self::FLAGGED, "\\Flagged"),
        (Self::DELETED, "\\Deleted"),
        (Self::SEEN, "\\Seen"),
        (Self::DRAFT, "\\Draft"),
    ];

    /// Returns the set of a stored number, as from [`Self::bits`]; unknown bits are dropped.
    pub fn from_bits(bits: u8) -> Self {
        Self(bits & 31)
    }

    /// Returns the set as a number for storage.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// Returns whether all flags of `other` are in this set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns the union of both sets.
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns the set without the flags of `other`.
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Returns the system flag of this name, with its backslash, in any case; `None` for `\Recent` and others.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(flag, _)| *flag)
    }
}

/// System flags and keywords.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// The system flags.
    pub system: SystemFlags,
    /// Keywords as written, without duplicates.
    pub keywords: Vec<String>,
}

/// Returns whether the byte may be in an atom: visible ASCII except `(){%*"\]`. RFC 9051 §9 (ATOM-CHAR).
pub(crate) fn is_atom_char(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"(){%*\"\\]".contains(&byte)
}

impl Flags {
    /// Returns whether a word can be a keyword: an atom, which is sent without quotes. RFC 9051 §9 (flag-keyword).
    pub fn is_keyword(word: &str) -> bool {
        !word.is_empty() && word.bytes().all(is_atom_char)
    }

    /// Adds a keyword unless the set has it, in any case; then the spelling in the set stays. RFC 9051 §2.3.2.
    pub fn add_keyword(&mut self, keyword: &str) {
        if !self.keywords.iter().any(|known| known.eq_ignore_ascii_case(keyword)) {
            self.keywords.push(keyword.to_owned());
        }
    }
}

/// Flags in Maildir file names, in the order of the format.
const LETTERS: [(char, SystemFlags); 5] = [
    ('D', SystemFlags::DRAFT),
    ('F', SystemFlags::FLAGGED),
    ('R', SystemFlags::ANSWERED),
    ('S', SystemFlags::SEEN),
    ('T', SystemFlags::DELETED),
];
/// The Maildir flag "passed", a keyword in IMAP.
const PASSED: char = 'P';
const FORWARDED: &str = "$Forwarded";

impl Flags {
    /// Returns whether a character is a Maildir flag that stands for a system flag or `$Forwarded`.
    pub fn is_letter(char: char) -> bool {
        char == PASSED || LETTERS.iter().any(|(known, _)| *known == char)
    }

    /// Returns the Maildir flags for these flags, in alphabetical order, as in `FS`: those of the system flags, and `P`
    /// for `$Forwarded`; other keywords have none.
    pub fn to_letters(&self) -> String {
        let system = LETTERS.iter().filter(|(_, flag)| self.system.contains(*flag)).map(|(char, _)| *char);
        let passed = self.keywords.iter().any(|word| word.eq_ignore_ascii_case(FORWARDED)).then_some(PASSED);
        let mut letters: Vec<char> = system.chain(passed).collect();
        letters.sort_unstable();
        letters.into_iter().collect()
    }

    /// Returns the flags that Maildir flags, in any order, stand for, with the keyword `$Forwarded` for `P`; unknown
    /// ones are ignored.
    pub fn from_letters(letters: &str) -> Self {
        let named = LETTERS.iter().filter(|(char, _)| letters.contains(*char));
        let system = named.fold(SystemFlags::NONE, |all, (_, flag)| all.with(*flag));
        let passed = letters.contains(PASSED).then(|| FORWARDED.to_owned());
        Self { system, keywords: passed.into_iter().collect() }
    }

    /// Returns the keywords that have no Maildir flag, and need another place: all but `$Forwarded`.
    pub fn without_letters(&self) -> Vec<&str> {
        let words = self.keywords.iter().map(String::as_str);
        words.filter(|word| !word.eq_ignore_ascii_case(FORWARDED)).collect()
    }
}

/// The operation of `STORE`. RFC 9051 §6.4.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreMode {
    /// `FLAGS`: replaces all flags.
    Replace,
    /// `+FLAGS`.
    Add,
    /// `-FLAGS`.
    Remove,
}

impl StoreMode {
    /// The flags of a message with `old` flags after a STORE of the `given` ones in this mode. Keywords are compared
    /// without case.
    pub fn apply(self, old: &Flags, given: &Flags) -> Flags {
        let mut new = old.clone();
        match self {
            Self::Replace => return given.clone(),
            Self::Add => {
                new.system = old.system.with(given.system);
                given.keywords.iter().for_each(|word| new.add_keyword(word));
            }
            Self::Remove => {
                new.system = old.system.without(given.system);
                new.keywords.retain(|word| !given.keywords.iter().any(|gone| gone.eq_ignore_ascii_case(word)));
            }
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_flags_are_case_insensitive() {
        assert_eq!(SystemFlags::named("\\SEEN"), Some(SystemFlags::SEEN));
        assert_eq!(SystemFlags::named("\\Recent"), None);
        assert_eq!(SystemFlags::named("Seen"), None);
    }

    #[test]
    fn is_keyword_accepts_atoms_only() {
        assert!(["$Forwarded", "work", "a.b-c_d+e[", "NonJunk", "&AOQ-"].iter().all(|word| Flags::is_keyword(word)));
        for word in
            ["", "a b", "x)", "(x", "\\Seen", "\"a\"", "a*", "a%", "a]", "{3}", "\u{e4}", "a\r\n* BYE", "a\0", "\u{7f}"]
        {
            assert!(!Flags::is_keyword(word), "{word:?}");
        }
    }

    #[test]
    fn add_keyword_ignores_duplicates() {
        let mut flags = Flags::default();
        ["$Junk", "$junk", "work"].into_iter().for_each(|word| flags.add_keyword(word));
        assert_eq!(flags.keywords, ["$Junk", "work"]);
    }
}
