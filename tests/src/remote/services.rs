//! What an instrument offers to who services it, by real programs: a screen (Xvfb, shown by x11vnc) and files (OpenSSH's SFTP
//! server, over plain TCP); and what the engineer does with them (`vncsnapshot`, `sftp`).

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rap_qemu::lab::probe::Verdict;
use rap_qemu::lab::{Host, INSTRUMENT};
use rap_qemu::process::Running;

/// The screen's TCP port.
pub const SCREEN: u16 = 5900;
/// The files' TCP port.
pub const FILES: u16 = 2222;
/// What has to be installed for it.
pub const PROGRAMS: [&str; 6] = [
    "/usr/bin/Xvfb",
    "/usr/bin/x11vnc",
    "/usr/bin/vncsnapshot",
    "/usr/bin/socat",
    "/usr/bin/sftp",
    "/usr/lib/openssh/sftp-server",
];
const START: Duration = Duration::from_secs(30);
/// A step of the engineer's, over a slow line too.
const PATIENCE: &str = "120";

/// An instrument's services, until it is dropped.
#[derive(Debug)]
pub struct Services {
    _screen: Running,
    _files: Running,
}

impl Services {
    /// Starts them on `host`.
    ///
    /// # Errors
    /// When one does not listen.
    pub fn start(host: &Host) -> anyhow::Result<Self> {
        // X servers of one machine meet in /tmp: this one has its own. x11vnc ends where there is no screen yet.
        let inside = format!(
            "mount -t tmpfs tmpfs /tmp && {{ Xvfb :0 -screen 0 640x480x16 -nolisten unix -retro & }}; \
             until x11vnc -display :0 -rfbport {SCREEN} -listen {INSTRUMENT} -forever -shared -nopw -nocursor -noipv6 \
             -noxdamage -noshm -quiet; do sleep 0.2; done"
        );
        let mut screen = Command::new("unshare");
        screen.args(["--mount", "--pid", "--fork", "--kill-child", "--"]);
        screen.args(["sh", "-c", &inside]);
        let listen = format!("TCP-LISTEN:{FILES},bind={INSTRUMENT},reuseaddr,fork");
        let mut files = Command::new("socat");
        files.args([&listen, "EXEC:/usr/lib/openssh/sftp-server"]);
        for command in [&mut screen, &mut files] {
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
        }
        let services = Self {
            _screen: host.start(screen)?,
            _files: host.start(files)?,
        };
        host.ip("link set lo up")?;
        let begun = Instant::now();
        for port in [SCREEN, FILES] {
            while host.try_tcp((INSTRUMENT, port), START)? != Verdict::Open {
                ensure!(
                    begun.elapsed() < START,
                    "nothing listens on port {port} of the instrument"
                );
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        Ok(services)
    }
}

/// A picture of the instrument's screen; returns its bytes.
///
/// # Errors
/// With the program's words when there is none.
pub fn look(engineer: &Host, at: Ipv4Addr, folder: &Path) -> anyhow::Result<u64> {
    let file = folder.join("screen.jpg");
    let mut command = Command::new("timeout");
    command
        .args([
            PATIENCE,
            "vncsnapshot",
            "-quiet",
            "-allowblank",
            &format!("{at}:0"),
        ])
        .arg(&file);
    let output = engineer.output(command)?;
    let picture = std::fs::read(&file).unwrap_or_default();
    ensure!(
        output.status.success() && picture.starts_with(&[0xff, 0xd8]),
        "no picture: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(picture.len() as u64)
}

/// Brings a file of `bytes` bytes from the instrument and takes it back there under another name; compares both.
///
/// # Errors
/// With the program's words when it does not arrive, or as another.
pub fn transfer(engineer: &Host, at: Ipv4Addr, folder: &Path, bytes: usize) -> anyhow::Result<()> {
    let (there, here, again) = (
        folder.join("results"),
        folder.join("fetched"),
        folder.join("returned"),
    );
    let content: Vec<u8> = (0_u8..=250).cycle().take(bytes).collect();
    std::fs::write(&there, &content)?;
    // sftp starts a program that is the connection.
    let through = folder.join("through");
    std::fs::write(
        &through,
        format!("#!/bin/sh\nexec socat - TCP:{at}:{FILES},connect-timeout=10\n"),
    )?;
    std::fs::set_permissions(&through, std::fs::Permissions::from_mode(0o755))?;
    let batch = folder.join("batch");
    let (there, here, again) = (there.display(), here.display(), again.display());
    std::fs::write(&batch, format!("get {there} {here}\nput {here} {again}\n"))?;
    let mut command = Command::new("timeout");
    command.args([PATIENCE, "sftp", "-q", "-b"]).arg(&batch);
    command.arg("-D").arg(&through);
    let output = engineer.output(command)?;
    ensure!(
        output.status.success(),
        "no transfer: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let returned = std::fs::read(folder.join("returned")).context("what was taken back")?;
    ensure!(returned == content, "the file is another one now");
    Ok(())
}

/// Watches the instrument's screen (RFB 3.8, RFC 6143) from the engineer's computer, each picture after the one before;
/// returns when the last byte came, once nothing has come for some seconds.
///
/// # Errors
/// When it cannot be watched at all.
pub fn watch(engineer: &Host, at: Ipv4Addr) -> anyhow::Result<JoinHandle<Instant>> {
    const SILENCE: Duration = Duration::from_secs(4);
    /// Questions that are on their way at once, as over a line on which each takes half a second.
    const AHEAD: usize = 8;
    /// Bytes of an answer: the message's head, the rectangle's, and 8 × 8 points of two bytes.
    const UPDATE: usize = 4 + 12 + 128;
    let address = SocketAddr::from((at, SCREEN));
    let mut stream = engineer.run(|| TcpStream::connect_timeout(&address, START))??;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(START))?;
    stream.set_write_timeout(Some(Duration::from_secs(1)))?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    stream.write_all(b"RFB 003.008\n")?;
    // Kinds of security, how many: none is number 1.
    let mut kinds = [0; 1];
    stream.read_exact(&mut kinds)?;
    let mut each = vec![0; kinds[0].into()];
    stream.read_exact(&mut each)?;
    stream.write_all(&[1])?;
    let mut result = [0; 4];
    stream.read_exact(&mut result)?;
    ensure!(
        result == [0; 4],
        "the instrument wants more than nothing: {each:?}"
    );
    // Shared; what comes is the screen's description and name, and is not of interest.
    stream.write_all(&[1])?;
    let mut first = [0; 24];
    stream.read_exact(&mut first)?;
    // The upper left 8 × 8 points, whole, again and again.
    let more = [3, 0, 0, 0, 0, 0, 0, 8, 0, 8];
    stream.write_all(&more)?;
    stream.read_exact(&mut [0; 16])?;
    stream.set_read_timeout(Some(SILENCE))?;
    for _ in 0..AHEAD {
        stream.write_all(&more)?;
    }
    Ok(std::thread::spawn(move || {
        let (mut last, mut buffer, mut unanswered) = (Instant::now(), [0; 16 * 1024], 0);
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            last = Instant::now();
            unanswered += read;
            while unanswered >= UPDATE {
                unanswered -= UPDATE;
                if stream.write_all(&more).is_err() {
                    return last;
                }
            }
        }
        last
    }))
}
