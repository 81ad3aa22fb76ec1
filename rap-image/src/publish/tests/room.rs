//! Making room: what boxes are offered stays whole, and nothing that was published is forgotten.

use super::*;

/// Four releases, each with patches from the two before it.
fn four() -> Desk {
    let desk = Desk::new();
    for version in ["1", "2", "3", "4"] {
        let mut order = desk.order(desk.image(version));
        order.patches = 2;
        publish(&order, Some(&patcher), &unneeded(), &|_| ()).unwrap();
    }
    desk
}

fn pieces(root: &Path) -> usize {
    std::fs::read_dir(root.join("pieces")).unwrap().count()
}

#[test]
fn old_pieces_go_and_nothing_else_is_forgotten() {
    let desk = four();
    let root = desk.repository();
    let before = pieces(&root);
    let pruned = prune(&root, 2).unwrap();
    assert_eq!(pieces(&root), before - pruned.pieces);
    assert!(pruned.pieces >= 2 && pruned.bytes > 0, "{pruned:?}");
    assert_eq!(prune(&root, 2).unwrap(), Pruned { pieces: 0, bytes: 0 });

    let repository = Repository::read(&root).unwrap().unwrap();
    let whole = |number: u64| {
        let mut all = repository.releases.iter();
        let release = all.find(|release| release.number == number).unwrap();
        ways::restore(&root, release).unwrap().is_some()
    };
    assert_eq!([1, 2, 3, 4].map(whole), [false, false, true, true]);
    for piece in pieces_of(&found(&root, &first_root()).unwrap()) {
        assert!(root.join(repository::piece_name(piece)).exists());
    }
    // What was published once is refused again; the next release has patches from those that are kept.
    let again = publish(&desk.order(desk.image("1")), None, &unneeded(), &|_| ());
    assert!(
        matches!(&again, Err(PublishError::Again { number: 1, .. })),
        "{again:?}"
    );
    let next = publish(&desk.order(desk.image("5")), Some(&patcher), &unneeded(), &|_| ()).unwrap();
    let from: Vec<&str> = next.releases[0]
        .patches
        .iter()
        .map(|(from, _)| from.as_str())
        .collect();
    assert_eq!(from, ["4", "3"]);
}

#[test]
fn the_newest_is_kept_whatever_is_asked() {
    let desk = four();
    prune(&desk.repository(), 0).unwrap();
    let newest = found(&desk.repository(), &first_root()).unwrap();
    assert!(ways::restore(&desk.repository(), &newest).unwrap().is_some());
    let nothing = tempfile::tempdir().unwrap();
    assert!(matches!(prune(nothing.path(), 1), Err(PublishError::Empty(_))));
}

#[test]
fn a_cut_leaves_a_whole_repository_and_the_next_run_ends_it() {
    let desk = four();
    for left in 0.. {
        let here = tempfile::tempdir().unwrap();
        cuts::copy(&desk.repository(), here.path());
        let done = {
            let mut place = Place::take(here.path()).unwrap();
            place.left = Some(left);
            prune::prune_in(&mut place, 1).is_ok()
        };
        let newest = found(here.path(), &first_root()).unwrap();
        assert!(ways::restore(here.path(), &newest).unwrap().is_some());
        if done {
            assert!(left > 2, "{left}");
            break;
        }
        prune(here.path(), 1).unwrap();
        assert_eq!(pieces(here.path()), pieces_of(&newest).count());
    }
}
