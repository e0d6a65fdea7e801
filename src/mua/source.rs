//! Reads messages from files: one per file, mbox files, Maildirs, and folders of these.

use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use jiff::Timestamp;

use super::maildir::{self, Keywords};
use super::mbox::{MAX_MESSAGE_BYTES, Mbox};
use crate::imap::Flags;
use crate::mail::normalize;
use crate::world::{Links, open_regular, read_regular};

/// A message to be sent, made fit for SMTP.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file it came from, and its number there if the file is an mbox.
    pub name: String,
    /// Its bytes, every line ended by CR LF.
    pub message: Bytes,
    /// Whether it held a lone CR or LF, which became a line end.
    pub normalized: bool,
}

/// A file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The system says why.
    #[error("cannot read {}: {why}", path.display())]
    Unreadable {
        /// Which file or folder.
        path: PathBuf,
        /// What the system says.
        why: io::Error,
    },
    /// The folder, and all below it, holds no file.
    #[error("{} holds no messages", .0.display())]
    Empty(PathBuf),
}

/// Reads all messages of a file or, sorted by path, of a folder and the folders below it. Hidden files and those
/// whose name ends in `.md` are skipped in a folder, as is everything in a Maildir except its messages.
///
/// # Errors
/// Something cannot be read, or there is nothing.
pub fn read_sources(path: &Path) -> Result<Vec<Source>, SourceError> {
    let mut sources = Vec::new();
    for file in collect(path)? {
        for message in file.messages() {
            let FileMessage { path: own, number, bytes, .. } = message?;
            let name = own.strip_prefix(path).ok().filter(|rest| !rest.as_os_str().is_empty()).unwrap_or(&own);
            let (message, normalized) = normalize(&bytes);
            let message = Bytes::from(message.into_owned());
            sources.push(Source { name: numbered(name, number), message, normalized });
        }
    }
    if sources.is_empty() { Err(SourceError::Empty(path.into())) } else { Ok(sources) }
}

/// A file with one message or, if it is an mbox, several.
pub(super) struct MailFile {
    path: PathBuf,
    maildir: Option<MaildirFile>,
}

/// What the Maildir says about a message.
struct MaildirFile {
    /// The mailbox, below that of the outermost folder.
    mailbox: Option<String>,
    keywords: Keywords,
}

/// A message of a file.
pub(super) struct FileMessage {
    path: PathBuf,
    /// Its number in an mbox.
    pub(super) number: Option<usize>,
    /// The mailbox of its Maildir folder.
    pub(super) mailbox: Option<String>,
    /// Its flags in a Maildir.
    pub(super) flags: Flags,
    /// When it was delivered.
    pub(super) received: Option<Timestamp>,
    /// Its bytes, with unchanged line ends.
    pub(super) bytes: Vec<u8>,
}

impl FileMessage {
    /// The path of the file, followed by `#` and the number of the message if it is an mbox.
    pub(super) fn name(&self) -> String {
        numbered(&self.path, self.number)
    }
}

/// The path, followed by `#` and the number if there is one.
fn numbered(path: &Path, number: Option<usize>) -> String {
    let path = path.display();
    number.map_or_else(|| path.to_string(), |number| format!("{path}#{number}"))
}

/// The messages of a file, one at a time.
pub(super) type FileMessages = Box<dyn Iterator<Item = Result<FileMessage, SourceError>>>;

impl MailFile {
    /// Reads the messages. An unreadable message does not end the iterator.
    pub(super) fn messages(self) -> FileMessages {
        let path = self.path.clone();
        let unreadable = move |why| SourceError::Unreadable { path: path.clone(), why };
        match self.open() {
            Ok(messages) => Box::new(messages.map(move |message| message.map_err(&unreadable))),
            Err(why) => Box::new(std::iter::once(Err(unreadable(why)))),
        }
    }

    /// Opens the file: as an mbox if it begins with `From `, else as one message, which a file of a Maildir and one
    /// that ends in `.eml` always are.
    fn open(self) -> io::Result<Box<dyn Iterator<Item = io::Result<FileMessage>>>> {
        if self.maildir.is_none() && self.path.extension().is_none_or(|extension| extension != "eml") {
            let mut input = BufReader::new(open_regular(&self.path, Links::Follow)?.0);
            if input.fill_buf()?.starts_with(b"From ") {
                let message = move |(at, message): (usize, io::Result<super::mbox::MboxMessage>)| {
                    let (message, path) = (message?, self.path.clone());
                    let (number, flags) = (Some(at + 1), Flags::default());
                    Ok(FileMessage {
                        path,
                        number,
                        mailbox: None,
                        flags,
                        received: message.received,
                        bytes: message.bytes,
                    })
                };
                return Ok(Box::new(Mbox::new(input).enumerate().map(message)));
            }
        }
        let (bytes, about) = read_regular(&self.path, Links::Follow, MAX_MESSAGE_BYTES)?;
        let received = about.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let flags = self.maildir.as_ref().map(|maildir| maildir::flags(&name, &maildir.keywords)).unwrap_or_default();
        let mailbox = self.maildir.and_then(|maildir| maildir.mailbox);
        Ok(Box::new(std::iter::once(Ok(FileMessage {
            path: self.path,
            number: None,
            mailbox,
            flags,
            received,
            bytes,
        }))))
    }
}

/// The file, or the files of a folder, sorted by path. Links to folders in a folder are not followed: they may form a
/// cycle.
///
/// # Errors
/// A folder cannot be read, or there are no files.
pub(super) fn collect(path: &Path) -> Result<Vec<MailFile>, SourceError> {
    let mut files = Vec::new();
    let about = std::fs::metadata(path).map_err(|why| SourceError::Unreadable { path: path.into(), why })?;
    match about.is_dir() {
        true => collect_folder(path, None, &mut files)?,
        false => files.push(MailFile { path: path.into(), maildir: None }),
    }
    if files.is_empty() { Err(SourceError::Empty(path.into())) } else { Ok(files) }
}

/// Adds the files of a folder and of those below to `files`; in a Maildir only its messages, sorted by name. `mailbox`
/// is the one that the folder stands for, `None` for the outermost.
fn collect_folder(folder: &Path, mailbox: Option<String>, files: &mut Vec<MailFile>) -> Result<(), SourceError> {
    let is_maildir = maildir::is_maildir(folder);
    if is_maildir {
        let keywords = maildir::keywords(folder);
        let mut messages = Vec::new();
        for sub in maildir::MESSAGE_FOLDERS {
            messages.extend(entries(&folder.join(sub))?);
        }
        // Names begin with the time.
        messages.sort_by(|one, other| one.name.cmp(&other.name));
        for Entry { path, .. } in messages.into_iter().filter(|entry| !entry.name.starts_with('.')) {
            let maildir = MaildirFile { mailbox: mailbox.clone(), keywords: keywords.clone() };
            files.push(MailFile { path, maildir: Some(maildir) });
        }
    }
    for Entry { path, name, is_folder } in entries(folder)? {
        let is_hidden = name.starts_with('.');
        match (is_folder, is_maildir) {
            // Maildir++: the name of a folder is a dot and all levels of the name of its mailbox.
            (true, true) if is_hidden && maildir::is_maildir(&path) => {
                collect_folder(&path, Some(maildir::mailbox(&name)), files)?;
            }
            (true, true) if matches!(name.as_str(), "cur" | "new" | "tmp") => {}
            (true, _) if !is_hidden => collect_folder(&path, Some(below(mailbox.as_deref(), &name)), files)?,
            (false, false) if !is_hidden && !name.ends_with(".md") => files.push(MailFile { path, maildir: None }),
            _ => {}
        }
    }
    Ok(())
}

/// The mailbox of this name below another one: `mailbox/name`.
fn below(mailbox: Option<&str>, name: &str) -> String {
    mailbox.map_or_else(|| name.to_owned(), |mailbox| format!("{mailbox}/{name}"))
}

/// An entry of a folder.
struct Entry {
    path: PathBuf,
    name: String,
    is_folder: bool,
}

/// The entries of a folder, hidden ones as well, sorted by path; a link to a folder is no folder.
fn entries(folder: &Path) -> Result<Vec<Entry>, SourceError> {
    let read = || -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            entries.push(Entry { path: entry.path(), name, is_folder: entry.file_type()?.is_dir() });
        }
        entries.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(entries)
    };
    read().map_err(|why| SourceError::Unreadable { path: folder.into(), why })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }

    fn names(path: &Path) -> Vec<String> {
        read_sources(path).unwrap().into_iter().map(|source| source.name).collect()
    }

    #[test]
    fn mbox_is_split_and_unquoted() {
        let folder = tempfile::tempdir().unwrap();
        let from = "From a@b Thu Jan  1 00:00:00 2026\n";
        let file = format!("{from}Subject: 1\n\n>From here\n>>From there\nFrom me\n\n{from}Subject: 2\n\n");
        write(folder.path(), &[("box", &file)]);
        let sources = read_sources(folder.path()).unwrap();
        let texts: Vec<_> = sources.iter().map(|source| (source.name.as_str(), source.message.as_ref())).collect();
        let first = b"Subject: 1\r\n\r\nFrom here\r\n>From there\r\nFrom me\r\n".as_slice();
        assert_eq!(texts, [("box#1", first), ("box#2", b"Subject: 2\r\n".as_slice())]);
    }

    #[test]
    fn folder_is_read_in_order() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &[("b.eml", "b"), ("a.eml", "a"), (".hidden", ""), ("README.md", ""), ("sub/c.eml", "c")]);
        assert_eq!(names(folder.path()), ["a.eml", "b.eml", "sub/c.eml"]);
        assert!(matches!(read_sources(&folder.path().join("none")), Err(SourceError::Unreadable { .. })));
    }

    #[test]
    fn collect_maildir_returns_its_messages_and_subfolders() {
        let folder = tempfile::tempdir().unwrap();
        let files = [
            "new/2.a",
            "cur/1.a:2,S",
            "cur/.hidden",
            "tmp/3.a",
            "dovecot-uidlist",
            "dovecot.index.log",
            "subscriptions",
            ".Archive.2026/cur/4.a:2,",
            ".Archive.2026/new/5.a",
            ".Archive.2026/maildirfolder",
            ".Archive.2026/tmp/6.a",
            ".no-maildir/7.a",
            "Lists/cur/8.a",
            "Lists/new/9.a",
            "Lists/rust/cur/10.a",
            "Lists/rust/new/11.a",
        ];
        write(folder.path(), &files.map(|name| (name, "Subject: s\n\n")));
        let read: Vec<_> =
            collect(folder.path()).unwrap().into_iter().flat_map(MailFile::messages).map(Result::unwrap).collect();
        let shown = |message: &FileMessage| {
            let path = message.path.strip_prefix(folder.path()).unwrap().display().to_string();
            (path, message.mailbox.clone().unwrap_or_default())
        };
        let wanted = [
            ("cur/1.a:2,S", ""),
            ("new/2.a", ""),
            (".Archive.2026/cur/4.a:2,", "Archive/2026"),
            (".Archive.2026/new/5.a", "Archive/2026"),
            ("Lists/cur/8.a", "Lists"),
            ("Lists/new/9.a", "Lists"),
            ("Lists/rust/cur/10.a", "Lists/rust"),
            ("Lists/rust/new/11.a", "Lists/rust"),
        ];
        assert_eq!(
            read.iter().map(shown).collect::<Vec<_>>(),
            wanted.map(|(path, name)| (path.to_owned(), name.to_owned()))
        );
        assert_eq!(read[0].flags.to_letters(), "S");
        assert_eq!(names(folder.path()).len(), wanted.len(), "the same for mail that is sent");
    }

    #[test]
    fn maildir_file_is_one_message() {
        let folder = tempfile::tempdir().unwrap();
        let from = "From a@b Thu Jan  1 00:00:00 2026\n";
        let file = format!("{from}Subject: 1\n\n>From x\n\n{from}Subject: 2\n\n");
        write(folder.path(), &[("cur/2.a", ""), ("new/1.a", &file)]);
        let sources = read_sources(folder.path()).unwrap();
        assert_eq!((sources.len(), sources[0].message.len()), (2, file.replace('\n', "\r\n").len()));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn irregular_files_are_errors_and_the_others_are_read() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &[("new/1.a", "Subject: a\n\n"), ("cur/9.a", "Subject: b\n\n")]);
        let at = |name: &str| folder.path().join(name);
        assert!(std::process::Command::new("mkfifo").arg(at("new/2.pipe")).status().unwrap().success());
        std::os::unix::fs::symlink("/dev/zero", at("new/3.zero")).unwrap();
        std::fs::File::create(at("new/4.sparse")).unwrap().set_len(3 << 30).unwrap();
        std::os::unix::fs::symlink(folder.path(), at("new/5.circle")).unwrap();
        std::os::unix::fs::symlink(folder.path(), at("circle")).unwrap();
        let read: Vec<_> = collect(folder.path()).unwrap().into_iter().flat_map(MailFile::messages).collect();
        let shown = |item: &Result<FileMessage, SourceError>| match item {
            Ok(message) => message.path.file_name().unwrap().to_string_lossy().into_owned(),
            Err(SourceError::Unreadable { why, .. }) => why.to_string(),
            Err(error) => panic!("{error}"),
        };
        let irregular = "it is no regular file";
        let wanted = ["1.a", irregular, irregular, "it is larger than 67108864 bytes", irregular, "9.a"];
        assert_eq!(read.iter().map(shown).collect::<Vec<_>>(), wanted);
    }
}
