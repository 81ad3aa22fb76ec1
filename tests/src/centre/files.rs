//! The centre's side of instruments' data files: docs/protocol.md 2.1.
//!
//! Below the centre's directory a file is `KEY.part` while it comes and `KEY.data` with a `KEY.json` once its digest was
//! found right; KEY is a hash of device, source and digest. Nothing is named by what a box says.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{HeaderMap, Method, Request, StatusCode};
use rap_core::digest::Sha256;
use rap_core::forward::files::{FileName, NAME, Range};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use super::batches::From;
use super::fault::Fault;
use super::server::{Answer, State as Centre, hex, respond};

/// Where boxes put files: this, then the digest.
pub(super) const PATH: &str = rap_core::forward::files::PATH;
const RECEIPT: &str = "application/vnd.rap.receipt+json";
/// Bytes of a body: as much as a box ever sends at once.
const MOST: usize = 1024 * 1024;

/// A file that arrived whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// SHA-256 of the certificate of the box that sent it, hexadecimal.
    pub device: String,
    /// `/SITE/PORT`.
    pub source: String,
    /// SHA-256 of its bytes, hexadecimal.
    pub digest: String,
    /// Its name.
    pub name: String,
    /// Its media type.
    pub media: String,
    /// Its bytes.
    pub size: u64,
    /// When the box got it, as the box says.
    pub received: String,
    /// Where it is.
    pub path: PathBuf,
}

/// What came, other than the files themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes of all bodies.
    pub bytes: u64,
    /// The ranges in order, as `Content-Range` has them.
    pub ranges: Vec<String>,
}

/// All files of a centre.
#[derive(Debug)]
pub struct Files {
    directory: PathBuf,
    state: Mutex<State>,
}

/// Part of the names that are refused, the status, and why.
type Refusal = (&'static str, u16, &'static str);

#[derive(Debug, Default)]
struct State {
    traffic: Traffic,
    refusal: Option<Refusal>,
    most: Option<usize>,
}

/// The request's head, read.
struct Put {
    digest: Sha256,
    range: Range,
    meta: Delivered,
}

/// Answers one request, or breaks the connection.
pub(super) async fn answer(
    request: Request<Incoming>,
    from: &From,
    fault: Option<Fault>,
    centre: &Centre,
) -> anyhow::Result<Answer> {
    match fault {
        Some(Fault::Busy) => return Ok(respond(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "busy\n")),
        Some(Fault::CaptivePortal) => {
            let page = "<html>Accept our terms</html>";
            return Ok(respond(StatusCode::OK, "text/html", page));
        }
        Some(Fault::Status(status)) => {
            let text = "as the test wants it\n";
            return Ok(respond(StatusCode::from_u16(status)?, "text/plain", text));
        }
        Some(Fault::BreakKept) if from.request > 1 => bail!("the kept connection is broken on request"),
        _ => {}
    }
    let answer = centre.files.take(request, &from.device).await;
    match answer {
        Ok(_) if fault == Some(Fault::DropReply) => bail!("the reply is dropped on request"),
        Ok(answer) => Ok(answer),
        Err(error) => Ok(respond(
            StatusCode::BAD_REQUEST,
            "text/plain",
            format!("{error:#}\n"),
        )),
    }
}

impl Files {
    /// Uses `directory`, made if missing.
    pub(super) fn open(directory: PathBuf) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
        Ok(Self {
            directory,
            state: Mutex::default(),
        })
    }

    /// The files that are whole, by name.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn delivered(&self) -> anyhow::Result<Vec<Delivered>> {
        let mut files: Vec<Delivered> = Vec::new();
        for entry in std::fs::read_dir(&self.directory)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                files.push(serde_json::from_slice(&std::fs::read(path)?)?);
            }
        }
        files.sort_by(|a, b| (&a.name, &a.source).cmp(&(&b.name, &b.source)));
        Ok(files)
    }

    /// What came since the start.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.state().traffic.clone()
    }

    /// Refuses each file whose name has this in it with this status and text from now on, or takes them again.
    pub fn refuse(&self, refusal: Option<Refusal>) {
        self.state().refusal = refusal;
    }

    /// Answers ranges of more bytes with 413 from now on.
    pub fn most(&self, bytes: usize) {
        self.state().most = Some(bytes);
    }

    /// Forgets what came of files that are not whole.
    ///
    /// # Errors
    /// When they cannot be removed.
    pub fn forget_parts(&self) -> anyhow::Result<()> {
        for entry in std::fs::read_dir(&self.directory)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "part") {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    async fn take(&self, request: Request<Incoming>, device: &str) -> anyhow::Result<Answer> {
        if request.method() != Method::PUT {
            return Ok(respond(
                StatusCode::METHOD_NOT_ALLOWED,
                "text/plain",
                "PUT only\n".to_owned(),
            ));
        }
        let (head, body) = request.into_parts();
        let put = Put::of(head.uri.path(), &head.headers, device)?;
        let body = Limited::new(body, MOST).collect().await;
        let body = body.map_err(|e| anyhow::anyhow!("the body: {e}"))?.to_bytes();
        {
            let mut state = self.state();
            state.traffic.bytes += body.len() as u64;
            state.traffic.ranges.push(put.range.to_string());
            if state.most.is_some_and(|most| body.len() > most) {
                return Ok(respond(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "text/plain",
                    "too large\n",
                ));
            }
            if let Some((part, status, text)) = state.refusal
                && put.meta.name.contains(part)
            {
                return Ok(respond(StatusCode::from_u16(status)?, "text/plain", text));
            }
        }
        ensure!(
            body.len() as u64 == put.range.length(),
            "the body is not {}",
            put.range
        );
        self.store(put, &body)
    }

    /// Durable before it is answered.
    fn store(&self, put: Put, body: &Bytes) -> anyhow::Result<Answer> {
        let key = put.key();
        let at = |extension: &str| self.directory.join(format!("{key}.{extension}"));
        let receipt = |status, have: u64| {
            let text = serde_json::json!({ "receipt": put.digest.to_string(), "have": have });
            Ok(respond(status, RECEIPT, text.to_string()))
        };
        if at("json").exists() {
            return receipt(StatusCode::OK, put.meta.size);
        }
        let part = at("part");
        let have = std::fs::metadata(&part).map_or(0, |m| m.len());
        let Range::Part { first, last, total } = put.range else {
            return receipt(StatusCode::OK, have);
        };
        if first > have {
            return receipt(StatusCode::CONFLICT, have);
        }
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(false)
            .write(true)
            .truncate(false)
            .open(&part)?;
        file.write_all_at(body, first)?;
        file.sync_all()?;
        let have = have.max(last + 1);
        if have == total {
            if digest_of(&part)? != put.digest {
                std::fs::remove_file(&part)?;
                let text = "what came is not what the digest says\n".to_owned();
                return Ok(respond(StatusCode::UNPROCESSABLE_ENTITY, "text/plain", text));
            }
            std::fs::rename(&part, at("data"))?;
            let meta = Delivered {
                path: at("data"),
                ..put.meta
            };
            let temporary = at("new");
            let mut file = std::fs::File::create(&temporary)?;
            file.write_all(&serde_json::to_vec(&meta)?)?;
            file.sync_all()?;
            std::fs::rename(temporary, at("json"))?;
        }
        std::fs::File::open(&self.directory)?.sync_all()?;
        receipt(StatusCode::OK, have)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Put {
    fn of(path: &str, headers: &HeaderMap, device: &str) -> anyhow::Result<Self> {
        let digest: Sha256 = path.strip_prefix(PATH).unwrap_or_default().parse()?;
        let text = |name: &str| {
            let value = headers.get(name).and_then(|v| v.to_str().ok());
            value.map(str::to_owned).with_context(|| format!("no {name}"))
        };
        let range: Range = text("content-range")?.parse()?;
        let source = text("rap-source")?;
        let shape = source.strip_prefix('/').map(|rest| rest.split('/').count());
        if shape != Some(2) {
            bail!("Rap-Source is {source}, expected /SITE/PORT");
        }
        let name = FileName::from_header(text(NAME)?.as_bytes())?;
        ensure!(text("accept")? == RECEIPT, "no receipt is wanted");
        let meta = Delivered {
            device: device.to_owned(),
            source,
            digest: digest.to_string(),
            name: name.as_str().to_owned(),
            media: text("content-type")?,
            size: range.total(),
            received: text("rap-received")?,
            path: PathBuf::new(),
        };
        Ok(Self { digest, range, meta })
    }

    fn key(&self) -> String {
        let text = format!("{}\0{}\0{}", self.meta.device, self.meta.source, self.meta.digest);
        Sha256::of(text.as_bytes()).to_string()
    }
}

fn digest_of(path: &Path) -> anyhow::Result<Sha256> {
    let mut file = std::fs::File::open(path)?;
    let mut hash = sha2::Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hash.finalize()).parse()?),
            n => hash.update(&buffer[..n]),
        }
    }
}
