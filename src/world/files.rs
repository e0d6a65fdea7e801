//! Reads files of other programs safely: only regular files are opened, because a pipe may block for ever and a device may
//! have no end, and the size is limited.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

/// Whether symbolic links are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// The target is opened.
    Follow,
    /// A link is an error.
    Refuse,
}

/// Opens a regular file for reading without blocking; returns it with its metadata. `links` says whether a symbolic
/// link at the end of the path is followed.
///
/// # Errors
/// It is not a regular file, or cannot be opened.
pub fn open_regular(path: &Path, links: Links) -> io::Result<(File, Metadata)> {
    let about = match links {
        Links::Follow => fs::metadata(path)?,
        Links::Refuse => fs::symlink_metadata(path)?,
    };
    // Opening a device may have side effects.
    must_be_regular(&about)?;
    let file = options(links).open(path)?;
    // The file may have been replaced meanwhile.
    let about = file.metadata()?;
    must_be_regular(&about)?;
    Ok((file, about))
}

/// Reads a whole regular file; returns its bytes, at most `max`, with its metadata. `links` says whether a symbolic
/// link at the end of the path is followed.
///
/// # Errors
/// It is not a regular file, has more bytes than `max`, or cannot be read.
pub fn read_regular(path: &Path, links: Links, max: usize) -> io::Result<(Vec<u8>, Metadata)> {
    let (file, about) = open_regular(path, links)?;
    let too_large = || io::Error::new(io::ErrorKind::InvalidData, format!("it is larger than {max} bytes"));
    // Checked before memory is allocated.
    if (max as u64) < about.len() {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    // The file may grow while it is read.
    file.take(max as u64 + 1).read_to_end(&mut bytes)?;
    if max < bytes.len() { Err(too_large()) } else { Ok((bytes, about)) }
}

/// Returns an error unless this is the metadata of a regular file.
fn must_be_regular(about: &Metadata) -> io::Result<()> {
    match about.is_file() {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::InvalidData, "it is no regular file")),
    }
}

/// Options that read without blocking on a pipe, and fail at a link that is refused.
#[cfg(target_os = "linux")]
fn options(links: Links) -> OpenOptions {
    use rustix::fs::OFlags;
    use std::os::unix::fs::OpenOptionsExt;
    let no_follow = if links == Links::Refuse { OFlags::NOFOLLOW } else { OFlags::empty() };
    let mut options = OpenOptions::new();
    options.read(true).custom_flags((OFlags::NONBLOCK | no_follow).bits().cast_signed());
    options
}

/// Options that read. A pipe or link that replaces the file after the check is not noticed before it is opened.
#[cfg(not(target_os = "linux"))]
fn options(_: Links) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true);
    options
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn read_regular_of_irregular_or_large_files_fails_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "12345").unwrap();
        File::create(at("sparse")).unwrap().set_len(3 << 30).unwrap();
        std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", at("zero")).unwrap();
        let pipe = std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap();
        assert!(pipe.success());
        for (name, follow, refuse) in [
            ("file", Ok(5), Ok(5)),
            ("link", Ok(5), Err("it is no regular file")),
            ("zero", Err("it is no regular file"), Err("it is no regular file")),
            ("pipe", Err("it is no regular file"), Err("it is no regular file")),
            (".", Err("it is no regular file"), Err("it is no regular file")),
            ("sparse", Err("it is larger than 5 bytes"), Err("it is larger than 5 bytes")),
        ] {
            for (links, wanted) in [(Links::Follow, follow), (Links::Refuse, refuse)] {
                let read = read_regular(&at(name), links, 5).map(|(bytes, _)| bytes.len());
                assert_eq!(read.map_err(|error| error.to_string()), wanted.map_err(str::to_owned), "{name} {links:?}");
            }
        }
        assert!(read_regular(&at("file"), Links::Follow, 4).is_err());
    }
}
