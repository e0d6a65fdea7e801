//! A body in base64 or quoted-printable.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| postroad::imap::fuzzing::encoded(input));
