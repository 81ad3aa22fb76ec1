//! Bytes between two ends, in both directions, until both have said all, one breaks off, or nobody speaks any more.
//!
//! The end of one direction is passed on (TCP's half-close) and the other goes on.
//!
//! Where the site limits the rate, what comes is read no faster, and TCP holds the sender back ([`WINDOW`]). What the box
//! sends is held back by the program that sends it, before it is in anybody's buffer.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::Patience;
use crate::client::pace::Pace;
use crate::site::BitRate;

/// Bytes read at once, a direction.
const CHUNK: usize = 16 * 1024;
/// Bytes that the kernel takes ahead of a limited tunnel. More would be sent at the line's rate before TCP holds the
/// sender back: at 128 kbit/s 64 KiB keep everything else waiting for four seconds.
pub(super) const WINDOW: u32 = 16 * 1024;

/// Bytes that went through tunnels.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// From the box.
    pub(super) sent: AtomicU64,
    /// To the box.
    pub(super) received: AtomicU64,
}

/// Carries bytes between `client` and `server`, from the latter no more than `limit`.
pub(super) async fn carry(
    mut client: TcpStream,
    mut server: TcpStream,
    limit: Option<BitRate>,
    tally: &Tally,
    patience: &Patience,
) {
    let activity = Activity::new();
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let both = async {
        // The first error ends both.
        tokio::try_join!(
            pump(from_client, to_server, None, &tally.sent, &activity),
            pump(
                from_server,
                to_client,
                limit.map(Pace::new),
                &tally.received,
                &activity
            ),
        )
    };
    tokio::select! {
        ended = both => {
            if let Err(error) = ended {
                log::debug!("a tunnel broke off: {error}");
            }
        }
        () = activity.silence(patience) => log::debug!("a tunnel was silent for too long"),
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut pace: Option<Pace>,
    count: &AtomicU64,
    activity: &Activity,
) -> io::Result<()> {
    let mut chunk = vec![0; pace.as_ref().map_or(CHUNK, Pace::part)];
    loop {
        let length = from.read(&mut chunk).await?;
        activity.heard();
        if length == 0 {
            activity.half_closed.store(true, Ordering::Relaxed);
            return to.shutdown().await;
        }
        if let Some(pace) = &mut pace {
            tokio::time::sleep(pace.take(length, activity.began.elapsed())).await;
        }
        to.write_all(&chunk[..length]).await?;
        activity.heard();
        count.fetch_add(length as u64, Ordering::Relaxed);
    }
}

/// When somebody spoke last.
#[derive(Debug)]
struct Activity {
    began: Instant,
    /// Milliseconds after `began`.
    heard: AtomicU64,
    half_closed: AtomicBool,
}

impl Activity {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            heard: AtomicU64::new(0),
            half_closed: AtomicBool::new(false),
        }
    }

    fn heard(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard.store(now, Ordering::Relaxed);
    }

    /// Returns when nobody has spoken for too long.
    async fn silence(&self, patience: &Patience) {
        loop {
            let limit = if self.half_closed.load(Ordering::Relaxed) {
                patience.half_closed
            } else {
                patience.idle
            };
            let heard = std::time::Duration::from_millis(self.heard.load(Ordering::Relaxed));
            let due = self.began + heard + limit;
            let now = Instant::now();
            if now >= due {
                return;
            }
            // A half-close may shorten the limit meanwhile.
            tokio::time::sleep_until(due.min(now + patience.half_closed)).await;
        }
    }
}
