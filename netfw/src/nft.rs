//! Running `nft`: a transaction in, its complaint out.

use std::io::{self, Write as _};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::netns::{self, Namespace};
use crate::ruleset::Table;

/// Where Debian, and so the appliance, has it.
pub(crate) const NFT: &str = "/usr/sbin/nft";

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
    namespace.run(|| load_here(namespace.name(), transaction))?
}

/// As [`load`], in the namespace of the calling thread; `name` is for messages.
pub(crate) fn load_here(name: &str, transaction: &Value) -> Result<(), Error> {
    let input = transaction.to_string();
    let output = run(Command::new(NFT), &["-j", "-f", "-"], input.as_bytes())?;
    if output.status.success() {
        return Ok(());
    }
    Err(refused(name, &output))
}

/// The one transaction that puts all of `tables` in the place of what is there.
#[must_use]
pub fn transaction<'a>(tables: impl IntoIterator<Item = &'a Table>) -> Value {
    joined(tables.into_iter().map(Table::json))
}

/// Several transactions as one.
#[must_use]
pub fn joined(transactions: impl IntoIterator<Item = Value>) -> Value {
    let commands = transactions
        .into_iter()
        .flat_map(|mut one| match one["nftables"].take() {
            Value::Array(commands) => commands,
            _ => Vec::new(),
        });
    json!({ "nftables": commands.collect::<Vec<_>>() })
}

/// Has `nft` say whether it and the kernel would take `table`, in a namespace of its own, so that nothing is changed
/// anywhere. Needs root's rights. `nft` is the program, with any arguments that have to come before its own; on the
/// box, `Command::new("/usr/sbin/nft")`.
///
/// # Errors
/// [`Error::Refused`] with nft's words, [`Error::Run`].
pub fn check(nft: Command, table: &Table) -> Result<(), Error> {
    let input = table.json().to_string();
    let output = netns::in_scratch(|| run(nft, &["-c", "-j", "-f", "-"], input.as_bytes()))??;
    if output.status.success() {
        return Ok(());
    }
    Err(refused("for a trial", &output))
}

/// Lists the table `inet name`; none when it is not there.
///
/// # Errors
/// [`Error::Run`], [`Error::Listing`].
pub fn list(namespace: &Namespace, name: &str) -> Result<Option<Value>, Error> {
    let listing = || run(Command::new(NFT), &["-j", "list", "table", "inet", name], b"");
    let output = namespace.run(listing)??;
    if output.status.success() {
        return serde_json::from_slice(&output.stdout)
            .map(Some)
            .map_err(Error::Listing);
    }
    // The one failure that is an answer: "No such file or directory", in the C locale.
    if String::from_utf8_lossy(&output.stderr).contains("No such file or directory") {
        return Ok(None);
    }
    Err(refused(namespace.name(), &output))
}

fn run(mut nft: Command, arguments: &[&str], input: &[u8]) -> Result<Output, Error> {
    let mut child = nft
        .args(arguments)
        .env_clear()
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Error::Run)?;
    let written = child
        .stdin
        .take()
        .map_or(Ok(()), |mut stdin| stdin.write_all(input));
    let output = child.wait_with_output().map_err(Error::Run)?;
    // An nft that stops reading says on standard error why; that is worth more than "broken pipe".
    match written {
        Err(error) if output.status.success() => Err(Error::Run(error)),
        _ => Ok(output),
    }
}

fn refused(namespace: &str, output: &Output) -> Error {
    let complaint = String::from_utf8_lossy(&output.stderr);
    Error::Refused {
        namespace: namespace.to_owned(),
        complaint: complaint.split_whitespace().collect::<Vec<_>>().join(" "),
    }
}
