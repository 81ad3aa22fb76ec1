//! Between TCP and TLS, and above TLS: transports that count what passes, and keep to the site's limit.
//!
//! They work on any transport of `ureq`, so the box's relay or a straight connection makes no difference.

use std::sync::{Arc, Mutex, PoisonError};

use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

use super::meter::{Amounts, Meter};
use super::pace::Pace;
use crate::moment;
use crate::site::BitRate;

/// To be chained below TLS: counts the wire's bytes, and sends no faster than the limit.
#[derive(Debug)]
pub(crate) struct Below {
    pub(crate) meter: Arc<Meter>,
    pace: Option<Arc<Mutex<Pace>>>,
}

/// To be chained above TLS: counts the answers' bytes.
#[derive(Debug)]
pub(crate) struct Above(pub(crate) Arc<Meter>);

impl Below {
    /// All its connections together keep to `limit`.
    pub(crate) fn new(meter: Arc<Meter>, limit: Option<BitRate>) -> Self {
        Self {
            meter,
            pace: limit.map(|rate| Arc::new(Mutex::new(Pace::new(rate)))),
        }
    }
}

impl<In: Transport> Connector<In> for Below {
    type Out = Wire<In>;

    fn connect(&self, _: &ConnectionDetails<'_>, below: Option<In>) -> Result<Option<Wire<In>>, ureq::Error> {
        Ok(below.map(|inner| {
            self.meter.connected();
            Wire {
                inner,
                meter: Arc::clone(&self.meter),
                pace: self.pace.clone(),
            }
        }))
    }
}

impl<In: Transport> Connector<In> for Above {
    type Out = Answers<In>;

    fn connect(
        &self,
        _: &ConnectionDetails<'_>,
        below: Option<In>,
    ) -> Result<Option<Answers<In>>, ureq::Error> {
        Ok(below.map(|inner| Answers {
            inner,
            meter: Arc::clone(&self.0),
        }))
    }
}

/// A TCP stream.
#[derive(Debug)]
pub(crate) struct Wire<T> {
    inner: T,
    meter: Arc<Meter>,
    pace: Option<Arc<Mutex<Pace>>>,
}

impl<T: Transport> Wire<T> {
    fn transmit(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.inner.transmit_output(amount, timeout)?;
        self.meter.add(Amounts {
            sent: amount as u64,
            ..Amounts::default()
        });
        Ok(())
    }
}

impl<T: Transport> Transport for Wire<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let Some(pace) = self.pace.clone() else {
            return self.transmit(amount, timeout);
        };
        let pace = || pace.lock().unwrap_or_else(PoisonError::into_inner);
        // What is sent always stands at the beginning of the buffer.
        let whole = self.inner.buffers().output()[..amount].to_vec();
        let most = pace().part();
        for part in whole.chunks(most) {
            let wait = pace().take(part.len(), moment::since_boot());
            std::thread::sleep(wait);
            self.inner.buffers().output()[..part.len()].copy_from_slice(part);
            self.transmit(part.len(), timeout)?;
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let before = self.inner.buffers().input().len();
        let more = self.inner.await_input(timeout)?;
        let received = self.inner.buffers().input().len().saturating_sub(before);
        self.meter.add(Amounts {
            received: received as u64,
            ..Amounts::default()
        });
        Ok(more)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

/// What comes out of TLS.
#[derive(Debug)]
pub(crate) struct Answers<T> {
    inner: T,
    meter: Arc<Meter>,
}

impl<T: Transport> Transport for Answers<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let before = self.inner.buffers().input().len();
        let more = self.inner.await_input(timeout)?;
        let came = self.inner.buffers().input().len().saturating_sub(before);
        self.meter.answered(came);
        Ok(more)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}
