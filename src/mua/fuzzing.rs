//! Entry points for the files and texts that users hand over: for the fuzzers in `fuzz/`, and for the seeded tests of
//! this file. Invariants that must hold for every input are asserted here.

use jiff::Timestamp;

use super::mbox::{Mbox, write_mbox_message};
use super::sendmail_input::{DROPPED, MessageDefaults, SendmailInput, has};
use crate::imap::fields;
use crate::mail::Address;

/// A text for `sendmail`: the message made of it is complete, and stays as it is when it is handed over again.
///
/// # Panics
/// If an invariant does not hold, as for all functions below.
pub fn sendmail(text: &[u8]) {
    let sender: Address = "app@web.test".parse().expect("an address");
    let (date, origin) = (Timestamp::UNIX_EPOCH, "here.test");
    let defaults = MessageDefaults { sender: &sender, name: None, date, id: "1", origin };
    let SendmailInput { message, from, recipients } = SendmailInput::new(text, &defaults);
    let header: Vec<_> = fields(&message).collect();
    assert!(!DROPPED.iter().any(|name| has(&header, name)));
    assert!(["From", "Date", "Message-ID"].iter().all(|name| has(&header, name)));
    let again = SendmailInput::new(&message, &defaults);
    assert_eq!(again.message, message);
    // Without Resent-Bcc, the message may not look resent.
    let is_resent = text.to_ascii_lowercase().windows(7).any(|word| word == b"resent-");
    let is_known = |address| recipients.addresses.contains(address);
    assert!(is_resent || again.recipients.addresses.iter().all(is_known));
    assert!(from.is_none() || again.from.is_some());
}

/// A message: written into an mbox twice, it is read back twice.
///
/// # Panics
/// As [`sendmail()`].
pub fn written_mbox(message: &[u8]) {
    let received = [Timestamp::MIN, Timestamp::UNIX_EPOCH][usize::from(message.len().is_multiple_of(2))];
    let mut file = Vec::new();
    (0..2).for_each(|_| write_mbox_message(&mut file, received, message).expect("memory takes all"));
    let wanted = [message, if message.ends_with(b"\n") { b"" } else { b"\n" }].concat();
    let read: Vec<_> = Mbox::new(file.as_slice()).map(|item| item.expect("it was written").bytes).collect();
    assert_eq!(read, [wanted.clone(), wanted]);
}

/// An mbox of any program: it is read to its end, and no message is longer than the file.
///
/// # Panics
/// As [`sendmail()`].
pub fn mbox(file: &[u8]) {
    let lengths = Mbox::new(file).flatten().map(|message| message.bytes.len());
    assert!(lengths.sum::<usize>() <= file.len());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::fuzzing::run_random;

    #[test]
    fn completed_message_of_any_text_is_complete() {
        let words = "To: a@b.test, c\n|Bcc : d@e.test\n|Bcc:\n x@y.test\n|Resent-To: f@g.test\n|From: h (i)\n|From j Mon\n|>From k\n|\
            Resent-Bcc: l\n|Content-Length: 1\n|\n|\r\n|\t|: |<a@b>|;|\u{e9}|text|\"|(|)|,";
        run_random("sendmail input", sendmail, 5_000, words);
    }

    const MBOX_WORDS: &str =
        "From a@b Thu Jan  1 00:00:00 2026|\n|\n\n|\r\n|\r\n\r\n|>|>From |From |x|Return-Path: <|>\n|a@b";

    #[test]
    fn written_message_of_any_text_is_read_back() {
        run_random("mbox", written_mbox, 5_000, &format!("{MBOX_WORDS}|{}", "y".repeat(400)));
        written_mbox(b"Return-Path: <a\tb@c>\n\nx\n");
    }

    #[test]
    fn mbox_of_any_text_is_read_to_its_end() {
        run_random("mbox", mbox, 5_000, MBOX_WORDS);
    }
}
