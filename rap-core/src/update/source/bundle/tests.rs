use std::io::Write as _;

use super::*;

struct Tar(Vec<u8>);

impl Tar {
    fn entry(mut self, name: &str, kind: EntryType, size: u64, content: &[u8]) -> Self {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(size);
        header.set_mode(0o644);
        header.set_entry_type(kind);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, name: &str, content: &[u8]) -> Self {
        self.entry(name, EntryType::Regular, content.len() as u64, content)
    }

    fn open(&self) -> Result<Bundle, BundleError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&self.0).unwrap();
        Bundle::open(file.path())
    }
}

fn tar() -> Tar {
    Tar(Vec::new())
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

#[test]
fn files_are_read_where_they_stand() {
    let made = tar()
        .entry("./metadata/", EntryType::Directory, 0, b"")
        .file("./metadata/timestamp.json", b"{}")
        .file("targets/a.json", &[7; 1000]);
    let mut whole = Tar(made.0.clone());
    whole.0.resize(whole.0.len() + 1024, 0);
    for bundle in [made.open().unwrap(), whole.open().unwrap()] {
        assert_eq!(bundle.fetch(&name("metadata/timestamp.json"), 2).unwrap(), b"{}");
        assert_eq!(bundle.fetch(&name("targets/a.json"), 1000).unwrap(), [7; 1000]);
        assert!(matches!(
            bundle.fetch(&name("targets/a.json"), 999),
            Err(SourceError::TooLong { limit: 999, .. })
        ));
        assert!(matches!(
            bundle.fetch(&name("metadata/2.root.json"), 9),
            Err(SourceError::NotThere { .. })
        ));
        assert_eq!(bundle.time(), None);
    }
}

#[test]
fn what_has_no_business_in_a_bundle_is_refused_by_name() {
    for (made, words) in [
        (
            tar().file("../etc/passwd", b""),
            "\"../etc/passwd\", which is none of a repository",
        ),
        (tar().file("metadata/../x", b""), "none of a repository"),
        (tar().file("/metadata/x", b""), "none of a repository"),
        (tar().file("pieces/x", b""), "none of a repository"),
        (tar().file("site.toml", b""), "none of a repository"),
        (
            tar().entry("metadata/x", EntryType::Symlink, 0, b""),
            "no regular file",
        ),
        (
            tar().entry("metadata/x", EntryType::Link, 0, b""),
            "no regular file",
        ),
        (
            tar().entry("metadata/x", EntryType::Block, 0, b""),
            "no regular file",
        ),
        (
            tar().entry("keys", EntryType::Directory, 0, b""),
            "no regular file",
        ),
        (
            tar().entry("././@LongLink", EntryType::GNULongName, u64::MAX >> 8, b"x"),
            "no regular file",
        ),
        (
            tar().file("metadata/x", b"1").file("./metadata/x", b"2"),
            "there twice",
        ),
        (tar().file("metadata/a\nb", b""), "\"metadata/ab\""),
    ] {
        let error = made.open().unwrap_err();
        assert!(matches!(error, BundleError::Entry { .. }), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn half_a_bundle_and_none_at_all_say_so() {
    let half = tar()
        .entry("metadata/x", EntryType::Regular, 4096, b"x")
        .open()
        .unwrap_err();
    assert!(matches!(&half, BundleError::Truncated { .. }), "{half}");
    assert!(
        half.to_string().contains("ends within metadata/x: copy it again"),
        "{half}"
    );
    let huge = tar()
        .entry("metadata/x", EntryType::Regular, u64::MAX >> 8, b"x")
        .open();
    assert!(huge.is_err());
    let none = Tar(b"hello ".repeat(200)).open().unwrap_err();
    assert!(matches!(none, BundleError::Read { .. }), "{none}");
    assert!(matches!(
        Bundle::open(Path::new("/no/where")),
        Err(BundleError::Read { .. })
    ));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_refused_or_read_within_the_file(
        at in 0..2048_usize, byte in proptest::prelude::any::<u8>(), cut in 0..3000_usize,
    ) {
        let mut made = tar().file("metadata/a", b"abc").file("targets/b", &[1; 600]);
        made.0[at] = byte;
        made.0.truncate(cut);
        if let Ok(bundle) = made.open() {
            for (name, place) in &bundle.files {
                let content = bundle.fetch(name, 1 << 20).unwrap();
                proptest::prop_assert_eq!(content.len() as u64, place.bytes);
            }
        }
    }
}
