//! Messages, taken apart.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| postroad::imap::fuzzing::structure(input));
