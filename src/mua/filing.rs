//! Mail in files with what a mailbox knows of it: read from `.eml`, mbox and Maildir, and written as one of them.
//!
//! | form | flags | when it came | octets |
//! |---|---|---|---|
//! | `.eml`, a file each | none | the time of the file | as they are |
//! | mbox | read from `Status` and `X-Status`, not written | the `From ` line | lines end in LF |
//! | Maildir | in the names | the time of the file | lines end in LF |

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

/// A message with what is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Filed {
    /// The file it came from, and its number there if that is an mbox.
    pub name: String,
    /// Its flags.
    pub flags: Flags,
    /// When it came.
    pub received: Option<Timestamp>,
    /// Its octets; every line ends in CR LF.
    pub message: Bytes,
}

/// Reads the messages of a file or a folder, in the order of paths, one at a time.
///
/// # Errors
/// There is no such file, or there are no files in it. What cannot be read later on is an item.
pub fn read_filed(path: &Path) -> Result<impl Iterator<Item = Result<Filed, SourceError>>, SourceError> {
    let mut files = Vec::new();
    collect(path, &mut files)?;
    if files.is_empty() {
        return Err(SourceError::Empty(path.into()));
    }
    Ok(files.into_iter().flat_map(|file| read_file(&file)))
}

type Items = Box<dyn Iterator<Item = Result<Filed, SourceError>>>;

fn read_file(path: &Path) -> Items {
    let file = path.to_path_buf();
    let unreadable = move |why| SourceError::Unreadable { path: file.clone(), why };
    match open(path) {
        Ok(items) => Box::new(items.map(move |item| item.map_err(&unreadable))),
        Err(why) => Box::new(std::iter::once(Err(unreadable(why)))),
    }
}

fn open(path: &Path) -> io::Result<Box<dyn Iterator<Item = io::Result<Filed>>>> {
    let file = File::open(path)?;
    let about = file.metadata()?;
    let name = path.display().to_string();
    let mut input = BufReader::new(file);
    if !name.ends_with(".eml") && io::BufRead::fill_buf(&mut input)?.starts_with(b"From ") {
        let messages = Mbox::new(input).enumerate();
        return Ok(Box::new(messages.map(move |(at, boxed)| {
            let boxed = boxed?;
            let flags = status(&boxed.octets);
            Ok(Filed {
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
    Ok(Box::new(std::iter::once(Ok(Filed { name, flags, received, message }))))
}

fn crlf(octets: &[u8]) -> Bytes {
    normalize(octets).0.into_owned().into()
}

/// What mutt, Dovecot and others write into mbox files: `Status: RO`, `X-Status: AF`.
fn status(octets: &[u8]) -> Flags {
    let mut system = SystemFlags::NONE;
    let mut add = |marks: &[(u8, SystemFlags)], value: &[u8]| {
        for (_, flag) in marks.iter().filter(|(mark, _)| value.contains(mark)) {
            system = system.with(*flag);
        }
    };
    for field in fields(octets) {
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

/// How messages lie in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// All in one file.
    Mbox,
    /// A folder with `cur`, `new` and `tmp`, a file each.
    Maildir,
    /// A folder with a file each.
    Eml,
}

/// Writes messages in one of the forms.
pub struct Export {
    path: PathBuf,
    form: Form,
    /// Of an mbox.
    file: Option<BufWriter<File>>,
    count: usize,
}

impl Export {
    /// Makes the file, which must be new, or the folders.
    ///
    /// # Errors
    /// It cannot be made.
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

    /// Adds a message; `id` is one that no other in this folder has.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put(&mut self, id: &str, flags: &Flags, received: Timestamp, message: &[u8]) -> io::Result<()> {
        self.count += 1;
        match (&mut self.file, self.form) {
            (Some(file), _) => write_boxed(file, received, &with_line_feeds(message)),
            (None, Form::Maildir) => {
                let base = format!("{}.{id}.postroad", received.as_second());
                let octets = with_line_feeds(message);
                let letters = flags.to_letters();
                let to = self.path.join("cur").join(format!("{base},S={}:2,{letters}", octets.len()));
                write_file(&self.path.join("tmp").join(&base), &to, received, &octets)
            }
            (None, _) => {
                let to = self.path.join(format!("{:06}.eml", self.count));
                write_file(&to.with_extension("part"), &to, received, message)
            }
        }
    }

    /// How many there are, once all of them are on disk.
    ///
    /// # Errors
    /// They are not.
    pub fn finish(self) -> io::Result<usize> {
        if let Some(file) = self.file {
            file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        }
        Ok(self.count)
    }
}

/// Whole or not at all; the time of the file is when the message came.
fn write_file(under: &Path, to: &Path, received: Timestamp, octets: &[u8]) -> io::Result<()> {
    let mut file = File::create(under)?;
    file.write_all(octets)?;
    file.set_times(FileTimes::new().set_modified(SystemTime::from(received)))?;
    file.sync_all()?;
    fs::rename(under, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &[u8] = b"Status: R\r\nX-Status: FA\r\n\r\nFrom here\r\n";

    #[test]
    fn every_form_is_read_as_it_was_written() {
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
            let read: Vec<Filed> = read_filed(&path).unwrap().map(Result::unwrap).collect();
            assert_eq!(read.len(), 2, "{form:?}");
            assert_eq!((read[0].flags.clone(), read[0].received), (wanted, Some(received)), "{form:?}");
            assert_eq!((read[0].message.as_ref(), read[1].flags.clone()), (MESSAGE, Flags::default()), "{form:?}");
        }
        assert!(Export::create(&folder.path().join("Mbox"), Form::Mbox).is_err(), "nothing is written over");
    }

    #[test]
    fn what_cannot_be_read_does_not_end_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.eml"), "Subject: a\n\n").unwrap();
        fs::write(folder.path().join("c.eml"), "Subject: c\n\n").unwrap();
        let large = File::create(folder.path().join("b.eml")).unwrap();
        large.set_len(MESSAGE_OCTETS_MAX as u64).unwrap();
        let read: Vec<bool> = read_filed(folder.path()).unwrap().map(|item| item.is_ok()).collect();
        assert_eq!(read, [true, false, true]);
    }
}
