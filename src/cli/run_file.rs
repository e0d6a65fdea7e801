//! Files that describe one run of a command: the ports of a running world, the report of a scenario. What an earlier
//! run left there is removed before anything else happens, so that it is not taken for this run's.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// A file of this run.
#[derive(Debug)]
pub(super) struct RunFile {
    path: PathBuf,
}

impl RunFile {
    /// Removes the file of an earlier run at `path`, if there is one. Only a regular file is one: `/dev/stdout`, for
    /// instance, is left alone.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(super) fn fresh(path: &Path) -> anyhow::Result<Self> {
        if is_regular(path) {
            fs::remove_file(path)
                .or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
                .with_context(|| format!("cannot remove {}", path.display()))?;
        }
        Ok(Self { path: path.to_owned() })
    }

    /// Writes the file atomically, by a `.part` file that is renamed: a reader sees the whole text or no file. What is
    /// no regular file, such as `/dev/stdout`, is written in place.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn write(&self, text: &str) -> anyhow::Result<()> {
        self.write_file(text).with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// Writes the text to a `.part` file beside the path and renames that; writes in place what exists but is no
    /// regular file.
    fn write_file(&self, text: &str) -> std::io::Result<()> {
        if self.path.exists() && !is_regular(&self.path) {
            return fs::write(&self.path, text);
        }
        let mut draft = OsString::from(&self.path);
        draft.push(".part");
        fs::write(&draft, text)?;
        fs::rename(&draft, &self.path)
    }
}

/// Whether there is a regular file at the path; a symbolic link is none.
fn is_regular(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file())
}

/// The file with the ports of a running world. It is there as long as they are served.
#[derive(Debug)]
pub(super) struct PortsFile {
    file: RunFile,
    text: Option<String>,
}

impl PortsFile {
    /// Removes the file of an earlier run at `path`, if it is a regular file. Writes nothing yet.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(super) fn fresh(path: &Path) -> anyhow::Result<Self> {
        Ok(Self { file: RunFile::fresh(path)?, text: None })
    }

    /// Writes the file, which is removed when this is dropped.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn write(&mut self, text: String) -> anyhow::Result<()> {
        self.file.write(&text)?;
        self.text = Some(text);
        Ok(())
    }
}

impl Drop for PortsFile {
    /// Removes the file, unless another process has written its own meanwhile.
    fn drop(&mut self) {
        let path = &self.file.path;
        if let Some(text) = &self.text
            && is_regular(path)
            && fs::read_to_string(path).is_ok_and(|held| held == *text)
            && let Err(error) = fs::remove_file(path)
        {
            tracing::warn!(%error, path = %path.display(), "cannot remove the ports file");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_file_is_there_only_while_the_ports_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ports.json");
        fs::write(&path, "old").unwrap();
        let mut ports = PortsFile::fresh(&path).unwrap();
        assert!(!path.exists());
        ports.write("new".to_owned()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        drop(ports);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn ports_file_of_a_successor_is_left_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ports.json");
        let mut first = PortsFile::fresh(&path).unwrap();
        first.write("1".to_owned()).unwrap();
        let mut second = PortsFile::fresh(&path).unwrap();
        second.write("2".to_owned()).unwrap();
        drop(first);
        assert_eq!(fs::read_to_string(&path).unwrap(), "2");
    }

    #[cfg(unix)]
    #[test]
    fn run_file_that_is_no_regular_file_is_written_and_left_there() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, "old").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        RunFile::fresh(&link).unwrap().write("new").unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }
}
