//! A message that is exported into an mbox.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| postroad::mua::fuzzing::written_mbox(input));
