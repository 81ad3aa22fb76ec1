//! Updates on the booted box: a good release is kept, a bad one goes by itself and says why. More stories, and longer ones, are
//! `scripts/soak update`'s.
//!
//! It is called so to be the first: tests begin in the order of their names, two boxes at a time, and the longest one, begun
//! last, would run alone at the end.

use rap_tests::updates::Story;

use crate::{debug_image, setup_with};

#[test]
fn a_good_release_is_kept_and_a_bad_one_goes_by_itself_and_says_why() {
    let setup = setup_with(|setup| {
        setup.image = debug_image();
        setup.secure_boot = true;
    });
    let Some(setup) = setup else { return };
    let told = || -> anyhow::Result<()> {
        let mut story = Story::begin(&setup)?;
        let moved = story.keeps_a_good_one()?;
        println!("a patch, metadata and all: {}", moved.within(120_000)?);
        let why = story.loses_a_bad_one()?;
        assert_eq!(why, "netd ended again and again");
        Ok(())
    };
    told().unwrap_or_else(|error| panic!("{error:#}"));
}
