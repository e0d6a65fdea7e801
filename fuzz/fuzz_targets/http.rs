//! Requests to the HTTP interface: paths, queries and bodies.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| postroad::control::fuzzing::request(input));
