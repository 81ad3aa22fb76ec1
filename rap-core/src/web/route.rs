//! Which page a request is for. Pure.

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// What the box is and does, and whether all is well.
    Overview,
    /// This port: its link and its reports.
    Instrument,
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
    /// The page is there, for GET and HEAD: 405.
    Method,
}

/// Each path, once.
const TABLE: [(&str, Route); 6] = [
    ("/", Route::Overview),
    ("/instrument", Route::Instrument),
    ("/evidence", Route::Evidence),
    ("/evidence/packages.json", Route::Packages),
    ("/style.css", Route::Style),
    ("/icon.svg", Route::Icon),
];

impl Route {
    /// The pages that lead to one another, in their order.
    pub(super) const PAGES: [Self; 3] = [Self::Overview, Self::Instrument, Self::Evidence];

    /// `target` is a path without a query: no page takes one.
    pub(super) fn of(method: &str, target: &str) -> Result<Self, Nowhere> {
        let found = TABLE.iter().find(|(path, _)| *path == target);
        let (_, route) = found.ok_or(Nowhere::NotFound)?;
        if !["GET", "HEAD"].contains(&method) {
            return Err(Nowhere::Method);
        }
        Ok(*route)
    }

    pub(super) fn path(self) -> &'static str {
        let found = TABLE.iter().find(|(_, route)| *route == self);
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
                assert_eq!(Route::of(method, path), Err(Nowhere::Method), "{method} {path}");
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
            "/etc/passwd",
            "/?x",
        ] {
            assert_eq!(Route::of("GET", other), Err(Nowhere::NotFound), "{other}");
        }
    }
}
