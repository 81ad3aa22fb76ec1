//! A connection whose writes have a deadline: a client that never reads its answers is given up.
//!
//! Around the TCP stream itself, below TLS. The deadline runs from the first write that could not be taken whole until
//! one is: reading a byte now and then does not put it off.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// The stream with its deadline.
#[derive(Debug)]
pub(super) struct Timed<S> {
    stream: S,
    patience: Duration,
    running: Option<Pin<Box<Sleep>>>,
}

impl<S> Timed<S> {
    pub(super) fn new(stream: S, patience: Duration) -> Self {
        Self {
            stream,
            patience,
            running: None,
        }
    }

    /// Judges the outcome of a write of `wanted` bytes.
    fn judge(
        &mut self,
        context: &mut Context<'_>,
        wanted: usize,
        outcome: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if matches!(outcome, Poll::Ready(Ok(written)) if written == wanted) {
            self.running = None;
            return outcome;
        }
        let patience = self.patience;
        let running = self
            .running
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        if running.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        outcome
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, bytes.len(), outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.judge(context, parts.iter().map(|part| part.len()).sum(), outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const PATIENCE: Duration = Duration::from_millis(200);

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(test);
    }

    #[test]
    fn one_who_reads_a_byte_now_and_then_is_given_up() {
        run(async {
            let (ours, mut theirs) = tokio::io::duplex(64);
            let mut ours = Timed::new(ours, PATIENCE);
            let reading = tokio::spawn(async move {
                let mut byte = [0];
                while theirs.read_exact(&mut byte).await.is_ok() {
                    tokio::time::sleep(PATIENCE / 10).await;
                }
            });
            let error = ours.write_all(&[7; 10_000]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            drop(ours);
            reading.await.unwrap();
        });
    }

    #[test]
    fn one_who_reads_late_but_all_is_served_again_and_again() {
        run(async {
            let (ours, mut theirs) = tokio::io::duplex(64);
            let mut ours = Timed::new(ours, PATIENCE);
            let reading = tokio::spawn(async move {
                let mut all = vec![0; 1000];
                for _ in 0..4 {
                    tokio::time::sleep(PATIENCE / 2).await;
                    theirs.read_exact(&mut all).await.unwrap();
                }
            });
            for _ in 0..4 {
                ours.write_all(&[7; 1000]).await.unwrap();
            }
            reading.await.unwrap();
        });
    }
}
