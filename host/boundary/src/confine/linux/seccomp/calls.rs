//! The calls by what they are for. Those with arguments that matter are in `rules`.

use libc as sys;

// Two that `libc` does not have for every libc of aarch64.
#[cfg(target_arch = "x86_64")]
const KEXEC_FILE_LOAD: i64 = sys::SYS_kexec_file_load;
#[cfg(target_arch = "aarch64")]
const KEXEC_FILE_LOAD: i64 = 294;
#[cfg(target_arch = "x86_64")]
const RENAMEAT: i64 = sys::SYS_renameat;
#[cfg(target_arch = "aarch64")]
const RENAMEAT: i64 = 38;

/// What only somebody who took a worker over would call: programs, other processes' memory, the kernel itself, mounts,
/// namespaces.
pub(super) const HOSTILE: &[i64] = &[
    sys::SYS_execve,
    sys::SYS_execveat,
    sys::SYS_ptrace,
    sys::SYS_process_vm_readv,
    sys::SYS_process_vm_writev,
    sys::SYS_pidfd_getfd,
    sys::SYS_kcmp,
    sys::SYS_bpf,
    sys::SYS_perf_event_open,
    sys::SYS_kexec_load,
    KEXEC_FILE_LOAD,
    sys::SYS_init_module,
    sys::SYS_finit_module,
    sys::SYS_delete_module,
    sys::SYS_reboot,
    sys::SYS_swapon,
    sys::SYS_swapoff,
    sys::SYS_acct,
    sys::SYS_quotactl,
    sys::SYS_add_key,
    sys::SYS_request_key,
    sys::SYS_keyctl,
    sys::SYS_personality,
    sys::SYS_mount,
    sys::SYS_umount2,
    sys::SYS_pivot_root,
    sys::SYS_chroot,
    sys::SYS_move_mount,
    sys::SYS_open_tree,
    sys::SYS_fsopen,
    sys::SYS_fsconfig,
    sys::SYS_fsmount,
    sys::SYS_fspick,
    sys::SYS_mount_setattr,
    sys::SYS_open_by_handle_at,
    sys::SYS_setns,
    sys::SYS_unshare,
    #[cfg(target_arch = "x86_64")]
    sys::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    sys::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    sys::SYS_modify_ldt,
];

/// libc starts threads by `clone` then, whose flags a filter can see.
pub(super) const ABSENT: &[i64] = &[sys::SYS_clone3];

/// The standard library asks `fstat` then, which takes no path: a path would tell whether a file exists.
pub(super) const ABSENT_WITHOUT_FILES: &[i64] = &[sys::SYS_statx];

/// wasmtime copies the initial memory of a module then.
pub(super) const ABSENT_WITHOUT_MEMORY_FILES: &[i64] = &[sys::SYS_memfd_create];

/// What every worker needs, whatever it is granted.
pub(super) const ALWAYS: &[i64] = &[
    // What it has open.
    sys::SYS_read,
    sys::SYS_write,
    sys::SYS_readv,
    sys::SYS_writev,
    sys::SYS_pread64,
    sys::SYS_pwrite64,
    sys::SYS_preadv,
    sys::SYS_pwritev,
    sys::SYS_lseek,
    sys::SYS_fstat,
    sys::SYS_close,
    sys::SYS_dup,
    sys::SYS_dup3,
    sys::SYS_recvmsg,
    sys::SYS_recvfrom,
    sys::SYS_shutdown,
    // Waiting.
    sys::SYS_epoll_create1,
    sys::SYS_epoll_ctl,
    sys::SYS_epoll_pwait,
    sys::SYS_epoll_pwait2,
    sys::SYS_eventfd2,
    sys::SYS_ppoll,
    sys::SYS_futex,
    sys::SYS_nanosleep,
    sys::SYS_clock_nanosleep,
    sys::SYS_restart_syscall,
    // Memory.
    sys::SYS_munmap,
    sys::SYS_mprotect,
    sys::SYS_madvise,
    sys::SYS_mremap,
    sys::SYS_brk,
    sys::SYS_membarrier,
    // Threads and signals of its own.
    sys::SYS_set_robust_list,
    sys::SYS_rseq,
    sys::SYS_sched_yield,
    sys::SYS_sched_getaffinity,
    sys::SYS_getcpu,
    sys::SYS_rt_sigaction,
    sys::SYS_rt_sigprocmask,
    sys::SYS_rt_sigreturn,
    sys::SYS_sigaltstack,
    sys::SYS_exit,
    sys::SYS_exit_group,
    // What it may know.
    sys::SYS_clock_gettime,
    sys::SYS_clock_getres,
    sys::SYS_gettimeofday,
    sys::SYS_getrandom,
    sys::SYS_getpid,
    sys::SYS_gettid,
    sys::SYS_getppid,
    sys::SYS_getuid,
    sys::SYS_geteuid,
    sys::SYS_getgid,
    sys::SYS_getegid,
    sys::SYS_getrusage,
    sys::SYS_sysinfo,
    sys::SYS_uname,
    // Older forms.
    #[cfg(target_arch = "x86_64")]
    sys::SYS_poll,
    #[cfg(target_arch = "x86_64")]
    sys::SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")]
    sys::SYS_time,
    // Answered by `absent`, which gives a better reason than this list.
    sys::SYS_clone3,
    sys::SYS_statx,
    sys::SYS_memfd_create,
];

/// What reading directories takes.
pub(super) const READING: &[i64] = &[
    sys::SYS_openat,
    sys::SYS_openat2,
    sys::SYS_newfstatat,
    sys::SYS_getdents64,
    sys::SYS_readlinkat,
    sys::SYS_fadvise64,
];

/// What changing them takes beside.
pub(super) const WRITING: &[i64] = &[
    sys::SYS_mkdirat,
    sys::SYS_unlinkat,
    RENAMEAT,
    sys::SYS_renameat2,
    sys::SYS_linkat,
    sys::SYS_symlinkat,
    sys::SYS_ftruncate,
    sys::SYS_fallocate,
    sys::SYS_utimensat,
    sys::SYS_fsync,
    sys::SYS_fdatasync,
    // Appending at the end, wherever that is by then.
    sys::SYS_pwritev2,
];

/// What sockets take beside making and setting them up.
pub(super) const SOCKETS: &[i64] = &[
    sys::SYS_connect,
    sys::SYS_getsockname,
    sys::SYS_getpeername,
    sys::SYS_getsockopt,
];
