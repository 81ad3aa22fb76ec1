//! Debian's `Field: value` stanzas (deb822(5)), borrowed from the text they stand in.
//!
//! Used for Release files, Packages indices and apt's `.sources`. Field names are compared without case;
//! continuation lines belong to the field before them; lines beginning with `#` are skipped.

/// One stanza: the text between two empty lines.
#[derive(Debug, Clone, Copy)]
pub struct Stanza<'a>(&'a str);

/// The stanzas of a file, in order.
pub fn stanzas(text: &str) -> impl Iterator<Item = Stanza<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(['\n', '\r']);
        if rest.is_empty() {
            return None;
        }
        let (stanza, after) = rest.split_once("\n\n").unwrap_or((rest, ""));
        rest = after;
        Some(Stanza(stanza))
    })
}

impl<'a> Stanza<'a> {
    /// The fields in order: name and the text of its first line.
    pub fn fields(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0
            .lines()
            .filter(|line| !line.starts_with([' ', '\t', '#']))
            .filter_map(|line| {
                let (name, value) = line.split_once(':')?;
                Some((name, value.trim()))
            })
    }

    /// The first line of a field.
    #[must_use]
    pub fn field(self, name: &str) -> Option<&'a str> {
        self.fields()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Every line of a field, trimmed, without empty ones.
    pub fn lines(self, name: &str) -> impl Iterator<Item = &'a str> {
        let mut inside = false;
        self.0
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(move |line| {
                let value = if line.starts_with([' ', '\t']) {
                    line
                } else {
                    let (found, value) = line.split_once(':')?;
                    inside = found.eq_ignore_ascii_case(name);
                    value
                };
                Some(value.trim()).filter(|value| inside && !value.is_empty())
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_continuations_and_comments() {
        let text = "\nTypes: deb\n# not this\nURIs: a\n b\nsuites: x\n\n\nTypes: deb-src\n";
        let all: Vec<_> = stanzas(text).collect();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].field("types"), Some("deb"));
        assert_eq!(all[0].lines("URIs").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(all[0].field("Suites"), Some("x"));
        assert_eq!(all[0].field("Components"), None);
        assert_eq!(all[1].field("Types"), Some("deb-src"));
    }
}
