//! What runs on the box, so that whoever doubts it can compare.

use maud::{Markup, html};

use super::{Frame, facts};
use crate::web::route::Route;
use crate::web::view::{Package, View};

/// The page.
pub(in crate::web) fn evidence(frame: &Frame<'_>, view: &View, packages: &[Package]) -> Markup {
    let words = frame.words;
    let content = html! {
        (image(frame, view))
        section {
            h2 #packages { (words.packages) }
            p { a href=(Route::Packages.path()) download="packages.json" { (words.packages_file) } }
            div.wide tabindex="0" role="region" aria-labelledby="packages" { table {
                thead { tr { th scope="col" { (words.package) } th scope="col" { (words.version) } } }
                tbody { @for package in packages { tr {
                    th scope="row" { (package.name) } td { (package.version) }
                } } }
            } }
        }
    };
    frame.page(&words.evidence, &content)
}

fn image(frame: &Frame<'_>, view: &View) -> Markup {
    let words = frame.words;
    let Some(build) = &view.build else {
        return html! { p { (words.unavailable) } };
    };
    let yes_no = |yes: bool| {
        let word = if yes { &words.yes } else { &words.no };
        html! { (word) }
    };
    let secure_boot = view.init.as_ref().and_then(|init| init.secure_boot);
    let secure_boot = secure_boot.map_or(words.not_known.as_str(), |state| state.words());
    html! {
        (facts(&[
            (&words.version, html! { (build.version) }),
            (&words.build, html! { code { (build.build_id) } }),
            (&words.built, html! { (date(build.built)) }),
            (&words.profile, html! { (build.overlays.join(", ")) }),
            (&words.fips, yes_no(build.fips)),
            (&words.secure_boot, html! { (secure_boot) }),
            (&words.development, yes_no(build.development)),
        ]))
        p { (words.digest_how) }
    }
}

/// RFC 3339, in UTC.
fn date(seconds: u64) -> String {
    let time = i64::try_from(seconds)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map_or_else(|| "?".to_owned(), |time| time.to_string())
}
