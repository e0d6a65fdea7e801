//! Reads and writes mail files with their metadata: `.eml`, mbox and Maildir.
//!
//! | format | flags | delivery time | bytes |
//! |---|---|---|---|
//! | `.eml`, one per message | none | the time of the file | unchanged |
//! | mbox | read from `Status` and `X-Status`, not written | the `From ` line | lines end in LF |
//! | Maildir | in the file names | the time of the file | lines end in LF |

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
use crate::world::Rng;

/// A message from a file, with its metadata.
#[derive(Clone, Debug, PartialEq)]
pub struct MessageFile {
    /// The name of its file, with the number of the message if that is an mbox.
    pub name: String,
    /// The mailbox of its Maildir subfolder or folder, below the one that is imported into.
    pub mailbox: Option<String>,
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
    Ok(collect(path)?.into_iter().flat_map(MailFile::messages).map(|message| message.map(MessageFile::of)))
}

impl MessageFile {
    /// Converts a message from a file: its lines end in CR LF then, and the flags of a message of an mbox are those in
    /// its header.
    fn of(message: FileMessage) -> Self {
        let name = message.name();
        let FileMessage { number, mailbox, flags, received, bytes, .. } = message;
        let flags = if number.is_some() { status(&bytes) } else { flags };
        Self { name, mailbox, flags, received, message: crlf(&bytes) }
    }
}

/// The bytes, with every line ended by CR LF.
fn crlf(bytes: &[u8]) -> Bytes {
    normalize(bytes).0.into_owned().into()
}

/// The flags in the header of a message, as mutt, Dovecot and others write them into mbox files: `Status: RO`,
/// `X-Status: AF`.
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
    /// The number of the last `.eml` file.
    number: usize,
    /// Differs between exports, so that names of files are unique.
    token: String,
}

impl Export {
    /// Creates the file, which must not exist, or the folders. The folders of a Maildir must not be links.
    ///
    /// # Errors
    /// They cannot be created.
    pub fn create(path: &Path, form: Form) -> io::Result<Self> {
        let file = match form {
            Form::Mbox => Some(BufWriter::new(File::create_new(path)?)),
            Form::Maildir => {
                ["cur", "new", "tmp"].iter().try_for_each(|name| make_folder(&path.join(name)))?;
                None
            }
            Form::Eml => fs::create_dir_all(path).map(|()| None)?,
        };
        let token = format!("{:016x}", Rng::from_entropy().next_u64());
        Ok(Self { path: path.into(), form, file, count: 0, number: 0, token })
    }

    /// Adds a message, with the line ends and the metadata of the format; `id`, for names in a Maildir, must be unique
    /// in this export. Existing files are kept.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put(&mut self, id: &str, flags: &Flags, received: Timestamp, message: &[u8]) -> io::Result<()> {
        self.count += 1;
        match (&mut self.file, self.form) {
            (Some(file), _) => write_mbox_message(file, received, &with_line_feeds(message)),
            (None, Form::Maildir) => {
                let base = format!("{}.R{}M{id}.postroad", received.as_second(), self.token);
                let bytes = with_line_feeds(message);
                let letters = flags.to_letters();
                let to = self.path.join("cur").join(format!("{base},S={}:2,{letters}", bytes.len()));
                write_file(&self.path.join("tmp").join(&base), &to, received, &bytes)
            }
            (None, _) => {
                let (number, to) = self.reserve_numbered()?;
                write_file(&self.path.join(format!(".{number:06}.{}.part", self.token)), &to, received, message)
            }
        }
    }

    /// The next number without a file in the folder, and the path of the empty file that now reserves it.
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

    /// Syncs the file of an mbox, and returns the number of messages added.
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

/// Creates a folder unless it exists; a link to a folder is an error.
fn make_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    match fs::symlink_metadata(path)?.is_dir() {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} is no folder", path.display()))),
    }
}

/// Writes and syncs a file atomically through a temporary one, which must not exist; `to` is replaced. The time of the
/// file is the delivery time of the message.
fn write_file(temporary: &Path, to: &Path, received: Timestamp, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(temporary)?;
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
    fn export_into_a_folder_with_messages_adds_to_them() {
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
            let read: Vec<MessageFile> = read_mail_files(&path).unwrap().map(Result::unwrap).collect();
            let unique = |filed: &MessageFile| filed.name.split(",S=").next().unwrap().to_owned();
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
    fn unreadable_file_does_not_stop_the_others() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.eml"), "Subject: a\n\n").unwrap();
        fs::write(folder.path().join("c.eml"), "Subject: c\n\n").unwrap();
        let large = File::create(folder.path().join("b.eml")).unwrap();
        large.set_len(super::super::mbox::MAX_MESSAGE_BYTES as u64 + 1).unwrap();
        let read: Vec<bool> = read_mail_files(folder.path()).unwrap().map(|item| item.is_ok()).collect();
        assert_eq!(read, [true, false, true]);
    }
}
