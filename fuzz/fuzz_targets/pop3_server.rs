//! The POP3 server's session, as any client may speak to it.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| postroad::pop3::fuzzing::server(input));
