//! The SMTP client's session, as any server may answer it.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| postroad::smtp::fuzzing::client(input));
