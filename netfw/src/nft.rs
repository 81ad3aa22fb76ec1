//! Running `nft`: a transaction in, its complaint out.

use std::io::{self, Write as _};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::netns::{self, Namespace};

/// Where Debian, and so the appliance, has it.
const NFT: &str = "/usr/sbin/nft";

/// Why nft did not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be run.
    #[error("cannot run {NFT} (Debian package nftables)")]
    Run(#[source] io::Error),
    /// It refused; nothing was changed.
    #[error("nft refused the rules for namespace {namespace}: {complaint}")]
    Refused {
        /// The namespace.
        namespace: String,
        /// What nft wrote to standard error, in one line.
        complaint: String,
    },
    /// Its listing is not JSON.
    #[error("cannot read what nft listed")]
    Listing(#[source] serde_json::Error),
    /// The namespace could not be entered.
    #[error("cannot run nft inside")]
    Namespace(#[from] netns::Error),
}

/// Runs one transaction in `namespace`: all of it takes effect, or nothing.
///
/// # Errors
/// [`Error::Refused`] with nft's words, [`Error::Run`].
pub fn load(namespace: &Namespace, transaction: &Value) -> Result<(), Error> {
    let output = run(namespace, &["-j", "-f", "-"], transaction.to_string().as_bytes())?;
    if output.status.success() {
        return Ok(());
    }
    Err(refused(namespace, &output))
}

/// Lists the table `inet name`; none when it is not there.
///
/// # Errors
/// [`Error::Run`], [`Error::Listing`].
pub fn list(namespace: &Namespace, name: &str) -> Result<Option<Value>, Error> {
    let output = run(namespace, &["-j", "list", "table", "inet", name], b"")?;
    if output.status.success() {
        return serde_json::from_slice(&output.stdout)
            .map(Some)
            .map_err(Error::Listing);
    }
    // The one failure that is an answer: "No such file or directory", in the C locale.
    if String::from_utf8_lossy(&output.stderr).contains("No such file or directory") {
        return Ok(None);
    }
    Err(refused(namespace, &output))
}

fn run(namespace: &Namespace, arguments: &[&str], input: &[u8]) -> Result<Output, Error> {
    namespace
        .run(|| {
            let mut child = Command::new(NFT)
                .args(arguments)
                .env_clear()
                .env("LC_ALL", "C")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()?;
            let written = child
                .stdin
                .take()
                .map_or(Ok(()), |mut stdin| stdin.write_all(input));
            let output = child.wait_with_output()?;
            // An nft that stops reading says on standard error why; that is worth more than "broken pipe".
            written.or_else(|error| {
                if output.status.success() {
                    Err(error)
                } else {
                    Ok(())
                }
            })?;
            Ok(output)
        })?
        .map_err(Error::Run)
}

fn refused(namespace: &Namespace, output: &Output) -> Error {
    let complaint = String::from_utf8_lossy(&output.stderr);
    Error::Refused {
        namespace: namespace.name().to_owned(),
        complaint: complaint.split_whitespace().collect::<Vec<_>>().join(" "),
    }
}
