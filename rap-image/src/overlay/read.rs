//! One overlay.toml, from text to [`Overlay`], remembering every mistake instead of stopping at the first.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Boot, Fault, Lab, Overlay, PackageFile, User, Wanted};

/// Reads the text of `file`; mistakes are added to `faults`, and what is right is in the overlay all the same.
pub(super) fn overlay(name: &str, file: &Path, text: &str, faults: &mut Vec<Fault>) -> Overlay {
    let mut reader = Reader { file, text, faults };
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let at = error.span().map_or(0, |span| span.start);
        let message = error.message().lines().next().unwrap_or_default().to_owned();
        reader.fault(at, "the file", &message, "TOML 1.0", "correct the line");
    }
    let root = Table {
        table: document.get_ref(),
        path: String::new(),
        at: 0,
    };
    let mut overlay = Overlay {
        name: name.to_owned(),
        folder: file.parent().unwrap_or(Path::new("")).to_owned(),
        ..Overlay::default()
    };
    reader.only(
        &root,
        &[
            "version",
            "packages",
            "kernel",
            "users",
            "directories",
            "links",
            "boot",
            "lab",
            "toolchain",
        ],
    );
    match root.table.get("version") {
        Some(version) if reader.integer(&root, "version", version) == Some(1) => {}
        Some(version) => {
            let got = show(version.get_ref());
            reader.fault(
                version.span().start,
                "version",
                &got,
                "1",
                "use a newer rap-image, or write `version = 1`",
            );
        }
        None => reader.fault(0, "version", "nothing", "1", "begin the file with `version = 1`"),
    }
    reader.each(&root, "packages", |reader, name, table| {
        reader.only(table, &["files", "without"]);
        let wanted = Wanted {
            files: reader.paths(table, "files"),
            without: reader.strings(table, "without"),
        };
        if wanted.files.is_empty() && !table.table.contains_key("files") {
            let field = table.field("files");
            reader.fault(
                table.at,
                &field,
                "nothing",
                "a list of paths",
                "name the files wanted of this package",
            );
        }
        overlay.packages.insert(name.to_owned(), wanted);
    });
    if let Some(kernel) = reader.table(&root, "kernel") {
        reader.only(&kernel, &["package", "arguments", "watchdogs", "modules"]);
        overlay.kernel = reader.string(&kernel, "package");
        overlay.arguments = reader.strings(&kernel, "arguments");
        overlay.watchdogs = reader.strings(&kernel, "watchdogs");
        overlay.modules = reader.strings(&kernel, "modules");
    }
    reader.each(&root, "users", |reader, name, table| {
        reader.only(table, &["id", "home"]);
        let home = reader
            .string(table, "home")
            .unwrap_or_else(|| "/nonexistent".to_owned());
        if let Some(id) = reader.number(table, "id", 1, 65_534) {
            overlay.users.insert(name.to_owned(), User { id, home });
        }
    });
    if let Some(directories) = reader.table(&root, "directories") {
        for (path, _) in directories.table {
            let path = path.get_ref();
            reader.check_path(&directories, path);
            if let Some(mode) = reader.number(&directories, path, 0, 0o7777) {
                overlay.directories.insert(path.to_string(), mode);
            }
        }
    }
    if let Some(links) = reader.table(&root, "links") {
        for (path, _) in links.table {
            let path = path.get_ref();
            reader.check_path(&links, path);
            if let Some(target) = reader.string(&links, path) {
                overlay.links.insert(path.to_string(), target);
            }
        }
    }
    if let Some(boot) = reader.table(&root, "boot") {
        reader.only(&boot, &["loader", "stub"]);
        let (loader, stub) = (
            reader.package_file(&boot, "loader"),
            reader.package_file(&boot, "stub"),
        );
        overlay.boot = loader.zip(stub).map(|(loader, stub)| Boot { loader, stub });
    }
    if let Some(lab) = reader.table(&root, "lab") {
        reader.only(&lab, &["code", "vars", "secure-code"]);
        let mut file = |key| reader.package_file(&lab, key);
        let files = (file("code"), file("vars"), file("secure-code"));
        if let (Some(code), Some(vars), Some(secure_code)) = files {
            overlay.lab = Some(Lab {
                code,
                vars,
                secure_code,
            });
        }
    }
    if let Some(toolchain) = reader.table(&root, "toolchain") {
        reader.only(&toolchain, &["packages"]);
        overlay.toolchain = reader.strings(&toolchain, "packages");
    }
    overlay
}

struct Reader<'a> {
    file: &'a Path,
    text: &'a str,
    faults: &'a mut Vec<Fault>,
}

struct Table<'t, 'a> {
    table: &'t DeTable<'a>,
    /// `packages.nftables`; empty for the whole file.
    path: String,
    /// Offset in the text.
    at: usize,
}

impl Table<'_, '_> {
    fn field(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }
}

impl Reader<'_> {
    fn fault(&mut self, at: usize, field: &str, got: &str, expected: &str, fix: &str) {
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
    fn only(&mut self, table: &Table<'_, '_>, keys: &[&str]) {
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

    fn table<'t, 'a>(&mut self, table: &Table<'t, 'a>, key: &str) -> Option<Table<'t, 'a>> {
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
    fn each(
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

    fn string(&mut self, table: &Table<'_, '_>, key: &str) -> Option<String> {
        let value = table.table.get(key)?;
        let text = value.get_ref().as_str().filter(|text| !text.is_empty());
        if text.is_none() {
            self.wrong_type(table, key, value, "a text");
        }
        text.map(str::to_owned)
    }

    fn strings(&mut self, table: &Table<'_, '_>, key: &str) -> Vec<String> {
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

    fn paths(&mut self, table: &Table<'_, '_>, key: &str) -> Vec<String> {
        let paths = self.strings(table, key);
        paths.iter().for_each(|path| self.check_path_at(table, key, path));
        paths
    }

    fn check_path(&mut self, table: &Table<'_, '_>, path: &str) {
        self.check_path_at(table, path, path);
    }

    fn check_path_at(&mut self, table: &Table<'_, '_>, key: &str, path: &str) {
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

    fn integer(&mut self, table: &Table<'_, '_>, key: &str, value: &Spanned<DeValue<'_>>) -> Option<i64> {
        let number = value.get_ref().as_integer();
        let number = number.and_then(|number| i64::from_str_radix(number.as_str(), number.radix()).ok());
        if number.is_none() {
            self.wrong_type(table, key, value, "a number");
        }
        number
    }

    fn number(&mut self, table: &Table<'_, '_>, key: &str, least: u32, most: u32) -> Option<u32> {
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

    fn package_file(&mut self, table: &Table<'_, '_>, key: &str) -> Option<PackageFile> {
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
        self.check_path_at(&inner, "file", &file);
        Some(PackageFile { package, file })
    }
}

/// A value as a person wrote it, shortened.
fn show(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Boolean(value) => value.to_string(),
        other => format!("a TOML {}", other.type_str()),
    }
}

/// The users' lines of `/etc/passwd` and `/etc/group`: `root` first, then by number.
pub(super) fn users<'a>(all: impl Iterator<Item = (&'a String, &'a User)>) -> (String, String) {
    let sorted: BTreeMap<u32, (&String, &User)> = all.map(|(name, user)| (user.id, (name, user))).collect();
    let mut passwd = "root:x:0:0:root:/root:/usr/sbin/nologin\n".to_owned();
    let mut group = "root:x:0:\n".to_owned();
    for (id, (name, user)) in sorted {
        passwd += &format!("{name}:x:{id}:{id}::{}:/usr/sbin/nologin\n", user.home);
        group += &format!("{name}:x:{id}:\n");
    }
    (passwd, group)
}
