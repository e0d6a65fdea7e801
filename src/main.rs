//! The program: see `postroad --help`.

fn main() {}
