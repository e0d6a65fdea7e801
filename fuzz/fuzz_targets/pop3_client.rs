//! The POP3 client's session, as any server may speak to it.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| postroad::pop3::fuzzing::client(input));
