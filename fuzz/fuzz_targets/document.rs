//! A saved answer of any source, told by what is in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oyez::source::document::recognise;
use oyez_fuzz::{check_found, check_reason};

fuzz_target!(|data: &[u8]| {
    match recognise(data, None) {
        Ok(all) => {
            all.iter().for_each(check_found);
            assert_eq!(recognise(data, Some("x.json")).as_ref(), Ok(&all), "its name changes what is in it");
        }
        Err(reason) => {
            check_reason(&reason);
            assert!(recognise(data, Some("x.json")).is_err());
        }
    }
});
