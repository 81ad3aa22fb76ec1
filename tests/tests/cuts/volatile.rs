//! The disk itself: what is flushed stays, what is not is gone, and nothing of it is left behind.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rap_qemu::process::{Running, spawn};
use rap_tests::volatile::{Survivors, Volatile};

use super::possible;

/// Runs a shell command on the disk, in a process of its own; what it prints.
pub(crate) fn on(disk: &Volatile, script: &str) -> String {
    let mut command = Command::new("sh");
    command
        .args(["-euc", script])
        .current_dir("/")
        .env("D", disk.directory());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = spawn(command, None, Vec::new())
        .unwrap()
        .wait_with_output()
        .unwrap();
    assert!(
        output.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_was_synced_survives_a_cut_and_what_was_not_is_gone() {
    if !possible() {
        return;
    }
    let mut disk = Volatile::new(16 << 20).unwrap();
    // Sizes and names are settled first, so that the contents alone are at stake.
    on(
        &disk,
        "dd if=/dev/zero of=$D/synced bs=64k count=1 status=none; cp $D/synced $D/unsynced; cp $D/synced $D/other; sync",
    );
    let overwrite = |name: &str, flag: &str| {
        format!(
            "printf %65536s | tr ' ' x | dd of=$D/{name} bs=64k iflag=fullblock conv=notrunc{flag} status=none"
        )
    };
    on(&disk, &overwrite("unsynced", ""));
    on(&disk, &overwrite("synced", ",fdatasync"));
    // Direct: past the page cache, into the disk's own cache, and there it ends.
    on(
        &disk,
        &overwrite("other", "").replace("status", "oflag=direct status"),
    );
    assert!(disk.unflushed() >= 64 << 10, "{} bytes", disk.unflushed());
    assert_eq!(on(&disk, "tr -d '\\0' <$D/other | wc -c").trim(), "65536");
    disk.cut(Survivors::None).unwrap();
    disk.restore().unwrap();
    let held = |name: &str| {
        on(&disk, &format!("tr -d '\\0' <$D/{name} | wc -c"))
            .trim()
            .to_owned()
    };
    assert_eq!(
        held("synced"),
        "65536",
        "fdatasync was answered and its data is gone"
    );
    assert_eq!(held("unsynced"), "0", "the page cache outlived a power cut");
    assert_eq!(held("other"), "0", "the disk's cache outlived a power cut");
}

#[test]
fn a_cut_may_spare_some_sectors_of_a_write() {
    if !possible() {
        return;
    }
    let mut disk = Volatile::new(16 << 20).unwrap();
    on(
        &disk,
        "dd if=/dev/zero of=$D/torn bs=64k count=1 status=none; sync",
    );
    on(
        &disk,
        "printf %65536s | tr ' ' x | dd of=$D/torn bs=64k iflag=fullblock conv=notrunc oflag=direct status=none",
    );
    disk.cut(Survivors::Half { seed: 3 }).unwrap();
    disk.restore().unwrap();
    let left: u32 = on(&disk, "tr -d '\\0' <$D/torn | wc -c").trim().parse().unwrap();
    assert_eq!(left % 512, 0, "a sector is written whole or not at all");
    assert!(
        (8 << 10..56 << 10).contains(&left),
        "{left} bytes of 65536 are left"
    );
}

#[test]
fn the_power_goes_instead_of_a_flush() {
    if !possible() {
        return;
    }
    let mut disk = Volatile::new(16 << 20).unwrap();
    on(&disk, "echo 1 >$D/before; sync $D/before");
    disk.cut_at_flush(0, Survivors::None);
    on(&disk, "echo 1 >$D/after; ! sync $D/after");
    assert!(disk.wait_cut(Duration::from_secs(60)));
    disk.restore().unwrap();
    let names = on(&disk, "ls $D");
    assert!(names.contains("before") && !names.contains("after"), "{names}");
}

/// The mount points below a directory.
fn mounts(below: &Path) -> usize {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let below = below.parent().unwrap().display().to_string();
    table.lines().filter(|line| line.contains(&below)).count()
}

#[test]
fn nothing_is_left_behind_even_by_a_killed_process() {
    if !possible() {
        return;
    }
    let disk = Volatile::new(16 << 20).unwrap();
    let directory = disk.directory().to_owned();
    assert_eq!(mounts(&directory), 2);
    drop(disk);
    assert_eq!(mounts(&directory), 0);
    assert!(!directory.exists());

    // Killed while a program of its own is in the middle of a sync.
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "volatile::child_with_a_disk", "--nocapture"]);
    command
        .env("RAP_TEST_CHILD", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = Running(spawn(command, None, Vec::new()).unwrap());
    let told = std::io::BufReader::new(child.0.stdout.take().unwrap());
    let directory = std::io::BufRead::lines(told)
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("on ").map(std::path::PathBuf::from))
        .unwrap();
    assert_eq!(mounts(&directory), 2);
    drop(child);
    // A program it was just starting may hold its lock for another moment.
    let begun = Instant::now();
    while directory.exists() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{} is left",
            directory.display()
        );
        drop(Volatile::new(16 << 20).unwrap());
    }
    assert_eq!(mounts(&directory), 0);
}

/// Not a test by itself: the process the test above kills.
#[test]
fn child_with_a_disk() {
    if std::env::var_os("RAP_TEST_CHILD").is_none() {
        return;
    }
    let disk = Volatile::new(16 << 20).unwrap();
    println!("on {}", disk.directory().display());
    loop {
        on(&disk, "for n in 1 2 3; do echo $n >$D/$n; sync $D/$n; done");
    }
}
