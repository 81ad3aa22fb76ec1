//! One connection through the proxy, and what its fault does to it.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::line::Line;
use super::record::Records;
use super::{Fault, Way};

/// A segment's worth: what a slow line carries at once.
const SEGMENT: usize = 1460;

/// What a connection adds to.
#[derive(Debug)]
pub(super) struct Tally<'a> {
    pub(super) up: &'a AtomicU64,
    pub(super) down: &'a AtomicU64,
    pub(super) shown: &'a AtomicU64,
}

/// The lines of slow connections.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) up: Line,
    pub(super) down: Line,
}

/// How a direction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The sender's end was handed on, or one that we made.
    Closed,
    Stalled,
    Reset,
}

/// Carries between `client` and `server` as `fault` says, until both have ended or `cut` changes.
pub(super) async fn carry(
    mut client: TcpStream,
    mut server: TcpStream,
    fault: Fault,
    lines: Option<&Lines>,
    tally: &Tally<'_>,
    cut: &mut watch::Receiver<u64>,
) {
    let end = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let established = AtomicBool::new(false);
        let up = up(from_client, to_server, fault, lines, &established, tally);
        let down = down(from_server, to_client, fault, lines, &established, tally);
        tokio::select! {
            end = both(up, down) => end,
            _ = cut.changed() => End::Reset,
        }
    };
    if end == End::Stalled {
        tally.shown.fetch_add(1, Ordering::Relaxed);
        // Both ends stay open, and nobody reads.
        let _ = cut.changed().await;
    }
    if end != End::Closed {
        reset(&client);
        reset(&server);
    }
}

/// Closing this will tell the other end at once that all is lost.
pub(super) fn reset(stream: &TcpStream) {
    // Fails only on a socket that is reset already.
    let _ = stream.set_zero_linger();
}

/// Ends when both directions have closed, or one of them has ended otherwise.
async fn both(up: impl Future<Output = io::Result<End>>, down: impl Future<Output = io::Result<End>>) -> End {
    let unless_closed = |end: io::Result<End>| match end {
        Ok(End::Closed) => Ok(()),
        Ok(end) => Err(end),
        // Somebody has reset the connection, or is gone: the other shall see it too.
        Err(_) => Err(End::Reset),
    };
    let up = async { unless_closed(up.await) };
    let down = async { unless_closed(down.await) };
    match tokio::try_join!(up, down) {
        Ok(_) => End::Closed,
        Err(end) => end,
    }
}

async fn up(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    fault: Fault,
    lines: Option<&Lines>,
    established: &AtomicBool,
    tally: &Tally<'_>,
) -> io::Result<End> {
    let (most, then) = match fault {
        Fault::Slow(_) => return slow(from, to, lines.map(|lines| &lines.up), tally.up).await,
        Fault::Stall { up } => (up, End::Stalled),
        Fault::Reset { way: Way::Up, after } => (after, End::Reset),
        _ => (u64::MAX, End::Closed),
    };
    let mut records = Records::default();
    let mut rest = most;
    let mut buffer = vec![0; 16 * 1024];
    while rest > 0 {
        let room = buffer.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
        let count = from.read(&mut buffer[..room]).await?;
        if count == 0 {
            to.shutdown().await?;
            return Ok(End::Closed);
        }
        if records.application_data(&buffer[..count]) {
            established.store(true, Ordering::Relaxed);
        }
        to.write_all(&buffer[..count]).await?;
        tally.up.fetch_add(count as u64, Ordering::Relaxed);
        rest -= count as u64;
    }
    shown_if(then == End::Reset, tally);
    Ok(then)
}

async fn down(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    fault: Fault,
    lines: Option<&Lines>,
    established: &AtomicBool,
    tally: &Tally<'_>,
) -> io::Result<End> {
    let (most, then) = match fault {
        Fault::Slow(_) => return slow(from, to, lines.map(|lines| &lines.down), tally.down).await,
        Fault::Reset {
            way: Way::Down,
            after,
        } => (after, End::Reset),
        Fault::HalfClose { after } => (after, End::Closed),
        _ => (u64::MAX, End::Closed),
    };
    let mut rest = most;
    let mut lost = false;
    let mut buffer = vec![0; 16 * 1024];
    while rest > 0 {
        let room = buffer.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
        let count = from.read(&mut buffer[..room]).await?;
        if count == 0 {
            to.shutdown().await?;
            return Ok(End::Closed);
        }
        let bytes = &buffer[..count];
        match fault {
            Fault::Swallow if established.load(Ordering::Relaxed) => {
                shown_if(!lost, tally);
                lost = true;
                continue;
            }
            Fault::Trickle(pause) if established.load(Ordering::Relaxed) => {
                shown_if(!lost, tally);
                lost = true;
                trickle(&mut to, bytes, pause).await?;
            }
            _ => to.write_all(bytes).await?,
        }
        tally.down.fetch_add(count as u64, Ordering::Relaxed);
        rest -= count as u64;
    }
    tally.shown.fetch_add(1, Ordering::Relaxed);
    if then == End::Closed {
        to.shutdown().await?;
    }
    Ok(then)
}

fn shown_if(condition: bool, tally: &Tally<'_>) {
    if condition {
        tally.shown.fetch_add(1, Ordering::Relaxed);
    }
}

async fn trickle(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8], pause: Duration) -> io::Result<()> {
    for byte in bytes {
        sleep(pause).await;
        to.write_all(&[*byte]).await?;
    }
    Ok(())
}

/// Carries over `line`: as fast as it sends, later by its delay.
async fn slow(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    line: Option<&Line>,
    bytes: &AtomicU64,
) -> io::Result<End> {
    // What is under way on the line: each entry was sent before the next was read, so their bytes are bounded by rate
    // and delay.
    let (sender, mut under_way) = mpsc::channel::<(Instant, Vec<u8>)>(4096);
    let send = async {
        let sender = sender;
        let mut buffer = vec![0; SEGMENT];
        loop {
            let count = from.read(&mut buffer).await?;
            let now = Instant::now();
            let times = line.map(|line| line.send(count, now));
            let (left, there) = times.map_or((now, now), |times| (times.left, times.there));
            if count == 0 || sender.send((there, buffer[..count].to_vec())).await.is_err() {
                return io::Result::Ok(());
            }
            sleep_until(left).await;
        }
    };
    let arrive = async {
        while let Some((there, chunk)) = under_way.recv().await {
            sleep_until(there).await;
            to.write_all(&chunk).await?;
            bytes.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        }
        to.shutdown().await
    };
    tokio::try_join!(send, arrive)?;
    Ok(End::Closed)
}
