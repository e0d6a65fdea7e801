//! Records the IMAP conversation on a stream, for a client that keeps no transcript itself.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::mail::{Side, Transcript};
use crate::net::Stream;
use crate::sync::lock;

/// The longest start of a line that is kept.
const MAX_LINE_BYTES: usize = 2_000;

/// A stream, and what was said on it, if that is wanted.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) stream: Stream,
    pub(super) recording: Option<Recording>,
}

/// What is said on a stream. Passwords and literals are replaced by a short note. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Recording(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    transcript: Transcript,
    client: Reader,
    server: Reader,
}

/// Reads the lines of one side.
#[derive(Debug, Default)]
struct Reader {
    line: Vec<u8>,
    /// Bytes of a literal that are still to come. RFC 9051 §4.3.
    literal: usize,
}

impl Recording {
    /// The transcript so far.
    pub(super) fn transcript(&self) -> Transcript {
        lock(&self.0).transcript.clone()
    }

    /// Records the lines that these bytes of one side complete.
    fn note(&self, side: Side, bytes: &[u8]) {
        let State { transcript, client, server } = &mut *lock(&self.0);
        let reader = if side == Side::Client { client } else { server };
        reader.read(bytes, side, transcript);
    }
}

impl Reader {
    /// Adds the lines that these bytes complete to the transcript, without passwords; a literal is replaced by a note.
    fn read(&mut self, mut bytes: &[u8], side: Side, transcript: &mut Transcript) {
        while !bytes.is_empty() {
            let skipped = self.literal.min(bytes.len());
            self.literal -= skipped;
            bytes = &bytes[skipped..];
            let end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
            let (part, rest) = bytes.split_at(end);
            self.line.extend_from_slice(&part[..part.len().min(MAX_LINE_BYTES.saturating_sub(self.line.len()))]);
            bytes = rest;
            if part.ends_with(b"\n") {
                let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).trim_end().to_owned();
                transcript.note(side, &without_password(&line));
                if let Some(length) = literal(&line) {
                    transcript.note_data(side, length);
                    self.literal = length;
                }
            }
        }
    }
}

/// The length of the literal that a line announces: `{123}`, or `{123+}` of RFC 7888.
fn literal(line: &str) -> Option<usize> {
    let (_, length) = line.strip_suffix('}')?.rsplit_once('{')?;
    length.trim_end_matches('+').parse().ok()
}

/// The line, with `***` in place of the password if it is a LOGIN.
fn without_password(line: &str) -> String {
    let mut words = line.splitn(4, ' ');
    match (words.next(), words.next(), words.next()) {
        (Some(tag), Some(verb), Some(user)) if verb.eq_ignore_ascii_case("LOGIN") => format!("{tag} {verb} {user} ***"),
        _ => line.to_owned(),
    }
}

impl AsyncRead for Recorded {
    /// Reads, and records what the server said if there is a recording.
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if let Some(recording) = &self.recording {
            recording.note(Side::Server, &buffer.filled()[before..]);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Recorded {
    /// Writes, and records what the client said, of the bytes that were written, if there is a recording.
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        if let Some(recording) = &self.recording {
            recording.note(Side::Client, &bytes[..written]);
        }
        Poll::Ready(Ok(written))
    }

    /// Flushes the stream.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Ends the output of the stream.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recording_has_the_lines_of_both_sides_without_passwords_and_literals() {
        for chunk in [1, 3, usize::MAX] {
            let recording = Recording::default();
            let said = [
                (Side::Server, "* OK ready\r\n"),
                (Side::Client, "A1 LOGIN \"ann@a.test\" \"secret word\"\r\n"),
                (Side::Server, "A1 OK done\r\n"),
                (Side::Server, "* 1 FETCH (UID 1 BODY[] {12}\r\nhidden\r\nmore)\r\nA2 OK done\r\n"),
            ];
            for (side, text) in said {
                text.as_bytes().chunks(chunk).for_each(|part| recording.note(side, part));
            }
            let transcript = recording.transcript();
            let lines: Vec<_> = transcript.lines().map(|(_, line)| line).collect();
            let expected = [
                "* OK ready",
                "A1 LOGIN \"ann@a.test\" ***",
                "A1 OK done",
                "* 1 FETCH (UID 1 BODY[] {12}",
                "(12 bytes of message data)",
                ")",
                "A2 OK done",
            ];
            assert_eq!(lines, expected, "{chunk}");
        }
    }
}
