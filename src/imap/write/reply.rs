//! Replies other than `FETCH`. RFC 9051 §7.

use super::Out;
use crate::imap::command::StatusItem;
use crate::imap::search::SearchReturn;
use crate::imap::thread::{Mark, Threads};
use crate::imap::value::{Flags, Numbers, SystemFlags};

/// How a command went. RFC 9051 §7.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Ok,
    /// It could not be done.
    No,
    /// It makes no sense.
    Bad,
}

impl Outcome {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::No => "NO",
            Self::Bad => "BAD",
        }
    }
}

/// What a program may understand of a reply. RFC 9051 §7.1, RFC 3501 §7.1, RFC 4315 §3, RFC 5530 §3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// A word of its own: `ALREADYEXISTS`, `TRYCREATE`, `READ-ONLY` ...
    Word(&'static str),
    /// `PERMANENTFLAGS`: what may be stored, and whether new keywords may be made.
    PermanentFlags(Flags, bool),
    /// `UIDNEXT`.
    UidNext(u32),
    /// `UIDVALIDITY`.
    UidValidity(u32),
    /// `UNSEEN`: the first message without `\Seen`. RFC 3501 §7.1.
    Unseen(u32),
    /// `METADATA LONGENTRIES`: the size of the largest value that was left out. RFC 5464 §4.2.1.
    LongEntries(u64),
    /// `METADATA MAXSIZE`: no value may be larger. RFC 5464 §4.3.
    MetadataMaxSize(u64),
    /// `HIGHESTMODSEQ`: the number of the last change. RFC 7162 §3.1.2.1.
    HighestModSeq(u64),
    /// `MODIFIED`: messages that were not changed, for somebody was quicker. RFC 7162 §3.1.3.
    Modified(Numbers),
    /// `MAILBOXID`. RFC 8474 §4.
    MailboxId(u64),
    /// `APPENDUID`: where the messages are now. RFC 3502 §6.3.11.
    AppendUid {
        /// `UIDVALIDITY` of the mailbox they went to.
        validity: u32,
        /// Their UIDs there, in their order.
        uids: Numbers,
    },
    /// `COPYUID`: where the messages are now.
    CopyUid {
        /// `UIDVALIDITY` of the mailbox they went to.
        validity: u32,
        /// Their UIDs where they come from.
        from: Numbers,
        /// Their UIDs there, in the same order.
        to: Numbers,
    },
}

/// Attributes of a mailbox name. RFC 9051 §7.3.1, RFC 6154 §2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attribute {
    /// It holds no messages.
    NoSelect,
    /// There is no such mailbox.
    NonExistent,
    /// It can have no children.
    NoInferiors,
    /// It has children.
    HasChildren,
    /// It has none.
    HasNoChildren,
    /// It is subscribed.
    Subscribed,
    /// All messages.
    All,
    /// Old messages.
    Archive,
    /// Unsent messages.
    Drafts,
    /// Messages with `\Flagged`.
    Flagged,
    /// Junk.
    Junk,
    /// Sent messages.
    Sent,
    /// Deleted messages.
    Trash,
}

impl Attribute {
    /// The word, with its backslash.
    pub fn word(self) -> &'static str {
        match self {
            Self::NoSelect => "\\Noselect",
            Self::NonExistent => "\\NonExistent",
            Self::NoInferiors => "\\Noinferiors",
            Self::HasChildren => "\\HasChildren",
            Self::HasNoChildren => "\\HasNoChildren",
            Self::Subscribed => "\\Subscribed",
            Self::All => "\\All",
            Self::Archive => "\\Archive",
            Self::Drafts => "\\Drafts",
            Self::Flagged => "\\Flagged",
            Self::Junk => "\\Junk",
            Self::Sent => "\\Sent",
            Self::Trash => "\\Trash",
        }
    }
}

/// One line of `LIST` or `LSUB`. RFC 9051 §7.3.1.
#[derive(Clone, Debug)]
pub struct ListEntry<'a> {
    /// What is known of the name.
    pub attributes: &'a [Attribute],
    /// What separates levels.
    pub delimiter: char,
    /// The name.
    pub name: &'a str,
    /// Listed because children of it are subscribed. RFC 9051 §6.3.9.6 (CHILDINFO).
    pub child_info: bool,
    /// The name that it had before. RFC 5465 §5.4 (OLDNAME).
    pub old_name: Option<&'a str>,
}

impl<'a> ListEntry<'a> {
    /// A name with its attributes, and nothing else.
    pub fn new(attributes: &'a [Attribute], delimiter: char, name: &'a str) -> Self {
        Self { attributes, delimiter, name, child_info: false, old_name: None }
    }
}

/// What a search found, in the numbers that the client asked for. RFC 9051 §7.3.4.
#[derive(Clone, Debug)]
pub struct SearchReply<'a> {
    /// What it wants to know.
    pub returns: &'a SearchReturn,
    /// Whether the numbers are UIDs.
    pub uid: bool,
    /// What was found.
    pub found: &'a Numbers,
    /// The last change of what is told, if the client has asked for changes. RFC 7162 §3.1.10.
    pub modseq: Option<u64>,
}

impl Out {
    pub(crate) fn code(&mut self, code: &Code) -> &mut Self {
        self.text("[");
        match code {
            Code::Word(word) => self.text(word),
            Code::PermanentFlags(flags, more) => {
                self.text("PERMANENTFLAGS (").flag_names(flags.system, &flags.keywords);
                let any = flags.system != SystemFlags::NONE || !flags.keywords.is_empty();
                self.text(if *more && any { " " } else { "" }).text(if *more { "\\*)" } else { ")" })
            }
            Code::UidNext(uid) => self.text("UIDNEXT ").number(*uid),
            Code::UidValidity(validity) => self.text("UIDVALIDITY ").number(*validity),
            Code::Unseen(number) => self.text("UNSEEN ").number(*number),
            Code::LongEntries(octets) => self.text("METADATA LONGENTRIES ").number(*octets),
            Code::MetadataMaxSize(octets) => self.text("METADATA MAXSIZE ").number(*octets),
            Code::HighestModSeq(modseq) => self.text("HIGHESTMODSEQ ").number(*modseq),
            Code::Modified(numbers) => self.text("MODIFIED ").numbers(numbers),
            Code::MailboxId(id) => self.text("MAILBOXID (F").number(*id).text(")"),
            Code::AppendUid { validity, uids } => self.text("APPENDUID ").number(*validity).text(" ").numbers(uids),
            Code::CopyUid { validity, from, to } => {
                self.text("COPYUID ").number(*validity).text(" ").numbers(from).text(" ").numbers(to)
            }
        };
        self.text("] ")
    }

    /// An untagged `OK`, with a code. RFC 9051 §7.1.1.
    pub fn note(&mut self, code: &Code, text: &str) {
        self.text("* OK ").code(code).line_text(text).end();
    }

    /// `EXISTS`. RFC 9051 §7.4.1.
    pub fn exists(&mut self, count: u32) {
        self.text("* ").number(count).text(" EXISTS").end();
    }

    /// `RECENT`. RFC 3501 §7.3.2.
    pub fn recent(&mut self, count: u32) {
        self.text("* ").number(count).text(" RECENT").end();
    }

    /// `EXPUNGE`: all higher sequence numbers go down by one. RFC 9051 §7.5.1.
    pub fn expunge(&mut self, number: u32) {
        self.text("* ").number(number).text(" EXPUNGE").end();
    }

    /// `VANISHED`: what is gone, by UID; `earlier` for what went before the client came, so that no number shifts.
    /// RFC 7162 §3.2.10.
    pub fn vanished(&mut self, uids: &Numbers, earlier: bool) {
        self.text(if earlier { "* VANISHED (EARLIER) " } else { "* VANISHED " }).numbers(uids).end();
    }

    /// `FLAGS`: which flags there are. RFC 9051 §7.3.5.
    pub fn flags(&mut self, flags: &Flags) {
        self.text("* FLAGS (").flag_names(flags.system, &flags.keywords).text(")").end();
    }

    /// Flags with a space between each.
    pub(crate) fn flag_names(&mut self, system: SystemFlags, keywords: &[impl AsRef<str>]) -> &mut Self {
        let system = SystemFlags::ALL.iter().filter(|(flag, _)| system.contains(*flag)).map(|(_, name)| *name);
        for (at, name) in system.chain(keywords.iter().map(AsRef::as_ref)).enumerate() {
            self.text(if at == 0 { "" } else { " " }).text(name);
        }
        self
    }

    /// `LIST`. RFC 9051 §7.3.1.
    pub fn list(&mut self, entry: &ListEntry<'_>) {
        self.list_line("LIST", entry);
    }

    /// `LSUB`. RFC 3501 §7.2.3.
    pub fn lsub(&mut self, entry: &ListEntry<'_>) {
        self.list_line("LSUB", entry);
    }

    fn list_line(&mut self, word: &str, entry: &ListEntry<'_>) {
        self.text("* ").text(word).text(" (");
        for (at, attribute) in entry.attributes.iter().enumerate() {
            self.text(if at == 0 { "" } else { " " }).text(attribute.word());
        }
        self.text(") ").string(entry.delimiter.encode_utf8(&mut [0; 4])).text(" ").mailbox(entry.name);
        if entry.child_info {
            self.text(" (\"CHILDINFO\" (\"SUBSCRIBED\"))");
        }
        if let Some(old_name) = entry.old_name {
            self.text(" (\"OLDNAME\" (").mailbox(old_name).text("))");
        }
        self.end();
    }

    /// `NAMESPACE` with one personal namespace. RFC 9051 §7.3.3.
    pub fn namespace(&mut self, prefix: &str, delimiter: char) {
        self.text("* NAMESPACE ((").mailbox(prefix).text(" ").string(delimiter.encode_utf8(&mut [0; 4]));
        self.text(")) NIL NIL").end();
    }

    /// `STATUS`. RFC 9051 §7.3.2.
    pub fn status(&mut self, mailbox: &str, values: impl IntoIterator<Item = (StatusItem, u64)>) {
        self.text("* STATUS ").mailbox(mailbox).text(" (");
        for (at, (item, value)) in values.into_iter().enumerate() {
            let name = StatusItem::ALL.iter().find(|(known, _)| *known == item).map_or("", |(_, name)| name);
            self.text(if at == 0 { "" } else { " " }).text(name);
            match item {
                StatusItem::MailboxId => self.text(" (F").number(value).text(")"),
                _ => self.text(" ").number(value),
            };
        }
        self.text(")").end();
    }

    /// `SEARCH`, with the last change of what was found if the client has asked for changes. RFC 3501 §7.2.5,
    /// RFC 7162 §3.1.5.
    pub fn search(&mut self, found: impl IntoIterator<Item = u32>, modseq: Option<u64>) {
        self.text("* SEARCH");
        for number in found {
            self.text(" ").number(number);
        }
        if let Some(modseq) = modseq {
            self.text(" (MODSEQ ").number(modseq).text(")");
        }
        self.end();
    }

    /// `SORT`, with the last change of what was found if the client has asked for changes. RFC 5256 §4, RFC 7162 §3.1.6.
    pub fn sort(&mut self, found: &[u32], modseq: Option<u64>) {
        self.text("* SORT");
        for number in found {
            self.text(" ").number(*number);
        }
        if let Some(modseq) = modseq {
            self.text(" (MODSEQ ").number(modseq).text(")");
        }
        self.end();
    }

    /// `THREAD`. RFC 5256 §4.
    pub fn thread(&mut self, threads: &Threads) {
        self.text("* THREAD");
        let mut space = " ";
        threads.write(|mark| match mark {
            Mark::Open => {
                self.text(space).text("(");
                space = "";
            }
            Mark::Number(number) => {
                self.text(space).number(number);
                space = " ";
            }
            Mark::Close => {
                self.text(")");
                space = "";
            }
        });
        self.end();
    }

    /// `ESEARCH`, for the command of this tag. RFC 9051 §7.3.4.
    pub(crate) fn esearch(&mut self, tag: &str, reply: &SearchReply<'_>) {
        let SearchReply { returns, uid, found, modseq } = reply;
        self.text("* ESEARCH (TAG \"").text(tag).text("\")").text(if *uid { " UID" } else { "" });
        // RFC 4731 §3.1: what is not there is not told.
        if let (true, Some(first)) = (returns.min, found.first()) {
            self.text(" MIN ").number(first);
        }
        if let (true, Some(last)) = (returns.max, found.last()) {
            self.text(" MAX ").number(last);
        }
        if returns.all && !found.is_empty() {
            self.text(" ALL ").numbers(found);
        }
        // RFC 9394 §3.1: a page without numbers is told too.
        if let Some(page) = returns.page {
            let shown = found.page(page);
            self.text(" PARTIAL (").text(&page.to_string()).text(" ");
            if shown.is_empty() { self.text("NIL") } else { self.numbers(&shown) }.text(")");
        }
        if returns.count {
            self.text(" COUNT ").number(found.count());
        }
        if let Some(modseq) = modseq {
            self.text(" MODSEQ ").number(*modseq);
        }
        self.end();
    }

    /// A set of numbers; never empty on the wire, so callers leave out what is.
    pub(crate) fn numbers(&mut self, numbers: &Numbers) -> &mut Self {
        for (at, range) in numbers.ranges().iter().enumerate() {
            self.text(if at == 0 { "" } else { "," }).number(*range.start());
            if range.start() != range.end() {
                self.text(":").number(*range.end());
            }
        }
        self
    }
}
