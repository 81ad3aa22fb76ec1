use super::*;
use std::io::Write;
use std::os::unix::net::UnixStream;

const SOON: Duration = Duration::from_secs(10);

fn console() -> (Console, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let console = Console::default();
    console.begin_boot(std::process::id());
    console.attach(ours, "");
    (console, theirs)
}

#[test]
fn lines_lose_escapes_and_carriage_returns() {
    let mut splitter = Splitter::default();
    let lines = splitter.feed(b"\x1b[2J\x1b[01;01HBdsDxe: loading\r\n\r\nhalf \x1b[1");
    assert_eq!(lines, ["BdsDxe: loading"]);
    assert_eq!(splitter.feed(b"mdone\n"), ["half done"]);
}

#[test]
fn a_line_that_never_ends_is_shown_all_the_same() {
    let mut splitter = Splitter::default();
    let lines = splitter.feed(&[b'x'; LONGEST + 1]);
    assert_eq!((lines.len(), splitter.rest().as_deref()), (1, Some("x")));
}

#[test]
fn a_wait_sees_lines_from_before_and_after_it_began() {
    let (console, mut guest) = console();
    guest.write_all(b"rap init: stage mounts\n").unwrap();
    console.wait_for("stage mounts", SOON).unwrap();
    let waiter = console.clone();
    let waiting = thread::spawn(move || waiter.wait_for("ready", SOON));
    guest.write_all(b"rap init: ready\n").unwrap();
    assert_eq!(waiting.join().unwrap().unwrap().text, "rap init: ready");
    assert!(console.wait_for("stage mounts", Duration::ZERO).is_ok());
}

#[test]
fn a_wait_in_vain_shows_the_console() {
    let (console, mut guest) = console();
    guest.write_all(b"Kernel panic - not syncing\n").unwrap();
    console.wait_for("panic", SOON).unwrap();
    let error = console
        .wait_for("rap init: ready", Duration::from_millis(20))
        .unwrap_err();
    assert!(matches!(error, Error::Waited { .. }));
    let text = error.to_string();
    assert!(
        text.contains("for `rap init: ready`") && text.contains("Kernel panic"),
        "{text}"
    );
}

#[test]
fn a_wait_ends_as_soon_as_the_machine_is_gone() {
    let (console, mut guest) = console();
    guest.write_all(b"reboot: Power down").unwrap();
    drop(guest);
    let error = console.wait_for("rap init: ready", SOON).unwrap_err();
    assert!(
        matches!(&error, Error::Ended { tail, .. } if tail.contains("Power down")),
        "{error}"
    );
}

#[test]
fn a_new_boot_forgets_nothing_but_waits_only_for_its_own_lines() {
    let (console, mut guest) = console();
    guest.write_all(b"rap init: ready\n").unwrap();
    console.wait_for("ready", SOON).unwrap();
    let mark = console.mark();
    console.begin_boot(std::process::id());
    assert!(console.wait_for("ready", Duration::ZERO).is_err());
    assert!(console.first("ready").is_none());
    guest.write_all(b"rap init: ready\n").unwrap();
    assert_eq!(console.wait_for_since(mark, "ready", SOON).unwrap().boot, 2);
    assert_eq!(console.lines().len(), 2);
}
