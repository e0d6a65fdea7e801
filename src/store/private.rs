//! Folders and files that only their owner can read, as all data of a world.

use std::fs::{DirBuilder, File, OpenOptions};

/// Returns a builder that makes folders, with those above them, that on Unix only their owner can enter. Folders that
/// are there are left as they are.
pub(crate) fn private_folder() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

/// Returns options for files that, if opening makes them, on Unix only their owner can read and write.
pub(crate) fn private_file() -> OpenOptions {
    let mut options = File::options();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
