//! The power is cut before every file operation: whoever reads the repository then finds the old release or the new one,
//! and the next run does all of it.

use super::*;

/// A copy of a repository.
pub(super) fn copy(from: &Path, to: &Path) {
    let (names, partial) = place::names(from).unwrap();
    for folder in place::FOLDERS {
        std::fs::create_dir_all(to.join(folder)).unwrap();
    }
    for name in names.iter().chain(&partial) {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

#[test]
fn a_release_is_there_or_not_at_every_moment() {
    let desk = Desk::new();
    desk.publish(desk.image("1.0.0"));
    let new = desk.image("2.0.0");
    let mut seen = Vec::new();
    for left in 0.. {
        let here = tempfile::tempdir().unwrap();
        copy(&desk.repository(), here.path());
        let mut order = desk.order(new.clone());
        order.repository = here.path().to_owned();
        let done = {
            let mut place = Place::take(here.path()).unwrap();
            place.left = Some(left);
            publish_into(&mut place, &order, Some(&patcher), &unneeded(), &|_| ()).is_ok()
        };
        let number = found(here.path(), &first_root()).unwrap().number;
        seen.push(number);
        if done {
            break;
        }
        // Whether it was seen or not, the next run leaves the new release and nothing else.
        let again = publish(&order, Some(&patcher), &unneeded(), &|_| ());
        assert_eq!(again.is_ok(), number == 1, "after {left} operations: {again:?}");
        assert_eq!(found(here.path(), &first_root()).unwrap().number, 2);
        refresh(
            here.path(),
            &desk.keys,
            order.now,
            order.expiry,
            false,
            &unneeded(),
            &|_| (),
        )
        .unwrap();
        let repository = Repository::read(here.path()).unwrap();
        assert_eq!(
            repository::leftovers(here.path(), repository.as_ref()).unwrap(),
            [""; 0]
        );
    }
    assert!(seen.len() > 30 && seen.is_sorted(), "{seen:?}");
    assert_eq!((seen.first(), seen.last()), (Some(&1), Some(&2)));
}

#[test]
fn a_first_release_is_there_or_nothing_is() {
    let desk = Desk::new();
    let image = desk.image("1.0.0");
    for left in 0.. {
        let here = tempfile::tempdir().unwrap();
        let mut order = desk.order(image.clone());
        order.repository = here.path().to_owned();
        let done = {
            let mut place = Place::take(here.path()).unwrap();
            place.left = Some(left);
            publish_into(&mut place, &order, None, &unneeded(), &|_| ()).is_ok()
        };
        if done {
            assert!(left > 20);
            break;
        }
        if found(here.path(), &first_root()).is_err() {
            publish(&order, None, &unneeded(), &|_| ()).unwrap();
        }
        assert_eq!(found(here.path(), &first_root()).unwrap().number, 1);
    }
}
