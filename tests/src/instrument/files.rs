//! An agent that puts data files: range after range, on from wherever the box has it, until the box keeps the whole.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rap_core::digest::Sha256;
use rap_core::forward::files::{FileName, NAME, PATH, Range};
use serde::Deserialize;
use sha2::Digest as _;

use super::{Agent, Answer};

/// Bytes of a range: as much as the box takes at once.
pub const RANGE: usize = 256 * 1024;

/// What the box says of a file: docs/protocol.md 1.2.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Holding {
    /// Bytes that are durable there.
    pub have: u64,
    /// Bytes of the file.
    pub size: u64,
    /// `partial`, `checking`, `kept`, `delivered` or `refused`.
    pub state: String,
}

/// A request of a file, as an agent may want it; wrong ones too.
#[derive(Debug, Clone, Default)]
pub struct Put<'a> {
    /// What stands behind `/v1/files/`.
    pub digest: String,
    /// `Content-Range`, if any.
    pub range: Option<String>,
    /// `Rap-Name`, if any.
    pub name: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
}

impl Agent {
    /// Sends one request about a file.
    ///
    /// # Errors
    /// When there was no answer.
    pub fn put(&self, put: &Put<'_>) -> anyhow::Result<Answer> {
        let url = self.url.replace("/v1/status", PATH);
        let mut request = self
            .agent
            .put(format!("{url}{}", put.digest))
            .content_type("text/csv");
        if let Some(range) = &put.range {
            request = request.header("content-range", range);
        }
        if let Some(name) = put.name {
            request = request.header(NAME, name);
        }
        Answer::of(request.send(put.body)?)
    }

    /// Sends the file at `path` until the box keeps it, through lost connections and restarts of the box, at most `range`
    /// bytes at once. Returns the bytes sent.
    ///
    /// # Errors
    /// When the deadline passes, the box says that something is wrong, or the file cannot be read.
    pub fn put_file(&self, path: &Path, range: usize, deadline: Duration) -> anyhow::Result<u64> {
        let end = Instant::now() + deadline;
        let file = File::open(path).with_context(|| path.display().to_string())?;
        let size = file.metadata()?.len();
        let digest = digest_of(path)?;
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let name = FileName::new(name)?.to_header();
        let mut buffer = vec![0; range];
        let (mut at, mut sent) = (None, 0);
        loop {
            // Not knowing where to go on, it asks.
            let length = at.map_or(0, |at: u64| {
                range.min(usize::try_from(size - at).unwrap_or(range))
            });
            file.read_exact_at(&mut buffer[..length], at.unwrap_or(0))?;
            let put = Put {
                digest: digest.to_string(),
                range: Some(match at.and_then(|at| Range::part(at, length, size)) {
                    Some(range) => range.to_string(),
                    None => Range::Ask { total: size }.to_string(),
                }),
                name: Some(&name),
                body: &buffer[..length],
            };
            sent += length as u64;
            let why = match self.put(&put) {
                Ok(answer) if answer.status == 202 => {
                    let holding: Holding = serde_json::from_str(&answer.body)?;
                    match holding.state.as_str() {
                        "kept" | "delivered" => return Ok(sent),
                        "partial" => {
                            at = Some(holding.have);
                            continue;
                        }
                        "checking" => {
                            at = None;
                            answer.body
                        }
                        _ => bail!("refused: {}", answer.body),
                    }
                }
                Ok(answer) if answer.status == 409 && answer.body.contains("have") => {
                    at = None;
                    answer.body
                }
                Ok(answer) if (400..500).contains(&answer.status) && ![408, 429].contains(&answer.status) => {
                    bail!("refused with {}: {}", answer.status, answer.body);
                }
                Ok(answer) => answer.body,
                Err(error) => {
                    at = None;
                    format!("{error:#}")
                }
            };
            ensure!(Instant::now() < end, "not kept before the deadline, last: {why}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// The SHA-256 of the file at `path`.
///
/// # Errors
/// When it cannot be read.
pub fn digest_of(path: &Path) -> anyhow::Result<Sha256> {
    let mut file = File::open(path).with_context(|| path.display().to_string())?;
    let mut hash = sha2::Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => hash.update(&buffer[..n]),
        }
    }
    let text: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(text.parse()?)
}
