//! What the tests of several modules use: an HTTP server with faults, and ELF files made to measure.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// How the server misbehaves.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// Every answer is this status.
    Status(u16),
    /// `Range` is not looked at.
    NoRanges,
    /// The connection breaks after so many bytes of a body, so many times.
    Break { after: usize, times: usize },
}

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Where its range begins, if it has one.
    pub(crate) range: Option<usize>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    requests: VecDeque<Request>,
    fault: Option<Fault>,
}

/// A server on a free port of this machine, until the test process ends.
pub(crate) struct Server {
    base: String,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let served = Arc::clone(&state);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let served = Arc::clone(&served);
                std::thread::spawn(move || answer(&connection, &served));
            }
        });
        Self { base, state }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub(crate) fn put(&self, path: &str, content: &[u8]) {
        self.state
            .lock()
            .unwrap()
            .files
            .insert(path.to_owned(), content.to_vec());
    }

    pub(crate) fn content(&self, path: &str) -> Vec<u8> {
        self.state.lock().unwrap().files.get(path).unwrap().clone()
    }

    pub(crate) fn remove(&self, path: &str) {
        self.state.lock().unwrap().files.remove(path).unwrap();
    }

    pub(crate) fn fault(&self, fault: Fault) {
        self.state.lock().unwrap().fault = Some(fault);
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().requests.iter().cloned().collect()
    }
}

/// One request a connection; a client that goes away is nobody's fault.
fn answer(connection: &TcpStream, state: &Mutex<State>) -> Option<()> {
    let mut lines = BufReader::new(connection).lines();
    let first = lines.next()?.ok()?;
    let path = first.split(' ').nth(1)?.replace("%2B", "+");
    let mut range = None;
    for line in lines {
        let line = line.ok()?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(from) = line.strip_prefix("range: bytes=") {
            range = from.trim_end_matches('-').parse().ok();
        }
    }
    let (fault, content) = {
        let mut state = state.lock().ok()?;
        state.requests.push_back(Request { range });
        let fault = state.fault;
        if let Some(Fault::Break { times, .. }) = &mut state.fault {
            *times = times.saturating_sub(1);
        }
        (fault, state.files.get(&path).cloned())
    };
    let mut out = connection;
    let head = |status: &str, length: usize, more: &str| {
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{more}Connection: close\r\n\r\n")
    };
    let Some(content) = content else {
        return out.write_all(head("404 Not Found", 0, "").as_bytes()).ok();
    };
    match (fault, range) {
        (Some(Fault::Status(status)), _) => out
            .write_all(head(&format!("{status} Fault"), 0, "").as_bytes())
            .ok(),
        (Some(Fault::Break { after, times: 1.. }), _) => {
            out.write_all(head("200 OK", content.len(), "").as_bytes()).ok()?;
            out.write_all(&content[..after]).ok()
        }
        (None | Some(Fault::Break { .. }), Some(from)) if from >= content.len() => out
            .write_all(head("416 Range Not Satisfiable", 0, "").as_bytes())
            .ok(),
        (None | Some(Fault::Break { .. }), Some(from)) => {
            let more = format!(
                "Content-Range: bytes {from}-{}/{}\r\n",
                content.len() - 1,
                content.len()
            );
            out.write_all(head("206 Partial Content", content.len() - from, &more).as_bytes())
                .ok()?;
            out.write_all(&content[from..]).ok()
        }
        _ => {
            out.write_all(head("200 OK", content.len(), "").as_bytes()).ok()?;
            out.write_all(&content).ok()
        }
    }
}

/// An x86-64 ELF file that needs these, and does nothing.
pub(crate) fn elf(interpreter: Option<&str>, libraries: &[&str]) -> Vec<u8> {
    const HEADER: usize = 64;
    const SEGMENT: usize = 56;
    let mut strings = vec![0];
    let mut dynamic = Vec::new();
    for library in libraries {
        // DT_NEEDED: offset of the name.
        dynamic.extend([1_u64, strings.len() as u64]);
        strings.extend_from_slice(library.as_bytes());
        strings.push(0);
    }
    dynamic.extend([0, 0]);
    let dynamic: Vec<u8> = dynamic.iter().flat_map(|word| word.to_le_bytes()).collect();
    let interpreter: Vec<u8> = interpreter
        .map(|path| [path.as_bytes(), b"\0"].concat())
        .unwrap_or_default();
    let interpreter_at = HEADER + SEGMENT;
    let strings_at = interpreter_at + interpreter.len();
    let dynamic_at = strings_at + strings.len();
    let sections_at = dynamic_at + dynamic.len();
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let mut put = |bytes: &[u8]| file.extend_from_slice(bytes);
    // e_type DYN, e_machine x86-64, e_version, e_entry, e_phoff, e_shoff, e_flags, sizes and counts.
    [3_u16, 62].iter().for_each(|half| put(&half.to_le_bytes()));
    put(&1_u32.to_le_bytes());
    [0, HEADER as u64, sections_at as u64]
        .iter()
        .for_each(|word| put(&word.to_le_bytes()));
    put(&0_u32.to_le_bytes());
    [64_u16, 56, 1, 64, 3, 1]
        .iter()
        .for_each(|half| put(&half.to_le_bytes()));
    // One segment: PT_INTERP, or PT_NULL.
    put(&(if interpreter.is_empty() { 0_u32 } else { 3 }).to_le_bytes());
    put(&4_u32.to_le_bytes());
    let (at, size) = (interpreter_at as u64, interpreter.len() as u64);
    [at, 0, 0, size, size, 1]
        .iter()
        .for_each(|word| put(&word.to_le_bytes()));
    put(&interpreter);
    put(&strings);
    put(&dynamic);
    // Sections: none, SHT_STRTAB, SHT_DYNAMIC linked to it.
    for (kind, at, size, link) in [
        (0_u32, 0, 0, 0_u32),
        (3, strings_at, strings.len(), 0),
        (6, dynamic_at, dynamic.len(), 1),
    ] {
        section(&mut put, 0, kind, at, size, link);
    }
    file
}

/// A kernel module as far as its `.modinfo` goes.
pub(crate) fn kernel_module(modinfo: &str) -> Vec<u8> {
    let names = b"\0.modinfo\0.shstrtab\0";
    let sections_at = 64 + modinfo.len() + names.len();
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let mut put = |bytes: &[u8]| file.extend_from_slice(bytes);
    [1_u16, 62].iter().for_each(|half| put(&half.to_le_bytes()));
    put(&1_u32.to_le_bytes());
    [0, 0, sections_at as u64]
        .iter()
        .for_each(|word| put(&word.to_le_bytes()));
    put(&0_u32.to_le_bytes());
    [64_u16, 0, 0, 64, 3, 2]
        .iter()
        .for_each(|half| put(&half.to_le_bytes()));
    put(modinfo.as_bytes());
    put(names);
    section(&mut put, 0, 0, 0, 0, 0);
    section(&mut put, 1, 1, 64, modinfo.len(), 0);
    section(&mut put, 10, 3, 64 + modinfo.len(), names.len(), 0);
    file
}

/// One section header: name, type, flags, address, offset, size, link, info, alignment, entry size.
fn section(put: &mut impl FnMut(&[u8]), name: u32, kind: u32, at: usize, size: usize, link: u32) {
    put(&name.to_le_bytes());
    put(&kind.to_le_bytes());
    [0, 0, at as u64, size as u64]
        .iter()
        .for_each(|word| put(&word.to_le_bytes()));
    put(&link.to_le_bytes());
    put(&0_u32.to_le_bytes());
    [1_u64, if kind == 6 { 16 } else { 0 }]
        .iter()
        .for_each(|word| put(&word.to_le_bytes()));
}
