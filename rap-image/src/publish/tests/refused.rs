//! Every refusal: its message, and nothing changed for whoever reads the repository.

use super::*;

/// Publishes `order` in vain; the message, with its causes.
fn refused(order: &Order) -> String {
    let before = place::names(&order.repository).ok();
    let error = publish(order, None, &unneeded(), &|_| ()).unwrap_err();
    if let Some(before) = before {
        assert_eq!(place::names(&order.repository).unwrap(), before);
    }
    format!("{:#}", anyhow::Error::from(error))
}

fn expect(text: &str, wanted: &str) {
    assert!(text.contains(wanted), "expected `{wanted}` in: {text}");
}

#[test]
fn numbers_and_versions_are_used_once() {
    let desk = Desk::new();
    desk.publish(desk.image("1.0.0"));
    expect(
        &refused(&desk.order(desk.image("1.0.0"))),
        "this very image of qemu was published as number 1",
    );
    let other = || desk.image_with("1.0.0", |with| with.command_line.push('x'));
    expect(
        &refused(&desk.order(other())),
        "version 1.0.0 of qemu was published as number 1",
    );
    let mut order = desk.order(desk.image("1.1.0"));
    order.number = Some(1);
    expect(&refused(&order), "number 1 is not above 1, the newest of qemu");
    order.number = Some(5);
    order.minimum = 5;
    expect(
        &refused(&order),
        "the lowest number to come from, 5, is not below the release's own, 5",
    );
    order.minimum = 0;
    order.version = Some("1.0.0".to_owned());
    expect(&refused(&order), "version 1.0.0 of qemu was published");
    order.version = None;
    order.now = Timestamp::from_second(order.now.as_second() - 1000).unwrap();
    expect(&refused(&order), "set the clock");
}

#[test]
fn an_image_has_to_be_sound_and_whole() {
    let desk = Desk::new();
    let image = desk.image("1.0.0");
    std::fs::remove_file(image.path.join("sbom.cdx.json")).unwrap();
    expect(
        &refused(&desk.order(image.clone())),
        "make it with `rap-image sbom IMAGE --out",
    );
    std::fs::write(image.path.join("sbom.cdx.json"), "{}").unwrap();
    expect(
        &refused(&desk.order(image.clone())),
        "is no CycloneDX 1.6 bill of materials",
    );
    let other = desk.image("0.9.0");
    std::fs::copy(other.path.join("sbom.cdx.json"), image.path.join("sbom.cdx.json")).unwrap();
    expect(
        &refused(&desk.order(image.clone())),
        "is another image's: version: the image has 1.0.0, the bill of materials says 0.9.0",
    );
    let nowhere = Input {
        path: desk.place.path().join("nowhere/rap.efi"),
        sbom: None,
    };
    expect(&refused(&desk.order(nowhere)), "rap-image build makes it");
    std::fs::write(image.path.join("rap.efi"), "MZ").unwrap();
    expect(&refused(&desk.order(image)), "is no sound image");
    let two = [desk.image("1"), desk.image("2")];
    let mut order = desk.order(desk.image("1"));
    order.images = two.to_vec();
    expect(&refused(&order), "two of the images are for qemu");
    let image = desk.image_with("1", |with| with.info.overlays.truncate(1));
    expect(
        &refused(&desk.order(image)),
        "does not say which hardware it is for",
    );
}

#[test]
fn an_image_has_to_be_one_that_these_keys_can_update_and_firmware_starts() {
    let desk = Desk::new();
    let image = desk.image_with("1", |with| with.update_root = None);
    expect(
        &refused(&desk.order(image)),
        "could never be updated again; build it with --keys",
    );
    let others = tempfile::tempdir().unwrap();
    write_development(&others.path().join("keys"), false, &[]).unwrap();
    let root = std::fs::read(others.path().join("keys/root.json")).unwrap();
    let image = desk.image_with("2", |with| with.update_root = Some(root.clone()));
    expect(
        &refused(&desk.order(image)),
        "trusts a root 1 that is not one of this repository",
    );
    let image = desk.image("3");
    let signer = Signer::load(&others.path().join("keys"), PROGRAM_KEY).unwrap();
    let uki = image::compose(&image::Ingredients {
        update_root: Some(first_root()),
        info: rap_core::build_info::BuildInfo {
            overlays: vec!["base".to_owned(), "qemu".to_owned()],
            ..image::tests::ingredients().info
        },
        ..image::tests::ingredients()
    })
    .unwrap()
    .uki;
    put(&image.path, &sign(&uki, &signer).unwrap());
    expect(
        &refused(&desk.order(image.clone())),
        "it is signed with another key",
    );
    put(&image.path, &uki);
    let text = refused(&desk.order(image));
    expect(&text, "would not start");
    expect(&text, "it is not signed");
}

#[test]
fn the_keys_have_to_be_the_repositorys_and_enough() {
    let desk = Desk::new();
    desk.publish(desk.image("1.0.0"));
    let others = tempfile::tempdir().unwrap();
    let keys = others.path().join("keys");
    write_development(&keys, false, &[]).unwrap();
    let mut order = desk.order(desk.image("1.1.0"));
    order.keys.clone_from(&keys);
    expect(
        &refused(&order),
        "root 1 of the repository is another than that of the keys",
    );

    order.repository = others.path().join("fresh");
    std::fs::remove_file(keys.join("update-online.key")).unwrap();
    let image = Desk {
        place: tempfile::tempdir().unwrap(),
        keys: keys.clone(),
    };
    order.images = vec![image.image("1")];
    expect(
        &refused(&order),
        "targets needs 1 of its keys to sign and 0 are at hand",
    );

    let path = keys.join("root.json");
    let mut root: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    root["signatures"].as_array_mut().unwrap().pop();
    std::fs::write(&path, root.to_string()).unwrap();
    expect(
        &refused(&order),
        "root 1 has 1 of the 2 signatures that it asks for",
    );
    std::fs::remove_file(&path).unwrap();
    expect(
        &refused(&order),
        "root.json is missing: these keys cannot publish",
    );
}

#[test]
fn a_repository_that_is_not_whole_is_left_alone() {
    let desk = Desk::new();
    desk.publish(desk.image("1.0.0"));
    let order = desk.order(desk.image("1.1.0"));
    let root = desk.repository();
    let harmed = |name: &str, harm: &dyn Fn(&Path), wanted: &str| {
        let path = root.join(name);
        let before = std::fs::read(&path).ok();
        harm(&path);
        expect(&refused(&order), wanted);
        match before {
            Some(bytes) => std::fs::write(&path, bytes).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
    };
    let manifest = found(&root, &first_root()).unwrap();
    let piece = repository::piece_name(&manifest.full[0]);
    let remove: &dyn Fn(&Path) = &|path| std::fs::remove_file(path).unwrap();
    let append: &dyn Fn(&Path) = &|path| {
        let bytes = std::fs::read(path).unwrap();
        std::fs::write(path, [&bytes[..], b" "].concat()).unwrap();
    };
    let edit: &dyn Fn(&Path) = &|path| {
        let text = std::fs::read_to_string(path).unwrap();
        std::fs::write(path, text.replace("\"version\":1", "\"version\":2")).unwrap();
    };
    harmed(
        "note.txt",
        &|path| std::fs::write(path, "x").unwrap(),
        "does not belong to a repository",
    );
    harmed(
        "targets/x.json",
        &|path| std::fs::write(path, "x").unwrap(),
        "does not belong to a repository",
    );
    harmed(&piece, remove, "is missing; bring it back");
    harmed(&piece, append, "is not what was published");
    harmed("metadata/1.snapshot.json", append, "is not what was published");
    harmed("metadata/1.targets.json", remove, "is missing; bring it back");
    harmed("metadata/timestamp.json", edit, "is not to be trusted");
    harmed(
        "metadata/timestamp.json",
        &|path| std::fs::write(path, "x").unwrap(),
        "cannot be read",
    );
    harmed("metadata/1.root.json", remove, "metadata/1.root.json is missing");
    let _held = Place::take(&root).unwrap();
    let error = publish(&order, None, &unneeded(), &|_| ()).unwrap_err();
    expect(&error.to_string(), "somebody else publishes into");
}
