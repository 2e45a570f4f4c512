//! The walls around nursery and workers: closed descriptors, resource limits, no new privileges, Landlock, seccomp.
//!
//! A wall that this kernel does not have is left out and told; a limit that cannot be set is a reason not to decode.
#![allow(unsafe_code)]
use std::collections::BTreeMap;

use landlock::{ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus, Scope};
use rustix::process::{Resource, Rlimit, Signal, getpid, getrlimit, set_parent_process_death_signal, setrlimit};
use rustix::thread::set_no_new_privs;
use rustix::time::{ClockId, clock_gettime};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use super::message::Walls;

/// Address space beyond the program's that any frame may use: the allocator keeps up to 320 MiB for the next frame.
const SLACK_BYTES: u64 = 512 << 20;
/// Address space for a sample: OpenJPEG holds it twice as 32 bits, the samples are copied twice, shared memory has 32 bits for it,
/// and code blocks have their own.
const BYTES_A_SAMPLE: u64 = 32;
/// Address space for a byte of the codestream: decoders copy it.
const BYTES_A_CODED_BYTE: u64 = 4;

/// What a worker stands on when it is forked.
#[derive(Clone, Copy)]
pub(super) struct Ground {
    /// Address space of the program and its libraries, bytes.
    base_bytes: u64,
    landlock: bool,
}

/// What the nursery and its workers share. `None`: a limit cannot be set.
pub(super) fn around_nursery() -> Option<Ground> {
    close_inherited();
    // Out of memory, the kernel takes a worker before anything else; where it may not be told, its own choice stands.
    let _own_choice = std::fs::write("/proc/self/oom_score_adj", "1000");
    let base_bytes = address_space()?;
    limit(Resource::Core, 0).ok()?;
    set_no_new_privs(true).ok()?;
    Some(Ground { base_bytes, landlock: landlock() })
}

/// What a worker has around it before it sees its first byte. `None`: a limit cannot be set.
pub(super) fn around_worker(ground: Ground) -> Option<Walls> {
    // The three standard streams stay open; nothing can be opened beside them, and nobody forked.
    limit(Resource::Nofile, 3).ok()?;
    limit(Resource::Nproc, 0).ok()?;
    // Samples go into memory that the service has made long enough; nothing is written as a file.
    limit(Resource::Fsize, 0).ok()?;
    limit_frame(ground, 1, 0, 0).ok()?;
    Some(Walls { seccomp: seccomp().is_some(), landlock: ground.landlock })
}

/// Limits for one frame: address space and processor time.
///
/// They are soft ones, so that the next frame may ask for more.
pub(super) fn limit_frame(ground: Ground, seconds_max: u64, coded_bytes: u64, samples: u64) -> rustix::io::Result<()> {
    let address_space = ground.base_bytes + SLACK_BYTES + BYTES_A_CODED_BYTE * coded_bytes + BYTES_A_SAMPLE * samples;
    let used = clock_gettime(ClockId::ProcessCPUTime);
    let soft = |resource, to: u64| {
        let maximum = getrlimit(resource).maximum;
        let current = Some(maximum.map_or(to, |maximum| maximum.min(to)));
        setrlimit(resource, Rlimit { current, maximum })
    };
    soft(Resource::As, address_space)?;
    soft(Resource::Cpu, used.tv_sec.unsigned_abs() + 1 + seconds_max)
}

/// A limit that nothing in this process can raise again.
fn limit(resource: Resource, to: u64) -> rustix::io::Result<()> {
    setrlimit(resource, Rlimit { current: Some(to), maximum: Some(to) })
}

/// A worker is killed when its nursery ends, however it ends.
pub(super) fn die_with_parent() -> rustix::io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))
}

/// Free memory of the heap goes back to the system.
pub(super) fn give_memory_back() {
    // SAFETY: only looks for free pages of the allocator, which has one thread here. WHY: no safe binding.
    let _whether_there_was_any = unsafe { libc::malloc_trim(0) };
}

/// Whatever the service or its parent had open and did not mark to be closed.
fn close_inherited() {
    // SAFETY: this process has opened nothing itself yet, so that no descriptor above the standard streams is in use.
    // WHY: they are numbers that nobody here owns; no safe binding can close them. Without the call (Linux before 5.9) they
    // stay, and a worker still cannot do more with them than with its own.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
}

fn address_space() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').next()?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// No file and no port, as far as this kernel knows the rule. Whether files at least are out of reach.
fn landlock() -> bool {
    let rules = Ruleset::default().set_compatibility(CompatLevel::BestEffort);
    let rules = rules.handle_access(AccessFs::from_all(ABI::V5));
    let rules = rules.and_then(|rules| rules.handle_access(AccessNet::from_all(ABI::V4)));
    let rules = rules.and_then(|rules| rules.scope(Scope::from_all(ABI::V6)));
    match rules.and_then(|rules| rules.create()).and_then(|rules| rules.restrict_self()) {
        Ok(status) => !matches!(status.ruleset, RulesetStatus::NotEnforced),
        Err(_) => false,
    }
}

/// Puts up the filter. `None`: this kernel has no seccomp.
fn seccomp() -> Option<()> {
    let filter = SeccompFilter::new(
        allowed()?,
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into().ok()?,
    );
    let program: BpfProgram = filter.ok()?.try_into().ok()?;
    seccompiler::apply_filter(&program).ok()
}

/// What decoding needs: memory, time, messages to the service, its own end. No call opens, connects, forks, executes or looks
/// at another process; memory cannot be made executable.
fn allowed() -> Option<BTreeMap<i64, Vec<SeccompRule>>> {
    let always = [
        libc::SYS_recvmsg,
        libc::SYS_sendmsg,
        libc::SYS_poll,
        libc::SYS_ppoll,
        libc::SYS_brk,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_futex,
        libc::SYS_clock_gettime,
        libc::SYS_getrandom,
        libc::SYS_rt_sigreturn,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigaction,
        libc::SYS_sigaltstack,
        libc::SYS_restart_syscall,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];
    let mut allowed: BTreeMap<i64, Vec<SeccompRule>> = always.into_iter().map(|call| (call, Vec::new())).collect();
    let not_executable = || only(2, SeccompCmpOp::MaskedEq(libc::PROT_EXEC.unsigned_abs().into()), 0);
    allowed.insert(libc::SYS_mmap, vec![SeccompRule::new(vec![not_executable()?]).ok()?]);
    allowed.insert(libc::SYS_mprotect, vec![SeccompRule::new(vec![not_executable()?]).ok()?]);
    // The C library's last words go to standard error, which leads nowhere.
    for call in [libc::SYS_write, libc::SYS_writev] {
        allowed.insert(call, vec![SeccompRule::new(vec![only(0, SeccompCmpOp::Eq, 2)?]).ok()?]);
    }
    // abort() signals its own process, and no other.
    let own = u64::try_from(getpid().as_raw_nonzero().get()).ok()?;
    allowed.insert(libc::SYS_tgkill, vec![SeccompRule::new(vec![only(0, SeccompCmpOp::Eq, own)?]).ok()?]);
    let mut limits = Vec::new();
    for resource in [libc::RLIMIT_AS, libc::RLIMIT_CPU] {
        let own_limit = vec![only(0, SeccompCmpOp::Eq, 0)?, only(1, SeccompCmpOp::Eq, resource.into())?];
        limits.push(SeccompRule::new(own_limit).ok()?);
    }
    allowed.insert(libc::SYS_prlimit64, limits);
    Some(allowed)
}

fn only(argument: u8, is: SeccompCmpOp, value: u64) -> Option<SeccompCondition> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, is, value).ok()
}
