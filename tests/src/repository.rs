//! An update repository's web server: the files of a folder over mutual TLS, or what a test has it answer instead.
//!
//! A thread a connection, HTTP/1.1 by hand, since its answers have to be wrong in ways no library allows. Invariant: it
//! gives what is in the folder and nothing else; `..` is no file.

use std::io::{self, Read as _, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::centre;

/// How long a connection may be silent.
const SILENCE: Duration = Duration::from_secs(30);
/// The longest head of a request, in bytes.
const MOST_HEAD: usize = 16 * 1024;

/// What is answered instead of a file.
#[derive(Debug, Clone)]
pub enum Answer {
    /// This status, with these further headers and this body.
    Words(u16, &'static [(&'static str, &'static str)], Vec<u8>),
    /// A body that has no end.
    Endless,
    /// The file, a byte at a time with such a pause before each.
    Trickle(Duration),
    /// The file at so many bytes a second.
    Slow(usize),
    /// So many bytes of the file, then the connection's end.
    BreakOff(usize),
    /// Nothing at all.
    Silence,
}

/// A running server; dropping it stops it.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    tls: Arc<ServerConfig>,
    folder: Mutex<PathBuf>,
    /// For paths with this end.
    instead: Mutex<Option<(String, Answer)>>,
    asked: Mutex<Vec<String>>,
    date: Mutex<Option<SystemTime>>,
    sent: AtomicU64,
    ended: AtomicBool,
}

impl Server {
    /// Serves `folder` on a free port of 127.0.0.1 with `centre.crt`, `centre.key` and `centre-ca.crt` of `keys`.
    ///
    /// # Errors
    /// When the keys cannot be used, or it cannot listen.
    pub fn start(folder: &Path, keys: &Path) -> anyhow::Result<Self> {
        let socket = TcpListener::bind("127.0.0.1:0")?;
        let shared = Arc::new(Shared {
            tls: Arc::new(centre::tls_config(keys)?),
            folder: Mutex::new(folder.to_owned()),
            instead: Mutex::new(None),
            asked: Mutex::new(Vec::new()),
            date: Mutex::new(Some(SystemTime::now())),
            sent: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        });
        let address = socket.local_addr()?;
        let for_thread = Arc::clone(&shared);
        std::thread::spawn(move || accept(&socket, &for_thread));
        Ok(Self { address, shared })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// As `url` in `[update]`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Serves another folder from now on.
    pub fn serve(&self, folder: &Path) {
        folder.clone_into(&mut lock(&self.shared.folder));
    }

    /// Answers this to whatever path has this end, or nothing special any more.
    pub fn instead(&self, answer: Option<(&str, Answer)>) {
        *lock(&self.shared.instead) = answer.map(|(end, answer)| (end.to_owned(), answer));
    }

    /// Its clock stands there from now on; without one it says no `Date`.
    pub fn date(&self, date: Option<SystemTime>) {
        *lock(&self.shared.date) = date;
    }

    /// The paths that were asked for since the last time, in their order.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.shared.asked))
    }

    /// Bytes of bodies sent since start.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        // Wakes who waits for connections.
        let _ = TcpStream::connect(self.address);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(socket: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((stream, _)) = socket.accept() {
        if shared.ended.load(Ordering::Relaxed) {
            return;
        }
        let shared = Arc::clone(shared);
        // Clients leave as they like.
        std::thread::spawn(move || shared.connection(stream));
    }
}

type Stream = StreamOwned<ServerConnection, TcpStream>;

impl Shared {
    fn connection(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_write_timeout(Some(SILENCE))?;
        stream.set_nodelay(true)?;
        let tls = ServerConnection::new(Arc::clone(&self.tls)).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(tls, stream);
        while let Some(path) = request(&mut stream)? {
            lock(&self.asked).push(path.clone());
            let instead = lock(&self.instead).clone();
            match instead.filter(|(end, _)| path.ends_with(end)) {
                Some((_, answer)) => self.answer_instead(&mut stream, &path, &answer)?,
                None => match self.file(&path) {
                    Some(content) => self.answer(&mut stream, 200, &[], &content)?,
                    None => self.answer(
                        &mut stream,
                        404,
                        &[("content-type", "text/html")],
                        b"<h1>404</h1>",
                    )?,
                },
            }
            stream.flush()?;
        }
        Ok(())
    }

    fn file(&self, path: &str) -> Option<Vec<u8>> {
        let folder = lock(&self.folder).clone();
        let is_inside = !path.split('/').any(|part| part == "..");
        std::fs::read(folder.join(path.trim_start_matches('/')))
            .ok()
            .filter(|_| is_inside)
    }

    fn answer_instead(&self, stream: &mut Stream, path: &str, answer: &Answer) -> io::Result<()> {
        let content = self.file(path).unwrap_or_default();
        match answer {
            Answer::Words(status, headers, body) => self.answer(stream, *status, headers, body),
            Answer::Endless => {
                self.head(stream, 200, &[("connection", "close")])?;
                loop {
                    self.send(stream, &[b' '; 4096])?;
                }
            }
            Answer::Trickle(pause) => {
                self.head_with_length(stream, 200, &[], content.len())?;
                for byte in content {
                    std::thread::sleep(*pause);
                    self.send(stream, &[byte])?;
                }
                Ok(())
            }
            Answer::Slow(rate) => {
                self.head_with_length(stream, 200, &[], content.len())?;
                for part in content.chunks((rate / 20).max(1)) {
                    std::thread::sleep(Duration::from_millis(50));
                    self.send(stream, part)?;
                }
                Ok(())
            }
            Answer::BreakOff(bytes) => {
                self.head_with_length(stream, 200, &[], content.len())?;
                self.send(stream, &content[..content.len().min(*bytes)])?;
                stream.conn.send_close_notify();
                stream.flush()?;
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            Answer::Silence => {
                // Until the client leaves.
                let _ = stream.read(&mut [0]);
                Err(io::ErrorKind::ConnectionAborted.into())
            }
        }
    }

    fn answer(
        &self,
        stream: &mut Stream,
        status: u16,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<()> {
        self.head_with_length(stream, status, headers, body.len())?;
        self.send(stream, body)
    }

    fn head_with_length(
        &self,
        stream: &mut Stream,
        status: u16,
        headers: &[(&str, &str)],
        length: usize,
    ) -> io::Result<()> {
        let length = length.to_string();
        self.head(
            stream,
            status,
            &[headers, &[("content-length", &length)]].concat(),
        )
    }

    fn head(&self, stream: &mut Stream, status: u16, headers: &[(&str, &str)]) -> io::Result<()> {
        let mut head = format!("HTTP/1.1 {status} so\r\n");
        if let Some(date) = *lock(&self.date) {
            head += &format!("date: {}\r\n", httpdate::fmt_http_date(date));
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all(format!("{head}\r\n").as_bytes())
    }

    fn send(&self, stream: &mut Stream, bytes: &[u8]) -> io::Result<()> {
        if self.ended.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        stream.write_all(bytes)?;
        stream.flush()?;
        self.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

/// The path of the next request; `None` when there is none.
fn request(stream: &mut Stream) -> io::Result<Option<String>> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > MOST_HEAD || stream.read(&mut byte)? == 0 {
            return Ok(None);
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    Ok(head.split(' ').nth(1).map(str::to_owned))
}
