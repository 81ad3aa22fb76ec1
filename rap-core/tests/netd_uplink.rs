//! An uplink with the real dhcpcd, and this very program as its hook; therefore without the test harness.
//!
//! Needs root, `ip`, `nft`, `dhcpcd` (dhcpcd-base) and `udhcpd` (udhcpd, or busybox with that applet).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the message; clippy sees tests only inside #[test] functions"
)]

mod netd_lab;

use std::process::{Child, Command, Stdio};

use netd_lab::{Lab, ip, possible};
use netfw::netns::Namespace;

const SITE: &str = r#"
version = 1
name = "test"
[uplink]
nic = "mac:02:00:00:00:00:01"
address = "dhcp"
[centre]
url = "https://10.9.0.10:8443"
[[port]]
name = "port1"
nic = "mac:02:00:00:00:00:11"
address = "192.168.1.1/24"
instrument = "192.168.1.50"
"#;

fn main() {
    let name = std::env::args().next().unwrap_or_default();
    if name.ends_with(rap_core::netd::DHCP_HOOK) {
        return rap_core::netd::dhcp_hook().unwrap();
    }
    netd_lab::be_netd();
    if possible(&["/usr/sbin/dhcpcd", "/usr/sbin/udhcpd"]) {
        a_dhcp_uplink_gets_its_address_and_allows_the_name_servers_of_its_lease();
        println!("a_dhcp_uplink_gets_its_address_and_allows_the_name_servers_of_its_lease ... ok");
    }
}

fn a_dhcp_uplink_gets_its_address_and_allows_the_name_servers_of_its_lease() {
    let mut lab = Lab::start("u", SITE);
    let _server = Server(serve(&lab));
    let _client = Client(lab.ns("root"));
    let status = lab.wait("leased", |status| {
        status["uplink"]["address"] == "10.9.0.77/24" && status["problems"] == serde_json::json!([])
    });
    assert_eq!(status["uplink"]["link"], "up");
    let resolver = std::fs::read_to_string(lab.path("runtime/resolv.conf")).unwrap();
    assert_eq!(resolver, "nameserver 10.9.0.10\n");
    let routes = ip(&format!("-n {} route show default", lab.full("root")));
    assert!(routes.contains("via 10.9.0.1 dev uplink"), "{routes}");
    let listed = lab
        .ns("root")
        .run(|| {
            Command::new("nft")
                .args(["list", "set", "inet", "netfw", "dns"])
                .output()
        })
        .unwrap()
        .unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains("10.9.0.10"), "{listed}");
}

/// A hospital's DHCP server.
fn serve(lab: &Lab) -> Child {
    let configuration = lab.path("udhcpd.conf");
    let leases = lab.path("udhcpd.leases");
    std::fs::write(&leases, "").unwrap();
    let text = format!(
        "start 10.9.0.77\nend 10.9.0.77\ninterface eth0\nlease_file {}\npidfile {}\n\
         option subnet 255.255.255.0\noption router 10.9.0.1\noption dns 10.9.0.10\noption lease 3600\n",
        leases.display(),
        lab.path("udhcpd.pid").display()
    );
    std::fs::write(&configuration, text).unwrap();
    let mut command = Command::new("/usr/sbin/udhcpd");
    command
        .arg("-f")
        .arg(&configuration)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    lab.ns("lan").run(|| command.spawn()).unwrap().unwrap()
}

/// The dhcpcd that netd started, which would outlive this program.
struct Client(Namespace);

impl Drop for Client {
    fn drop(&mut self) {
        let exit = || {
            Command::new("/usr/sbin/dhcpcd")
                .args(["-4", "--exit", "uplink"])
                .output()
        };
        let _ = self.0.run(exit);
    }
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
