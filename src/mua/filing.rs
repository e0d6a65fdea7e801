//! Mail in files with what a mailbox knows of it: read from `.eml`, mbox and Maildir, and written as one of them.
//!
//! | form | flags | when it came | octets |
//! |---|---|---|---|
//! | `.eml`, a file each | none | the time of the file | as they are |
//! | mbox | read from `Status` and `X-Status`, not written | the `From ` line | lines end in LF |
//! | Maildir | in the names | the time of the file | lines end in LF |

use std::fs::{self, File, FileTimes};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use jiff::Timestamp;

use super::mbox::write_mbox_message;
use super::source::{FileMessage, MailFile, SourceError, collect};
use crate::imap::{Flags, SystemFlags, fields};
use crate::mail::{normalize, with_line_feeds};
use crate::world::Dice;

/// A message with what is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Filed {
    /// The file it came from, and its number there if that is an mbox.
    pub name: String,
    /// The mailbox below the one that it is read into: that of a subfolder of a Maildir.
    pub mailbox: Option<String>,
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
    Ok(collect(path)?.into_iter().flat_map(MailFile::messages).map(|message| message.map(Filed::of)))
}

impl Filed {
    fn of(message: FileMessage) -> Self {
        let name = message.name();
        let FileMessage { number, mailbox, flags, received, bytes, .. } = message;
        let flags = if number.is_some() { status(&bytes) } else { flags };
        Self { name, mailbox, flags, received, message: crlf(&bytes) }
    }
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
    /// The number of the last `.eml` file.
    number: usize,
    /// Differs from export to export: names of files must not come twice.
    token: String,
}

impl Export {
    /// Makes the file, which must be new, or the folders. Those of a Maildir must not be links, which may lead anywhere.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(path: &Path, form: Form) -> io::Result<Self> {
        let file = match form {
            Form::Mbox => Some(BufWriter::new(File::create_new(path)?)),
            Form::Maildir => {
                ["cur", "new", "tmp"].iter().try_for_each(|name| make_folder(&path.join(name)))?;
                None
            }
            Form::Eml => fs::create_dir_all(path).map(|()| None)?,
        };
        let token = format!("{:016x}", Dice::from_entropy().draw());
        Ok(Self { path: path.into(), form, file, count: 0, number: 0, token })
    }

    /// Adds a message; `id` is one that no other of this export has. Files that are there already stay as they are.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put(&mut self, id: &str, flags: &Flags, received: Timestamp, message: &[u8]) -> io::Result<()> {
        self.count += 1;
        match (&mut self.file, self.form) {
            (Some(file), _) => write_mbox_message(file, received, &with_line_feeds(message)),
            (None, Form::Maildir) => {
                let base = format!("{}.R{}M{id}.postroad", received.as_second(), self.token);
                let octets = with_line_feeds(message);
                let letters = flags.to_letters();
                let to = self.path.join("cur").join(format!("{base},S={}:2,{letters}", octets.len()));
                write_file(&self.path.join("tmp").join(&base), &to, received, &octets)
            }
            (None, _) => {
                let (number, to) = self.reserve_numbered()?;
                write_file(&self.path.join(format!(".{number:06}.{}.part", self.token)), &to, received, message)
            }
        }
    }

    /// The next number that no file in the folder has; an empty file keeps it.
    fn reserve_numbered(&mut self) -> io::Result<(usize, PathBuf)> {
        loop {
            self.number += 1;
            let path = self.path.join(format!("{:06}.eml", self.number));
            match File::create_new(&path) {
                Ok(_) => return Ok((self.number, path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
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

fn make_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    match fs::symlink_metadata(path)?.is_dir() {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} is no folder", path.display()))),
    }
}

/// Whole or not at all; the time of the file is when the message came.
fn write_file(under: &Path, to: &Path, received: Timestamp, octets: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(under)?;
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
    fn export_into_a_folder_that_holds_messages_adds_to_them() {
        let folder = tempfile::tempdir().unwrap();
        let received: Timestamp = "2024-02-03T04:05:06Z".parse().unwrap();
        let seen = Flags { system: SystemFlags::SEEN, keywords: vec![] };
        for form in [Form::Maildir, Form::Eml] {
            let path = folder.path().join(format!("{form:?}"));
            for (flags, message) in [(Flags::default(), b"Subject: 1\r\n\r\n"), (seen.clone(), b"Subject: 2\r\n\r\n")] {
                let mut export = Export::create(&path, form).unwrap();
                export.put("1", &flags, received, message).unwrap();
                assert_eq!(export.finish().unwrap(), 1);
            }
            let read: Vec<Filed> = read_filed(&path).unwrap().map(Result::unwrap).collect();
            let unique = |filed: &Filed| filed.name.split(",S=").next().unwrap().to_owned();
            let names: std::collections::BTreeSet<_> = read.iter().map(unique).collect();
            let mut texts: Vec<_> = read.iter().map(|filed| filed.message.clone()).collect();
            texts.sort();
            assert_eq!(
                (names.len(), texts.concat()),
                (2, b"Subject: 1\r\n\r\nSubject: 2\r\n\r\n".to_vec()),
                "{form:?}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn export_follows_no_links_in_its_folder() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let (at, received) = (|name: &str| folder.path().join(name), Timestamp::UNIX_EPOCH);
        ["elsewhere", "maildir", "eml"].iter().for_each(|name| fs::create_dir(at(name)).unwrap());
        symlink(at("elsewhere"), at("maildir/cur")).unwrap();
        assert!(Export::create(&at("maildir"), Form::Maildir).is_err());
        fs::write(at("file"), "kept").unwrap();
        symlink(at("file"), at("eml/000001.eml")).unwrap();
        symlink(at("new"), at("eml/000002.eml")).unwrap();
        let mut export = Export::create(&at("eml"), Form::Eml).unwrap();
        export.put("1", &Flags::default(), received, MESSAGE).unwrap();
        assert_eq!(fs::read(at("eml/000003.eml")).unwrap(), MESSAGE);
        assert_eq!(fs::read_to_string(at("file")).unwrap(), "kept");
        assert!(!at("new").exists() && fs::read_dir(at("elsewhere")).unwrap().next().is_none());
        symlink(at("new"), at("box")).unwrap();
        assert!(Export::create(&at("box"), Form::Mbox).is_err() && !at("new").exists());
    }

    #[test]
    fn what_cannot_be_read_does_not_end_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.eml"), "Subject: a\n\n").unwrap();
        fs::write(folder.path().join("c.eml"), "Subject: c\n\n").unwrap();
        let large = File::create(folder.path().join("b.eml")).unwrap();
        large.set_len(super::super::mbox::MAX_MESSAGE_BYTES as u64 + 1).unwrap();
        let read: Vec<bool> = read_filed(folder.path()).unwrap().map(|item| item.is_ok()).collect();
        assert_eq!(read, [true, false, true]);
    }
}
