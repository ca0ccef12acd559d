//! The reader of journals, on whatever a disk may hold: `cargo +nightly fuzz run journal`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| tetherdb::queue::journal::fuzzing::check(data));
