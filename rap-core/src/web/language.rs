//! The page's words, a file a language, and which of them a browser asks for.
//!
//! A translation is a file in `words/` with the fields of [`Words`]; the compiler sees to it that no page uses another
//! word, and a test that no language lacks one or has other places for values (`{port}`) in it.

use std::sync::LazyLock;

use serde::Deserialize;

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Everything a page says, in one language.
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "kebab-case", deny_unknown_fields)]
        pub(super) struct Words {
            /// Its tag (BCP 47), for `lang`.
            #[serde(skip)]
            pub(super) tag: &'static str,
            $($(#[$doc])* pub(super) $name: String,)*
        }

        #[cfg(test)]
        impl Words {
            fn all(&self) -> Vec<(&'static str, &str)> {
                vec![$((stringify!($name), self.$name.as_str())),*]
            }
        }
    };
}

words! {
    what_this_is, skip, overview, instrument, evidence,
    all_well, problems, not_known,
    reports, waiting, delivered, link, delivering, not_delivering, last_delivered, never_yet,
    services, service, state, since_restart, box_itself,
    ports, port, card, cable, address, uplink, this_port, you_are_here,
    version, build, built, profile, fips, secure_boot, development, yes, no,
    packages, package, packages_file, digest_how,
    not_found, not_found_more, method, method_more, unavailable,
    foot,
    remote, nobody_asks, asks, connecting, is_in, ending, go_there, not_counted,
    who, purpose, reaches, how_long, silence, left_to_answer, left_at_most, minutes, asks_more,
    your_name, pin, locked, for_hours, hours, answer_once, answer_for_a_time, answer_refuse, answer_later,
    withdraw, standing, standing_more, withdraw_standing,
    past, no_past, asked_at, yes_by, opened_at, ended_at, why, not_at_all,
    bad_form, bad_form_more, no_name, changed, over, old_page,
    updates, runs, on_offer, decision, checked_at, repository, none, given_up, slots, slot, history, no_history, when,
    trail, trail_more, no_trail, record, kind, what_happened,
}

const FILES: [(&str, &str); 2] = [
    ("en", include_str!("words/en.toml")),
    ("de", include_str!("words/de.toml")),
];

static LANGUAGES: LazyLock<Vec<Words>> = LazyLock::new(|| {
    let read = |(tag, text): (&'static str, &str)| match toml::from_str::<Words>(text) {
        Ok(words) => Some(Words { tag, ..words }),
        // Part of the program, and held whole by a test.
        Err(error) => {
            log::error!("the words in {tag} cannot be used: {error}");
            None
        }
    };
    FILES.into_iter().filter_map(read).collect()
});

impl Words {
    /// The best of those that `Accept-Language` (RFC 9110 §12.5.4) asks for; English without one.
    pub(super) fn accepted(header: Option<&str>) -> &'static Self {
        let mut wishes: Vec<(u16, &str)> = header.unwrap_or_default().split(',').filter_map(wish).collect();
        // Stable: of equal weights the first.
        wishes.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
        let known = |tag: &str| {
            let primary = tag.split('-').next().unwrap_or_default();
            LANGUAGES
                .iter()
                .find(|words| words.tag.eq_ignore_ascii_case(primary))
        };
        let wished = wishes.into_iter().find_map(|(_, tag)| known(tag));
        // There is always English.
        #[expect(
            clippy::indexing_slicing,
            reason = "a test reads every language of the program"
        )]
        wished.unwrap_or_else(|| &LANGUAGES[0])
    }
}

/// `de-CH;q=0.8`, its weight in thousandths; one of 0 is no wish.
fn wish(text: &str) -> Option<(u16, &str)> {
    let (tag, weight) = match text.split_once(';') {
        None => (text, 1000),
        Some((tag, parameter)) => {
            let weight: f32 = parameter.trim().strip_prefix("q=")?.parse().ok()?;
            if !(0.0..=1.0).contains(&weight) {
                return None;
            }
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 0 and 1000"
            )]
            (tag, (weight * 1000.0) as u16)
        }
    };
    (weight > 0).then(|| (weight, tag.trim()))
}

/// `text` with each `{name}` replaced by its value.
pub(super) fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let replace = |text: String, (name, value): &(&str, &str)| text.replace(&format!("{{{name}}}"), value);
    values.iter().fold(text.to_owned(), replace)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The places for values in a text, sorted.
    fn places(text: &str) -> Vec<&str> {
        let mut places: Vec<_> = text
            .split('{')
            .skip(1)
            .filter_map(|rest| rest.split_once('}'))
            .map(|(name, _)| name)
            .collect();
        places.sort_unstable();
        places
    }

    #[test]
    fn every_language_has_every_word_with_the_same_places() {
        for (tag, text) in FILES {
            toml::from_str::<Words>(text).unwrap_or_else(|error| panic!("{tag}: {error}"));
        }
        assert_eq!(LANGUAGES.len(), FILES.len());
        let english = LANGUAGES[0].all();
        for words in LANGUAGES.iter() {
            for ((name, ours), (_, theirs)) in english.iter().zip(words.all()) {
                assert!(!theirs.trim().is_empty(), "{}: {name} is empty", words.tag);
                assert_eq!(places(ours), places(theirs), "{}: {name}", words.tag);
            }
        }
    }

    #[test]
    fn a_browser_gets_the_best_language_there_is() {
        let cases = [
            (None, "en"),
            (Some(""), "en"),
            (Some("de"), "de"),
            (Some("de-CH,de;q=0.9,en;q=0.8"), "de"),
            (Some("fr, en;q=0.2, de;q=0.7"), "de"),
            (Some("de;q=0, en"), "en"),
            (Some("de;q=NaN, xx;q=7, ;;;,,,"), "en"),
        ];
        for (header, expected) in cases {
            assert_eq!(Words::accepted(header).tag, expected, "{header:?}");
        }
    }

    #[test]
    fn values_are_put_in_their_places() {
        assert_eq!(fill("{a} of {b}", &[("b", "2"), ("a", "1")]), "1 of 2");
    }
}
