//! The system calls a service may make, as seccomp programs (seccomp(2)).
//!
//! Two programs: one that says of a few newer calls that this kernel has none (`ENOSYS`), because the C library then uses
//! older ones whose arguments can be looked at; and the list itself, where what is missing is `EPERM`. Arguments are
//! looked at where they are numbers: which sockets, which memory, which namespaces.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

use super::ConfineError;
use super::table::{Calls, Needs};

/// Of which it is said that there are none: their flags are in memory, where a filter cannot look.
const UNKNOWN: [c_long; 1] = [libc::SYS_clone3];

/// What every program needs: memory, threads, time, waiting, reading and writing what is open, reading files.
const BASIC: &[c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_preadv2,
    libc::SYS_pwritev2,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_open,
    libc::SYS_openat,
    libc::SYS_access,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlink,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_fadvise64,
    libc::SYS_fcntl,
    libc::SYS_dup,
    libc::SYS_dup2,
    libc::SYS_dup3,
    libc::SYS_pipe,
    libc::SYS_pipe2,
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_select,
    libc::SYS_pselect6,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_timerfd_gettime,
    libc::SYS_signalfd4,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_membarrier,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_get_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getcpu,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_restart_syscall,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getresuid,
    libc::SYS_getresgid,
    libc::SYS_getpgrp,
    libc::SYS_getrlimit,
    libc::SYS_prlimit64,
    libc::SYS_getrusage,
    libc::SYS_times,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_time,
    libc::SYS_arch_prctl,
    libc::SYS_prctl,
    libc::SYS_umask,
];

/// [`Calls::Files`].
const FILES: &[c_long] = &[
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_sync_file_range,
    libc::SYS_copy_file_range,
    libc::SYS_sendfile,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_unlink,
    libc::SYS_unlinkat,
    libc::SYS_mkdir,
    libc::SYS_mkdirat,
    libc::SYS_rmdir,
    libc::SYS_flock,
    libc::SYS_chmod,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
];

/// [`Calls::Sockets`], but for `socket` itself.
const SOCKETS: &[c_long] = &[
    libc::SYS_socketpair,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_shutdown,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvmmsg,
];

/// [`Calls::Network`]: what netd, `nft` and dhcpcd need besides, but for those whose arguments are looked at.
const NETWORK: &[c_long] = &[
    libc::SYS_execve,
    libc::SYS_vfork,
    libc::SYS_fork,
    libc::SYS_wait4,
    libc::SYS_waitid,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kill,
    libc::SYS_setsid,
    libc::SYS_setpgid,
    libc::SYS_getpgid,
    libc::SYS_getsid,
    libc::SYS_getgroups,
    libc::SYS_setgroups,
    libc::SYS_capget,
    libc::SYS_chroot,
    libc::SYS_chdir,
    libc::SYS_fchdir,
    libc::SYS_seccomp,
    libc::SYS_ioctl,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_symlink,
    libc::SYS_symlinkat,
    libc::SYS_chown,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_truncate,
    libc::SYS_pause,
    libc::SYS_alarm,
    libc::SYS_setitimer,
    libc::SYS_timer_create,
    libc::SYS_timer_settime,
    libc::SYS_timer_delete,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_getpriority,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigpending,
    libc::SYS_inotify_init1,
    libc::SYS_inotify_add_watch,
    libc::SYS_inotify_rm_watch,
    libc::SYS_epoll_create,
];

/// [`Calls::Tunnel`]: what starting OpenVPN takes, but for what is looked at.
const TUNNEL: &[c_long] = &[
    libc::SYS_execve,
    libc::SYS_vfork,
    libc::SYS_wait4,
    libc::SYS_waitid,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kill,
    libc::SYS_chdir,
    libc::SYS_mmap,
    libc::SYS_mprotect,
];

/// `ioctl`s of whoever has no [`Calls::Network`]: not blocking, closing on exec, how much waits, is it a terminal.
const IOCTLS: [u64; 4] = [libc::FIONBIO, libc::FIOCLEX, libc::FIONREAD, libc::TCGETS];

/// Takes a tunnel's link (Linux `include/uapi/linux/if_tun.h`).
const TUNSETIFF: u64 = 0x4004_54ca;

/// Flags that make namespaces (clone(2)).
const NEW_NAMESPACES: i32 = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET;

/// dhcpcd's user (`overlays/base`): the only one that netd's processes may become.
pub(super) const DHCPCD: u64 = 900;

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

/// The programs for a service, in the order they are put on.
pub(super) fn programs(needs: &Needs) -> Result<[BpfProgram; 2], ConfineError> {
    let compile = || {
        let unknown = UNKNOWN.iter().map(|call| (*call, Vec::new())).collect();
        let unknown = filter(
            unknown,
            SeccompAction::Allow,
            SeccompAction::Errno(errno(libc::ENOSYS)),
        )?;
        let listed = filter(
            rules(needs)?,
            SeccompAction::Errno(errno(libc::EPERM)),
            SeccompAction::Allow,
        )?;
        Ok([unknown, listed])
    };
    compile().map_err(|source| ConfineError::Compile {
        service: needs.service,
        source,
    })
}

fn errno(number: i32) -> u32 {
    number.unsigned_abs()
}

fn filter(
    rules: Rules,
    otherwise: SeccompAction,
    listed: SeccompAction,
) -> Result<BpfProgram, seccompiler::BackendError> {
    SeccompFilter::new(rules, otherwise, listed, TargetArch::x86_64)?.try_into()
}

/// A call without rules is allowed whatever its arguments are; of several rules one has to fit.
fn rules(needs: &Needs) -> Result<Rules, seccompiler::BackendError> {
    let has = |group| needs.calls.contains(&group);
    let mut rules: Rules = BASIC.iter().map(|call| (*call, Vec::new())).collect();
    // Said by the first program to be none; the second must not say otherwise.
    rules.extend(UNKNOWN.iter().map(|call| (*call, Vec::new())));
    if has(Calls::Files) {
        rules.extend(FILES.iter().map(|call| (*call, Vec::new())));
    }
    if has(Calls::Sockets) {
        rules.extend(SOCKETS.iter().map(|call| (*call, Vec::new())));
    }
    if has(Calls::Network) {
        rules.extend(NETWORK.iter().map(|call| (*call, Vec::new())));
        rules.insert(libc::SYS_socket, network_sockets()?);
        rules.insert(libc::SYS_clone, vec![rule([none_of(0, NEW_NAMESPACES)?])?]);
        for call in [libc::SYS_unshare, libc::SYS_setns] {
            let argument = u8::from(call == libc::SYS_setns);
            rules.insert(call, vec![rule([equal(argument, libc::CLONE_NEWNET)?])?]);
        }
        // Namespaces by name, and nothing else, are bound and unbound.
        let bind = i32::try_from(libc::MS_BIND).unwrap_or(i32::MAX);
        rules.insert(libc::SYS_mount, vec![rule([equal(3, bind)?])?]);
        rules.insert(libc::SYS_umount2, vec![rule([equal(1, libc::MNT_DETACH)?])?]);
        for call in [libc::SYS_setuid, libc::SYS_setgid] {
            rules.insert(call, vec![rule([equal_to(0, DHCPCD)?])?]);
        }
    } else {
        rules.insert(libc::SYS_socket, plain_sockets(has(Calls::KernelAudit))?);
        let tunnel = has(Calls::Tunnel);
        if tunnel {
            rules.extend(TUNNEL.iter().map(|call| (*call, Vec::new())));
            rules.insert(libc::SYS_clone, vec![rule([none_of(0, NEW_NAMESPACES)?])?]);
        } else {
            only_this_program(&mut rules)?;
        }
        let tun = tunnel.then_some(TUNSETIFF);
        let ioctls: Result<Vec<_>, _> = IOCTLS
            .into_iter()
            .chain(tun)
            .map(|request| rule([equal_to(1, request)?]))
            .collect();
        rules.insert(libc::SYS_ioctl, ioctls?);
    }
    Ok(rules)
}

fn only_this_program(rules: &mut Rules) -> Result<(), seccompiler::BackendError> {
    // Threads, not processes.
    let thread = [all_of(0, libc::CLONE_THREAD)?, none_of(0, NEW_NAMESPACES)?];
    rules.insert(libc::SYS_clone, vec![rule(thread)?]);
    // Memory is never both made by the program and run.
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, vec![rule([none_of(2, libc::PROT_EXEC)?])?]);
    }
    Ok(())
}

/// Streams and datagrams; routes and links may be asked for, as the C library does when it looks a name up.
fn plain_sockets(kernel_audit: bool) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let mut rules = Vec::new();
    for family in [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6] {
        for kind in [libc::SOCK_STREAM, libc::SOCK_DGRAM] {
            rules.push(rule([equal(0, family)?, kind_is(kind)?])?);
        }
    }
    rules.push(rule([
        equal(0, libc::AF_NETLINK)?,
        equal(2, libc::NETLINK_ROUTE)?,
    ])?);
    if kernel_audit {
        rules.push(rule([
            equal(0, libc::AF_NETLINK)?,
            equal(2, libc::NETLINK_AUDIT)?,
        ])?);
    }
    Ok(rules)
}

/// Those, and packets, nftables and the rest of netlink; the kernel asks for `CAP_NET_RAW` and `CAP_NET_ADMIN` besides.
fn network_sockets() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let families = [
        libc::AF_UNIX,
        libc::AF_INET,
        libc::AF_INET6,
        libc::AF_NETLINK,
        libc::AF_PACKET,
    ];
    families.iter().map(|family| rule([equal(0, *family)?])).collect()
}

fn rule<const N: usize>(conditions: [SeccompCondition; N]) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(conditions.into())
}

fn equal(argument: u8, value: i32) -> Result<SeccompCondition, seccompiler::BackendError> {
    equal_to(argument, u64::from(value.cast_unsigned()))
}

fn equal_to(argument: u8, value: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}

/// The kind of a socket without the flags beside it (socket(2)).
fn kind_is(kind: i32) -> Result<SeccompCondition, seccompiler::BackendError> {
    masked(1, 0xf, kind)
}

fn none_of(argument: u8, flags: i32) -> Result<SeccompCondition, seccompiler::BackendError> {
    masked(argument, flags, 0)
}

fn all_of(argument: u8, flags: i32) -> Result<SeccompCondition, seccompiler::BackendError> {
    masked(argument, flags, flags)
}

fn masked(argument: u8, mask: i32, value: i32) -> Result<SeccompCondition, seccompiler::BackendError> {
    let wide = |number: i32| u64::from(number.cast_unsigned());
    SeccompCondition::new(
        argument,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::MaskedEq(wide(mask)),
        wide(value),
    )
}

#[cfg(test)]
mod tests {
    use super::super::table::NEEDS;
    use super::*;

    #[test]
    fn every_service_has_a_list_that_compiles() {
        for needs in &NEEDS {
            let [unknown, listed] = programs(needs).unwrap();
            // BPF_MAXINSNS (include/uapi/linux/bpf_common.h).
            assert!(
                unknown.len() < listed.len() && listed.len() < 4096,
                "{}",
                listed.len()
            );
        }
    }

    #[test]
    fn what_harms_is_in_no_list() {
        let never = [
            libc::SYS_ptrace,
            libc::SYS_process_vm_writev,
            libc::SYS_finit_module,
            libc::SYS_init_module,
            libc::SYS_kexec_load,
            libc::SYS_reboot,
            libc::SYS_bpf,
            libc::SYS_perf_event_open,
            libc::SYS_io_uring_setup,
            libc::SYS_keyctl,
            libc::SYS_userfaultfd,
            libc::SYS_pivot_root,
            libc::SYS_move_mount,
            libc::SYS_open_tree,
            libc::SYS_fsopen,
            libc::SYS_open_by_handle_at,
            libc::SYS_clock_settime,
            libc::SYS_settimeofday,
            libc::SYS_mknodat,
            libc::SYS_setresuid,
            libc::SYS_iopl,
        ];
        for needs in &NEEDS {
            let rules = rules(needs).unwrap();
            assert!(never.iter().all(|call| !rules.contains_key(call)));
        }
    }
}
