//! A connection that never blocks, plain or with TLS.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use crate::keys;

/// How long connecting and the handshake may take.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    /// What the socket did not take yet.
    unsent: Vec<u8>,
}

impl Pipe {
    /// Connects, and ends the handshake if there is one.
    pub(super) fn open(address: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> anyhow::Result<Self> {
        let mut socket = TcpStream::connect_timeout(&address, PATIENCE)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let tls = match tls {
            None => None,
            Some(config) => {
                let name = ServerName::try_from(keys::INGEST_NAME)?;
                let mut tls = Box::new(ClientConnection::new(Arc::clone(config), name)?);
                while tls.is_handshaking() {
                    tls.complete_io(&mut socket)?;
                }
                Some(tls)
            }
        };
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            tls,
            unsent: Vec::new(),
        })
    }

    /// Sends `bytes`, or keeps what the socket does not take for [`Pipe::flush`].
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            None if self.unsent.is_empty() => {
                let taken = take_all(&mut self.socket, bytes)?;
                self.unsent.extend_from_slice(&bytes[taken..]);
                Ok(())
            }
            None => {
                self.unsent.extend_from_slice(bytes);
                self.flush()
            }
            Some(tls) => {
                tls.writer().write_all(bytes)?;
                self.flush()
            }
        }
    }

    /// Goes on with what could not be sent.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() {
                match tls.write_tls(&mut self.socket) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    other => other?,
                };
            }
        } else if !self.unsent.is_empty() {
            let taken = take_all(&mut self.socket, &self.unsent)?;
            self.unsent.drain(..taken);
        }
        Ok(())
    }

    /// Appends what has come to `input`. `false` when the other side has ended the connection.
    pub(super) fn receive(&mut self, input: &mut Vec<u8>) -> io::Result<bool> {
        let mut buffer = [0; 16 * 1024];
        let mut open = true;
        loop {
            let read = match &mut self.tls {
                None => self.socket.read(&mut buffer),
                Some(tls) => tls.read_tls(&mut self.socket),
            };
            let got = match read {
                Ok(0) => {
                    open = false;
                    0
                }
                Ok(got) => got,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error),
            };
            if let Some(tls) = &mut self.tls {
                let state = tls.process_new_packets().map_err(io::Error::other)?;
                let at = input.len();
                input.resize(at + state.plaintext_bytes_to_read(), 0);
                if input.len() > at {
                    tls.reader().read_exact(&mut input[at..])?;
                }
            } else {
                input.extend_from_slice(&buffer[..got]);
            }
            // Less than there was room for: nothing more is there, and what comes later is an event of its own.
            if got < buffer.len() && (self.tls.is_none() || got == 0) {
                return Ok(open);
            }
        }
    }
}

fn take_all(socket: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut taken = 0;
    while taken < bytes.len() {
        match socket.write(&bytes[taken..]) {
            Ok(more) => taken += more,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(taken)
}
