//! See the entry.

#![no_main]

#[path = "../../tests/support/entries.rs"]
#[allow(dead_code, reason = "each target uses one entry")]
mod entries;
#[path = "../../tests/support/protos.rs"]
mod protos;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::wire(data));
