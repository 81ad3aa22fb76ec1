use super::probe::Verdict;
use super::*;
use std::net::UdpSocket;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(5);

/// The lab, or none (said aloud) where it cannot be had.
pub(crate) fn lab(instruments: usize) -> Option<Lab> {
    match Lab::new(instruments) {
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
    let listener = lab
        .centre
        .run(|| std::net::TcpListener::bind(CENTRE))
        .unwrap()
        .unwrap();
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
    let listener = lab
        .centre
        .run(|| std::net::TcpListener::bind(CENTRE))
        .unwrap()
        .unwrap();
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
    let deadline = std::time::Instant::now() + SOON;
    while lab.workstation.try_tcp(address, SOON).unwrap() != Verdict::Open {
        assert!(std::time::Instant::now() < deadline, "nc does not listen");
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
