//! Responses other than `FETCH`. RFC 9051 §7.

use super::ResponseBuffer;
use crate::imap::command::StatusItem;
use crate::imap::search::SearchReturn;
use crate::imap::thread::{ThreadToken, Threads};
use crate::imap::value::{Flags, Numbers, SystemFlags};

/// The result of a command. RFC 9051 §7.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The command succeeded.
    Ok,
    /// The command failed.
    No,
    /// The command is invalid.
    Bad,
}

impl Outcome {
    /// Returns the word of the reply: `OK`, `NO` or `BAD`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::No => "NO",
            Self::Bad => "BAD",
        }
    }
}

/// A response code. RFC 9051 §7.1, RFC 3501 §7.1, RFC 4315 §3, RFC 5530 §3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// A code without arguments: `ALREADYEXISTS`, `TRYCREATE`, `READ-ONLY` ...
    Word(&'static str),
    /// `PERMANENTFLAGS`: the flags that can be stored, and whether new keywords can be created.
    PermanentFlags(Flags, bool),
    /// `UIDNEXT`.
    UidNext(u32),
    /// `UIDVALIDITY`.
    UidValidity(u32),
    /// `UNSEEN`: the first message without `\Seen`. RFC 3501 §7.1.
    Unseen(u32),
    /// `METADATA LONGENTRIES`: the size of the largest omitted value. RFC 5464 §4.2.1.
    LongEntries(u64),
    /// `METADATA MAXSIZE`: the largest allowed value. RFC 5464 §4.3.
    MetadataMaxSize(u64),
    /// `HIGHESTMODSEQ`. RFC 7162 §3.1.2.1.
    HighestModSeq(u64),
    /// `MODIFIED`: messages that were not changed because another session had changed them. RFC 7162 §3.1.3.
    Modified(Numbers),
    /// `MAILBOXID`. RFC 8474 §4.
    MailboxId(u64),
    /// `APPENDUID`: the UIDs of the new messages. RFC 3502 §6.3.11.
    AppendUid {
        /// `UIDVALIDITY` of the target mailbox.
        validity: u32,
        /// The UIDs, in the order of the messages.
        uids: Numbers,
    },
    /// `COPYUID`: the UIDs of originals and copies.
    CopyUid {
        /// `UIDVALIDITY` of the target mailbox.
        validity: u32,
        /// The UIDs of the originals.
        from: Numbers,
        /// The UIDs of the copies, in the same order.
        to: Numbers,
    },
}

/// Attributes of a mailbox name. RFC 9051 §7.3.1, RFC 6154 §2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attribute {
    /// `\Noselect`: no mailbox to select.
    NoSelect,
    /// `\NonExistent`: the mailbox does not exist.
    NonExistent,
    /// It can have no children.
    NoInferiors,
    /// It has children.
    HasChildren,
    /// It has no children.
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
    /// Returns the word for the response, with its backslash.
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
    /// Its attributes.
    pub attributes: &'a [Attribute],
    /// The hierarchy separator.
    pub delimiter: char,
    /// The name.
    pub name: &'a str,
    /// Whether it is listed because of subscribed children. RFC 9051 §6.3.9.6 (CHILDINFO).
    pub child_info: bool,
    /// The old name. RFC 5465 §5.4 (OLDNAME).
    pub old_name: Option<&'a str>,
}

impl<'a> ListEntry<'a> {
    /// Returns an entry with only a name and its attributes, without extended data.
    pub fn new(attributes: &'a [Attribute], delimiter: char, name: &'a str) -> Self {
        Self { attributes, delimiter, name, child_info: false, old_name: None }
    }
}

/// The result of a search. RFC 9051 §7.3.4.
#[derive(Clone, Debug)]
pub struct SearchReply<'a> {
    /// The requested values.
    pub returns: &'a SearchReturn,
    /// Whether the numbers are UIDs.
    pub uid: bool,
    /// The matching numbers.
    pub found: &'a Numbers,
    /// The highest modification sequence of the result, if requested. RFC 7162 §3.1.10.
    pub modseq: Option<u64>,
}

impl ResponseBuffer {
    /// Writes a response code in brackets, with the space after it; an id of a mailbox gets `F` in front.
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
            Code::LongEntries(bytes) => self.text("METADATA LONGENTRIES ").number(*bytes),
            Code::MetadataMaxSize(bytes) => self.text("METADATA MAXSIZE ").number(*bytes),
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

    /// Writes an untagged `OK` with a code and a text, of which control characters are left out. RFC 9051 §7.1.1.
    pub fn note(&mut self, code: &Code, text: &str) {
        self.text("* OK ").code(code).line_text(text).end();
    }

    /// Writes `EXISTS`: the number of messages in the mailbox. RFC 9051 §7.4.1.
    pub fn exists(&mut self, count: u32) {
        self.text("* ").number(count).text(" EXISTS").end();
    }

    /// Writes `RECENT`: the number of messages with `\Recent`. RFC 3501 §7.3.2.
    pub fn recent(&mut self, count: u32) {
        self.text("* ").number(count).text(" RECENT").end();
    }

    /// Writes `EXPUNGE` for the message with this sequence number: all higher ones decrease by one. RFC 9051 §7.5.1.
    pub fn expunge(&mut self, number: u32) {
        self.text("* ").number(number).text(" EXPUNGE").end();
    }

    /// Writes `VANISHED` with expunged UIDs, at least one; with `earlier` for those expunged before the session, which
    /// do not change sequence numbers. RFC 7162 §3.2.10.
    pub fn vanished(&mut self, uids: &Numbers, earlier: bool) {
        self.text(if earlier { "* VANISHED (EARLIER) " } else { "* VANISHED " }).numbers(uids).end();
    }

    /// Writes `FLAGS`: the flags of the mailbox. RFC 9051 §7.3.5.
    pub fn flags(&mut self, flags: &Flags) {
        self.text("* FLAGS (").flag_names(flags.system, &flags.keywords).text(")").end();
    }

    /// Writes the names of system flags and of keywords, separated by spaces, without parentheses.
    pub(crate) fn flag_names(&mut self, system: SystemFlags, keywords: &[impl AsRef<str>]) -> &mut Self {
        let system = SystemFlags::ALL.iter().filter(|(flag, _)| system.contains(*flag)).map(|(_, name)| *name);
        for (at, name) in system.chain(keywords.iter().map(AsRef::as_ref)).enumerate() {
            self.text(if at == 0 { "" } else { " " }).text(name);
        }
        self
    }

    /// Writes `LIST` for one name. RFC 9051 §7.3.1.
    pub fn list(&mut self, entry: &ListEntry<'_>) {
        self.list_line("LIST", entry);
    }

    /// Writes `LSUB` for one name. RFC 3501 §7.2.3.
    pub fn lsub(&mut self, entry: &ListEntry<'_>) {
        self.list_line("LSUB", entry);
    }

    /// Writes the line of one name for `LIST` or `LSUB`, which is `word`: attributes, delimiter and name, and, if they
    /// are set, the extended data `CHILDINFO` or `OLDNAME`.
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

    /// Writes `NAMESPACE` with one personal namespace, and no other users' or shared ones. RFC 9051 §7.3.3.
    pub fn namespace(&mut self, prefix: &str, delimiter: char) {
        self.text("* NAMESPACE ((").mailbox(prefix).text(" ").string(delimiter.encode_utf8(&mut [0; 4]));
        self.text(")) NIL NIL").end();
    }

    /// Writes `STATUS` with the items and their values, in this order; an id of a mailbox is written as `(F<id>)`.
    /// RFC 9051 §7.3.2.
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

    /// Writes `SEARCH` with the numbers found, and the highest modification sequence of the result, if requested. RFC
    /// 3501 §7.2.5, RFC 7162 §3.1.5.
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

    /// Writes `SORT` with the numbers found, and the highest modification sequence of the result, if requested. RFC
    /// 5256 §4, RFC 7162 §3.1.6.
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

    /// Writes `THREAD` with all threads; without any, the word alone. RFC 5256 §4.
    pub fn thread(&mut self, threads: &Threads) {
        self.text("* THREAD");
        let mut space = " ";
        threads.write(|mark| match mark {
            ThreadToken::Open => {
                self.text(space).text("(");
                space = "";
            }
            ThreadToken::Number(number) => {
                self.text(space).number(number);
                space = " ";
            }
            ThreadToken::Close => {
                self.text(")");
                space = "";
            }
        });
        self.end();
    }

    /// Writes `ESEARCH` for the command of this tag, with the values that it requested. Those of an empty result are
    /// omitted, but `COUNT` is 0, and an empty page is `NIL`. RFC 9051 §7.3.4.
    pub(crate) fn esearch(&mut self, tag: &str, reply: &SearchReply<'_>) {
        let SearchReply { returns, uid, found, modseq } = reply;
        self.text("* ESEARCH (TAG \"").text(tag).text("\")").text(if *uid { " UID" } else { "" });
        // RFC 4731 §3.1: values of an empty result are omitted.
        if let (true, Some(first)) = (returns.min, found.first()) {
            self.text(" MIN ").number(first);
        }
        if let (true, Some(last)) = (returns.max, found.last()) {
            self.text(" MAX ").number(last);
        }
        if returns.all && !found.is_empty() {
            self.text(" ALL ").numbers(found);
        }
        // RFC 9394 §3.1: an empty page is reported.
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

    /// Writes a set of numbers, as in `1:3,5`; callers must omit an empty set.
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
