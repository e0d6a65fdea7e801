//! The replies of a server.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| postroad::smtp::fuzzing::reply(input));
