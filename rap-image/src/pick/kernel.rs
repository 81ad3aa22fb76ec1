//! The kernel, its wished modules and those they need, decompressed, and the order to load them in.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use super::libraries::owner;
use super::tree::{Owner, Tree, entry};
use super::{Error, firmware};
use crate::deb::Contents;
use crate::lock::{Group, Lock};
use crate::modules;
use crate::overlay::Stack;
use crate::payload::Kind;
use crate::store::Store;

/// What the kernel's package gives besides the modules in the tree.
pub(super) struct Kernel {
    /// `vmlinuz`.
    pub(super) image: Vec<u8>,
    /// As `uname -r` says it.
    pub(super) version: String,
    /// The text of `/etc/rap/modules`.
    pub(super) load_order: String,
    /// The text of `/etc/rap/installer-modules`: what the installer loads besides.
    pub(super) installer_order: String,
}

/// Puts the modules into the tree.
pub(super) fn pick(stack: &Stack, lock: &Lock, store: &Store, tree: &mut Tree) -> Result<Kernel, Error> {
    let packages = lock.group(Group::Kernel);
    let Some(package) = packages.first() else {
        return Err(crate::lock::Error::NotLocked(stack.kernel.clone()).into());
    };
    let owner = owner(package);
    let wrong = |what| Error::Kernel {
        package: owner.clone(),
        what,
    };
    let unreadable = |error| Error::Package(owner.clone(), error);
    let contents = firmware::contents(package, store)?;
    let image = contents.paths().find(|path| path.starts_with("boot/vmlinuz-"));
    let image = image.ok_or_else(|| wrong("has no boot/vmlinuz-VERSION"))?;
    let version = image.trim_start_matches("boot/vmlinuz-").to_owned();
    let folder = format!("usr/lib/modules/{version}");
    let built_in = contents
        .content(&format!("{folder}/modules.builtin"))
        .map_err(unreadable)?;
    let built_in: BTreeSet<_> = String::from_utf8_lossy(&built_in)
        .lines()
        .map(modules::name)
        .collect();
    let places = places(&contents, &folder);
    let mut loaded: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut order = |wishes: &[(String, String)]| {
        modules::load_order(
            wishes,
            &built_in,
            |module| places.contains_key(module),
            |module| {
                if let Some(content) = loaded.get(module) {
                    return Ok(modules::needs(module, content)?);
                }
                let place = places.get(module).ok_or_else(|| wrong("lost a module"))?;
                let content = decompressed(&contents.content(place).map_err(unreadable)?, place)
                    .map_err(|error| Error::Package(owner.clone(), crate::deb::Error::Read(error)))?;
                let needs = modules::needs(module, &content)?;
                loaded.insert(module.to_owned(), content);
                Ok::<_, Error>(needs)
            },
        )
    };
    let wishes: Vec<_> = stack
        .modules()
        .into_iter()
        .chain(stack.installer_modules())
        .collect();
    // The installer's come behind the appliance's, so these are the beginning of all.
    let own = order(&stack.modules())?.len();
    let order = order(&wishes)?;
    let wished: BTreeMap<_, _> = wishes
        .into_iter()
        .rev()
        .map(|(module, by)| (modules::name(&module), by))
        .collect();
    let (mut load_order, mut installer_order) = (String::new(), String::new());
    for (number, module) in order.iter().enumerate() {
        let (Some(place), Some(content)) = (places.get(module), loaded.remove(module)) else {
            return Err(wrong("lost a module"));
        };
        let path = place.trim_end_matches(".xz").trim_end_matches(".zst");
        let reason = match wished.get(module) {
            Some(by) => format!("kernel module wanted by {by}"),
            None => "kernel module that another one needs".to_owned(),
        };
        let list = if number < own {
            &mut load_order
        } else {
            &mut installer_order
        };
        *list += &format!("/{path}\n");
        tree.add(
            Owner::Kernel(owner.clone()),
            entry(path, 0o644, Kind::File(content), &reason),
        )?;
    }
    let image = contents.content(image).map_err(unreadable)?;
    Ok(Kernel {
        image,
        version,
        load_order,
        installer_order,
    })
}

/// Every module's name and path.
fn places(contents: &Contents, folder: &str) -> BTreeMap<String, String> {
    let prefix = format!("{folder}/kernel/");
    let module = |path: &&str| path.starts_with(&prefix) && path.contains(".ko");
    contents
        .paths()
        .filter(module)
        .map(|path| (modules::name(path), path.to_owned()))
        .collect()
}

fn decompressed(content: &[u8], path: &str) -> std::io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    match path.rsplit('.').next() {
        Some("xz") => {
            liblzma::read::XzDecoder::new_multi_decoder(content).read_to_end(&mut plain)?;
        }
        Some("zst") => {
            zstd::Decoder::new(content)?.read_to_end(&mut plain)?;
        }
        _ => plain = content.to_vec(),
    }
    Ok(plain)
}
