//! What each service needs, and why: the one table. What is not here is refused.

use rustix::thread::CapabilitySet;

/// What one service needs.
#[derive(Debug)]
pub struct Needs {
    /// Its name, as in init's list.
    pub service: &'static str,
    /// The user it runs as.
    pub user: &'static str,
    /// Its capabilities, permitted, ambient and bounding; none can ever be added.
    pub capabilities: CapabilitySet,
    /// The files it may touch. `None`: any that its user may, because it makes mounts, and Landlock forbids these to
    /// those whose files it restricts.
    pub files: Option<&'static [Reach]>,
    /// TCP ports it may listen on.
    pub binds: Port,
    /// TCP ports it may connect to.
    pub connects: Port,
    /// Its system calls besides those every program needs.
    pub calls: &'static [Calls],
    /// What it may use up.
    pub limits: Limits,
}

/// A folder or file, with everything below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// Where. What is not there when the service starts cannot be reached.
    pub path: &'static str,
    /// How.
    pub access: Access,
}

/// What may be done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read, and folders listed.
    Read,
    /// Read and started as a program.
    Execute,
    /// Read, written, made, renamed, removed; never started.
    Write,
    /// A device: read, written, and asked of its driver (`ioctl`, which Landlock refuses apart from writing).
    Device,
}

/// TCP ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// Whatever the firewall lets through: which ones is not known before `site.toml` is read.
    Any,
    /// These only.
    Only(&'static [u16]),
}

/// Groups of system calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    /// Writing files: sizes, names, syncs.
    Files,
    /// Sockets of IPv4, IPv6 and files' names, streams and datagrams; questions to the kernel about routes and links.
    Sockets,
    /// Another program started, which takes a tunnel's link that is there.
    Tunnel,
    /// What the kernel tells of refusals (netlink's audit group).
    KernelAudit,
    /// The network's making: any socket but raw memory's, namespaces, bind mounts of namespaces, starting programs.
    Network,
}

/// What a service may use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory, the cache of its files included (`memory.max`).
    pub memory: u64,
    /// Processes and threads (`pids.max`).
    pub processes: u32,
    /// Open descriptors (`RLIMIT_NOFILE`).
    pub descriptors: u64,
}

const MIB: u64 = 1 << 20;

const fn read(path: &'static str) -> Reach {
    Reach {
        path,
        access: Access::Read,
    }
}

const fn execute(path: &'static str) -> Reach {
    Reach {
        path,
        access: Access::Execute,
    }
}

const fn write(path: &'static str) -> Reach {
    Reach {
        path,
        access: Access::Write,
    }
}

const fn device(path: &'static str) -> Reach {
    Reach {
        path,
        access: Access::Device,
    }
}

/// The dynamic loader, which the kernel opens to start a program.
const LOADER: Reach = execute("/usr/lib64/ld-linux-x86-64.so.2");
/// Shared libraries.
const LIBRARIES: Reach = read("/usr/lib");
/// Users, hosts, name service, what the image is.
const SETTINGS: Reach = read("/etc");
/// The site in force, and the name servers.
const PUBLISHED: Reach = read("/run/rap");
/// Where it says how it is.
const STATUS: Reach = write("/run/rap/status");

/// Every service.
pub const NEEDS: [Needs; 9] = [
    Needs {
        service: "audit",
        user: "rap-audit",
        capabilities: CapabilitySet::AUDIT_READ, // what the kernel refused others
        files: Some(&[
            execute("/usr/bin/rap"),
            LOADER,
            LIBRARIES,
            SETTINGS,
            PUBLISHED,
            STATUS,
            write("/run/rap/audit"),   // its socket
            write("/run/rap/records"), // where it is asked for records
            write("/data/audit"),
        ]),
        binds: Port::Only(&[]),
        connects: Port::Only(&[]),
        calls: &[Calls::Files, Calls::Sockets, Calls::KernelAudit],
        limits: Limits {
            memory: 32 * MIB,
            processes: 8,
            descriptors: 256,
        },
    },
    Needs {
        service: "netd",
        user: "rap-netd",
        capabilities: CapabilitySet::NET_ADMIN // links, addresses, routes, nftables, settings below /proc/sys/net
            .union(CapabilitySet::SYS_ADMIN) // setns into a port's namespace, and its bind mount in /run/netns
            .union(CapabilitySet::NET_BIND_SERVICE) // DHCP's ports and 443 in a port's namespace
            .union(CapabilitySet::NET_RAW) // dhcpcd's packet socket; binding a socket to its link
            // dhcpcd gives up most of itself: another user, another root.
            .union(CapabilitySet::SETUID)
            .union(CapabilitySet::SETGID)
            .union(CapabilitySet::SYS_CHROOT)
            .union(CapabilitySet::KILL), // ending dhcpcd, which is then another user's
        files: None,
        binds: Port::Any,
        connects: Port::Any,
        calls: &[Calls::Files, Calls::Sockets, Calls::Network],
        limits: Limits {
            memory: 128 * MIB, // with nft, whose transaction of 500 rules takes some 20 MiB, and dhcpcd
            processes: 64,
            descriptors: 1024,
        },
    },
    Needs {
        service: "relay",
        user: "rap-relay",
        capabilities: CapabilitySet::empty(),
        files: Some(&[
            execute("/usr/bin/rap"),
            LOADER,
            LIBRARIES,
            SETTINGS,
            PUBLISHED,
            STATUS,
            read("/data/config/identity"), // the proxies' passwords; the keys are other users'
        ]),
        binds: Port::Only(&[crate::relay::ADDRESS.port()]),
        connects: Port::Any,
        calls: &[Calls::Files, Calls::Sockets],
        limits: Limits {
            memory: 64 * MIB,
            processes: 32, // itself and eight threads that look names up
            descriptors: 1024,
        },
    },
    Needs {
        service: "forward",
        user: "rap-forward",
        capabilities: CapabilitySet::empty(),
        files: Some(&[
            execute("/usr/bin/rap-tls"),
            LOADER,
            LIBRARIES,
            SETTINGS,
            PUBLISHED,
            STATUS,
            read("/data/config/identity"), // the box's key and certificates
            write("/data/forward"),        // its log and the instruments' files
        ]),
        // Its sockets come from netd.
        binds: Port::Only(&[]),
        // Everything that leaves goes through the relay.
        connects: Port::Only(&[crate::relay::ADDRESS.port()]),
        calls: &[Calls::Files, Calls::Sockets],
        limits: Limits {
            memory: 256 * MIB,
            processes: 64,
            descriptors: 4096,
        },
    },
    Needs {
        service: "web",
        user: "rap-web",
        capabilities: CapabilitySet::empty(),
        files: Some(&[
            execute("/usr/bin/rap-tls"),
            LOADER,
            LIBRARIES,
            SETTINGS,
            PUBLISHED,
            STATUS,
            read("/data/config/identity"), // its certificate and key; the box's own is other users'
        ]),
        // Its sockets come from netd; it asks the session service, by a socket in a folder.
        binds: Port::Only(&[]),
        connects: Port::Only(&[]),
        calls: &[Calls::Files, Calls::Sockets],
        limits: Limits {
            memory: 64 * MIB,
            processes: 16,
            descriptors: 512,
        },
    },
    Needs {
        service: "trail",
        user: "rap-trail",
        capabilities: CapabilitySet::empty(),
        // The trail's writer gives it the records.
        files: Some(&[
            execute("/usr/bin/rap-tls"),
            LOADER,
            LIBRARIES,
            SETTINGS,
            PUBLISHED,
            STATUS,
            read("/data/config/identity"), // the box's key and certificates: the collector asks for them
            write("/data/trail"),          // how far the copies have come
            write("/run/rap/trail"),       // where the forwarder asks
        ]),
        binds: Port::Only(&[]),
        // Everything that leaves goes through the relay.
        connects: Port::Only(&[crate::relay::ADDRESS.port()]),
        calls: &[Calls::Files, Calls::Sockets],
        limits: Limits {
            memory: 64 * MIB,
            processes: 8,
            descriptors: 256,
        },
    },
    Needs {
        service: "update",
        user: "rap-update",
        capabilities: CapabilitySet::empty(),
        // The slots come from init, opened.
        files: Some(&[
            execute("/usr/bin/rap-tls"),
            LOADER,
            LIBRARIES,
            SETTINGS,
            PUBLISHED,
            STATUS,
            read("/data/config/identity"), // the box's key and certificates: the repository asks for them
            write("/data/update"),         // what it remembers and brings
            write("/run/rap/update"),      // its control socket
            write("/run/rap/update-ask"),  // where the session service may ask for one thing
            read("/data/time"),            // the clock's floor
            read("/data/trial-stage"),     // how far a trial came
            read("/proc/meminfo"),         // whether a release fits
        ]),
        binds: Port::Only(&[]),
        // Everything that leaves goes through the relay.
        connects: Port::Only(&[crate::relay::ADDRESS.port()]),
        calls: &[Calls::Files, Calls::Sockets],
        limits: Limits {
            memory: 1024 * MIB, // a kernel that a patch unpacked is packed again; what there is, is looked at before
            processes: 16,
            descriptors: 512,
        },
    },
    Needs {
        service: "identity",
        user: "rap-identity",
        capabilities: CapabilitySet::empty(),
        files: Some(&[
            execute("/usr/bin/rap-tls"),
            LOADER,
            LIBRARIES,
            SETTINGS,
            PUBLISHED,
            STATUS,
            read("/data/config/identity"), // the certificates in use, whose successors it asks for
            write("/data/config/identity/made"), // the keys it makes
            write("/run/rap/identity"),    // where it is asked
        ]),
        binds: Port::Only(&[]),
        // The service centre is shown a certificate through the relay.
        connects: Port::Only(&[crate::relay::ADDRESS.port()]),
        calls: &[Calls::Files, Calls::Sockets],
        limits: Limits {
            memory: 64 * MIB,
            processes: 8,
            descriptors: 256,
        },
    },
    Needs {
        service: "session",
        user: "rap-session",
        capabilities: CapabilitySet::empty(),
        files: Some(&[
            execute("/usr/bin/rap-tls"),
            execute("/usr/sbin/openvpn"),
            LOADER,
            LIBRARIES,
            SETTINGS,
            PUBLISHED,
            STATUS,
            read("/data/config/identity"), // the tunnel's key and certificates, the service key's public half
            write("/data/session"),        // what was asked and answered
            write("/run/rap/session"),     // where it is asked, and its OpenVPN
            write("/run/rap/consent"),     // where the local page asks it
            device("/dev/net/tun"),        // the link that netd made for this user
            write("/dev/null"),            // what OpenVPN reads and complains to
        ]),
        binds: Port::Only(&[]),
        // OpenVPN goes through the relay, too.
        connects: Port::Only(&[crate::relay::ADDRESS.port()]),
        calls: &[Calls::Files, Calls::Sockets, Calls::Tunnel],
        limits: Limits {
            memory: 128 * MIB, // with OpenVPN
            processes: 32,
            descriptors: 512,
        },
    },
];

/// What `service` needs; `None` for one that nobody knows.
#[must_use]
pub fn of(service: &str) -> Option<&'static Needs> {
    NEEDS.iter().find(|needs| needs.service == service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_is_another_user_and_none_is_root() {
        let users: std::collections::BTreeSet<_> = NEEDS.iter().map(|needs| needs.user).collect();
        assert_eq!(users.len(), NEEDS.len());
        assert!(!users.contains("root"));
    }

    #[test]
    fn only_netd_can_change_anything_by_capabilities_mounts_and_starts_programs() {
        for needs in NEEDS.iter().filter(|needs| needs.service != "netd") {
            assert!(
                CapabilitySet::AUDIT_READ.contains(needs.capabilities) && needs.files.is_some(),
                "{needs:?}"
            );
            assert!(!needs.calls.contains(&Calls::Network), "{needs:?}");
        }
    }

    #[test]
    fn nothing_that_can_be_written_can_be_started() {
        for reach in NEEDS.iter().filter_map(|needs| needs.files).flatten() {
            let written = NEEDS
                .iter()
                .filter_map(|needs| needs.files)
                .flatten()
                .filter(|other| other.access == Access::Write);
            if reach.access == Access::Execute {
                assert!(written.clone().all(|other| !reach.path.starts_with(other.path)));
            }
        }
    }
}
