//! One line of a client.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| postroad::smtp::fuzzing::command(input));
