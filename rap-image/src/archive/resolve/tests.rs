use super::super::SUITES;
use super::*;

/// One line a package: `name version [depends]`, in the main suite.
fn packages(lines: &str) -> String {
    lines
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .fold(String::new(), |text, line| {
            let mut words = line.splitn(3, ' ');
            let (name, version) = (words.next().unwrap(), words.next().unwrap());
            let rest = words.next().unwrap_or("").replace(" ; ", "\n");
            let sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
            let path = format!("pool/{name}_{version}.deb").replace("%", "");
            text + &format!(
                "Package: {name}\nVersion: {version}\n{rest}\nFilename: {path}\nSize: 1\nSHA256: {sha256}\n\n"
            )
            .replace("\n\nFilename", "\nFilename")
        })
}

fn wish(package: &str) -> Wish {
    Wish {
        package: package.to_owned(),
        wanted_by: "overlays/test".to_owned(),
        follow: true,
        without: Vec::new(),
    }
}

fn check(lines: &str, wishes: &[Wish], expected: &[&str]) {
    let text = packages(lines);
    let mut index = Index::default();
    index.add(&SUITES[0], &text).unwrap();
    let found = resolve(&index, wishes).unwrap();
    let found: Vec<_> = found
        .values()
        .map(|(record, _)| format!("{} {}", record.package, record.version))
        .collect();
    assert_eq!(found, expected);
}

fn refused(lines: &str, wishes: &[Wish]) -> String {
    let text = packages(lines);
    let mut index = Index::default();
    index.add(&SUITES[0], &text).unwrap();
    resolve(&index, wishes).unwrap_err().to_string()
}

#[test]
fn dependencies_are_followed_also_in_circles() {
    check(
        "a 1 Depends: b (>= 2), c ; Pre-Depends: d
         b 2 Depends: a
         c 1
         d 1
         e 1",
        &[wish("a")],
        &["a 1", "b 2", "c 1", "d 1"],
    );
}

#[test]
fn the_first_alternative_that_exists_is_taken() {
    check(
        "a 1 Depends: gone | b | c\n b 1\n c 1",
        &[wish("a")],
        &["a 1", "b 1"],
    );
}

#[test]
fn an_alternative_already_chosen_is_preferred() {
    check(
        "a 1 Depends: b | c\n b 1\n c 1",
        &[wish("c"), wish("a")],
        &["a 1", "c 1"],
    );
}

#[test]
fn virtual_packages_are_provided() {
    check(
        "a 1 Depends: v (= 7)\n p 1 Provides: v\n q 1 Provides: v (= 7)",
        &[wish("a")],
        &["a 1", "q 1"],
    );
}

#[test]
fn without_cuts_a_branch() {
    let mut a = wish("a");
    a.without = vec!["b".to_owned()];
    check("a 1 Depends: b, c:any\n b 1\n c 1", &[a.clone()], &["a 1", "c 1"]);
    assert_eq!(
        refused("a 1", &[a]),
        "a does not depend on \"b\"; remove it from `without`"
    );
}

#[test]
fn not_following_takes_the_package_alone() {
    let alone = Wish {
        follow: false,
        ..wish("a")
    };
    check("a 1 Depends: b\n b 1", &[alone], &["a 1"]);
}

#[test]
fn the_newest_version_of_all_suites_wins() {
    let (main, security) = (packages("a 2\n b 3"), packages("a 2+deb13u1\n b 2"));
    let mut index = Index::default();
    index.add(&SUITES[0], &main).unwrap();
    index.add(&SUITES[2], &security).unwrap();
    assert_eq!(
        (
            index.newest("a").unwrap().version,
            index.newest("a").unwrap().suite
        ),
        ("2+deb13u1", "trixie-security")
    );
    assert_eq!(
        (
            index.newest("b").unwrap().version,
            index.newest("b").unwrap().suite
        ),
        ("3", "trixie")
    );
}

#[test]
fn a_missing_package_names_who_wants_it() {
    assert_eq!(
        refused("a 1", &[wish("zebra")]),
        "no suite has a package \"zebra\", wanted by overlays/test; check its spelling"
    );
}

#[test]
fn an_unmet_dependency_names_the_package() {
    for (dependency, kept) in [
        ("b (>> 1)", "b 1"),
        ("b (= 2)", "b 1"),
        ("b (<< 1)", "b 1"),
        ("gone | also-gone", "b 1"),
    ] {
        assert_eq!(
            refused(&format!("a 1 Depends: {dependency}\n {kept}"), &[wish("a")]),
            format!("a 1 depends on {dependency:?}, which no suite has")
        );
    }
}

#[test]
fn a_path_that_leaves_the_mirror_is_refused() {
    let text = packages("a 1").replace("pool/", "../");
    let error = Index::default().add(&SUITES[0], &text).unwrap_err();
    assert_eq!(
        error.to_string(),
        "trixie: package \"a\" has no readable Filename in the index"
    );
}
