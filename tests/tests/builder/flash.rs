//! `rap-image flash` on loop devices: what is written is sound on disks of any size, nothing that was there before is in
//! reach, who does not come to the end leaves nothing that boots, and the wrong device is refused.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rap_core::boot::disk::{Partition, Place, Table};
use rap_tests::loop_device::Loop;

use crate::rig::{self, Outcome, QUICK, has, rap_image, repository};

/// What util-linux, which shares no code with us, finds at the end of a disk that was part of an array.
const ARRAY: &[u8] = b"Intel Raid ISM Cfg Sig. 1.0.00";
const ALL: &[&str] = &["--internal", "--yes", "--json"];

fn image() -> PathBuf {
    repository().join("target/image/qemu/disk.img")
}

/// Whether the test can go on.
fn ready() -> bool {
    has(rustix::process::geteuid().is_root(), "root, for a loop device")
        && has(image().is_file(), "target/image/qemu (rap-image build)")
}

fn flash(device: &Path, options: &[&str]) -> Outcome {
    let mut command = rap_image();
    command.arg("flash").arg(image()).arg(device).args(options);
    rig::run(&mut command, QUICK, None)
}

/// A sparse file.
fn disk(place: &Path, bytes: u64) -> PathBuf {
    let path = place.join("device");
    File::create_new(&path).unwrap().set_len(bytes).unwrap();
    path
}

fn run(program: &str, arguments: &[&str], device: &Path) -> String {
    let output = Command::new(program)
        .args(arguments)
        .arg(device)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// The part of a file where a partition is.
fn partition(file: &Path, partition: &Partition) -> Loop {
    let (offset, length) = (partition.offset().to_string(), partition.length().to_string());
    Loop::with(file, &["--offset", &offset, "--sizelimit", &length]).unwrap()
}

/// What `wipefs` finds: the type of every signature that any program might believe.
fn signatures(device: &Path) -> Vec<String> {
    let said = run("wipefs", &["--parsable", "--output", "TYPE"], device);
    said.lines()
        .filter(|line| !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

/// Leaves a file system, a swap area and a member of an array in each partition that will be, and in the whole.
fn fill_with_old_things(file: &Path, table: &Table, bytes: u64) {
    for place in Place::ALL {
        let device = partition(file, table.partition(place));
        match place {
            Place::Provision => drop(run("mkswap", &[], device.path())),
            _ => drop(run("mke2fs", &["-q", "-F", "-t", "ext4"], device.path())),
        }
        let end = table.partition(place).length() - 1024;
        let part = File::options().write(true).open(device.path()).unwrap();
        part.write_all_at(ARRAY, end).unwrap();
        part.sync_all().unwrap();
        assert!(
            signatures(device.path()).len() >= 2,
            "{place:?}: {:?}",
            signatures(device.path())
        );
    }
    let whole = File::options().write(true).open(file).unwrap();
    whole.write_all_at(ARRAY, bytes - 1024).unwrap();
}

#[test]
fn disks_of_three_sizes_full_of_old_things_become_sound_and_nothing_old_is_found() {
    if !ready() {
        return;
    }
    for bytes in [Table::fresh_disk_bytes(), 2 << 30, 64 << 30] {
        let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let file = disk(place.path(), bytes);
        fill_with_old_things(&file, &Table::fresh().grown(bytes), bytes);
        let device = Loop::of(&file).unwrap();
        let outcome = flash(device.path(), ALL);
        assert_eq!(outcome.code, Some(0), "{bytes}: {}", outcome.text);
        assert!(
            outcome.text.contains(r#""interrupted-before":false"#),
            "{}",
            outcome.text
        );

        let found = signatures(device.path());
        assert!(
            found.iter().all(|kind| ["gpt", "PMBR"].contains(&kind.as_str())),
            "{bytes}: {found:?}"
        );
        let table = Table::read(&File::open(&file).unwrap(), bytes).unwrap();
        assert_eq!(table, Table::fresh().grown(bytes));
        for part in Place::ALL {
            let device = partition(&file, table.partition(part));
            let found = signatures(device.path());
            if let Place::Provision | Place::Data = part {
                assert!(found.is_empty(), "{bytes} {part:?}: {found:?}");
            } else {
                assert!(
                    found.iter().all(|kind| kind == "vfat"),
                    "{bytes} {part:?}: {found:?}"
                );
                run("fsck.fat", &["-n"], device.path());
            }
        }
        let verify = rig::run(rap_image().arg("verify").arg(device.path()), QUICK, None);
        assert_eq!(verify.code, Some(0), "{bytes}: {}", verify.text);

        // The second table says the same: it is what counts when the first is damaged.
        let both = File::options().read(true).write(true).open(&file).unwrap();
        both.write_all_at(&[0; 512], 512).unwrap();
        assert_eq!(Table::read(&both, bytes).unwrap(), table);
    }
}

/// Killed in the middle of writing: no table, so nothing boots; the next run says so, and ends well.
#[test]
fn an_interrupted_flash_leaves_nothing_bootable_and_the_next_one_says_so() {
    if !ready() {
        return;
    }
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let bytes = 2 << 30;
    let file = disk(place.path(), bytes);
    let device = Loop::of(&file).unwrap();
    assert_eq!(flash(device.path(), ALL).code, Some(0), "a disk that boots");

    let mut command = rap_image();
    command.arg("flash").arg(image()).arg(device.path()).args(ALL);
    let mut child = command
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let deadline = std::time::Instant::now() + QUICK;
    let begun = || {
        rap_core::flash::mark::find(&File::open(device.path()).unwrap())
            .unwrap()
            .is_some()
    };
    while !begun() {
        assert!(child.try_wait().unwrap().is_none(), "it came to its end unseen");
        assert!(std::time::Instant::now() < deadline, "it did not begin");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let found = signatures(device.path());
    assert!(
        !found.iter().any(|kind| kind == "gpt" || kind == "PMBR"),
        "{found:?}"
    );
    let verify = rig::run(rap_image().arg("verify").arg(device.path()), QUICK, None);
    verify.expect_refused(&["interrupted", "flash it again"]);

    let again = flash(device.path(), ALL);
    assert_eq!(again.code, Some(0), "{}", again.text);
    assert!(
        again.text.contains("an earlier flash of it (build ") && again.text.contains("was interrupted"),
        "{}",
        again.text
    );
    assert!(
        again.text.contains(r#""interrupted-before":true"#),
        "{}",
        again.text
    );
    let verify = rig::run(rap_image().arg("verify").arg(device.path()), QUICK, None);
    assert_eq!(verify.code, Some(0), "{}", verify.text);
}

/// A disk that must not be touched, with something on it that shows whether it was.
struct Precious {
    file: PathBuf,
    _place: tempfile::TempDir,
}

impl Precious {
    fn new(bytes: u64) -> Self {
        let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let file = disk(place.path(), bytes);
        let open = File::options().write(true).open(&file).unwrap();
        open.write_all_at(b"precious", 8192).unwrap();
        Self { file, _place: place }
    }

    /// Flashing `device` is refused with `reason`, and not a byte of it was written.
    #[track_caller]
    fn expect_refused(&self, device: &Path, options: &[&str], reason: &str) {
        let before = self.beginning();
        flash(device, options).expect_refused(&[reason]);
        assert!(self.beginning() == before, "it was written to");
    }

    fn beginning(&self) -> Vec<u8> {
        let mut bytes = vec![0; 1 << 20];
        File::open(&self.file)
            .unwrap()
            .read_exact_at(&mut bytes, 0)
            .unwrap();
        bytes
    }
}

#[test]
fn a_read_only_device_is_refused() {
    if ready() {
        let disk = Precious::new(2 << 30);
        let device = Loop::with(&disk.file, &["--read-only"]).unwrap();
        disk.expect_refused(device.path(), ALL, "is read-only; is there a switch on the card?");
    }
}

#[test]
fn a_device_one_sector_too_small_is_refused() {
    if ready() {
        let disk = Precious::new(Table::fresh_disk_bytes() - 512);
        let device = Loop::of(&disk.file).unwrap();
        disk.expect_refused(device.path(), ALL, "bytes; the image needs");
    }
}

#[test]
fn a_device_that_is_not_removable_is_refused_unless_it_was_said() {
    if ready() {
        let disk = Precious::new(2 << 30);
        let device = Loop::of(&disk.file).unwrap();
        disk.expect_refused(
            device.path(),
            &["--yes"],
            "give --internal if it is really the one",
        );
        disk.expect_refused(
            device.path(),
            &["--internal"],
            "nobody can be asked here; give --yes",
        );
    }
}

#[test]
fn a_partition_is_refused_and_the_whole_disk_named() {
    if !ready() {
        return;
    }
    let disk = Precious::new(2 << 30);
    // A disk with partitions: ours.
    let device = Loop::of(&disk.file).unwrap();
    assert_eq!(flash(device.path(), ALL).code, Some(0));
    drop(device);
    // `--partscan` makes the kernel forget the partitions of whatever was on this loop device before, and ours when it is
    // detached; not every kernel knows GPT and finds them by itself, so they are told to it.
    let device = Loop::with(&disk.file, &["--partscan"]).unwrap();
    run("partx", &["--update"], device.path());
    let partition = PathBuf::from(format!("{}p5", device.path().display()));
    let whole = format!("is a partition; give the whole disk, {}", device.path().display());
    disk.expect_refused(&partition, ALL, &whole);
}

#[test]
fn a_swap_area_in_use_is_refused() {
    if !ready() {
        return;
    }
    let disk = Precious::new(2 << 30);
    let device = Loop::of(&disk.file).unwrap();
    run("mkswap", &[], device.path());
    let on = Command::new("swapon").arg(device.path()).output().unwrap();
    if has(on.status.success(), "the right to use a swap area") {
        let refused = std::panic::catch_unwind(|| {
            disk.expect_refused(device.path(), ALL, "is in use as swap; swapoff it first")
        });
        run("swapoff", &[], device.path());
        refused.unwrap();
    }
}

#[test]
fn a_file_and_what_is_not_there_are_refused() {
    if ready() {
        let disk = Precious::new(2 << 30);
        disk.expect_refused(
            &disk.file,
            ALL,
            "is not a block device; lsblk names this computer's disks",
        );
        disk.expect_refused(Path::new("/dev/nothing-there"), ALL, "cannot be looked at");
    }
}
