//! The person at an instrument, with a real browser that shows the box's page about remote access.

use std::time::{Duration, Instant};

use anyhow::ensure;
use rap_qemu::lab::{GATEWAY, Host};

use crate::browser::Browser;

/// What is waited for on the page; another one's turn under software emulation.
const PATIENCE: Duration = Duration::from_secs(240);
/// A page that shows itself anew every few seconds, and has not changed for so long, is one whose server was away.
const STALE: Duration = Duration::from_secs(20);

/// Who sits there.
#[derive(Debug)]
pub struct Person {
    host: Host,
    /// Gone before the host is.
    browser: Option<Browser>,
}

impl Person {
    /// Sits down at the instrument `host`.
    ///
    /// # Errors
    /// When the browser does not start.
    pub fn at(host: &Host) -> anyhow::Result<Self> {
        let browser = host.run(Browser::start)??;
        Ok(Self {
            host: host.clone(),
            browser: Some(browser),
        })
    }

    /// Waits until the page says this. The page is shown anew by itself; it is opened where it is not there, and again where
    /// it stands still, as any person would.
    ///
    /// # Errors
    /// With what it says instead.
    pub fn sees(&self, words: &str) -> anyhow::Result<()> {
        let begun = Instant::now();
        let (mut last, mut since) = (String::new(), begun);
        loop {
            // It may be shown anew in the very moment it is read, or its server be away.
            let still = since.elapsed() > STALE;
            let text = self.reads(still).unwrap_or_default();
            if text.contains(words) {
                return Ok(());
            }
            if still || text != last {
                (last, since) = (text.clone(), Instant::now());
            }
            ensure!(
                begun.elapsed() < PATIENCE,
                "the page never says `{words}`: {text}"
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Fills in the form.
    ///
    /// # Errors
    /// When there is none.
    pub fn says(&self, pin: &str, answer: &str) -> anyhow::Result<()> {
        self.with(|browser| {
            browser.type_into("#by", "Bob")?;
            browser.type_into("#pin", pin)?;
            browser.click(&format!("button[value={answer}]"))
        })
    }

    /// Says no, or ends what goes on: one button.
    ///
    /// # Errors
    /// When there is no such button.
    pub fn says_no(&self) -> anyhow::Result<()> {
        self.with(|browser| browser.click("button[value=refuse]"))
    }

    /// What the page says; opened first when it is not there, or `anew`.
    fn reads(&self, anew: bool) -> anyhow::Result<String> {
        self.with(|browser| {
            if anew || browser.run("return location.pathname")? != "/remote" {
                browser.open(&format!("https://{GATEWAY}/remote"))?;
            }
            browser.text("body")
        })
    }

    fn with<T: Send>(&self, work: impl FnOnce(&Browser) -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
        let browser = self.browser.as_ref();
        let work = || browser.map_or_else(|| anyhow::bail!("the browser is gone"), work);
        self.host.run(work)?
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        // Its driver is asked to end it, and is heard only where it is.
        let browser = self.browser.take();
        let _ = self.host.run(|| drop(browser));
    }
}
