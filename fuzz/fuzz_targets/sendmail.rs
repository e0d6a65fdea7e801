//! A text that a program hands to `sendmail`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| postroad::mua::fuzzing::sendmail(input));
