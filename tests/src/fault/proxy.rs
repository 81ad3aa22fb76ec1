//! The proxy: takes connections and carries each to the target under its fault.
//!
//! It has a runtime of its own and lives in the network namespace of the thread that starts it.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Fault;
use super::carry::{Lines, Tally, carry, reset};
use super::line::Line;
use super::port::Port;

const BACKLOG: u32 = 1024;

/// Says what is done to a connection; told its number, from 0.
type Choice = Box<dyn FnMut(u64) -> Fault + Send>;

/// A running proxy; dropping it resets its connections and frees its port.
#[derive(Debug)]
pub struct Proxy {
    port: Port,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
    listening: Mutex<Option<JoinHandle<()>>>,
}

/// What the proxy saw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections taken since start.
    pub connections: u64,
    /// How often the fault that was set last was shown.
    pub shown: u64,
    /// Bytes carried up since start.
    pub up: u64,
    /// Bytes carried down since start.
    pub down: u64,
}

struct Shared {
    target: SocketAddr,
    script: Mutex<Script>,
    /// Changes when all open connections are to end.
    cut: watch::Sender<u64>,
    connections: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
}

/// What is done to connections from now on.
struct Script {
    choice: Choice,
    /// Of the slow connections among them.
    lines: Option<Arc<Lines>>,
    shown: Arc<AtomicU64>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("target", &self.target).finish()
    }
}

impl Proxy {
    /// Before `target`, on a free port of 127.0.0.1; carries everything until told otherwise.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start(target: SocketAddr) -> io::Result<Self> {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), target)
    }

    /// Before `target`, at `address`.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start_at(address: SocketAddr, target: SocketAddr) -> io::Result<Self> {
        let port = Port::take(address)?;
        let shared = Arc::new(Shared {
            target,
            script: Mutex::new(Script::new(Box::new(|_| Fault::Pass), None)),
            cut: watch::Sender::new(0),
            connections: AtomicU64::new(0),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
        });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("fault-proxy")
            .enable_all()
            .build()?;
        let proxy = Self {
            port,
            shared,
            runtime: Some(runtime),
            listening: Mutex::new(None),
        };
        proxy.listen(true)?;
        Ok(proxy)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// It as a service centre's URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address())
    }

    /// Shows every connection `fault` from now on. Those that are open are reset, so that it begins at once; so end,
    /// with [`Fault::Pass`], those that still show another.
    ///
    /// # Errors
    /// When it cannot listen again after [`Fault::Refuse`].
    pub fn set(&self, fault: Fault) -> io::Result<()> {
        let lines = match fault {
            Fault::Slow(link) => Some(Arc::new(Lines {
                up: Line::new(link),
                down: Line::new(link),
            })),
            _ => None,
        };
        *self.script_of_now() = Script::new(Box::new(move |_| fault), lines);
        self.cut();
        self.listen(fault != Fault::Refuse)
    }

    /// Asks `choice` for each connection's fault from now on; open ones are reset. A refusal of a single connection is
    /// a reset at once; slow lines are for [`Self::set`] only.
    ///
    /// # Errors
    /// When it cannot listen again after [`Fault::Refuse`].
    pub fn script(&self, choice: impl FnMut(u64) -> Fault + Send + 'static) -> io::Result<()> {
        *self.script_of_now() = Script::new(Box::new(choice), None);
        self.cut();
        self.listen(true)
    }

    /// Resets every open connection.
    pub fn cut(&self) {
        self.shared.cut.send_modify(|count| *count += 1);
    }

    /// What it saw until now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let shown = Arc::clone(&self.script_of_now().shown);
        let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            connections: number(&self.shared.connections),
            shown: number(&shown),
            up: number(&self.shared.up),
            down: number(&self.shared.down),
        }
    }

    fn script_of_now(&self) -> MutexGuard<'_, Script> {
        self.shared.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listens, or does so no more; returns when that is so.
    fn listen(&self, on: bool) -> io::Result<()> {
        let Some(runtime) = &self.runtime else {
            return Ok(());
        };
        let mut listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        match (on, listening.take()) {
            (true, None) => {
                // On the runtime's own thread, which is in the proxy's namespace; the caller's may be elsewhere.
                let address = self.address();
                let bound = runtime.spawn(async move { Port::take(address)?.listen(BACKLOG) });
                let bound = runtime.block_on(bound).map_err(io::Error::other)??;
                *listening = Some(runtime.spawn(accept(bound, Arc::clone(&self.shared))));
            }
            (true, task) => *listening = task,
            (false, Some(task)) => {
                task.abort();
                // It ends as cancelled; then its socket is closed.
                let _ = runtime.block_on(task);
            }
            (false, None) => {}
        }
        Ok(())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Script {
    fn new(choice: Choice, lines: Option<Arc<Lines>>) -> Self {
        Self {
            choice,
            lines,
            shown: Arc::default(),
        }
    }
}

async fn accept(socket: TcpListener, shared: Arc<Shared>) {
    loop {
        // Out of descriptors or broken off already: the next one may do.
        if let Ok((client, _)) = socket.accept().await {
            tokio::spawn(connection(client, Arc::clone(&shared)));
        } else {
            tokio::task::yield_now().await;
        }
    }
}

async fn connection(client: TcpStream, shared: Arc<Shared>) {
    // Before the fault is asked for: whoever sets another one cuts those that have the old one.
    let mut cut = shared.cut.subscribe();
    let number = shared.connections.fetch_add(1, Ordering::Relaxed);
    let (fault, lines, shown) = {
        let mut script = shared.script.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = (script.choice)(number);
        (fault, script.lines.clone(), Arc::clone(&script.shown))
    };
    match fault {
        Fault::Refuse | Fault::Reset { after: 0, .. } => {
            shown.fetch_add(1, Ordering::Relaxed);
            return reset(&client);
        }
        Fault::Stall { up: 0 } => {
            shown.fetch_add(1, Ordering::Relaxed);
            let _ = cut.changed().await;
            return reset(&client);
        }
        _ => {}
    }
    let server = tokio::select! {
        server = TcpStream::connect(shared.target) => server,
        _ = cut.changed() => return reset(&client),
    };
    let Ok(server) = server else {
        return reset(&client);
    };
    // Small pieces are sent as they come.
    if client.set_nodelay(true).and(server.set_nodelay(true)).is_err() {
        return reset(&client);
    }
    let tally = Tally {
        up: &shared.up,
        down: &shared.down,
        shown: &shown,
    };
    carry(client, server, fault, lines.as_deref(), &tally, &mut cut).await;
}

#[cfg(test)]
mod tests;
