use super::*;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::process::Command;

/// What the platters hold at `sector`: its first byte.
fn platter(disk: &Disk, sector: u64) -> u8 {
    let mut byte = [0];
    File::open(disk.path())
        .unwrap()
        .read_exact_at(&mut byte, sector * SECTOR)
        .unwrap();
    byte[0]
}

fn disk() -> (tempfile::TempDir, Disk) {
    let place = tempfile::tempdir().unwrap();
    let disk = Disk::create(&place.path().join("disk"), 1 << 20).unwrap();
    (place, disk)
}

/// The machine's side, by hand: EXPORT_NAME, then requests.
struct Client(UnixStream);

impl Client {
    fn connect(disk: &mut Disk) -> Self {
        let mut stream = UnixStream::from(disk.connect().unwrap());
        let mut hello = [0; 18];
        stream.read_exact(&mut hello).unwrap();
        assert_eq!(&hello[..16], b"NBDMAGICIHAVEOPT");
        let mut answer = 3_u32.to_be_bytes().to_vec();
        answer.extend(b"IHAVEOPT");
        answer.extend([0, 0, 0, 1, 0, 0, 0, 0]);
        stream.write_all(&answer).unwrap();
        let mut export = [0; 10];
        stream.read_exact(&mut export).unwrap();
        assert_eq!(export[..8], (1_u64 << 20).to_be_bytes());
        Self(stream)
    }

    /// One request; the error code of the reply.
    fn ask(&mut self, flags: u16, command: u16, offset: u64, length: u32, data: &[u8]) -> u32 {
        let mut request = 0x2560_9513_u32.to_be_bytes().to_vec();
        request.extend(flags.to_be_bytes());
        request.extend(command.to_be_bytes());
        request.extend(7_u64.to_be_bytes());
        request.extend(offset.to_be_bytes());
        request.extend(length.to_be_bytes());
        request.extend(data);
        self.0.write_all(&request).unwrap();
        let mut reply = [0; 16];
        self.0.read_exact(&mut reply).unwrap();
        assert_eq!(reply[8..], 7_u64.to_be_bytes());
        u32::from_be_bytes(reply[4..8].try_into().unwrap())
    }

    fn write(&mut self, sector: u64, byte: u8, forced: bool) {
        assert_eq!(
            self.ask(u16::from(forced), 1, sector * SECTOR, 512, &[byte; 512]),
            0
        );
    }

    fn flush(&mut self) {
        assert_eq!(self.ask(0, 3, 0, 0, &[]), 0);
    }

    fn read(&mut self, sector: u64) -> u8 {
        assert_eq!(self.ask(0, 0, sector * SECTOR, 512, &[]), 0);
        let mut data = [0; 512];
        self.0.read_exact(&mut data).unwrap();
        data[0]
    }
}

#[test]
fn a_cut_drops_the_unflushed_and_keeps_the_flushed_and_the_forced() {
    let (_place, mut disk) = disk();
    let mut client = Client::connect(&mut disk);
    client.write(1, b'a', false);
    client.flush();
    client.write(1, b'b', false);
    client.write(2, b'c', true);
    client.write(3, b'd', false);
    assert_eq!(
        (client.read(1), client.read(2), client.read(3)),
        (b'b', b'c', b'd')
    );
    assert_eq!(disk.unflushed(), 2 * SECTOR);
    drop(client);
    disk.power_cut(Survivors::None).unwrap();
    assert_eq!(
        (platter(&disk, 1), platter(&disk, 2), platter(&disk, 3)),
        (b'a', b'c', 0)
    );
    // And the next machine sees the same.
    let mut client = Client::connect(&mut disk);
    assert_eq!((client.read(1), client.read(3)), (b'a', 0));
}

#[test]
fn an_orderly_end_keeps_everything() {
    let (_place, mut disk) = disk();
    Client::connect(&mut disk).write(9, b'z', false);
    disk.settle().unwrap();
    assert_eq!(platter(&disk, 9), b'z');
}

#[test]
fn half_survive_by_the_seed() {
    let survivors = |seed| {
        let (_place, mut disk) = disk();
        let mut client = Client::connect(&mut disk);
        (0..200).for_each(|sector| client.write(sector, b'x', false));
        drop(client);
        disk.power_cut(Survivors::Half { seed }).unwrap();
        (0..200)
            .filter(|&sector| platter(&disk, sector) == b'x')
            .collect::<Vec<_>>()
    };
    let kept = survivors(1);
    assert!((60..140).contains(&kept.len()), "{} of 200 kept", kept.len());
    assert_eq!(kept, survivors(1));
    assert_ne!(kept, survivors(2));
}

#[test]
fn requests_beside_the_disk_are_refused() {
    let (_place, mut disk) = disk();
    let mut client = Client::connect(&mut disk);
    assert_eq!(client.ask(0, 1, 1 << 20, 512, &[0; 512]), 22);
    assert_eq!(client.ask(0, 0, 100, 512, &[]), 22);
    assert_eq!(client.ask(0, 0, u64::MAX - 511, 512, &[]), 22);
    assert_eq!(client.ask(0, 9, 0, 0, &[]), 22);
    client.write(1, b'a', false);
}

#[test]
fn a_file_that_is_no_disk_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("odd");
    std::fs::write(&path, b"odd").unwrap();
    let error = Disk::open(&path).unwrap_err().to_string();
    assert!(
        error.contains("3 bytes are not a whole number of 512-byte sectors"),
        "{error}"
    );
}

/// QEMU's own client agrees with us about the protocol.
#[test]
fn qemu_io_reads_what_it_wrote_and_loses_what_it_did_not_flush() {
    if Command::new("qemu-io").arg("--version").output().is_err() {
        assert!(
            std::env::var_os("CI").is_none(),
            "needs qemu-io; apt-get install qemu-utils"
        );
        eprintln!("skipped: needs qemu-io (apt-get install qemu-utils)");
        return;
    }
    let (place, disk) = disk();
    let socket = place.path().join("nbd");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let run = |commands: &[&str]| {
        let mut io = Command::new("qemu-io");
        io.args(["--cache=writeback", "-f", "raw"]);
        for command in commands {
            io.args(["-c", command]);
        }
        io.arg(format!("nbd+unix:///?socket={}", socket.display()));
        thread::scope(|scope| {
            scope.spawn(|| nbd::serve(&listener.accept().unwrap().0, &disk.cache).unwrap());
            let output = io.output().unwrap();
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
        })
    };
    // `abort` kills qemu-io as a power cut would: closing it would flush.
    run(&[
        "write -P 65 0 4k",
        "flush",
        "write -P 66 4k 4k",
        "write -f -P 67 8k 4k",
        "abort",
    ]);
    disk.cache.lock().unwrap().cut(Survivors::None).unwrap();
    let seen = run(&["read -P 65 0 4k", "read -P 0 4k 4k", "read -P 67 8k 4k"]);
    assert_eq!(seen.matches("4 KiB").count(), 3, "{seen}");
    assert!(!seen.contains("Pattern verification failed"), "{seen}");
}
