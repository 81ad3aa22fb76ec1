//! A real browser without a window, driven as a person's hands would: Chromium by its driver, over the W3C's WebDriver
//! protocol (<https://www.w3.org/TR/webdriver2/>).
//!
//! Everything ends with the value. The browser talks to no one but who a test sends it to.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use serde_json::{Value, json};

/// How long it may take to start, and each step of its.
const PATIENCE: Duration = Duration::from_secs(120);
/// What an element is called in answers (WebDriver §12.1).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one window.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    http: ureq::Agent,
    session: String,
    _profile: tempfile::TempDir,
}

/// Whether the programs are there.
#[must_use]
pub fn is_there() -> bool {
    ["/usr/bin/chromium", "/usr/bin/chromedriver"]
        .iter()
        .all(|program| Path::new(program).exists())
}

impl Browser {
    /// Starts it on this host, or in the namespace this thread is in; certificates of nobody's are accepted.
    ///
    /// # Errors
    /// When it does not start within two minutes.
    pub fn start() -> anyhow::Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let profile = tempfile::Builder::new().prefix("rap-browser-").tempdir()?;
        let driver = Command::new("/usr/bin/chromedriver")
            .arg(format!("--port={port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("chromedriver does not start; install chromium-driver")?;
        let http = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(PATIENCE))
            .build()
            .into();
        let mut browser = Self {
            driver,
            http,
            session: format!("http://{address}/session"),
            _profile: profile,
        };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            ensure!(begun.elapsed() < PATIENCE, "chromedriver does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        let arguments = [
            "--headless".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--lang=en".to_owned(),
            format!("--user-data-dir={}", browser._profile.path().display()),
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "acceptInsecureCerts": true,
            // A page whose server went away while it was loading; shorter than a step.
            "timeouts": { "pageLoad": 30_000 },
            "goog:chromeOptions": { "binary": "/usr/bin/chromium", "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        }}});
        let begun = browser.ask("POST", "", Some(&wanted))?;
        let id = begun["sessionId"].as_str().context("no session")?.to_owned();
        browser.session = format!("{}/{id}", browser.session);
        Ok(browser)
    }

    /// Opens a page and waits until it is loaded.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub fn open(&self, url: &str) -> anyhow::Result<()> {
        self.ask("POST", "/url", Some(&json!({ "url": url }))).map(drop)
    }

    /// Makes the window so many pixels wide and high.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub fn resize(&self, width: u32, height: u32) -> anyhow::Result<()> {
        let size = json!({ "width": width, "height": height });
        self.ask("POST", "/window/rect", Some(&size)).map(drop)
    }

    /// What a function's body returns in the page.
    ///
    /// # Errors
    /// When it throws.
    pub fn run(&self, script: &str) -> anyhow::Result<Value> {
        let call = json!({ "script": script, "args": [] });
        self.ask("POST", "/execute/sync", Some(&call))
    }

    /// What a function's body passes on to the function that is its last argument.
    ///
    /// # Errors
    /// When it throws, or passes nothing on within the browser's patience.
    pub fn run_until_done(&self, script: &str) -> anyhow::Result<Value> {
        let call = json!({ "script": script, "args": [] });
        self.ask("POST", "/execute/async", Some(&call))
    }

    /// Clicks what a CSS selector finds first.
    ///
    /// # Errors
    /// When it finds nothing, or it cannot be clicked.
    pub fn click(&self, selector: &str) -> anyhow::Result<()> {
        let element = self.find(selector)?;
        self.ask("POST", &format!("/element/{element}/click"), Some(&json!({})))
            .map(drop)
    }

    /// Types into what a CSS selector finds first.
    ///
    /// # Errors
    /// As [`Self::click`].
    pub fn type_into(&self, selector: &str, text: &str) -> anyhow::Result<()> {
        let element = self.find(selector)?;
        let keys = json!({ "text": text });
        self.ask("POST", &format!("/element/{element}/value"), Some(&keys))
            .map(drop)
    }

    /// The visible text of what a CSS selector finds first.
    ///
    /// # Errors
    /// When it finds nothing.
    pub fn text(&self, selector: &str) -> anyhow::Result<String> {
        let element = self.find(selector)?;
        let text = self.ask("GET", &format!("/element/{element}/text"), None)?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// The whole page as a PNG, into a file.
    ///
    /// # Errors
    /// When it cannot be taken or written.
    pub fn picture(&self, path: &Path) -> anyhow::Result<()> {
        let picture = self.ask("GET", "/screenshot", None)?;
        let text = picture.as_str().context("no picture")?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(text)?;
        std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
    }

    /// What the browser complained of since it was last asked: errors and warnings of its console.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn complaints(&self) -> anyhow::Result<Vec<String>> {
        let log = self.ask("POST", "/se/log", Some(&json!({ "type": "browser" })))?;
        let entries = log.as_array().cloned().unwrap_or_default();
        Ok(entries
            .iter()
            .filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING")
            .map(|entry| entry["message"].to_string())
            .collect())
    }

    fn find(&self, selector: &str) -> anyhow::Result<String> {
        let wanted = json!({ "using": "css selector", "value": selector });
        let found = self.ask("POST", "/element", Some(&wanted))?;
        let element = found[ELEMENT].as_str().context("no element")?;
        Ok(element.to_owned())
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.session);
        let request = ureq::http::Request::builder().method(method).uri(&url);
        let mut answer = match body {
            Some(body) => {
                let request = request.header("content-type", "application/json");
                self.http.run(request.body(body.to_string())?)?
            }
            None => self.http.run(request.body(())?)?,
        };
        let text = answer.body_mut().with_config().limit(64 << 20).read_to_string()?;
        let mut answer: Value = serde_json::from_str(&text).with_context(|| format!("{path}: {text}"))?;
        let value = answer["value"].take();
        if let Some(error) = value.get("error").and_then(Value::as_str) {
            bail!("{path}: {error}: {}", value["message"]);
        }
        Ok(value)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends the browser; then its driver has nobody.
        let _ = self.ask("DELETE", "", None);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
