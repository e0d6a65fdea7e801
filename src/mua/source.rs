//! Messages from files: one file a message, mbox files, and folders of either.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::mbox::Mbox;
use crate::mail::normalize;

/// A message to be sent, made fit for SMTP.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file it came from, and its number there if the file is an mbox.
    pub name: String,
    /// Its bytes, every line ended by CR LF.
    pub message: Bytes,
    /// Whether it held a lone CR or LF, which became a line end.
    pub mended: bool,
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
/// whose name ends in `.md` are passed over in a folder.
///
/// # Errors
/// Something cannot be read, or there is nothing.
pub fn read_sources(path: &Path) -> Result<Vec<Source>, SourceError> {
    let mut files = Vec::new();
    collect(path, &mut files)?;
    let mut sources = Vec::new();
    for file in &files {
        let unreadable = |why| SourceError::Unreadable { path: file.clone(), why };
        let bytes = std::fs::read(file).map_err(unreadable)?;
        let name = file.strip_prefix(path).ok().filter(|rest| !rest.as_os_str().is_empty()).unwrap_or(file);
        sources.extend(split(&name.display().to_string(), &bytes).map_err(unreadable)?);
    }
    if sources.is_empty() { Err(SourceError::Empty(path.into())) } else { Ok(sources) }
}

pub(super) fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), SourceError> {
    let unreadable = |why| SourceError::Unreadable { path: path.into(), why };
    if !std::fs::metadata(path).map_err(unreadable)?.is_dir() {
        files.push(path.into());
        return Ok(());
    }
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        entries.push(entry.map_err(unreadable)?.path());
    }
    entries.sort();
    for entry in entries {
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with('.') && !name.ends_with(".md") {
            collect(&entry, files)?;
        }
    }
    Ok(())
}

fn split(name: &str, bytes: &[u8]) -> io::Result<Vec<Source>> {
    if name.ends_with(".eml") || !bytes.starts_with(b"From ") {
        return Ok(vec![source(name.to_owned(), bytes)]);
    }
    let messages = Mbox::new(bytes).enumerate();
    messages.map(|(at, boxed)| Ok(source(format!("{name}#{}", at + 1), &boxed?.octets))).collect()
}

fn source(name: String, bytes: &[u8]) -> Source {
    let (message, mended) = normalize(bytes);
    Source { name, message: Bytes::from(message.into_owned()), mended }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_mbox_is_split_and_unquoted() {
        let file =
            b"From a Mon\nSubject: 1\n\n>From here\n>>From there\nFrom no blank line\n\nFrom b Tue\nSubject: 2\n\n";
        let sources = split("box", file).unwrap();
        let texts: Vec<_> = sources.iter().map(|source| (source.name.as_str(), source.message.as_ref())).collect();
        let first = b"Subject: 1\r\n\r\nFrom here\r\n>From there\r\nFrom no blank line\r\n".as_slice();
        assert_eq!(texts, [("box#1", first), ("box#2", b"Subject: 2\r\n".as_slice())]);
    }

    #[test]
    fn a_folder_is_read_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.eml", "a.eml", ".hidden", "README.md"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        let names: Vec<_> = read_sources(folder.path()).unwrap().into_iter().map(|source| source.name).collect();
        assert_eq!(names, ["a.eml", "b.eml"]);
        assert!(matches!(read_sources(&folder.path().join("none")), Err(SourceError::Unreadable { .. })));
    }
}
