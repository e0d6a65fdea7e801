//! Standard output of the commands. A closed pipe, as in `postroad check | head`, is not an error: the rest of the output is
//! dropped. Any other error, such as a full disk, ends the command with one line.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write, stdout};

/// Prints the text and a line end; used by `println!` in this module.
pub(super) fn line(text: Arguments<'_>) {
    print(format!("{text}\n"));
}

/// Prints the text.
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
