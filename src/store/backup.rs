//! A consistent copy of a store that goes on working.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rusqlite::Connection;

use super::segment_files::{DiskFiles, sync_folder};
use super::{CONTENTS, Error};

/// Copies a store into an empty folder, which is made if it is not there: first the database as it is at one moment,
/// then the segments that it names, which are only appended to. No segment is removed meanwhile. On Unix, only the
/// owner can enter the folder. The copy is on stable storage when this returns.
///
/// # Errors
/// The folder holds something, or a file cannot be read or written. What was copied so far stays.
pub(super) fn backup(database: &Path, files: &DiskFiles, folder: &Path) -> Result<(), Error> {
    fs::create_dir_all(folder)?;
    if fs::read_dir(folder)?.next().is_some() {
        return Err(Error::Io(format!("{} is not empty; a backup needs an empty folder", folder.display()).into()));
    }
    #[cfg(unix)]
    fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    let _all = files.keep_all();
    let copy = folder.join(database.file_name().unwrap_or_default());
    let name = copy.to_str().ok_or_else(|| io::Error::other("the name of the folder is not UTF-8"))?;
    Connection::open(database)?.execute("VACUUM INTO ?1", [name])?;
    #[cfg(unix)]
    fs::set_permissions(&copy, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let segments = Connection::open(&copy)?
        .prepare("SELECT id FROM segment")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<i64>>>()?;
    let contents = folder.join(CONTENTS);
    fs::create_dir(&contents)?;
    for segment in segments {
        let copy = contents.join(segment.to_string());
        fs::copy(files.path(segment), &copy)?;
        File::open(&copy)?.sync_all()?;
    }
    File::open(&copy)?.sync_all()?;
    for folder in [&contents, folder, folder.parent().unwrap_or(Path::new("."))] {
        sync_folder(folder)?;
    }
    Ok(())
}
