//! `rap-image lock`: pins every package the overlays need, or says whether newer ones exist.

use rap_image::lock::{self, Catalogue, Lock};
use rap_image::overlay::Stack;

use super::No;
use super::sources::Sources;

/// What `lock` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Believes the suites' signatures by the certificates in overlays/keyring, and no mirror that is behind the \
                  lock. Writes overlays/image.lock and prints what changed: read its diff before committing it.\n\n\
                  Exit codes: 0 written, or current; 1 --check: something newer exists; 2 it could not be done."
)]
pub(super) struct Args {
    /// Write nothing; exit 0 when the lock is current, 1 when something newer exists
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    sources: Sources,
}

/// Makes the lock anew and says what changed.
pub(super) fn run(args: Args) -> anyhow::Result<()> {
    let Args { check, sources } = args;
    let stack = Stack::all(&sources.overlays)?;
    let path = sources.lock();
    let old = match Lock::read(&path) {
        Ok(old) => Some(old),
        Err(lock::Error::Absent(_)) if !check => None,
        Err(error) => return Err(error.into()),
    };
    let catalogue = Catalogue::fetch(&sources.fetcher()?, &sources.keyring(), old.as_ref())?;
    let new = lock::make(&stack, &catalogue)?;
    let changes = old.as_ref().map(|old| lock::changes(old, &new));
    let changed = changes.as_ref().is_none_or(|changes| !changes.is_empty());
    for change in changes.iter().flatten() {
        println!("{change}");
    }
    if check {
        return match changes.map_or(0, |changes| changes.len()) {
            0 => {
                println!("the lock is current: {} packages", new.packages.len());
                Ok(())
            }
            newer => Err(No(format!(
                "{newer} package(s) would change; `rap-image lock` writes them"
            ))
            .into()),
        };
    }
    new.write(&path)?;
    let verb = if changed { "wrote" } else { "nothing changed in" };
    println!(
        "{verb} {}: {} packages, Debian as of {}",
        path.display(),
        new.packages.len(),
        new.time()
    );
    Ok(())
}
