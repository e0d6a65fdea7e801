//! Reads and writes mail files with their metadata: `.eml`, mbox and Maildir.
//!
//! | format | flags | delivery time | bytes |
//! |---|---|---|---|
//! | `.eml`, one per message | none | the time of the file | unchanged |
//! | mbox | read from `Status` and `X-Status`, not written | the `From ` line | lines end in LF |
//! | Maildir | in the file names | the time of the file | lines end in LF |

use std::fs::{self, File, FileTimes};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use jiff::Timestamp;

use super::mbox::{MESSAGE_OCTETS_MAX, Mbox, write_boxed};
use super::source::{SourceError, collect};
use crate::imap::{Flags, SystemFlags, fields};
use crate::mail::{normalize, with_line_feeds};

/// A message from a file, with its metadata.
#[derive(Clone, Debug, PartialEq)]
pub struct MessageFile {
    /// The name of its file, with the number of the message if that is an mbox.
    pub name: String,
    /// Its flags.
    pub flags: Flags,
    /// When it was delivered.
    pub received: Option<Timestamp>,
    /// Its bytes; every line ends in CR LF.
    pub message: Bytes,
}

/// Reads the messages of a file or a folder, in the order of paths, one at a time.
///
/// # Errors
/// The file does not exist, or the folder is empty. Later read errors are items of the iterator.
pub fn read_mail_files(path: &Path) -> Result<impl Iterator<Item = Result<MessageFile, SourceError>>, SourceError> {
    let mut files = Vec::new();
    collect(path, &mut files)?;
    if files.is_empty() {
        return Err(SourceError::Empty(path.into()));
    }
    Ok(files.into_iter().flat_map(|file| read_file(&file)))
}

type Items = Box<dyn Iterator<Item = Result<MessageFile, SourceError>>>;

fn read_file(path: &Path) -> Items {
    let file = path.to_path_buf();
    let unreadable = move |why| SourceError::Unreadable { path: file.clone(), why };
    match open(path) {
        Ok(items) => Box::new(items.map(move |item| item.map_err(&unreadable))),
        Err(why) => Box::new(std::iter::once(Err(unreadable(why)))),
    }
}

fn open(path: &Path) -> io::Result<Box<dyn Iterator<Item = io::Result<MessageFile>>>> {
    let file = File::open(path)?;
    let about = file.metadata()?;
    let name = path.display().to_string();
    let mut input = BufReader::new(file);
    if !name.ends_with(".eml") && io::BufRead::fill_buf(&mut input)?.starts_with(b"From ") {
        let messages = Mbox::new(input).enumerate();
        return Ok(Box::new(messages.map(move |(at, boxed)| {
            let boxed = boxed?;
            let flags = status(&boxed.octets);
            Ok(MessageFile {
                name: format!("{name}#{}", at + 1),
                flags,
                received: boxed.received,
                message: crlf(&boxed.octets),
            })
        })));
    }
    if MESSAGE_OCTETS_MAX as u64 <= about.len() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is larger than 64 MiB"));
    }
    let received = about.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
    let flags = name.rsplit_once(":2,").map(|(_, letters)| Flags::from_letters(letters)).unwrap_or_default();
    let message = crlf(&fs::read(path)?);
    Ok(Box::new(std::iter::once(Ok(MessageFile { name, flags, received, message }))))
}

fn crlf(bytes: &[u8]) -> Bytes {
    normalize(bytes).0.into_owned().into()
}

/// The flags that mutt, Dovecot and others write into mbox files: `Status: RO`, `X-Status: AF`.
fn status(bytes: &[u8]) -> Flags {
    let mut system = SystemFlags::NONE;
    let mut add = |marks: &[(u8, SystemFlags)], value: &[u8]| {
        for (_, flag) in marks.iter().filter(|(mark, _)| value.contains(mark)) {
            system = system.with(*flag);
        }
    };
    for field in fields(bytes) {
        if field.is("Status") {
            add(&[(b'R', SystemFlags::SEEN)], field.value);
        } else if field.is("X-Status") {
            let marks = [
                (b'A', SystemFlags::ANSWERED),
                (b'F', SystemFlags::FLAGGED),
                (b'D', SystemFlags::DELETED),
                (b'T', SystemFlags::DRAFT),
            ];
            add(&marks, field.value);
        }
    }
    Flags { system, keywords: vec![] }
}

/// A format of mail files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// All in one file.
    Mbox,
    /// A folder with `cur`, `new` and `tmp`, and one file per message.
    Maildir,
    /// A folder with one file per message.
    Eml,
}

/// Writes messages in one of the formats.
pub struct Export {
    path: PathBuf,
    form: Form,
    /// The file of an mbox.
    file: Option<BufWriter<File>>,
    count: usize,
}

impl Export {
    /// Creates the file, which must not exist, or the folders.
    ///
    /// # Errors
    /// They cannot be created.
    pub fn create(path: &Path, form: Form) -> io::Result<Self> {
        let file = match form {
            Form::Mbox => Some(BufWriter::new(File::create_new(path)?)),
            Form::Maildir => {
                ["cur", "new", "tmp"].iter().try_for_each(|name| fs::create_dir_all(path.join(name)))?;
                None
            }
            Form::Eml => fs::create_dir_all(path).map(|()| None)?,
        };
        Ok(Self { path: path.into(), form, file, count: 0 })
    }

    /// Adds a message; `id` must be unique in this folder.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put(&mut self, id: &str, flags: &Flags, received: Timestamp, message: &[u8]) -> io::Result<()> {
        self.count += 1;
        match (&mut self.file, self.form) {
            (Some(file), _) => write_boxed(file, received, &with_line_feeds(message)),
            (None, Form::Maildir) => {
                let base = format!("{}.{id}.postroad", received.as_second());
                let bytes = with_line_feeds(message);
                let letters = flags.to_letters();
                let to = self.path.join("cur").join(format!("{base},S={}:2,{letters}", bytes.len()));
                write_file(&self.path.join("tmp").join(&base), &to, received, &bytes)
            }
            (None, _) => {
                let to = self.path.join(format!("{:06}.eml", self.count));
                write_file(&to.with_extension("part"), &to, received, message)
            }
        }
    }

    /// Syncs the file and returns the number of messages.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(self) -> io::Result<usize> {
        if let Some(file) = self.file {
            file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        }
        Ok(self.count)
    }
}

/// Writes a file atomically through a temporary one. The time of the file is the delivery time of the message.
fn write_file(temporary: &Path, to: &Path, received: Timestamp, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(temporary)?;
    file.write_all(bytes)?;
    file.set_times(FileTimes::new().set_modified(SystemTime::from(received)))?;
    file.sync_all()?;
    fs::rename(temporary, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &[u8] = b"Status: R\r\nX-Status: FA\r\n\r\nFrom here\r\n";

    #[test]
    fn export_in_every_format_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let received: Timestamp = "2024-02-03T04:05:06Z".parse().unwrap();
        let system = SystemFlags::SEEN.with(SystemFlags::FLAGGED).with(SystemFlags::ANSWERED);
        let flags = Flags { system, keywords: vec!["$Forwarded".to_owned()] };
        let plain = Flags { system, keywords: vec![] };
        for (form, wanted) in [(Form::Mbox, plain), (Form::Maildir, flags.clone()), (Form::Eml, Flags::default())] {
            let path = folder.path().join(format!("{form:?}"));
            let mut export = Export::create(&path, form).unwrap();
            export.put("1", &flags, received, MESSAGE).unwrap();
            export.put("2", &Flags::default(), received, b"Subject: x\r\n\r\n").unwrap();
            assert_eq!(export.finish().unwrap(), 2);
            let read: Vec<MessageFile> = read_mail_files(&path).unwrap().map(Result::unwrap).collect();
            assert_eq!(read.len(), 2, "{form:?}");
            assert_eq!((read[0].flags.clone(), read[0].received), (wanted, Some(received)), "{form:?}");
            assert_eq!((read[0].message.as_ref(), read[1].flags.clone()), (MESSAGE, Flags::default()), "{form:?}");
        }
        assert!(Export::create(&folder.path().join("Mbox"), Form::Mbox).is_err(), "nothing is written over");
    }

    #[test]
    fn unreadable_file_does_not_stop_the_others() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.eml"), "Subject: a\n\n").unwrap();
        fs::write(folder.path().join("c.eml"), "Subject: c\n\n").unwrap();
        let large = File::create(folder.path().join("b.eml")).unwrap();
        large.set_len(MESSAGE_OCTETS_MAX as u64).unwrap();
        let read: Vec<bool> = read_mail_files(folder.path()).unwrap().map(|item| item.is_ok()).collect();
        assert_eq!(read, [true, false, true]);
    }
}
