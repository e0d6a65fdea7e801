//! All that the commands write to the terminal. Text in it may come from a peer, a file name or a world file, so what could
//! control the terminal is written as `\u001b`, which JSON reads as the same character.
//!
//! A closed pipe, as in `postroad check | head`, ends the command without a word, whatever it printed there: results, errors or
//! the log. Any other error of standard output, such as a full disk, ends it with one line. Nothing is left behind by either:
//! a world stops in order, and temporary folders are removed.

use std::borrow::Cow;
use std::fmt::{Arguments, Write as _};
use std::future::pending;
use std::io::{Error, ErrorKind, Write, stderr, stdout};
use std::process::ExitCode;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::net::Stop;

/// The exit code of a command that was ended by a closed pipe: what a shell reports of a program that SIGPIPE ended.
const EXIT_CLOSED: u8 = 128 + 13;

/// Fires when the reader of the output is gone, or it cannot be written.
static LOST: LazyLock<Stop> = LazyLock::new(Stop::new);
/// Whether the output was lost by an error that was reported to the user.
static HAS_FAILED: AtomicBool = AtomicBool::new(false);
/// Whether the command ends by itself.
static ENDS_IN_ORDER: AtomicBool = AtomicBool::new(false);

/// Returns a stop that fires when the reader of the output is gone, or the output cannot be written. From this call on,
/// the command must end by itself then, since [`until_lost`] does not drop it any more, as it does other commands.
pub(super) fn stop_when_lost() -> Stop {
    complete_work();
    LOST.clone()
}

/// Makes [`until_lost`] run the command to its end from now on, also when its output is lost.
pub(super) fn complete_work() {
    ENDS_IN_ORDER.store(true, Ordering::Relaxed);
}

/// Whether the output is lost: its reader is gone, or it could not be written.
pub(super) fn is_lost() -> bool {
    LOST.is_cancelled()
}

/// Runs a command until it ends, or drops it when its output is lost, unless [`complete_work`] was called; the exit
/// code of a dropped one is [`EXIT_CLOSED`]. After a write error that was reported, the exit code is 1 in either case.
pub(super) async fn until_lost(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let abandoned = async {
        LOST.cancelled().await;
        if ENDS_IN_ORDER.load(Ordering::Relaxed) {
            pending::<()>().await;
        }
    };
    let outcome = tokio::select! {
        biased;
        outcome = command => outcome,
        () = abandoned => Ok(ExitCode::from(EXIT_CLOSED)),
    };
    if HAS_FAILED.load(Ordering::Relaxed) { outcome.map(|_| ExitCode::FAILURE) } else { outcome }
}

/// Prints the text and a line end to standard output, as `print` does; used by `println!` in this module.
pub(super) fn line(text: Arguments<'_>) {
    print(format!("{text}\n"));
}

/// Prints the text to standard output, with control characters escaped, but for colours if they are enabled there.
pub(super) fn print(text: impl AsRef<str>) {
    raw(masked(text.as_ref(), console::colors_enabled()).as_bytes());
}

/// Prints bytes of our own to standard output as they are, and flushes them. A failure marks the output as lost, after
/// which nothing is printed; one other than a closed pipe is printed to standard error, and makes the exit code 1.
pub(super) fn raw(bytes: &[u8]) {
    if is_lost() {
        return;
    }
    let mut out = stdout().lock();
    if let Err(error) = out.write_all(bytes).and_then(|()| out.flush()) {
        if error.kind() != ErrorKind::BrokenPipe {
            HAS_FAILED.store(true, Ordering::Relaxed);
            error_line(format_args!("postroad: cannot write to standard output: {error}"));
        }
        LOST.cancel();
    }
}

/// Writes a line to standard error, with control characters escaped; used by `eprintln!` in this module.
pub(super) fn error_line(text: Arguments<'_>) {
    // It never fails.
    let _ = writeln!(Terminal, "{text}");
}

/// Prints an error and its causes to standard error, in one line.
pub(super) fn report_error(error: &anyhow::Error) {
    error_line(format_args!("postroad: {error:#}"));
}

/// Standard error, for all text that may come from others. Each write must be whole characters. It never fails: there is no
/// other place to report that, and the log must not try to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terminal;

impl Write for Terminal {
    /// Writes all bytes to standard error as text, with control characters escaped, but for colours if they are enabled
    /// there. Never fails; marks the output as lost if the reader of standard error is gone.
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        stop_on_broken_pipe(stderr().lock().write_all(masked(&text, console::colors_enabled_stderr()).as_bytes()));
        Ok(bytes.len())
    }

    /// Formats the text and writes it at once.
    fn write_fmt(&mut self, text: Arguments<'_>) -> std::io::Result<()> {
        // As one write, so that lines of several threads do not mix.
        self.write_all(text.to_string().as_bytes())
    }

    /// Flushes standard error. Never fails; marks the output as lost if the reader of standard error is gone.
    fn flush(&mut self) -> std::io::Result<()> {
        stop_on_broken_pipe(stderr().lock().flush());
        Ok(())
    }
}

/// Marks the output as lost if the reader of standard error is gone; ignores other errors.
fn stop_on_broken_pipe(written: Result<(), Error>) {
    if written.is_err_and(|error| error.kind() == ErrorKind::BrokenPipe) {
        LOST.cancel();
    }
}

/// Returns the text, for a terminal, with control characters written as `\u001b`, also those for colours; line ends and
/// tabs stay.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    masked(text, false)
}

/// Returns the text with control characters, and marks that turn its direction, written as `\u001b`. Line ends and tabs
/// stay, and so do colours and styles as we write them if `keeps_colours`.
fn masked(text: &str, keeps_colours: bool) -> Cow<'_, str> {
    if !text.contains(is_control) {
        return Cow::Borrowed(text);
    }
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(is_control) {
        let (plain, from) = rest.split_at(at);
        out.push_str(plain);
        let colour = if keeps_colours { colour_len(from) } else { 0 };
        let kept = if from.starts_with("\r\n") { 2 } else { colour };
        if kept != 0 {
            out.push_str(&from[..kept]);
            rest = &from[kept..];
            continue;
        }
        let mut chars = from.chars();
        if let Some(char) = chars.next() {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{:04x}", u32::from(char));
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Whether a character could control the terminal or disguise a line: C0 and C1 without line end and tab, DEL, line and
/// paragraph separators, and the marks that turn the direction of text (Unicode UAX 9, explicit formatting).
fn is_control(char: char) -> bool {
    let turns = matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}');
    (char.is_control() && !matches!(char, '\n' | '\t')) || turns
}

/// The length, in bytes, of one sequence at the start of a text that sets colours or styles, as we write them: ECMA-48
/// §8.3.117 (SGR), none that hides text. 0 if the text begins with anything else.
fn colour_len(text: &str) -> usize {
    let Some((numbers, _)) = text.strip_prefix("\u{1b}[").and_then(|text| text.split_once('m')) else { return 0 };
    let is_plain = |number: &str| {
        matches!(number, "" | "0" | "1" | "2" | "3" | "4" | "22" | "39")
            || matches!(number.as_bytes(), [b'3' | b'9', b'1'..=b'7'])
    };
    if numbers.split(';').all(is_plain) { "\u{1b}[m".len() + numbers.len() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masked_text_controls_no_terminal() {
        for (text, shown) in [
            ("a\u{1b}[2J\tb\n", "a\\u001b[2J\tb\n"),
            ("\u{9b}31mC1", "\\u009b31mC1"),
            ("\u{1b}]0;title\u{7}", "\\u001b]0;title\\u0007"),
            ("x\u{7f}\u{8}\0", "x\\u007f\\u0008\\u0000"),
            ("invoice\u{202e}fdp.exe", "invoice\\u202efdp.exe"),
            ("\u{2066}a\u{2069}\u{2028}", "\\u2066a\\u2069\\u2028"),
            ("one\r\ntwo\rthree", "one\r\ntwo\\u000dthree"),
            ("gr\u{fc}n \u{5e9}\u{5dc}\u{5d5}\u{5dd}", "gr\u{fc}n \u{5e9}\u{5dc}\u{5d5}\u{5dd}"),
        ] {
            assert_eq!(masked(text, false), shown);
            assert_eq!(masked(text, true), shown);
        }
    }

    #[test]
    fn masked_text_with_colours_keeps_only_those_that_show_it() {
        assert_eq!(masked("\u{1b}[1m\u{1b}[36mx\u{1b}[0m", true), "\u{1b}[1m\u{1b}[36mx\u{1b}[0m");
        assert_eq!(masked("\u{1b}[36mx", false), "\\u001b[36mx");
        for text in ["\u{1b}[8mx", "\u{1b}[30mx", "\u{1b}[1;8mx", "\u{1b}[38;5;0mx", "\u{1b}[2Jm", "\u{1b}["] {
            assert!(!masked(text, true).contains('\u{1b}'), "{text:?}");
        }
    }

    #[test]
    fn masked_json_is_the_same_value() {
        let value = serde_json::json!({ "subject": "\u{9b}2J\u{7f}\u{202e}\u{1b}", "from": "\u{fc}" });
        let text = value.to_string();
        let shown = masked(&text, true);
        assert!(!shown.contains(is_control));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}
