//! One overlay.toml, from text to [`Overlay`], remembering every mistake instead of stopping at the first.

use std::path::Path;

use toml::de::DeTable;

use super::reader::{Reader, Table, show};
use super::{Boot, Fault, Lab, Overlay, User, Wanted};

const FIELDS: [&str; 9] = [
    "version",
    "packages",
    "kernel",
    "users",
    "directories",
    "links",
    "boot",
    "lab",
    "toolchain",
];

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
    let folder = file.parent().unwrap_or(Path::new("")).to_owned();
    let mut overlay = Overlay {
        name: name.to_owned(),
        folder,
        ..Overlay::default()
    };
    reader.only(&root, &FIELDS);
    version(&mut reader, &root);
    packages(&mut reader, &root, &mut overlay);
    kernel(&mut reader, &root, &mut overlay);
    users(&mut reader, &root, &mut overlay);
    layout(&mut reader, &root, &mut overlay);
    boot(&mut reader, &root, &mut overlay);
    if let Some(toolchain) = reader.table(&root, "toolchain") {
        reader.only(&toolchain, &["packages"]);
        overlay.toolchain = reader.strings(&toolchain, "packages");
    }
    overlay
}

fn version(reader: &mut Reader<'_>, root: &Table<'_, '_>) {
    match root.table.get("version") {
        Some(version) if reader.integer(root, "version", version) == Some(1) => {}
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
}

fn packages(reader: &mut Reader<'_>, root: &Table<'_, '_>, overlay: &mut Overlay) {
    reader.each(root, "packages", |reader, name, table| {
        reader.only(table, &["files", "without"]);
        let wanted = Wanted {
            files: reader.paths(table, "files"),
            without: reader.strings(table, "without"),
        };
        if !table.table.contains_key("files") {
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
}

fn kernel(reader: &mut Reader<'_>, root: &Table<'_, '_>, overlay: &mut Overlay) {
    let Some(kernel) = reader.table(root, "kernel") else {
        return;
    };
    let fields = [
        "package",
        "arguments",
        "watchdogs",
        "modules",
        "installer-modules",
    ];
    reader.only(&kernel, &fields);
    overlay.kernel = reader.string(&kernel, "package");
    overlay.arguments = reader.strings(&kernel, "arguments");
    overlay.watchdogs = reader.strings(&kernel, "watchdogs");
    overlay.modules = reader.strings(&kernel, "modules");
    overlay.installer_modules = reader.strings(&kernel, "installer-modules");
}

fn users(reader: &mut Reader<'_>, root: &Table<'_, '_>, overlay: &mut Overlay) {
    reader.each(root, "users", |reader, name, table| {
        reader.only(table, &["id", "home"]);
        let home = reader
            .string(table, "home")
            .unwrap_or_else(|| "/nonexistent".to_owned());
        if let Some(id) = reader.number(table, "id", 1, 65_534) {
            overlay.users.insert(name.to_owned(), User { id, home });
        }
    });
}

fn layout(reader: &mut Reader<'_>, root: &Table<'_, '_>, overlay: &mut Overlay) {
    if let Some(directories) = reader.table(root, "directories") {
        for path in directories.table.keys().map(toml::Spanned::get_ref) {
            reader.check_path(&directories, path, path);
            if let Some(mode) = reader.number(&directories, path, 0, 0o7777) {
                overlay.directories.insert(path.to_string(), mode);
            }
        }
    }
    if let Some(links) = reader.table(root, "links") {
        for path in links.table.keys().map(toml::Spanned::get_ref) {
            reader.check_path(&links, path, path);
            if let Some(target) = reader.string(&links, path) {
                overlay.links.insert(path.to_string(), target);
            }
        }
    }
}

fn boot(reader: &mut Reader<'_>, root: &Table<'_, '_>, overlay: &mut Overlay) {
    if let Some(boot) = reader.table(root, "boot") {
        reader.only(&boot, &["loader", "stub"]);
        let (loader, stub) = (
            reader.package_file(&boot, "loader"),
            reader.package_file(&boot, "stub"),
        );
        overlay.boot = loader.zip(stub).map(|(loader, stub)| Boot { loader, stub });
    }
    if let Some(lab) = reader.table(root, "lab") {
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
}
