//! A remote session on the booted box, from the request to the no. Through proxies, over a slow line and to its other ends it
//! is told by `scripts/soak remote`.

use rap_tests::remote::{self, Way};

use crate::{debug_image, setup_with};

#[test]
fn an_engineer_sees_one_instrument_after_a_yes_on_the_page_and_nothing_after_a_no() {
    if let Some(lacks) = remote::lacks() {
        assert!(std::env::var_os("CI").is_none(), "this test needs {lacks}");
        return eprintln!("skipped: needs {lacks}");
    }
    let Some(setup) = setup_with(|setup| setup.image = debug_image()) else {
        return;
    };
    let told = remote::tell(&setup, Way::Direct);
    println!("{}", told.unwrap_or_else(|error| panic!("{error:#}")));
}
