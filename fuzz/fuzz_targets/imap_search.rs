//! Search keys, each with a message to judge.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| postroad::imap::fuzzing::search(input));
