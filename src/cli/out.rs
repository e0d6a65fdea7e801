//! What commands print. Whoever reads it may have seen enough, as in `postroad check | head`: the rest is left out, and
//! the command goes on. Anything else that keeps it from being written, such as a full disk, is an error of one line.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write, stdout};

/// Prints the text and a line end, as `println!` in this room.
pub(super) fn line(text: Arguments<'_>) {
    print(format!("{text}\n"));
}

/// Prints it as it is.
pub(super) fn print(text: impl AsRef<[u8]>) {
    let mut out = stdout().lock();
    match out.write_all(text.as_ref()).and_then(|()| out.flush()) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        Err(error) => {
            eprintln!("postroad: cannot write to standard output: {error}");
            std::process::exit(1);
        }
    }
}
