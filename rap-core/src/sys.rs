//! The one module of this crate that may use `unsafe`: what the kernel offers and rustix does not wrap.
//!
//! Invariant: every function here is safe to call with any argument; what makes it so stands in its SAFETY comment.
#![allow(
    unsafe_code,
    reason = "system calls without a safe wrapper; forbidden everywhere else in the crate"
)]

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::Mutex;

use rustix::io::Errno;
use rustix::ioctl::{
    Getter, IntegerSetter, Ioctl, IoctlOutput, NoArg, Opcode, Setter, Updater, ioctl, opcode,
};

/// Descriptors that [`inherited_socket`] has given away.
static TAKEN: Mutex<BTreeSet<RawFd>> = Mutex::new(BTreeSet::new());

/// Takes ownership of a socket or block device that the parent process left open under `number`, and closes it on exec
/// from now on.
///
/// `None` when the number is neither, or was taken before.
#[must_use]
pub(crate) fn inherited_socket(number: RawFd) -> Option<OwnedFd> {
    let mut taken = TAKEN.lock().ok()?;
    if number <= 2 || taken.contains(&number) {
        return None;
    }
    // SAFETY: F_GETFD reads the flags of a descriptor number and touches no memory.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return None;
    }
    // SAFETY: the descriptor is open (just asked) and stays so: it came from the parent, which says in the
    // environment that it is ours, and nothing in this process owns it before it leaves this function, which
    // hands each number out once.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    let kind = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(fd).ok()?.st_mode);
    if !matches!(
        kind,
        rustix::fs::FileType::Socket | rustix::fs::FileType::BlockDevice
    ) {
        return None;
    }
    rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC).ok()?;
    taken.insert(number);
    // SAFETY: as above; ownership passes to the caller, and `taken` keeps it from passing twice.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

/// The network namespace a socket is in: `SIOCGSKNS` (include/uapi/linux/sockios.h).
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN`.
pub(crate) fn socket_namespace(socket: impl AsFd) -> io::Result<OwnedFd> {
    struct SocketNamespace;
    // SAFETY: SIOCGSKNS takes no argument and returns a new descriptor, or an error that rustix has taken out before
    // `output_from_ptr` is called (net/socket.c, `sock_ioctl`).
    unsafe impl Ioctl for SocketNamespace {
        type Output = OwnedFd;
        const IS_MUTATING: bool = false;

        fn opcode(&self) -> Opcode {
            0x894c
        }

        fn as_ptr(&mut self) -> *mut std::ffi::c_void {
            std::ptr::null_mut()
        }

        unsafe fn output_from_ptr(
            out: IoctlOutput,
            _: *mut std::ffi::c_void,
        ) -> rustix::io::Result<Self::Output> {
            // SAFETY: as above: it is new, and nobody else owns it.
            Ok(unsafe { OwnedFd::from_raw_fd(out) })
        }
    }
    // SAFETY: as above.
    Ok(unsafe { ioctl(socket, SocketNamespace) }?)
}

/// Blocks no signal for this thread any more. May be called between fork and exec (signal-safety(7)).
///
/// # Errors
/// What the kernel says.
pub fn unblock_signals() -> io::Result<()> {
    // SAFETY: an all-zero sigset_t is a valid value for sigemptyset to overwrite; both calls use only that set.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        check(libc::sigprocmask(
            libc::SIG_SETMASK,
            &raw const none,
            std::ptr::null_mut(),
        ))
        .map(drop)
    }
}

/// Signals as a descriptor to poll: signalfd(2).
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// Blocks `signals` for this thread and everything it starts, and makes them readable here.
    ///
    /// A child has them blocked too, until [`unblock_signals`].
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open(signals: &[i32]) -> io::Result<Self> {
        // SAFETY: an all-zero sigset_t is a valid value for sigemptyset to overwrite; the calls read and write only
        // that set. sigaddset refuses numbers that are no signals.
        let fd = unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            for signal in signals {
                check(libc::sigaddset(&raw mut set, *signal))?;
            }
            check(libc::sigprocmask(
                libc::SIG_BLOCK,
                &raw const set,
                std::ptr::null_mut(),
            ))?;
            check(libc::signalfd(
                -1,
                &raw const set,
                libc::SFD_CLOEXEC | libc::SFD_NONBLOCK,
            ))?
        };
        // SAFETY: signalfd returned a new descriptor that nobody else owns.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The next signal that came, `None` when there is none.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn next(&self) -> io::Result<Option<u32>> {
        // struct signalfd_siginfo: 128 bytes, `ssi_signo` first (include/uapi/linux/signalfd.h).
        let mut record = [0_u8; 128];
        match rustix::io::read(&self.0, &mut record) {
            Ok(length) if length >= 4 => {
                let [a, b, c, d, ..] = record;
                Ok(Some(u32::from_ne_bytes([a, b, c, d])))
            }
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// `struct watchdog_info` (include/uapi/linux/watchdog.h).
#[repr(C)]
struct WatchdogInfo {
    options: u32,
    firmware: u32,
    identity: [u8; 32],
}

/// The name a hardware watchdog gives itself: `WDIOC_GETSUPPORT`.
///
/// # Errors
/// When `watchdog` is none.
pub fn watchdog_identity(watchdog: impl AsFd) -> io::Result<String> {
    // SAFETY: WDIOC_GETSUPPORT writes one watchdog_info, which any bit pattern makes valid.
    let info = unsafe {
        ioctl(
            watchdog,
            Getter::<{ opcode::read::<WatchdogInfo>(b'W', 0) }, WatchdogInfo>::new(),
        )
    }?;
    let name = CStr::from_bytes_until_nul(&info.identity).map(CStr::to_string_lossy);
    Ok(name.map_or_else(|_| "unnamed".into(), |name| name.into_owned()))
}

/// Asks for a timeout of `seconds` and returns the one the hardware took: `WDIOC_SETTIMEOUT`.
///
/// # Errors
/// When the hardware refuses.
pub fn set_watchdog_timeout(watchdog: impl AsFd, seconds: i32) -> io::Result<i32> {
    let mut value = seconds;
    // SAFETY: WDIOC_SETTIMEOUT reads and writes one int.
    unsafe {
        ioctl(
            watchdog,
            Updater::<{ opcode::read_write::<i32>(b'W', 6) }, i32>::new(&mut value),
        )
    }?;
    Ok(value)
}

/// The seconds a hardware watchdog is armed for: `WDIOC_GETTIMEOUT`.
///
/// # Errors
/// When the hardware cannot say.
pub fn watchdog_timeout(watchdog: impl AsFd) -> io::Result<i32> {
    // SAFETY: WDIOC_GETTIMEOUT writes one int.
    Ok(unsafe { ioctl(watchdog, Getter::<{ opcode::read::<i32>(b'W', 7) }, i32>::new()) }?)
}

/// The seconds until a hardware watchdog would have fired: `WDIOC_GETTIMELEFT`.
///
/// # Errors
/// When the hardware cannot say.
pub fn watchdog_time_left(watchdog: impl AsFd) -> io::Result<i32> {
    // SAFETY: WDIOC_GETTIMELEFT writes one int.
    Ok(unsafe { ioctl(watchdog, Getter::<{ opcode::read::<i32>(b'W', 10) }, i32>::new()) }?)
}

/// Puts off a hardware watchdog by its timeout: `WDIOC_KEEPALIVE`.
///
/// # Errors
/// When the hardware refuses.
pub fn feed_watchdog(watchdog: impl AsFd) -> io::Result<()> {
    // SAFETY: WDIOC_KEEPALIVE takes no argument (it ignores the pointer its number announces).
    Ok(unsafe { ioctl(watchdog, NoArg::<{ opcode::read::<i32>(b'W', 5) }>::new()) }?)
}

/// Makes the kernel read a disk's partition table again: `BLKRRPART`.
///
/// # Errors
/// `EBUSY` when one of its partitions is in use.
pub fn reread_partitions(disk: impl AsFd) -> io::Result<()> {
    // SAFETY: BLKRRPART takes no argument.
    Ok(unsafe { ioctl(disk, NoArg::<{ opcode::none(0x12, 95) }>::new()) }?)
}

/// Makes a tunnel's link (`Documentation/networking/tuntap.rst`) in this network namespace that stays until it is
/// deleted, and that `owner` may attach to without any right.
///
/// # Errors
/// What the kernel says; `EBUSY` when somebody holds one of that name.
pub fn make_tunnel(name: &str, owner: u32) -> io::Result<()> {
    const DEVICE: &str = "/dev/net/tun";
    let file = std::fs::OpenOptions::new().read(true).write(true).open(DEVICE)?;
    let mut request = InterfaceFlags {
        name: [0; 16],
        // IFF_TUN | IFF_NO_PI (include/uapi/linux/if_tun.h).
        flags: 0x1001,
        rest: [0; 22],
    };
    let bytes = name.as_bytes();
    // One byte at least stays zero.
    match request.name[..15].get_mut(..bytes.len()) {
        Some(room) => room.copy_from_slice(bytes),
        None => return Err(io::ErrorKind::InvalidInput.into()),
    }
    let owner = usize::try_from(owner).map_err(io::Error::other)?;
    // SAFETY: TUNSETIFF reads one ifreq, and writes the name back into its own copy.
    unsafe {
        ioctl(
            &file,
            Setter::<{ opcode::write::<i32>(b'T', 202) }, InterfaceFlags>::new(request),
        )
    }?;
    // SAFETY: TUNSETOWNER takes a number, no pointer.
    unsafe {
        ioctl(
            &file,
            IntegerSetter::<{ opcode::write::<i32>(b'T', 204) }>::new_usize(owner),
        )
    }?;
    // SAFETY: TUNSETPERSIST takes a number, no pointer.
    unsafe {
        ioctl(
            &file,
            IntegerSetter::<{ opcode::write::<i32>(b'T', 203) }>::new_usize(1),
        )
    }?;
    Ok(())
}

/// The part of `struct ifreq` that the flag calls use, padded to its 40 bytes (netdevice(7)).
#[repr(C)]
struct InterfaceFlags {
    name: [u8; 16],
    flags: libc::c_short,
    rest: [u8; 22],
}

/// Brings up the loopback link of this network namespace.
///
/// # Errors
/// What the kernel says.
pub fn loopback_up() -> io::Result<()> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let mut request = InterfaceFlags {
        name: *b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        flags: 0,
        rest: [0; 22],
    };
    // SAFETY: SIOCGIFFLAGS (0x8913) reads the name and writes the flags of one ifreq, whose size this struct has.
    unsafe { ioctl(&socket, Updater::<0x8913, InterfaceFlags>::new(&mut request)) }?;
    // IFF_UP is bit 0.
    request.flags |= 1;
    // SAFETY: SIOCSIFFLAGS (0x8914) reads one ifreq.
    unsafe { ioctl(&socket, Setter::<0x8914, InterfaceFlags>::new(request)) }?;
    Ok(())
}

/// Has `command` do `work` in its process between fork and exec; where that fails, it fails to start.
///
/// `work` makes system calls only: it neither allocates nor locks. What it owns is dropped by the parent.
pub(crate) fn before_exec(
    command: &mut Command,
    work: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) {
    // SAFETY: between fork and exec of a process with several threads only calls that are safe in a signal handler may
    // be made. The one caller (`confine::start`) makes system calls through rustix, which allocates nothing here.
    unsafe { command.pre_exec(work) };
}

/// Puts a Landlock ruleset on this thread and all it starts: `landlock_restrict_self` (Linux 5.13).
///
/// # Errors
/// What the kernel says; `EPERM` without `no_new_privs`.
pub(crate) fn restrict_reach(ruleset: &OwnedFd) -> io::Result<()> {
    // SAFETY: takes a descriptor and flags, and touches no memory.
    let result = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The version of Landlock this kernel has; 0 is none.
#[must_use]
pub(crate) fn landlock_version() -> u32 {
    // LANDLOCK_CREATE_RULESET_VERSION (include/uapi/linux/landlock.h).
    const VERSION: libc::c_uint = 1;
    // SAFETY: with this flag, no attributes and size 0 the call reads nothing and returns a number.
    let result = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<libc::c_void>(),
            0,
            VERSION,
        )
    };
    u32::try_from(result).unwrap_or(0)
}

/// Restricts the system calls of all threads of this process to what `program` lets through; with `log` what it refuses
/// is logged by the kernel (seccomp(2), `SECCOMP_FILTER_FLAG_LOG`).
///
/// # Errors
/// What the kernel says; `EACCES` without `no_new_privs`.
pub(crate) fn restrict_calls(program: &[seccompiler::sock_filter], log: bool) -> io::Result<()> {
    let length = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = libc::sock_fprog {
        len: length,
        filter: program.as_ptr().cast_mut().cast(),
    };
    let log = if log { libc::SECCOMP_FILTER_FLAG_LOG } else { 0 };
    let flags = libc::SECCOMP_FILTER_FLAG_TSYNC | log;
    // SAFETY: the kernel reads one sock_fprog and the `len` instructions it points to, which live until it returns;
    // seccompiler's sock_filter has the kernel's layout. The kernel checks the program.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    };
    match result {
        0 => Ok(()),
        // Which thread has another filter already.
        1.. => Err(io::Error::other("a thread has another list")),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Maps a page that may be written and run, and lets go of it.
///
/// # Errors
/// What the kernel says to whoever may not.
pub(crate) fn map_executable() -> io::Result<()> {
    const PAGE: usize = 4096;
    let protection = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping at an address the kernel chooses touches no memory of ours.
    let page = unsafe { libc::mmap(std::ptr::null_mut(), PAGE, protection, flags, -1, 0) };
    if page == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the page was just mapped, and nobody has its address.
    check(unsafe { libc::munmap(page, PAGE) }).map(drop)
}
/// A packet socket on `link` of the calling thread's network namespace (packet(7)), which hears every frame from now on and
/// sends there; and the link's own Ethernet address.
///
/// # Errors
/// `EPERM` without `CAP_NET_RAW`; where there is no such link.
pub(crate) fn packet_socket(link: &str) -> io::Result<(OwnedFd, [u8; 6])> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with};
    // Protocol 0: it hears nothing before it is bound.
    let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    let index = netdevice::name_to_index(&socket, link)?;
    let mut length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).unwrap_or(0);
    // SAFETY: an all-zero sockaddr_ll is a valid value; bind reads and getsockname writes no more than `length` bytes of
    // it, which is its size, and it lives longer than both calls.
    let address = unsafe {
        let mut address: libc::sockaddr_ll = std::mem::zeroed();
        address.sll_family = libc::AF_PACKET.unsigned_abs().try_into().unwrap_or(0);
        address.sll_protocol = 3_u16.to_be(); // ETH_P_ALL
        address.sll_ifindex = index.cast_signed();
        check(libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            length,
        ))?;
        check(libc::getsockname(
            socket.as_raw_fd(),
            (&raw mut address).cast(),
            &raw mut length,
        ))?;
        address
    };
    let [station @ .., _, _] = address.sll_addr;
    Ok((socket, station))
}
