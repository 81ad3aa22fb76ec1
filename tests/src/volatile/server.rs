//! The device: one file, answered for by a thread, on a disk that forgets.
//!
//! Invariant: once the power is gone nothing reaches the platters, and everything asked is answered with an error.

use std::os::fd::OwnedFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rap_qemu::disk::{Cache, SECTOR, Survivors};
use rustix::io::Errno;

use super::fuse::{self, Ask, Refusal, Request};

/// The disk, and whether it has power.
#[derive(Debug)]
pub(super) struct Device {
    power: Mutex<Power>,
    gone: Condvar,
}

/// What a disk was given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes written, flushed or not.
    pub written: u64,
    /// Flushes.
    pub flushes: u64,
}

#[derive(Debug)]
struct Power {
    /// `None` once the power is gone.
    cache: Option<Cache>,
    /// The power goes instead of the flush before which so many others are done.
    plan: Option<(u32, Survivors)>,
    /// Bytes that were not flushed when the power went.
    unflushed: u64,
    size: u64,
    /// How long a flush takes at least.
    flush: Duration,
    traffic: Traffic,
}

impl Device {
    pub(super) fn new(cache: Cache) -> Self {
        let power = Power {
            size: cache.size(),
            cache: Some(cache),
            plan: None,
            unflushed: 0,
            flush: Duration::ZERO,
            traffic: Traffic::default(),
        };
        Self {
            power: Mutex::new(power),
            gone: Condvar::new(),
        }
    }

    /// Bytes written and not flushed: now, or when the power went.
    pub(super) fn unflushed(&self) -> u64 {
        let power = self.power();
        power.cache.as_ref().map_or(power.unflushed, Cache::unflushed)
    }

    /// A flush takes at least so long.
    pub(super) fn flush_takes(&self, time: Duration) {
        self.power().flush = time;
    }

    /// What came since the power did.
    pub(super) fn traffic(&self) -> Traffic {
        self.power().traffic
    }

    /// The power goes now.
    pub(super) fn cut(&self, survivors: Survivors) -> std::io::Result<()> {
        self.power().cut(survivors, &self.gone)
    }

    /// The power goes instead of a flush, after `flushes` others.
    pub(super) fn cut_at(&self, flushes: u32, survivors: Survivors) {
        self.power().plan = Some((flushes, survivors));
    }

    /// Waits until the power is gone; says whether it is.
    pub(super) fn wait_gone(&self, patience: Duration) -> bool {
        let waited = self
            .gone
            .wait_timeout_while(self.power(), patience, |power| power.cache.is_some());
        waited.unwrap_or_else(PoisonError::into_inner).0.cache.is_none()
    }

    /// Answers the kernel until the file system is gone.
    pub(super) fn serve(&self, kernel: &OwnedFd) {
        let mut packet = vec![0; fuse::REQUEST];
        loop {
            let length = match rustix::io::read(kernel, packet.as_mut_slice()) {
                Ok(length) => length,
                // ENOENT: who asked has been interrupted meanwhile.
                Err(Errno::INTR | Errno::NOENT | Errno::AGAIN) => continue,
                // ENODEV, ECONNABORTED: unmounted.
                Err(_) => return,
            };
            let Some(request) = Request::parse(&packet[..length]) else {
                return;
            };
            if request.ask == Ask::Silence {
                continue;
            }
            let begun = Instant::now();
            let body = self.power().answer(&request.ask, &self.gone);
            if request.ask == Ask::Sync {
                // What was flushed stays, even if the power goes in this time.
                let rest = self.power().flush.saturating_sub(begun.elapsed());
                std::thread::sleep(rest);
            }
            // It fails only when who asked does not wait any more.
            let _ = rustix::io::write(kernel, &fuse::answer(request.unique, body));
        }
    }

    fn power(&self) -> MutexGuard<'_, Power> {
        self.power.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Power {
    fn cut(&mut self, survivors: Survivors, gone: &Condvar) -> std::io::Result<()> {
        let Some(mut cache) = self.cache.take() else {
            return Ok(());
        };
        self.unflushed = cache.unflushed();
        gone.notify_all();
        cache.cut(survivors)
    }

    fn answer(&mut self, ask: &Ask<'_>, gone: &Condvar) -> Result<Vec<u8>, Refusal> {
        match ask {
            Ask::Init { read_ahead } => Ok(fuse::agreed(*read_ahead)),
            Ask::Attributes => Ok(fuse::attributes(self.size)),
            Ask::Open => Ok(fuse::opened()),
            Ask::Nothing | Ask::Silence => Ok(Vec::new()),
            Ask::Read { offset, size } => self.read(*offset, *size),
            Ask::Write { offset, data } => self.write(*offset, data),
            Ask::Sync => self.sync(gone),
            Ask::Unknown => Err(Refusal::Unknown),
            Ask::Malformed => Err(Refusal::Invalid),
        }
    }

    fn read(&self, offset: u64, size: u32) -> Result<Vec<u8>, Refusal> {
        let cache = self.cache.as_ref().ok_or(Refusal::Io)?;
        let length = u64::from(size).min(self.size.saturating_sub(offset));
        if !cache.covers(offset, length) {
            return Err(Refusal::Invalid);
        }
        let mut data = vec![0; usize::try_from(length).map_err(|_| Refusal::Invalid)?];
        cache.read(offset, &mut data).map_err(|_| Refusal::Io)?;
        Ok(data)
    }

    /// The loop device writes whole sectors; e2fsck, which has the file before it, also a few bytes.
    fn write(&mut self, offset: u64, data: &[u8]) -> Result<Vec<u8>, Refusal> {
        let cache = self.cache.as_mut().ok_or(Refusal::Io)?;
        let end = offset.checked_add(data.len() as u64).ok_or(Refusal::Invalid)?;
        let before = usize::try_from(offset % SECTOR).unwrap_or(0);
        let first = offset - before as u64;
        let length = end.next_multiple_of(SECTOR) - first;
        if end > self.size || !cache.covers(first, length) {
            return Err(Refusal::Invalid);
        }
        self.traffic.written += data.len() as u64;
        if length == data.len() as u64 {
            cache.write(first, data).map_err(|_| Refusal::Io)?;
            return Ok(fuse::written(data.len()));
        }
        let mut sectors = vec![0; usize::try_from(length).map_err(|_| Refusal::Invalid)?];
        cache.read(first, &mut sectors).map_err(|_| Refusal::Io)?;
        sectors[before..before + data.len()].copy_from_slice(data);
        cache.write(first, &sectors).map_err(|_| Refusal::Io)?;
        Ok(fuse::written(data.len()))
    }

    fn sync(&mut self, gone: &Condvar) -> Result<Vec<u8>, Refusal> {
        match &mut self.plan {
            Some((0, survivors)) => {
                let survivors = *survivors;
                self.cut(survivors, gone).map_err(|_| Refusal::Io)?;
            }
            Some((flushes, _)) => *flushes -= 1,
            None => {}
        }
        let cache = self.cache.as_mut().ok_or(Refusal::Io)?;
        cache.flush().map_err(|_| Refusal::Io)?;
        self.traffic.flushes += 1;
        Ok(Vec::new())
    }
}
