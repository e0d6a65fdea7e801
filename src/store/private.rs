//! Folders and files that only their owner can read, as all data of a world.

use std::fs::{DirBuilder, File, OpenOptions};

/// Makes folders, with those above them, that only their owner can enter.
pub(crate) fn private_folder() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

/// Options for files that, when they are made, only their owner can read.
pub(crate) fn private_file() -> OpenOptions {
    let mut options = File::options();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
