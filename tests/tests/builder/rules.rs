//! The firewall rules the box will load, put to the very nft that is in the image.

use std::path::Path;
use std::process::Command;

use netfw::plan::NetPlan;
use netfw::ruleset::Table;
use rap_core::site::{EXAMPLE, Site};
use rap_image::cpio;
use rap_image::payload::Kind;
use rap_image::uki::Program;

use crate::rig::{has, repository};

#[test]
fn the_images_nft_takes_every_rule() {
    let uki = repository().join("target/image/qemu/rap.efi");
    if !has(rustix::process::geteuid().is_root(), "root")
        || !has(uki.is_file(), "the image (rap-image build)")
    {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    unpack(&std::fs::read(uki).unwrap(), place.path());
    let by_dhcp = EXAMPLE
        .replace(
            "address = \"10.9.0.2/24\" # or \"dhcp\"\ngateway = \"10.9.0.1\"",
            "address = \"dhcp\"",
        )
        .replace("ipv6 = \"off\"", "ipv6 = \"slaac\"");
    assert_ne!(by_dhcp, EXAMPLE);
    for text in [EXAMPLE, &by_dhcp] {
        let site = Site::parse(text, Path::new("site.toml")).unwrap_or_else(|e| panic!("{e}"));
        let plan = NetPlan::new(&site.network().unwrap());
        for table in tables(&plan) {
            let checked = netfw::nft::check(nft(place.path()), table);
            checked.unwrap_or_else(|error| panic!("{error}\n{}", table.text()));
        }
    }
}

fn tables(plan: &NetPlan) -> impl Iterator<Item = &Table> {
    let policies = plan.ports.iter().chain([&plan.root]).map(|place| &place.table);
    let sessions = plan.sessions.iter().flat_map(|sessions| {
        let ports = sessions.ports.iter().map(|port| &port.table);
        ports.chain([&sessions.root_table])
    });
    policies.chain(sessions)
}

/// Programs and libraries of an image, below `place`.
fn unpack(uki: &[u8], place: &Path) {
    let initramfs = Program::parse(uki).unwrap().required(".initrd").unwrap();
    for entry in cpio::read(initramfs).unwrap().into_iter().flatten() {
        let wanted = entry.path.starts_with("usr/lib") && !entry.path.contains("/modules/");
        if !wanted && entry.path != "usr/sbin/nft" {
            continue;
        }
        let path = place.join(&entry.path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        match entry.kind {
            Kind::Directory => std::fs::create_dir_all(path).unwrap(),
            Kind::File(content) => {
                std::fs::write(&path, content).unwrap();
                let mode = std::os::unix::fs::PermissionsExt::from_mode(entry.mode);
                std::fs::set_permissions(path, mode).unwrap();
            }
            Kind::Link(target) => std::os::unix::fs::symlink(target, path).unwrap(),
        }
    }
}

/// The image's nft, with the image's libraries instead of this machine's.
fn nft(place: &Path) -> Command {
    let mut nft = Command::new(place.join("usr/lib64/ld-linux-x86-64.so.2"));
    nft.arg("--inhibit-cache").arg("--library-path");
    nft.arg(place.join("usr/lib/x86_64-linux-gnu"));
    nft.arg(place.join("usr/sbin/nft"));
    nft
}
