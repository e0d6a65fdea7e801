//! Sets of message numbers.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| postroad::imap::fuzzing::sequence_set(input));
