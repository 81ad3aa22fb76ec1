use super::*;

fn given(mirror: Option<&str>, security: Option<&str>) -> Given {
    Given {
        mirror: mirror.map(str::to_owned),
        security: security.map(str::to_owned),
    }
}

/// A folder with `config.toml` and `apt/`, each file written when its text is not empty.
fn host(config: &str, list: &str, sources: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let apt = folder.path().join("apt/sources.list.d");
    std::fs::create_dir_all(&apt).unwrap();
    for (path, text) in [
        (folder.path().join("config.toml"), config),
        (folder.path().join("apt/sources.list"), list),
        (apt.join("debian.sources"), sources),
    ] {
        if !text.is_empty() {
            std::fs::write(path, text).unwrap();
        }
    }
    folder
}

fn find(given: &Given, host: &tempfile::TempDir) -> Result<Mirrors, Error> {
    Mirrors::find(given, &host.path().join("config.toml"), &host.path().join("apt"))
}

fn check(given: &Given, host: &tempfile::TempDir, main: &[&str], security: &[&str]) {
    let mirrors = find(given, host).unwrap();
    assert_eq!(
        (mirrors.main, mirrors.security),
        (
            main.iter().map(ToString::to_string).collect(),
            security.iter().map(ToString::to_string).collect()
        )
    );
}

const LIST: &str = "deb [arch=amd64 signed-by=/x] http://apt.test/debian bookworm main\n\
    deb http://apt.test/other bookworm extra # not main\n\
    deb http://apt.test/ubuntu noble main\n\
    # deb http://apt.test/commented bookworm main\n\
    deb-src http://apt.test/source bookworm main\n";

#[test]
fn the_command_line_comes_first_then_the_file_then_apt() {
    let host = host("mirror = \"http://config.test/debian/\"\n", LIST, "");
    check(
        &given(Some("http://given.test/debian/"), None),
        &host,
        &["http://given.test/debian"],
        &["http://given.test/debian-security"],
    );
    check(
        &Given::default(),
        &host,
        &["http://config.test/debian"],
        &["http://config.test/debian-security"],
    );
    std::fs::remove_file(host.path().join("config.toml")).unwrap();
    check(
        &Given::default(),
        &host,
        &["http://apt.test/debian"],
        &["http://apt.test/debian-security"],
    );
}

#[test]
fn security_can_be_elsewhere() {
    let host = host(
        "security-mirror = \"http://s.test/s\"\nsnapshot = \"http://old.test/archive\"\n",
        LIST,
        "",
    );
    check(
        &Given::default(),
        &host,
        &["http://apt.test/debian"],
        &["http://s.test/s"],
    );
    check(
        &given(Some("http://g.test/d"), Some("http://t.test/t")),
        &host,
        &["http://g.test/d"],
        &["http://t.test/t"],
    );
    let mirrors = find(&Given::default(), &host).unwrap();
    assert_eq!(
        mirrors
            .snapshot_of(Archive::Security, "20261121T091544Z")
            .unwrap(),
        "http://old.test/archive/debian-security/20261121T091544Z"
    );
}

#[test]
fn deb822_sources_are_read() {
    let sources = "Types: deb\nURIs: http://a.test/debian\n https://b.test/debian/\nSuites: trixie trixie-updates\n\
        Components: main\n\nTypes: deb\nURIs: http://s.test/debian-security\nSuites: trixie-security\nComponents: main\n\n\
        Enabled: no\nTypes: deb\nURIs: http://off.test/debian\nSuites: trixie\nComponents: main\n";
    check(
        &Given::default(),
        &host("", "", sources),
        &["http://a.test/debian", "https://b.test/debian"],
        &[
            "http://s.test/debian-security",
            "http://a.test/debian-security",
            "https://b.test/debian-security",
        ],
    );
}

#[test]
fn no_mirror_says_how_to_give_one() {
    let error = find(
        &Given::default(),
        &host("", "deb http://apt.test/ubuntu noble main\n", ""),
    )
    .unwrap_err();
    let message = error.to_string();
    assert!(
        ["--mirror", "RAP_IMAGE_MIRROR", "config.toml"]
            .iter()
            .all(|part| message.contains(part)),
        "{message}"
    );
}

#[test]
fn wrong_addresses_and_files_are_refused() {
    let error = find(&given(Some("ftp://x.test/debian"), None), &host("", "", "")).unwrap_err();
    assert!(matches!(error, Error::Address { .. }), "{error}");
    let error = find(&Given::default(), &host("miror = \"http://x.test\"\n", "", "")).unwrap_err();
    assert!(matches!(error, Error::Config(..)), "{error}");
}
