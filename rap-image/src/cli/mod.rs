//! The verbs of `rap-image`: each file has its `Args` and its `run`, and does nothing but wire the library together.

mod build;
mod check;
mod completions;
mod flash;
mod hermetic_cell;
mod keys;
mod lock;
mod provision;
mod publish;
mod run;
mod sbom;
mod sources;
mod verify;

use clap::{Parser, Subcommand};

/// Builds the appliance's operating system from pinned Debian packages and this repository.
#[derive(Debug, Parser)]
#[command(
    name = "rap-image",
    version,
    propagate_version = true,
    after_help = "Exit codes: 0 done; 1 the answer is no (lock --check, verify --expect, flash not confirmed); 2 it could not be done.\n\n\
                  The way from nothing to a box on the desk:\n  \
                  rap-image keys dev                     once\n  \
                  rap-image build                        packages, programs, target/image/qemu\n  \
                  rap-image verify target/image/qemu/disk.img\n  \
                  rap-image run --site site.toml --identity keys/dev\n  \
                  rap-image flash target/image/qemu/disk.img /dev/sdX\n  \
                  rap-image sbom target/image/qemu --out target/image/qemu/sbom.cdx.json\n  \
                  rap-image publish target/image/qemu --repository updates --keys keys/dev\n\n\
                  Packages are kept in ~/.cache/rap-image (or $XDG_CACHE_HOME). Where they come from is said by --mirror, \
                  RAP_IMAGE_MIRROR, `mirror = \"…\"` in ~/.config/rap-image/config.toml, or the host's apt sources."
)]
pub(crate) struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Pin every package the overlays need, or say whether newer ones exist
    Lock(lock::Args),
    /// Build the image from what the lock names
    Build(build::Args),
    /// Read an image again and print what is in it
    Verify(verify::Args),
    /// List everything an image is made of, as CycloneDX
    Sbom(sbom::Args),
    /// Boot an image in the lab
    Run(run::Args),
    /// Write an image to a device, a stick or a disk, and read it back
    Flash(flash::Args),
    /// Make keys, replace them, say what they are
    Keys(keys::Args),
    /// Make a box's keys and certificates, or answer its certificate request
    Provision(provision::Args),
    /// Add a release to a repository of updates
    Publish(publish::PublishArgs),
    /// Sign a repository of updates anew, before boxes stop to believe it
    Refresh(publish::RefreshArgs),
    /// Write the newest release as one file, for a box without a network
    Bundle(publish::BundleArgs),
    /// Take the pieces of old releases out of a repository of updates
    Prune(publish::PruneArgs),
    /// Check a site.toml on the desk
    Check(check::Args),
    /// The inside of the hermetic build; `build` starts it
    #[command(name = rap_image::hermetic::VERB, hide = true)]
    HermeticCell(hermetic_cell::Args),
    /// Print the completions for a shell
    Completions(completions::Args),
}

/// The answer "no" to a question that was asked and could be answered: exit code 1, not an error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct No(pub(crate) String);

/// Carries out one verb.
pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command.verb {
        Verb::Lock(args) => lock::run(args),
        Verb::Build(args) => build::run(args),
        Verb::Verify(args) => verify::run(args),
        Verb::Sbom(args) => sbom::run(args),
        Verb::Run(args) => run::run(args),
        Verb::Flash(args) => flash::run(args),
        Verb::Keys(args) => keys::run(args),
        Verb::Provision(args) => provision::run(args),
        Verb::Publish(args) => publish::publish(args),
        Verb::Refresh(args) => publish::refresh(args),
        Verb::Bundle(args) => publish::bundle(args),
        Verb::Prune(args) => publish::prune(args),
        Verb::Check(args) => check::run(args),
        Verb::HermeticCell(args) => hermetic_cell::run(args),
        Verb::Completions(args) => completions::run(args),
    }
}
