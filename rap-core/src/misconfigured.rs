//! A service that cannot work because of how the box is configured: it stays and says so. Ending would only make init
//! start it again, and in the end restart the box, which mends no file.

use std::path::Path;
use std::time::Duration;

use crate::notify::Notifier;
use crate::{paths, status};

const BEAT: Duration = Duration::from_secs(2);

/// Says what is wrong, on the console and in the status of `service`, and keeps init content until the box is
/// provisioned anew, which takes a restart.
pub(crate) fn stay(service: &str, why: &anyhow::Error, notifier: &Notifier) -> ! {
    log::error!("{why:#}; waiting to be provisioned");
    report(Path::new(paths::STATUS), service, why);
    notifier.status("cannot work as it is configured");
    notifier.ready();
    loop {
        notifier.alive();
        std::thread::sleep(BEAT);
    }
}

fn report(directory: &Path, service: &str, why: &anyhow::Error) {
    let problems = serde_json::json!({ "problems": [format!("{why:#}")] });
    if let Err(error) = status::write(directory, service, &problems) {
        log::warn!("the status cannot be written: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rapctl_finds_the_problem_with_its_cause() {
        let place = tempfile::tempdir().unwrap();
        let why = anyhow::anyhow!("no such file").context("reading site.toml");
        report(place.path(), "netd", &why);
        let all = status::read_all(place.path()).unwrap();
        assert_eq!(
            status::problems(&all["netd"]),
            ["reading site.toml: no such file"]
        );
    }
}
