//! The IMAP server's session, as any client may speak to it.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| postroad::imap::fuzzing::session(input));
