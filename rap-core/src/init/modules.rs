//! Kernel modules in the order the builder worked out, and the settings of `/etc/sysctl.d`.

use std::ffi::c_int;
use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// `MODULE_INIT_COMPRESSED_FILE` (include/uapi/linux/module.h): the kernel unpacks the file itself.
const COMPRESSED: c_int = 4;

/// The paths in a module list: one a line, `#` starts a comment.
fn parse_list(text: &str) -> Vec<PathBuf> {
    text.lines()
        .filter_map(|line| line.split('#').next())
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(PathBuf::from)
        .collect()
}

/// Loads one module. One that is loaded, built in, or finds no hardware is as good as loaded.
///
/// # Errors
/// What the kernel or the file system says.
fn load(path: &Path) -> std::io::Result<()> {
    let file = File::open(path)?;
    let compressed = path.extension().is_some_and(|extension| extension != "ko");
    match rustix::system::finit_module(&file, c"", if compressed { COMPRESSED } else { 0 }) {
        Ok(()) | Err(Errno::EXIST | Errno::NODEV) => Ok(()),
        // What the kernel says when a symbol is unknown; its log names the symbol.
        Err(Errno::NOENT) => Err(std::io::Error::other("a module it needs is not loaded before it")),
        Err(error) => Err(error.into()),
    }
}

/// Loads the modules of a list in its order; calls `after` each.
pub(super) fn load_all(list: &str, mut after: impl FnMut()) {
    for module in parse_list(list) {
        if let Err(error) = load(&module) {
            log::error!("cannot load {}: {error}", module.display());
        }
        after();
    }
}

/// The settings in a file of `key = value` lines, as paths below `/proc/sys` and what to write there.
///
/// As in sysctl.d(5): `#` and `;` start comments, dots and slashes in a key may change places, and a `-` before a
/// key says that a failure does not matter, which is true of every key here: a failure is a warning.
pub(super) fn parse_settings(text: &str) -> Vec<(PathBuf, String)> {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.starts_with(['#', ';']))
        .filter_map(|line| line.split_once('='))
        .filter_map(|(key, value)| {
            let key = key.trim().trim_start_matches('-');
            // Whichever comes first separates (sysctl.d(5)).
            let path: String = match key.find(['/', '.']).map(|at| key.as_bytes()[at]) {
                Some(b'.') => key.chars().map(swap).collect(),
                _ => key.to_owned(),
            };
            let climbs = path.split('/').any(|part| part.is_empty() || part == "..");
            (!climbs).then(|| (Path::new("/proc/sys").join(path), value.trim().to_owned()))
        })
        .collect()
}

fn swap(c: char) -> char {
    match c {
        '.' => '/',
        '/' => '.',
        _ => c,
    }
}

/// Keeps all but the kernel's emergencies off the console (`console_loglevel`, Documentation/admin-guide/sysctl/kernel.rst).
pub(super) fn quiet() {
    if let Err(error) = std::fs::write("/proc/sys/kernel/printk", "1") {
        log::warn!("the kernel goes on talking on the console: {error}");
    }
}

/// Writes the settings of every `*.conf` in `directory`. Failures are warnings.
pub(super) fn apply_settings(directory: &Path) {
    for (path, value) in settings(directory) {
        if let Err(error) = std::fs::write(&path, &value) {
            log::warn!("cannot set {} to {value}: {error}", path.display());
        }
    }
}

/// The settings of every `*.conf` in `directory`, in the order of the file names.
pub(super) fn settings(directory: &Path) -> Vec<(PathBuf, String)> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
    files.sort();
    let read = |file: &PathBuf| {
        std::fs::read_to_string(file).unwrap_or_else(|error| {
            log::warn!("{}: {error}", file.display());
            String::new()
        })
    };
    files
        .iter()
        .flat_map(|file| parse_settings(&read(file)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_modules() {
        let text = "/lib/a.ko\n\n# why\n /lib/b.ko.xz  # and this\n";
        assert_eq!(
            parse_list(text),
            [PathBuf::from("/lib/a.ko"), PathBuf::from("/lib/b.ko.xz")]
        );
    }

    #[test]
    fn settings() {
        let text = "# comment\nkernel.kptr_restrict = 2\n-net.ipv4.conf.eth0/1.rp_filter=1\nnet/core/x = a b\nno line\n../up = 1\n";
        let expected = [
            ("/proc/sys/kernel/kptr_restrict", "2"),
            ("/proc/sys/net/ipv4/conf/eth0.1/rp_filter", "1"),
            ("/proc/sys/net/core/x", "a b"),
        ];
        let expected = expected.map(|(path, value)| (PathBuf::from(path), value.to_owned()));
        assert_eq!(parse_settings(text)[..3], expected);
        assert!(parse_settings("a..b = 1\n").is_empty() && parse_settings("/etc/x = 1\n").is_empty());
        assert!(
            parse_settings(text)
                .iter()
                .all(|(path, _)| path.starts_with("/proc/sys"))
        );
    }

    #[test]
    fn a_missing_module_is_an_error() {
        assert!(load(Path::new("/nonexistent.ko")).is_err());
    }
}
