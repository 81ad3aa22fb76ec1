//! Values out of a TOML table, each by the type it must have; what is not so becomes a [`Fault`] with its line.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Fault, PackageFile};

/// Reads values, and remembers what is wrong with them.
pub(super) struct Reader<'a> {
    pub(super) file: &'a Path,
    pub(super) text: &'a str,
    pub(super) faults: &'a mut Vec<Fault>,
}

/// One table of the file, and where it is.
pub(super) struct Table<'t, 'a> {
    pub(super) table: &'t DeTable<'a>,
    /// `packages.nftables`; empty for the whole file.
    pub(super) path: String,
    /// Offset in the text.
    pub(super) at: usize,
}

impl Table<'_, '_> {
    pub(super) fn field(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }
}

impl Reader<'_> {
    pub(super) fn fault(&mut self, at: usize, field: &str, got: &str, expected: &str, fix: &str) {
        let before = self.text.get(..at).unwrap_or_default();
        self.faults.push(Fault {
            file: self.file.to_owned(),
            line: before.matches('\n').count() + 1,
            field: field.to_owned(),
            got: got.to_owned(),
            expected: expected.to_owned(),
            fix: fix.to_owned(),
        });
    }

    /// Every key that is none of `keys` is a fault.
    pub(super) fn only(&mut self, table: &Table<'_, '_>, keys: &[&str]) {
        for (key, _) in table.table {
            if !keys.contains(&key.get_ref().as_ref()) {
                let expected = format!("one of {}", keys.join(", "));
                let field = table.field(key.get_ref());
                self.fault(
                    key.span().start,
                    &field,
                    "an unknown field",
                    &expected,
                    "correct its spelling or remove it",
                );
            }
        }
    }

    fn wrong_type(&mut self, table: &Table<'_, '_>, key: &str, value: &Spanned<DeValue<'_>>, expected: &str) {
        let got = show(value.get_ref());
        self.fault(
            value.span().start,
            &table.field(key),
            &got,
            expected,
            "change the value",
        );
    }

    pub(super) fn table<'t, 'a>(&mut self, table: &Table<'t, 'a>, key: &str) -> Option<Table<'t, 'a>> {
        let value = table.table.get(key)?;
        match value.get_ref().as_table() {
            Some(inner) => Some(Table {
                table: inner,
                path: table.field(key),
                at: value.span().start,
            }),
            None => {
                self.wrong_type(table, key, value, "a table");
                None
            }
        }
    }

    /// Every table of a table of tables.
    pub(super) fn each(
        &mut self,
        table: &Table<'_, '_>,
        key: &str,
        mut act: impl FnMut(&mut Self, &str, &Table<'_, '_>),
    ) {
        let Some(outer) = self.table(table, key) else {
            return;
        };
        for (name, _) in outer.table {
            if let Some(inner) = self.table(&outer, name.get_ref()) {
                act(self, name.get_ref(), &inner);
            }
        }
    }

    pub(super) fn string(&mut self, table: &Table<'_, '_>, key: &str) -> Option<String> {
        let value = table.table.get(key)?;
        let text = value.get_ref().as_str().filter(|text| !text.is_empty());
        if text.is_none() {
            self.wrong_type(table, key, value, "a text");
        }
        text.map(str::to_owned)
    }

    pub(super) fn strings(&mut self, table: &Table<'_, '_>, key: &str) -> Vec<String> {
        let Some(value) = table.table.get(key) else {
            return Vec::new();
        };
        let Some(list) = value.get_ref().as_array() else {
            self.wrong_type(table, key, value, "a list of texts");
            return Vec::new();
        };
        let mut texts = Vec::new();
        for item in list.iter() {
            match item.get_ref().as_str().filter(|text| !text.is_empty()) {
                Some(text) => texts.push(text.to_owned()),
                None => self.wrong_type(table, key, item, "a text"),
            }
        }
        texts
    }

    pub(super) fn paths(&mut self, table: &Table<'_, '_>, key: &str) -> Vec<String> {
        let paths = self.strings(table, key);
        paths.iter().for_each(|path| self.check_path(table, key, path));
        paths
    }

    /// Under `key`, a path as the image has them.
    pub(super) fn check_path(&mut self, table: &Table<'_, '_>, key: &str, path: &str) {
        let plain = path.split('/').all(|part| !["", ".", ".."].contains(&part));
        if !plain {
            let at = table.table.get(key).map_or(table.at, |value| value.span().start);
            let expected = "a path without leading or trailing `/` and without `.` and `..`";
            self.fault(
                at,
                &table.field(key),
                &format!("{path:?}"),
                expected,
                "write it as `usr/sbin/nft`",
            );
        }
    }

    pub(super) fn integer(
        &mut self,
        table: &Table<'_, '_>,
        key: &str,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<i64> {
        let number = value.get_ref().as_integer();
        let number = number.and_then(|number| i64::from_str_radix(number.as_str(), number.radix()).ok());
        if number.is_none() {
            self.wrong_type(table, key, value, "a number");
        }
        number
    }

    pub(super) fn number(&mut self, table: &Table<'_, '_>, key: &str, least: u32, most: u32) -> Option<u32> {
        let Some(value) = table.table.get(key) else {
            self.fault(table.at, &table.field(key), "nothing", "a number", "add it");
            return None;
        };
        let number = self.integer(table, key, value)?;
        let fitting = u32::try_from(number)
            .ok()
            .filter(|number| (least..=most).contains(number));
        if fitting.is_none() {
            self.wrong_type(table, key, value, &format!("a number from {least} to {most}"));
        }
        fitting
    }

    pub(super) fn package_file(&mut self, table: &Table<'_, '_>, key: &str) -> Option<PackageFile> {
        if !table.table.contains_key(key) {
            let fix = "add it as `{ package = \"…\", file = \"…\" }`";
            self.fault(
                table.at,
                &table.field(key),
                "nothing",
                "a package and a file",
                fix,
            );
            return None;
        }
        let inner = self.table(table, key)?;
        self.only(&inner, &["package", "file"]);
        let missing: Vec<_> = ["package", "file"]
            .into_iter()
            .filter(|key| !inner.table.contains_key(*key))
            .collect();
        for key in missing {
            self.fault(inner.at, &inner.field(key), "nothing", "a text", "add it");
        }
        let (package, file) = (self.string(&inner, "package")?, self.string(&inner, "file")?);
        self.check_path(&inner, "file", &file);
        Some(PackageFile { package, file })
    }
}

/// A value as a person wrote it, shortened.
pub(super) fn show(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Boolean(value) => value.to_string(),
        other => format!("a TOML {}", other.type_str()),
    }
}
