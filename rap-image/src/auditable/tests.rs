use super::*;

const ALL: &str = "\
0rap-core v0.1.0 (/somewhere/rap core)
1async-trait v0.1.92 (proc-macro)
2syn v3.0.10
1zstd-sys v2.1.3+zstd.1.5.7
2cc v1.2.0
1syn v3.0.10 (*)
";
const RUNTIME: &str = "\
0rap-core v0.1.0 (/somewhere/rap core)
1zstd-sys v2.1.3+zstd.1.5.7
";

fn example() -> Inventory {
    inventory(ALL, RUNTIME).unwrap()
}

/// This test's own program.
fn program() -> Vec<u8> {
    std::fs::read(std::env::current_exe().unwrap()).unwrap()
}

#[test]
fn what_cargo_says_becomes_a_graph() {
    let inventory = example();
    let named: Vec<_> = inventory
        .packages
        .iter()
        .map(|krate| (krate.name.as_str(), krate.kind, krate.dependencies.as_slice()))
        .collect();
    assert_eq!(
        named,
        [
            ("async-trait", Use::Build, &[3][..]),
            ("cc", Use::Build, &[]),
            ("rap-core", Use::Runtime, &[0, 3, 4]),
            ("syn", Use::Build, &[]),
            ("zstd-sys", Use::Runtime, &[1]),
        ]
    );
    assert_eq!(inventory.packages[2].source, "local");
    assert_eq!(inventory.packages[4].version, "2.1.3+zstd.1.5.7");
    assert_eq!(inventory.compiled_in().count(), 2);
    assert!(matches!(inventory_error("1 x"), AuditableError::Tree(_)));
    assert!(matches!(inventory_error(""), AuditableError::Rule(_)));
}

fn inventory_error(text: &str) -> AuditableError {
    inventory(text, text).unwrap_err()
}

/// The reader is cargo-auditable's own, which shares no code with this.
#[test]
fn what_is_attached_is_what_cargo_auditable_reads() {
    let inventory = example();
    let attached = attach(&program(), &inventory.encode().unwrap()).unwrap();
    assert_eq!(Inventory::of_program(&attached).unwrap().unwrap(), inventory);
    let limits = auditable_info::Limits::default();
    let theirs = auditable_info::audit_info_from_slice(&attached, limits.decompressed_json_size).unwrap();
    assert_eq!(theirs.packages.len(), inventory.packages.len());
    for (theirs, ours) in theirs.packages.iter().zip(&inventory.packages) {
        assert_eq!(theirs.name, ours.name);
        assert_eq!(theirs.version.to_string(), ours.version);
        assert_eq!(theirs.dependencies, ours.dependencies);
        assert_eq!(theirs.root, ours.root);
        let is_build = theirs.kind == auditable_serde::DependencyKind::Build;
        assert_eq!(is_build, ours.kind == Use::Build);
    }
    assert!(matches!(attach(&attached, b"x"), Err(AuditableError::Twice)));
}

#[test]
fn a_program_with_a_section_more_still_runs_and_keeps_the_others() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("program");
    let program = program();
    let attached = attach(&program, b"anything").unwrap();
    std::fs::write(&path, &attached).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&path, mode).unwrap();
    let output = std::process::Command::new(&path).arg("--list").output().unwrap();
    assert!(output.status.success() && !output.stdout.is_empty(), "{output:?}");
    for name in [".text", ".comment", ".rodata"] {
        assert_eq!(
            section(&attached, name).unwrap(),
            section(&program, name).unwrap(),
            "{name}"
        );
    }
    assert_eq!(section(&attached, SECTION).unwrap(), Some(&b"anything"[..]));
    let compilers = compilers(&attached).unwrap();
    assert!(
        compilers.iter().any(|text| text.starts_with("rustc version")),
        "{compilers:?}"
    );
}

#[test]
fn a_hostile_section_is_refused() {
    let packed = |text: &str| {
        let mut out = ZlibEncoder::new(Vec::new(), Compression::fast());
        out.write_all(text.as_bytes()).unwrap();
        Inventory::decode(&out.finish().unwrap()).unwrap_err().to_string()
    };
    let package = r#""name":"a","version":"1","source":"local""#;
    assert!(packed(r#"{"packages":[]}"#).contains("the root"));
    assert!(
        packed(&format!(
            r#"{{"packages":[{{{package},"root":true,"dependencies":[1]}}]}}"#
        ))
        .contains("list")
    );
    let escape = package.replace("\"a\"", r#""\u001b[31m""#);
    assert!(packed(&format!(r#"{{"packages":[{{{escape},"root":true}}]}}"#)).contains("printable"));
    assert!(packed(&" ".repeat(9 << 20)).contains("more than"));
    assert!(Inventory::decode(b"x").is_err());
    assert!(matches!(attach(b"MZ", b""), Err(AuditableError::Elf(_))));
}
