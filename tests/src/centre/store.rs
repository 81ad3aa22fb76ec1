//! Every event that arrived, in order of arrival, duplicates too, in SQLite.
//!
//! Write-ahead logging: a test may read ([`Store::open`]) while the centre runs in another process and writes.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rusqlite::{Connection, params};
use serde::Serialize;
use serde_json::Value;

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE IF NOT EXISTS arrivals (
        arrival INTEGER PRIMARY KEY AUTOINCREMENT,
        device TEXT NOT NULL,
        batch TEXT NOT NULL,
        lane TEXT NOT NULL,
        source TEXT NOT NULL,
        id TEXT NOT NULL,
        sequence INTEGER NOT NULL,
        event TEXT NOT NULL,
        duplicate INTEGER NOT NULL
    );
    CREATE INDEX IF NOT EXISTS by_id ON arrivals (source, id);
";

/// One arrival.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Arrival {
    /// Its place in the order of arrival, from 1.
    pub arrival: i64,
    /// SHA-256 of the certificate of the box that sent it, hexadecimal.
    pub device: String,
    /// The batch's Idempotency-Key.
    pub batch: String,
    /// `alert` or `routine`.
    pub lane: String,
    /// The event's `source`.
    pub source: String,
    /// The event's `id`.
    pub id: String,
    /// Its `rapsequence`.
    pub sequence: i64,
    /// The whole event.
    pub event: Value,
    /// Whether the same (source, id) had arrived before.
    pub duplicate: bool,
}

/// The database.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
}

impl Store {
    /// Opens the database at `path`, made if missing. Any number may have it open, one of them writing.
    ///
    /// # Errors
    /// When it is not a database of ours or cannot be opened.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let open = || -> rusqlite::Result<Connection> {
            let connection = Connection::open(path)?;
            connection.busy_timeout(Duration::from_secs(10))?;
            connection.execute_batch(SCHEMA)?;
            Ok(connection)
        };
        let connection = open().with_context(|| format!("opening {}", path.display()))?;
        Ok(Self { connection })
    }

    /// Stores a batch durably, or nothing of it.
    ///
    /// # Errors
    /// When an event lacks what the protocol demands, or the database fails.
    pub fn add(
        &mut self,
        device: &str,
        batch: &str,
        lane: &str,
        events: &[Value],
    ) -> anyhow::Result<Vec<Arrival>> {
        let transaction = self.connection.transaction()?;
        let mut arrivals = Vec::new();
        for event in events {
            let text = |name: &str| {
                event
                    .get(name)
                    .and_then(Value::as_str)
                    .with_context(|| format!("an event without \"{name}\""))
            };
            let (source, id) = (text("source")?, text("id")?);
            ensure!(
                text("specversion")? == "1.0",
                "an event of another specversion than 1.0"
            );
            let digits = text("rapsequence")?;
            ensure!(digits.len() == 20, "rapsequence is not 20 digits: {digits}");
            let sequence: i64 = digits.parse().context("rapsequence")?;
            let duplicate: bool = transaction.query_row(
                "SELECT EXISTS (SELECT 1 FROM arrivals WHERE source = ?1 AND id = ?2)",
                params![source, id],
                |row| row.get(0),
            )?;
            transaction.execute(
                "INSERT INTO arrivals (device, batch, lane, source, id, sequence, event, duplicate)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![
                    device,
                    batch,
                    lane,
                    source,
                    id,
                    sequence,
                    event.to_string(),
                    duplicate
                ],
            )?;
            arrivals.push(Arrival {
                arrival: transaction.last_insert_rowid(),
                device: device.to_owned(),
                batch: batch.to_owned(),
                lane: lane.to_owned(),
                source: source.to_owned(),
                id: id.to_owned(),
                sequence,
                event: event.clone(),
                duplicate,
            });
        }
        transaction.commit()?;
        Ok(arrivals)
    }

    /// Every arrival in order, duplicates too.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn arrivals(&self) -> anyhow::Result<Vec<Arrival>> {
        let mut statement = self.connection.prepare(
            "SELECT arrival, device, batch, lane, source, id, sequence, event, duplicate FROM arrivals ORDER BY arrival",
        )?;
        let rows = statement.query_map([], |row| {
            Ok(Arrival {
                arrival: row.get(0)?,
                device: row.get(1)?,
                batch: row.get(2)?,
                lane: row.get(3)?,
                source: row.get(4)?,
                id: row.get(5)?,
                sequence: row.get(6)?,
                event: serde_json::from_str(&row.get::<_, String>(7)?).unwrap_or(Value::Null),
                duplicate: row.get(8)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The events after de-duplication, in order of first arrival.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn events(&self) -> anyhow::Result<Vec<Arrival>> {
        Ok(self.arrivals()?.into_iter().filter(|a| !a.duplicate).collect())
    }

    /// How many arrivals were duplicates.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn duplicates(&self) -> anyhow::Result<usize> {
        Ok(self.arrivals()?.into_iter().filter(|a| a.duplicate).count())
    }

    /// Waits until at least `count` events from instruments or boxes are there, and returns all there are.
    ///
    /// # Errors
    /// When they are not there after `deadline`.
    pub fn wait_for(&self, count: usize, deadline: Duration) -> anyhow::Result<Vec<Arrival>> {
        let start = Instant::now();
        loop {
            let events = self.events()?;
            if events.len() >= count {
                return Ok(events);
            }
            ensure!(
                start.elapsed() < deadline,
                "after {} s {} of {count} events have arrived",
                deadline.as_secs(),
                events.len()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Where the order of a source within a lane is broken, in words; empty when it holds everywhere.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn order_errors(&self) -> anyhow::Result<Vec<String>> {
        let mut last = std::collections::HashMap::new();
        let mut errors = Vec::new();
        for event in self.events()? {
            let before = last.insert((event.source.clone(), event.lane.clone()), event.sequence);
            if before.is_some_and(|before| before >= event.sequence) {
                errors.push(format!(
                    "{} {}: sequence {} came after {}",
                    event.source,
                    event.lane,
                    event.sequence,
                    before.unwrap_or_default()
                ));
            }
        }
        Ok(errors)
    }
}
