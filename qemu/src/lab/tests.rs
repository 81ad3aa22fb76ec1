use super::probe::Verdict;
use super::*;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(5);

/// The lab, or none (said aloud) where it cannot be had.
pub(crate) fn lab(instruments: usize) -> Option<Lab> {
    laid_out(instruments, Layout::default())
}

fn laid_out(instruments: usize, layout: Layout) -> Option<Lab> {
    match Lab::laid_out(instruments, layout) {
        Ok(lab) => Some(lab),
        Err(error) => {
            assert!(
                std::env::var_os("CI").is_none(),
                "the lab must work in CI: {error}"
            );
            eprintln!("skipped: {error}");
            None
        }
    }
}

#[test]
fn hosts_of_the_hospital_reach_each_other_and_nothing_else() {
    let Some(lab) = lab(1) else { return };
    assert!(lab.workstation.pings("10.9.0.10").unwrap());
    assert!(lab.centre.pings("10.9.0.1").unwrap());
    assert!(!lab.instrument(1).pings("10.9.0.10").unwrap());
    let outside = "8.8.8.8:53".parse::<std::net::SocketAddr>().unwrap();
    assert_ne!(lab.hospital.try_tcp(outside, SOON).unwrap(), Verdict::Open);
}

#[test]
fn the_hospital_gives_the_box_its_one_lease() {
    let Some(lab) = lab(0) else { return };
    let lease = lab.workstation.ask_dhcp("eth0").unwrap().expect("a lease");
    assert_eq!(
        (lease.address, lease.prefix, lease.router),
        (BOX, PREFIX, Some(ROUTER))
    );
    assert!(lab.leases().contains("10.9.0.2"), "{}", lab.leases());
    // Nobody answers on a link without a server.
    let (alone, other) = (Host::new("alone").unwrap(), Host::new("other").unwrap());
    alone.connect("eth0", &other, "eth0").unwrap();
    alone.ip("link set eth0 up").unwrap();
    other.ip("link set eth0 up").unwrap();
    assert_eq!(alone.ask_dhcp("eth0").unwrap(), None);
}

#[test]
fn probes_tell_open_refused_unreachable_and_silent_apart() {
    let Some(lab) = lab(0) else { return };
    let listener = lab.centre.run(|| TcpListener::bind(CENTRE)).unwrap().unwrap();
    let probe = |address: &str| {
        lab.workstation
            .try_tcp(address.parse::<SocketAddrV4>().unwrap(), SOON)
            .unwrap()
    };
    assert_eq!(probe("10.9.0.10:8443"), Verdict::Open);
    assert_eq!(probe("10.9.0.10:8444"), Verdict::Refused);
    assert_eq!(probe("10.9.0.99:80"), Verdict::Unreachable);
    lab.centre.ip("route add blackhole 10.9.0.20").unwrap();
    let silent = lab
        .workstation
        .try_tcp(CENTRE, Duration::from_millis(300))
        .unwrap();
    assert_eq!(silent, Verdict::Silent);
    drop(listener);
}

#[test]
fn datagrams_are_answered_or_refused() {
    let Some(lab) = lab(0) else { return };
    let echo = lab
        .centre
        .run(|| UdpSocket::bind("10.9.0.10:5000"))
        .unwrap()
        .unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        let (count, from) = echo.recv_from(&mut buffer).unwrap();
        echo.send_to(&buffer[..count], from).unwrap();
    });
    let probe = |port| {
        lab.workstation
            .try_udp(SocketAddrV4::new(*CENTRE.ip(), port), b"hello", SOON)
            .unwrap()
    };
    assert_eq!(probe(5000), Verdict::Open);
    assert_eq!(probe(5001), Verdict::Refused);
}

#[test]
fn a_forged_packet_arrives_with_its_forged_source() {
    let Some(lab) = lab(0) else { return };
    let socket = lab
        .centre
        .run(|| UdpSocket::bind("10.9.0.10:5000"))
        .unwrap()
        .unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let source = "10.9.0.77:1234".parse().unwrap();
    lab.workstation
        .send_forged(source, "10.9.0.10:5000".parse().unwrap(), b"boo")
        .unwrap();
    let mut buffer = [0; 16];
    let (count, from) = socket.recv_from(&mut buffer).unwrap();
    assert_eq!(
        (&buffer[..count], from.to_string().as_str()),
        (&b"boo"[..], "10.9.0.77:1234")
    );
}

#[test]
fn a_scan_finds_the_open_ports_among_all() {
    let Some(lab) = lab(0) else { return };
    let listener = lab.centre.run(|| TcpListener::bind(CENTRE)).unwrap().unwrap();
    let found = lab.workstation.scan_tcp(*CENTRE.ip(), 8000..9000, SOON).unwrap();
    let open: Vec<_> = found
        .iter()
        .filter(|(_, verdict)| **verdict == Verdict::Open)
        .collect();
    assert_eq!(open, [(&8443, &Verdict::Open)]);
    assert_eq!(found.len(), 1000);
    drop(listener);
}

#[test]
fn programs_run_on_their_host_and_die_with_their_handle() {
    let Some(lab) = lab(0) else { return };
    let mut server = Command::new("busybox");
    server.args(["nc", "-l", "-p", "7000"]);
    let running = lab.centre.start(server).unwrap();
    let address = SocketAddrV4::new(*CENTRE.ip(), 7000);
    let deadline = Instant::now() + SOON;
    while lab.workstation.try_tcp(address, SOON).unwrap() != Verdict::Open {
        assert!(Instant::now() < deadline, "nc does not listen");
    }
    drop(running);
    assert_eq!(lab.workstation.try_tcp(address, SOON).unwrap(), Verdict::Refused);
}

#[test]
fn an_error_of_ip_names_command_host_and_reason() {
    let Some(lab) = lab(0) else { return };
    let error = lab.centre.ip("link set nosuch up").unwrap_err().to_string();
    assert!(
        error.contains("`ip link set nosuch up (on centre)` failed: Cannot find device"),
        "{error}"
    );
}

#[test]
fn an_offer_takes_the_leases_place_and_can_be_withdrawn() {
    let Some(lab) = lab(0) else { return };
    let asked = |lab: &Lab| lab.workstation.ask_dhcp("eth0").unwrap();
    let offer = Offer {
        address: [192, 168, 1, 77].into(),
        prefix: 25,
        router: GATEWAY,
        dns: ROUTER,
        lifetime: Duration::from_secs(20),
    };
    lab.offer(Some(&offer)).unwrap();
    let expected = Lease {
        address: offer.address,
        prefix: 25,
        router: Some(GATEWAY),
        seconds: 20,
    };
    assert_eq!(asked(&lab), Some(expected));
    assert!(lab.workstation.try_tcp(names(), SOON).unwrap() == Verdict::Open);
    lab.offer(None).unwrap();
    assert_eq!(asked(&lab), None);
    assert!(lab.workstation.try_tcp(names(), SOON).unwrap() == Verdict::Open);
    let plain = Offer {
        address: BOX,
        prefix: PREFIX,
        router: ROUTER,
        ..offer
    };
    lab.offer(Some(&plain)).unwrap();
    assert_eq!(asked(&lab).map(|lease| lease.address), Some(BOX));
}

/// The hospital's name server.
fn names() -> SocketAddrV4 {
    SocketAddrV4::new(ROUTER, 53)
}

#[test]
fn a_narrow_path_is_told_to_both_ends_and_carries_nothing_longer() {
    const AMOUNT: usize = 200_000;
    let layout = Layout {
        path_mtu: Some(1280),
        ..Layout::default()
    };
    let Some(lab) = laid_out(0, layout) else { return };
    let seen = ["lan0", "wan0"].map(|link| lab.hospital.capture(link).unwrap());
    let seen_far = lab.centre.capture("eth0").unwrap();

    let address = lab.centre_address();
    let listener = lab.centre.run(|| TcpListener::bind(address)).unwrap().unwrap();
    let echo = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut all = vec![0; AMOUNT];
        stream.read_exact(&mut all).unwrap();
        stream.write_all(&all).unwrap();
    });
    let connect = || TcpStream::connect_timeout(&address.into(), SOON);
    let mut stream = lab.workstation.run(connect).unwrap().unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(&vec![7; AMOUNT]).unwrap();
    let mut back = vec![0; AMOUNT];
    stream.read_exact(&mut back).unwrap();
    assert!(back.iter().all(|byte| *byte == 7));
    echo.join().unwrap();

    let told = |capture: &Capture, whom| {
        let all = capture.ip();
        all.iter()
            .any(|ip| ip.too_big == Some(1280) && ip.destination == whom)
    };
    assert!(told(&seen[0], WORKSTATION), "the near end was not told");
    assert!(told(&seen_far, *address.ip()), "the far end was not told");
    let longest = |capture: &Capture| capture.ip().iter().map(|ip| ip.length).max();
    assert!(
        longest(&seen[0]) > Some(1280),
        "nothing was too long to begin with"
    );
    assert_eq!(longest(&seen[1]), Some(1280));
    let crossed: usize = seen[1].ip().iter().map(|ip| usize::from(ip.length)).sum();
    assert!(crossed > AMOUNT, "only {crossed} bytes were seen to cross");
}

#[test]
fn a_tagged_uplink_leads_to_the_hospital_and_an_untagged_one_astray() {
    let layout = Layout {
        vlan: Some(7),
        ..Layout::default()
    };
    let Some(lab) = laid_out(0, layout) else { return };
    let Plug::Frames(end) = lab.cables()[0].plug().unwrap() else {
        panic!("a tagged uplink speaks in frames")
    };
    let mut machine = Machine {
        port: end.into(),
        questions: 0,
    };
    let briefly = Duration::from_millis(500);
    assert_eq!(machine.asks_for(ROUTER, Some(7), SOON), Some(Some(7)));
    // The stray host has this address too; each answers in its own place.
    assert_eq!(machine.asks_for(WORKSTATION, Some(7), SOON), Some(Some(7)));
    assert_eq!(machine.asks_for(WORKSTATION, None, SOON), Some(None));
    assert_eq!(machine.asks_for(ROUTER, None, briefly), None);
    assert_eq!(machine.asks_for(ROUTER, Some(8), briefly), None);
}

/// Stands for the machine's card. It asks each question as somebody else, so that a late answer is not taken for
/// another's.
struct Machine {
    port: std::fs::File,
    questions: u8,
}

impl Machine {
    /// Asks by ARP (RFC 826) who has `address`, in `vlan`, over and over: a bridge passes nothing in the first moment of
    /// a cable. Returns the VLAN in which it was answered.
    fn asks_for(&mut self, address: Ipv4Addr, vlan: Option<u16>, patience: Duration) -> Option<Option<u16>> {
        self.questions += 1;
        let asker = [10, 9, 0, 100 + self.questions];
        let tag = vlan.map(|vlan| [0x81, 0, 0, u8::try_from(vlan).unwrap()]);
        let mut frame = b"\xff\xff\xff\xff\xff\xff\x52\x54\0\0\0\x10".to_vec();
        frame.extend(tag.iter().flatten());
        frame.extend(b"\x08\x06\0\x01\x08\0\x06\x04\0\x01\x52\x54\0\0\0\x10");
        frame.extend(asker);
        frame.extend([0; 6]);
        frame.extend(address.octets());
        let (begun, mut buffer) = (Instant::now(), [0; 2000]);
        while begun.elapsed() < patience {
            let Ok(length) = self.port.read(&mut buffer) else {
                self.port.write_all(&frame).unwrap();
                std::thread::sleep(Duration::from_millis(20));
                continue;
            };
            let frame = &buffer[..length];
            let (vlan, rest) = match frame[12..] {
                [0x81, 0, high, low, ref rest @ ..] => (Some(u16::from_be_bytes([high, low])), rest),
                ref rest => (None, rest),
            };
            // An ARP answer: from the one asked for, to the one who asked.
            if rest.starts_with(&[8, 6])
                && rest[9] == 2
                && rest[16..20] == address.octets()
                && rest[26..30] == asker
            {
                return Some(vlan);
            }
        }
        None
    }
}
