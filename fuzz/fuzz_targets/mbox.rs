//! An mbox of any program.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| postroad::mua::fuzzing::mbox(input));
