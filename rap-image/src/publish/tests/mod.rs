//! Publishing, with `tough`'s client in the place of a box.

mod cuts;
mod python;
mod refused;
mod room;
mod rotation;

use std::sync::{Arc, OnceLock};

use rap_core::folder::Directory;
use rap_core::release::{Over, Patch, manifest_name, sbom_name};
use rap_core::update::source::{Bundle, Name, Source, SourceError};
use rap_core::update::trust::{self, Question};
use serde_json::json;
use tempfile::TempDir;
use tough::{RepositoryLoader, TargetName};

use super::repository::pieces_of;
use super::*;
use crate::image;
use crate::keys::write_development;
use crate::patch::Made;
use crate::signing::{PROGRAM_KEY, Signer, sign};
use crate::verify::read_uki;

/// One set of development keys for all tests: RSA keys take their time.
pub(super) fn keys() -> PathBuf {
    static KEYS: OnceLock<TempDir> = OnceLock::new();
    let place = KEYS.get_or_init(|| {
        let place = tempfile::tempdir().unwrap();
        write_development(&place.path().join("dev"), false, &[]).unwrap();
        place
    });
    place.path().join("dev")
}

/// A desk: keys, images, a repository.
pub(super) struct Desk {
    pub(super) place: TempDir,
    pub(super) keys: PathBuf,
}

impl Desk {
    pub(super) fn new() -> Self {
        Self {
            place: tempfile::tempdir().unwrap(),
            keys: keys(),
        }
    }

    pub(super) fn repository(&self) -> PathBuf {
        self.place.path().join("repository")
    }

    /// An image of this version, as the builder would make it, after `change`.
    pub(super) fn image_with(&self, version: &str, change: impl Fn(&mut image::Ingredients)) -> Input {
        let mut ingredients = image::tests::ingredients();
        ingredients.info.version = version.to_owned();
        ingredients.info.overlays = vec!["base".to_owned(), "qemu".to_owned()];
        ingredients.update_root = Some(std::fs::read(self.keys.join("root.json")).unwrap());
        change(&mut ingredients);
        let folder = self.place.path().join(format!("image-{version}"));
        std::fs::create_dir_all(&folder).unwrap();
        let uki = image::compose(&ingredients).unwrap().uki;
        let signer = Signer::load(&self.keys, PROGRAM_KEY).unwrap();
        put(&folder, &sign(&uki, &signer).unwrap());
        Input {
            path: folder,
            sbom: None,
        }
    }

    pub(super) fn image(&self, version: &str) -> Input {
        self.image_with(version, |_| ())
    }

    pub(super) fn order(&self, image: Input) -> Order {
        Order {
            repository: self.repository(),
            keys: self.keys.clone(),
            images: vec![image],
            number: None,
            version: None,
            minimum: 0,
            memory_mib: None,
            changes: vec!["Better.".to_owned()],
            waves: Vec::new(),
            patches: 3,
            level: 1,
            now: Timestamp::from_second(Timestamp::now().as_second()).unwrap(),
            expiry: Expiry::default(),
        }
    }

    pub(super) fn publish(&self, image: Input) -> Outcome {
        publish(&self.order(image), None, &unneeded(), &|_| ()).unwrap_or_else(|e| panic!("{e:?}"))
    }
}

/// An image's folder: the UKI, and what `rap-image sbom` would say of it, as far as it is held against it.
pub(super) fn put(folder: &Path, uki: &[u8]) {
    let found = read_uki(uki).unwrap();
    let hash = |content: &str| json!([{ "alg": "SHA-256", "content": content }]);
    let packages = found.packages.iter().map(|package| {
        json!({ "type": "library", "bom-ref": format!("deb:{}", package.name), "name": package.name,
                "version": package.version })
    });
    let programs = found.programs.iter().map(|program| {
        json!({ "type": "application", "bom-ref": format!("program:{}", program.name()), "name": program.name(),
                "hashes": hash(&program.sha256) })
    });
    let bill = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json", "bomFormat": "CycloneDX", "specVersion": "1.6",
        "serialNumber": "urn:uuid:00000000-0000-0000-0000-000000000000", "version": 1, "dependencies": [], "compositions": [],
        "components": packages.chain(programs).collect::<Vec<_>>(),
        "metadata": {
            "timestamp": "2026-01-01T00:00:00Z", "tools": { "components": [] },
            "component": {
                "type": "operating-system", "bom-ref": "image", "name": "rap", "version": found.info.version,
                "hashes": hash(&found.sha256),
                "properties": [
                    { "name": "rap:build-id", "value": found.info.build_id },
                    { "name": "rap:unsigned-digest", "value": found.unsigned_digest },
                ],
            },
        },
    });
    std::fs::write(folder.join("rap.efi"), uki).unwrap();
    std::fs::write(folder.join("sbom.cdx.json"), bill.to_string()).unwrap();
}

/// Development keys are in clear.
pub(super) fn unneeded() -> Passphrase {
    Passphrase::known("")
}

/// What a box that trusts `root` and knows nothing else finds.
pub(super) fn found(repository: &Path, root: &[u8]) -> Result<Manifest, Box<tough::error::Error>> {
    let url = |folder: &str| url::Url::from_directory_path(repository.join(folder)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let loader = RepositoryLoader::new(&root, url("metadata"), url("targets"));
        let found = loader.load().await.map_err(Box::new)?;
        let target = |name: String| {
            let found = &found;
            async move {
                use futures_util::TryStreamExt as _;
                let stream = found
                    .read_target(&TargetName::new(name).unwrap())
                    .await
                    .map_err(Box::new)?
                    .unwrap();
                let chunks: Vec<_> = stream.try_collect().await.map_err(Box::new)?;
                Ok::<_, Box<tough::error::Error>>(chunks.concat())
            }
        };
        let manifest = target(manifest_name("qemu")).await?;
        target(sbom_name("qemu")).await?;
        Ok(Manifest::parse(&manifest).unwrap())
    })
}

pub(super) fn first_root() -> Vec<u8> {
    std::fs::read(keys().join("root.json")).unwrap()
}

/// A patch that is small, and nothing else.
fn patcher(old: &[u8], new: &[u8]) -> Result<Vec<Made>, Box<dyn std::error::Error + Send + Sync>> {
    let content = [&b"patch"[..], rap_core::digest::Sha256::of(new).as_bytes()].concat();
    let (file, bytes) = ways::piece(content);
    let patch = Patch {
        from: rap_core::digest::Sha256::of(old),
        over: Over::Raw,
        memory_mib: 100,
        pieces: vec![file],
    };
    Ok(vec![Made {
        patch,
        pieces: vec![bytes],
    }])
}

#[test]
fn a_box_finds_the_release_and_can_put_it_together() {
    let desk = Desk::new();
    let image = desk.image("1.0.0");
    let uki = std::fs::read(image.path.join("rap.efi")).unwrap();
    let outcome = desk.publish(image);
    let manifest = found(&desk.repository(), &first_root()).unwrap();
    assert_eq!((manifest.number, manifest.version.as_str()), (1, "1.0.0"));
    assert_eq!(manifest.memory_mib, 256);
    assert_eq!(
        ways::restore(&desk.repository(), &manifest).unwrap().unwrap(),
        uki
    );
    assert_eq!(outcome.releases[0].uki_bytes, uki.len() as u64);
    assert!(outcome.metadata_bytes < 10_000, "{}", outcome.metadata_bytes);
}

#[test]
fn each_release_has_patches_from_those_before_it() {
    let desk = Desk::new();
    for version in ["1", "2", "3", "4"] {
        let mut order = desk.order(desk.image(version));
        order.patches = 2;
        publish(&order, Some(&patcher), &unneeded(), &|_| ()).unwrap();
    }
    let newest = found(&desk.repository(), &first_root()).unwrap();
    let repository = Repository::read(&desk.repository()).unwrap().unwrap();
    let from = |number: u64| {
        let mut all = repository.releases.iter();
        all.find(|release| release.number == number).unwrap().uki.sha256
    };
    assert_eq!(newest.number, 4);
    assert_eq!(
        newest.patches.iter().map(|patch| patch.from).collect::<Vec<_>>(),
        [from(3), from(2)]
    );
    assert_eq!(
        repository
            .current()
            .map(|release| release.number)
            .collect::<Vec<_>>(),
        [4]
    );
}

#[test]
fn the_same_images_keys_and_times_give_the_same_bytes() {
    let (one, other) = (Desk::new(), Desk::new());
    let mut order = one.order(one.image("1.0.0"));
    publish(&order, None, &unneeded(), &|_| ()).unwrap();
    order.repository = other.repository();
    publish(&order, None, &unneeded(), &|_| ()).unwrap();
    let content = |desk: &Desk| {
        let (names, _) = place::names(&desk.repository()).unwrap();
        let read = |name: String| {
            let bytes = std::fs::read(desk.repository().join(&name)).unwrap();
            (name, bytes)
        };
        names.into_iter().map(read).collect::<Vec<_>>()
    };
    assert_eq!(content(&one), content(&other));
    let tar = |desk: &Desk| {
        let out = desk.place.path().join("bundle.tar");
        bundle(&desk.repository(), &[], &out).unwrap();
        std::fs::read(out).unwrap()
    };
    assert_eq!(tar(&one), tar(&other));
}

#[test]
fn a_bundle_is_a_repository_of_the_newest_release() {
    let desk = Desk::new();
    desk.publish(desk.image("1.0.0"));
    desk.publish(desk.image("1.1.0"));
    let out = desk.place.path().join("bundle.tar");
    let bundled = bundle(&desk.repository(), &["qemu".to_owned()], &out).unwrap();
    assert_eq!(bundled.releases, [("qemu".to_owned(), 2, "1.1.0".to_owned())]);
    let unpacked = desk.place.path().join("unpacked");
    let mut archive = tar::Archive::new(std::fs::File::open(&out).unwrap());
    archive.unpack(&unpacked).unwrap();
    let manifest = found(&unpacked, &first_root()).unwrap();
    assert_eq!(manifest.number, 2);
    assert!(ways::restore(&unpacked, &manifest).unwrap().is_some());
    let error = bundle(&desk.repository(), &["other".to_owned()], &out).unwrap_err();
    assert!(
        matches!(&error, PublishError::NoRelease(profile) if profile == "other"),
        "{error}"
    );
}

#[test]
fn a_refresh_signs_what_will_expire_and_nothing_else() {
    let desk = Desk::new();
    let mut order = desk.order(desk.image("1.0.0"));
    order.expiry.targets = 1000;
    publish(&order, None, &unneeded(), &|_| ()).unwrap();
    let versions = || {
        let repository = Repository::read(&desk.repository()).unwrap().unwrap();
        (
            repository.targets.signed.version.get(),
            repository.snapshot.signed.version.get(),
            repository.timestamp.signed.version.get(),
        )
    };
    let at = |days: i64, whole: bool| {
        let now = Timestamp::from_second(Timestamp::now().as_second() + days * 86_400).unwrap();
        refresh(
            &desk.repository(),
            &desk.keys,
            now,
            Expiry::default(),
            whole,
            &unneeded(),
            &|_| (),
        )
        .unwrap()
    };
    assert_eq!(versions(), (1, 1, 1));
    at(1, false);
    assert_eq!(versions(), (1, 1, 2));
    at(390, false);
    assert_eq!(versions(), (1, 2, 3));
    at(980, false);
    assert_eq!(versions(), (2, 3, 4));
    at(980, true);
    assert_eq!(versions(), (3, 4, 5));
    assert_eq!(found(&desk.repository(), &first_root()).unwrap().number, 1);
}

/// The repository's folder, as a box reads it.
#[derive(Debug)]
struct Folder(PathBuf);

impl Source for Folder {
    fn fetch(&self, name: &Name, limit: u64) -> Result<Vec<u8>, SourceError> {
        let bytes = std::fs::read(self.0.join(name.to_string()));
        match bytes {
            Ok(bytes) if bytes.len() as u64 <= limit => Ok(bytes),
            Ok(_) => Err(SourceError::TooLong {
                name: name.clone(),
                limit,
            }),
            Err(_) => Err(SourceError::NotThere { name: name.clone() }),
        }
    }
}

#[test]
fn the_boxs_own_client_takes_release_after_release_over_two_new_roots_and_from_a_bundle() {
    let desk = rotation::desk();
    let first = std::fs::read(desk.keys.join("root.json")).unwrap();
    let memory = desk.place.path().join("memory");
    let check = |source: Arc<dyn Source>| {
        let question = Question {
            root: &first,
            profile: "qemu",
            floor: u64::try_from(Timestamp::now().as_second()).unwrap(),
            scratch: &desk.place.path().join("scratch"),
        };
        trust::check(&source, question, &mut Directory(memory.clone())).unwrap_or_else(|e| panic!("{e:?}"))
    };
    let folder = || Arc::new(Folder(desk.repository()));
    desk.publish(desk.image("1.0.0"));
    let one = check(folder());
    assert_eq!((one.manifest.number, one.versions.root), (1, 1));
    rotation::replace(&desk, &["update-online"]);
    rotation::replace(&desk, &["update-root-1", "update-root-3"]);
    desk.publish(desk.image("1.1.0"));
    let two = check(folder());
    assert_eq!(
        (two.manifest.number, two.versions.root, two.versions.targets),
        (2, 3, 2)
    );
    let sbom = std::fs::read(desk.place.path().join("image-1.1.0/sbom.cdx.json")).unwrap();
    assert_eq!(two.sbom.unwrap().sha256, rap_core::digest::Sha256::of(&sbom));

    let out = desk.place.path().join("bundle.tar");
    bundle(&desk.repository(), &[], &out).unwrap();
    let source = Bundle::open(&out).unwrap();
    for piece in repository::pieces_of(&two.manifest) {
        let bytes = source.fetch(&Name::piece(&piece.sha256), piece.bytes).unwrap();
        assert_eq!(rap_core::digest::Sha256::of(&bytes), piece.sha256);
    }
    assert_eq!(check(Arc::new(source)).manifest, two.manifest);
}
