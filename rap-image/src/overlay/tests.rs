use std::path::Path;

use super::*;

const BASE: &str = r#"version = 1
[kernel]
package = "linux-image-amd64"
arguments = ["a", "b=c"]
watchdogs = ["dog"]
modules = ["ext4"]
[packages.nftables]
files = ["usr/sbin/nft"]
[users.rap-forward]
id = 901
[directories]
"data" = 0o755
[links]
"etc/x" = "../run/x"
[boot]
loader = { package = "efibootguard", file = "usr/lib/a.efi" }
stub = { package = "systemd-boot-efi", file = "usr/lib/b.stub" }
[lab]
code = { package = "ovmf", file = "c" }
vars = { package = "ovmf", file = "v" }
secure-code = { package = "ovmf", file = "s" }
[toolchain]
packages = ["gcc"]
"#;

fn folder(overlays: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in overlays {
        std::fs::create_dir(folder.path().join(name)).unwrap();
        std::fs::write(folder.path().join(name).join("overlay.toml"), text).unwrap();
    }
    folder
}

fn faults(base: &str) -> Vec<String> {
    let folder = folder(&[("base", base)]);
    let Err(Error::Faults(faults)) = Stack::read(folder.path(), &["base".to_owned()]) else {
        panic!("no faults")
    };
    let prefix = format!("{}/base/overlay.toml:", folder.path().display());
    faults
        .iter()
        .map(|fault| fault.to_string().replace(&prefix, ""))
        .collect()
}

#[test]
fn a_stack_adds_up() {
    let qemu = "version = 1\n[kernel]\narguments = [\"d\"]\nwatchdogs = [\"cat\"]\nmodules = [\"virtio\"]\n";
    let folder = folder(&[("base", BASE), ("qemu", qemu)]);
    let stack = Stack::all(folder.path()).unwrap();
    assert_eq!(stack.command_line(), "a b=c d");
    let modules: Vec<_> = stack
        .modules()
        .into_iter()
        .map(|(module, by)| format!("{module} {by}"))
        .collect();
    assert_eq!(
        modules,
        [
            "dog overlays/base",
            "cat overlays/qemu",
            "ext4 overlays/base",
            "virtio overlays/qemu"
        ]
    );
    assert_eq!(
        stack.users().0,
        "root:x:0:0:root:/root:/usr/sbin/nologin\nrap-forward:x:901:901::/nonexistent:/usr/sbin/nologin\n"
    );
    assert_eq!(stack.overlays[0].directories["data"], 0o755);
}

#[test]
fn all_mistakes_come_at_once_with_their_lines() {
    let text = BASE
        .replace("version = 1", "version = 2")
        .replace("arguments = [\"a\", \"b=c\"]", "arguments = [\"a\", 3]")
        .replace("watchdogs", "watchdog")
        .replace("\"usr/sbin/nft\"", "\"/usr/sbin/nft\"")
        .replace("id = 901", "id = 0")
        .replace("0o755", "\"0755\"")
        .replace("file = \"usr/lib/b.stub\"", "fill = \"b\"");
    assert_eq!(
        faults(&text),
        [
            "1: version: got 2, expected 1; use a newer rap-image, or write `version = 1`",
            "8: packages.nftables.files: got \"/usr/sbin/nft\", expected a path without leading or trailing `/` and \
             without `.` and `..`; write it as `usr/sbin/nft`",
            "5: kernel.watchdog: got an unknown field, expected one of package, arguments, watchdogs, modules, installer-modules; correct \
             its spelling or remove it",
            "4: kernel.arguments: got 3, expected a text; change the value",
            "10: users.rap-forward.id: got 0, expected a number from 1 to 65534; change the value",
            "12: directories.data: got \"0755\", expected a number; change the value",
            "17: boot.stub.fill: got an unknown field, expected one of package, file; correct its spelling or remove it",
            "17: boot.stub.file: got nothing, expected a text; add it",
        ]
    );
}

#[test]
fn what_only_a_stack_shows() {
    let mut without_kernel = BASE.replace("package = \"linux-image-amd64\"\n", "");
    without_kernel += "[users.other]\nid = 901\n";
    let found = faults(&without_kernel);
    assert!(
        found
            .iter()
            .any(|fault| fault.contains("kernel.package: got 0 overlays that say it")),
        "{found:?}"
    );
    assert!(
        found.iter().any(|fault| fault.contains("id: got 901, which is")),
        "{found:?}"
    );
}

#[test]
fn bad_toml_is_a_fault_with_its_line() {
    let found = faults("version = 1\n[kernel\n");
    assert!(found[0].starts_with("2: the file: got "), "{found:?}");
}

#[test]
fn an_unknown_overlay_names_those_there_are() {
    let folder = folder(&[("base", BASE)]);
    let message = Stack::read(folder.path(), &["bass".to_owned()])
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("no overlay \"bass\"") && message.ends_with("there are: base"),
        "{message}"
    );
}

#[test]
fn rootfs_modes_do_not_depend_on_the_umask() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder(&[("base", BASE)]);
    let root = folder.path().join("base/rootfs");
    std::fs::create_dir_all(root.join("etc")).unwrap();
    for (name, mode) in [("etc/plain", 0o600), ("etc/run", 0o700)] {
        std::fs::write(root.join(name), name).unwrap();
        std::fs::set_permissions(root.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let stack = Stack::all(folder.path()).unwrap();
    let entries = rootfs(&stack.overlays[0]).unwrap();
    let found: Vec<_> = entries
        .iter()
        .map(|entry| (entry.path.as_str(), entry.mode))
        .collect();
    assert_eq!(found, [("etc", 0o755), ("etc/plain", 0o644), ("etc/run", 0o755)]);
}

#[test]
fn our_own_overlays_are_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../overlays");
    let stack = Stack::all(&folder).unwrap();
    assert!(stack.overlays.len() >= 4);
}
