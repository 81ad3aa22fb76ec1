//! Which page a request is for. Pure.

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// What the box is and does, and whether all is well.
    Overview,
    /// This port: its link and its reports.
    Instrument,
    /// Remote access to this instrument: who asks, who is in, who was.
    Remote,
    /// What a person says to that.
    Say,
    /// Updates of the box.
    Updates,
    /// What runs here: version, digest, packages.
    Evidence,
    /// The packages, as the image lists them.
    Packages,
    /// The one style sheet.
    Style,
    /// The one picture, for the browser's tab.
    Icon,
}

/// Why a request leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nowhere {
    /// There is no such page: 404.
    NotFound,
    /// The page is there, for these methods: 405.
    Method(&'static str),
}

/// Each path, once.
const TABLE: [(&str, Route); 8] = [
    ("/", Route::Overview),
    ("/instrument", Route::Instrument),
    ("/remote", Route::Remote),
    ("/updates", Route::Updates),
    ("/evidence", Route::Evidence),
    ("/evidence/packages.json", Route::Packages),
    ("/style.css", Route::Style),
    ("/icon.svg", Route::Icon),
];

impl Route {
    /// The pages that lead to one another, in their order.
    pub(super) const PAGES: [Self; 5] = [
        Self::Overview,
        Self::Remote,
        Self::Instrument,
        Self::Updates,
        Self::Evidence,
    ];

    /// `target` is a path without a query: no page takes one.
    pub(super) fn of(method: &str, target: &str) -> Result<Self, Nowhere> {
        let found = TABLE.iter().find(|(path, _)| *path == target);
        let (_, route) = found.ok_or(Nowhere::NotFound)?;
        match (method, route) {
            ("GET" | "HEAD", _) => Ok(*route),
            ("POST", Self::Remote) => Ok(Self::Say),
            (_, Self::Remote) => Err(Nowhere::Method("GET, HEAD, POST")),
            _ => Err(Nowhere::Method("GET, HEAD")),
        }
    }

    pub(super) fn path(self) -> &'static str {
        let page = if self == Self::Say { Self::Remote } else { self };
        let found = TABLE.iter().find(|(_, route)| *route == page);
        // Every route is in the table, which a test holds it to.
        found.map_or("/", |(path, _)| path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_leads_to_its_page_and_no_other_does() {
        for (path, route) in TABLE {
            assert_eq!(Route::of("GET", path), Ok(route));
            assert_eq!(Route::of("HEAD", path), Ok(route));
            assert_eq!(route.path(), path);
            for method in ["POST", "PUT", "DELETE", "TRACE", "get", ""] {
                let found = Route::of(method, path);
                if (method, path) == ("POST", "/remote") {
                    assert_eq!((found, Route::Say.path()), (Ok(Route::Say), path));
                } else {
                    assert!(matches!(found, Err(Nowhere::Method(_))), "{method} {path}");
                }
            }
        }
        for other in [
            "",
            "*",
            "//",
            "/..",
            "/%2e%2e/",
            "/instrument/",
            "/Evidence",
            "/remote?session=s-1",
            "/etc/passwd",
            "/?x",
        ] {
            assert_eq!(Route::of("GET", other), Err(Nowhere::NotFound), "{other}");
        }
    }
}
