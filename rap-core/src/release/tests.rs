use super::*;

fn manifest() -> Manifest {
    let file = |bytes| File {
        bytes,
        sha256: Sha256::of(b"x"),
    };
    Manifest {
        format: FORMAT,
        profile: "qemu".to_owned(),
        number: 7,
        version: "1.4.0".to_owned(),
        build_id: Sha256::of(b"build").to_string(),
        published: 1_790_000_000,
        uki: file(2 * FRAME + 1),
        memory_mib: 512,
        minimum: 0,
        changes: vec!["Faster.".to_owned()],
        waves: vec![
            Wave { percent: 5, after: 0 },
            Wave {
                percent: 100,
                after: 86_400,
            },
        ],
        full: vec![file(9), file(9), file(9)],
        patches: vec![Patch {
            from: Sha256::of(b"old"),
            over: Over::UnpackedKernel,
            memory_mib: 900,
            pieces: vec![file(100)],
        }],
    }
}

#[test]
fn a_manifest_is_read_as_it_was_written_and_unknown_fields_are_passed_over() {
    let manifest = manifest();
    let mut value = serde_json::to_value(&manifest).unwrap();
    assert_eq!(value["patches"][0]["over"], "unpacked-kernel");
    assert_eq!(value["uki"]["sha256"], Sha256::of(b"x").to_string());
    value["later"] = 1.into();
    let text = serde_json::to_vec(&value).unwrap();
    assert_eq!(Manifest::parse(&text).unwrap(), manifest);
}

#[test]
fn another_format_is_named_even_when_nothing_else_fits() {
    let error = Manifest::parse(br#"{"format":2}"#).unwrap_err();
    assert!(matches!(error, ManifestError::Format(2)), "{error}");
    assert!(matches!(
        Manifest::parse(b"<html>").unwrap_err(),
        ManifestError::Json(_)
    ));
}

#[test]
fn every_rule_is_held() {
    type Change = fn(&mut Manifest);
    let wrong: [(&str, Change); 11] = [
        ("profile", |m| m.profile = "../x".to_owned()),
        ("number", |m| m.number = 0),
        ("version", |m| m.version = "1\n".to_owned()),
        ("build-id", |m| m.build_id = "1".to_owned()),
        ("uki.bytes", |m| m.uki.bytes = SLOT_BYTES),
        ("full", |m| {
            m.full.pop();
        }),
        ("bytes", |m| m.full[0].bytes = PIECE_LIMIT + 1),
        ("bytes", |m| m.patches[0].pieces[0].bytes = 0),
        ("patches", |m| m.patches[0].pieces.clear()),
        ("waves", |m| m.waves[1].percent = 5),
        ("waves", |m| m.waves[1].percent = 101),
    ];
    for (expected, change) in wrong {
        let mut manifest = manifest();
        change(&mut manifest);
        match manifest.check().unwrap_err() {
            ManifestError::Field { field, .. } => assert_eq!(field, expected),
            error => panic!("{error}"),
        }
    }
    manifest().check().unwrap();
}
