//! `rapctl queue`: what waits on the box, how it moves, and what keeps it.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::print;
use super::table::{GREEN, RED, clean, paint};
use crate::forward::files::FilesStatus;
use crate::forward::status::{LaneStatus, LinkStatus, RefusedReport, Status};
use crate::paths;

/// What `rapctl queue` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Sizes are those on the disk. in/s and out/s are of the last minute; what is delivered or refused for good is out. A report \
is refused for good when the service centre takes others but not this one; it stays on the box until younger ones need \
its room.

Exit codes: 0 what is taken is delivered; 1 something keeps it from that, or a report was lost; 2 it cannot be told.

Examples:
  rapctl queue
  rapctl queue --refused
  rapctl queue --json")]
pub(super) struct Queue {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Name the latest reports the service centre refuses for good, and why
    #[arg(long)]
    refused: bool,
    /// Where the services' status files are
    #[arg(long, default_value = paths::STATUS, hide = true)]
    from: PathBuf,
}

pub(super) fn run(queue: &Queue) -> ExitCode {
    let Some(status) = read(&queue.from) else {
        eprintln!("rapctl: {}", no_queue(&queue.from));
        return ExitCode::from(2);
    };
    let text = if queue.json {
        format!("{}\n", serde_json::json!(status))
    } else {
        render(&status, queue.refused, std::io::stdout().is_terminal())
    };
    print(&text);
    ExitCode::from(u8::from(!is_well(&status)))
}

fn read(from: &Path) -> Option<Status> {
    crate::status::read_one(from, "forward")
}

/// Why there is no queue to be shown: what the forwarder says of itself, or that it says nothing.
fn no_queue(from: &Path) -> String {
    let said: Option<serde_json::Value> = crate::status::read_one(from, "forward");
    match said.map(|said| crate::status::problems(&said).join("; ")) {
        Some(problems) if !problems.is_empty() => format!("the forwarder cannot work: {}", clean(&problems)),
        _ => format!(
            "the forwarder has said nothing of its queue in {}\n  is this the box, and does the forwarder run? \
             rapctl status tells",
            from.display()
        ),
    }
}

fn is_well(status: &Status) -> bool {
    status.trouble.is_none() && status.lanes().iter().all(|(_, lane)| lane.lost == 0)
}

fn render(status: &Status, refused: bool, colour: bool) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_all(status, refused, colour, &mut text);
    text
}

fn write_all(status: &Status, refused: bool, colour: bool, text: &mut String) -> std::fmt::Result {
    writeln!(text, "lane     waiting       size     oldest     in/s    out/s")?;
    for (name, lane) in status.lanes() {
        write_lane(name, lane, text)?;
    }
    write_files(&status.files, text)?;
    let (used, limit) = (bytes(status.room.used), bytes(status.room.limit));
    writeln!(text, "\n{used} of {limit} are in use")?;
    write_link(&status.link, text)?;
    if let Some(at) = &status.delivered_at {
        writeln!(text, "the last receipt came at {}", clean(at))?;
    }
    for (name, lane) in status.lanes().into_iter().filter(|(_, lane)| lane.lost > 0) {
        let words = format!(
            "{} report(s) of the {name} lane were lost with a damaged place on the disk",
            lane.lost
        );
        writeln!(text, "{}", paint(&words, RED, colour))?;
    }
    let (kept, given_up) = (status.refused.kept, status.refused.given_up);
    if kept + given_up > 0 {
        let hint = if refused {
            ""
        } else {
            "; --refused names the latest"
        };
        writeln!(
            text,
            "refused for good: {kept} kept, {given_up} given up for younger ones{hint}"
        )?;
    }
    if refused {
        status
            .refused
            .latest
            .iter()
            .try_for_each(|report| write_refused(report, text))?;
    }
    for warning in &status.warnings {
        writeln!(text, "{}", paint(&clean(warning), RED, colour))?;
    }
    if let Some(trouble) = &status.files.trouble {
        writeln!(
            text,
            "{}",
            paint(&format!("files wait: {}", clean(trouble)), RED, colour)
        )?;
    }
    match &status.trouble {
        Some(trouble) => writeln!(
            text,
            "{}",
            paint(&format!("not delivering: {}", clean(trouble)), RED, colour)
        ),
        None => writeln!(text, "{}", paint("delivering", GREEN, colour)),
    }
}

fn write_files(files: &FilesStatus, text: &mut String) -> std::fmt::Result {
    if files.waiting + files.partial == 0 {
        return Ok(());
    }
    let (waiting, partial) = (bytes(files.waiting_bytes), bytes(files.partial_bytes));
    writeln!(text, "{:8} {:>7} {waiting:>10}", "files", files.waiting)?;
    if files.partial > 0 {
        writeln!(
            text,
            "{:8} {:>7} {partial:>10}   still coming from the instruments",
            "", files.partial
        )?;
    }
    match &files.sending {
        Some(sending) => writeln!(
            text,
            "{:8} sending {} of {}: {} of {}",
            "",
            clean(&sending.name),
            clean(&sending.source),
            bytes(sending.done),
            bytes(sending.size)
        ),
        None => Ok(()),
    }
}

fn write_link(link: &LinkStatus, text: &mut String) -> std::fmt::Result {
    let rate = |bytes_a_second: f64| bytes_a_second * 8.0 / 1000.0;
    writeln!(
        text,
        "sent {} ({:.1} kbit/s), received {} ({:.1} kbit/s) since start",
        bytes(link.sent_bytes),
        rate(link.sent_per_second),
        bytes(link.received_bytes),
        rate(link.received_per_second)
    )?;
    if link.compressed_bytes > 0 {
        let times = link.payload_bytes as f64 / link.compressed_bytes as f64;
        writeln!(
            text,
            "batches are made {times:.1} times smaller by {}",
            clean(&link.encoding)
        )?;
    }
    if let (Some(trouble), Some(at)) = (&link.last_trouble, &link.last_trouble_at) {
        writeln!(text, "the last trouble was at {}: {}", clean(at), clean(trouble))?;
    }
    if let Some(seconds) = link.next_try_seconds {
        writeln!(
            text,
            "next try in {}, after {} failure(s)",
            time(seconds),
            link.failures
        )?;
    }
    Ok(())
}

fn write_lane(name: &str, lane: &LaneStatus, text: &mut String) -> std::fmt::Result {
    writeln!(
        text,
        "{name:8} {:>7} {:>10} {:>10} {:>8.1} {:>8.1}",
        lane.waiting,
        bytes(lane.waiting_bytes),
        lane.oldest_seconds.map_or_else(|| "-".to_owned(), time),
        lane.taken_per_second,
        lane.passed_per_second,
    )
}

fn write_refused(report: &RefusedReport, text: &mut String) -> std::fmt::Result {
    writeln!(
        text,
        "  {} {} {} ({}): {}",
        clean(&report.at),
        clean(&report.source),
        clean(&report.id),
        clean(&report.lane),
        clean(&report.why)
    )
}

/// With the unit that leaves one to four digits before the point.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// The two largest units: `3 d 4 h`, `5 min 2 s`.
fn time(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match () {
        () if days > 0 => format!("{days} d {} h", hours % 24),
        () if hours > 0 => format!("{hours} h {} min", minutes % 60),
        () if minutes > 0 => format!("{minutes} min {} s", seconds % 60),
        () => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Status {
        serde_json::from_value(serde_json::json!({
            "alert": lane(0), "routine": lane(1204), "delivered": 7,
            "link": {
                "failures": 3, "next-try-seconds": 12, "last-trouble": "nothing listened there",
                "last-trouble-at": "2026-11-23T00:00:00Z", "sent-bytes": 4096, "received-bytes": 100,
                "sent-per-second": 1000.0, "received-per-second": 0.0, "payload-bytes": 9000,
                "compressed-bytes": 1500, "encoding": "zstd",
            },
            "room": {"used": 8 << 20, "limit": 256 << 20},
            "refused": {"kept": 1, "given-up": 0, "latest": [
                {"lane": "routine", "source": "/lab/port1", "id": "x\u{1b}[2J", "why": "HTTP 422: no", "at": "2026-11-24T00:00:00Z"}
            ]},
        }))
        .unwrap()
    }

    fn lane(waiting: u64) -> serde_json::Value {
        serde_json::json!({
            "waiting": waiting, "waiting-bytes": waiting * 1100, "taken": 2000, "passed": 796, "lost": 0,
            "taken-per-second": 0.25, "passed-per-second": 0.0, "oldest-seconds": waiting,
        })
    }

    #[test]
    fn a_person_sees_what_waits_and_why() {
        let mut status = status();
        let text = render(&status, false, false);
        assert!(
            text.contains("routine     1204    1.3 MiB 20 min 4 s      0.2      0.0"),
            "{text}"
        );
        assert!(text.contains("8.0 MiB of 256.0 MiB are in use"), "{text}");
        assert!(
            text.contains("--refused names the latest") && text.ends_with("\ndelivering\n"),
            "{text}"
        );
        for line in [
            "sent 4.0 KiB (8.0 kbit/s), received 100 B (0.0 kbit/s) since start",
            "batches are made 6.0 times smaller by zstd",
            "the last trouble was at 2026-11-23T00:00:00Z: nothing listened there",
            "next try in 12 s, after 3 failure(s)",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert!(!text.contains("files"), "{text}");
        assert!(is_well(&status));
        status.files.waiting = 2;
        status.files.waiting_bytes = 5 << 20;
        assert!(render(&status, false, false).contains("files          2    5.0 MiB\n"));
        status.trouble = Some("nothing listens there".to_owned());
        let text = render(&status, true, true);
        assert!(
            text.contains("\x1b[31mnot delivering: nothing listens there\x1b[0m"),
            "{text}"
        );
        assert!(
            text.contains("/lab/port1 x [2J (routine): HTTP 422: no"),
            "{text}"
        );
        assert!(!is_well(&status));
    }

    #[test]
    fn what_was_lost_is_named_and_not_well() {
        let mut status = status();
        status.routine.lost = 3;
        assert!(render(&status, false, false).contains("3 report(s) of the routine lane were lost"));
        assert!(!is_well(&status));
    }

    #[test]
    fn sizes_and_times_have_fitting_units() {
        assert_eq!(
            [0, 1023, 1024, 5 << 30].map(bytes),
            ["0 B", "1023 B", "1.0 KiB", "5.0 GiB"]
        );
        assert_eq!(bytes(u64::MAX), "16384.0 PiB");
        assert_eq!(
            [59, 61, 7260, 100_000].map(time),
            ["59 s", "1 min 1 s", "2 h 1 min", "1 d 3 h"]
        );
    }

    #[test]
    fn without_a_forwarder_it_cannot_be_told() {
        let directory = tempfile::tempdir().unwrap();
        assert!(read(directory.path()).is_none());
        assert!(no_queue(directory.path()).contains("said nothing"));
        crate::status::write(
            directory.path(),
            "forward",
            &serde_json::json!({"trouble": "no site"}),
        )
        .unwrap();
        assert!(read(directory.path()).is_none());
        assert_eq!(no_queue(directory.path()), "the forwarder cannot work: no site");
    }
}
