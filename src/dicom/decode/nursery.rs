//! The service's hold on its nursery: a child process that has loaded the program and forks workers from it.
//!
//! Why not start each worker as a program of its own: libtorch alone costs a third of a second of processor time and 60 MB of
//! memory a process; a fork costs milliseconds and shares the pages.
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::message::{self, Ending, Order, Report};
use super::worker::Unborn;

/// The hidden subcommand that `child::run` is behind.
const SUBCOMMAND: &str = "decode-worker";
/// Time for loading the program on a machine that is busy.
const OPENING: Duration = Duration::from_secs(30);
/// Time for an order.
const ORDER: Duration = Duration::from_secs(10);

/// A nursery that runs. Dropped, it ends, and its workers with it.
pub(super) struct Nursery {
    child: Child,
    control: OwnedFd,
}

impl Nursery {
    /// Starts the program and waits until it has loaded. `None`: it cannot be started, or is not the program that it should be.
    pub(super) fn open(program: &Path) -> Option<Nursery> {
        let (control, theirs) = message::channel().ok()?;
        let mut command = Command::new(program);
        command.arg0("overread").arg(SUBCOMMAND);
        // No secret of the service's environment; only what the loader may need to find libraries.
        command.env_clear().envs(std::env::vars_os().filter(|(name, _)| name == "LD_LIBRARY_PATH"));
        // Samples in huge pages: the service reads them in less than half the time, since the kernel pins each page that it reads.
        command.env("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1");
        command.stdin(Stdio::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
        // A Ctrl-C at the terminal is for the service, which ends in order and needs its workers for that.
        command.process_group(0);
        let nursery = Nursery { child: command.spawn().ok()?, control };
        // Our copy of its end goes first: only then is its death the end of the channel.
        drop(command);
        matches!(nursery.report(OPENING), Some(Report::Open)).then_some(nursery)
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Forks a worker that speaks on `channel` and shares `memory`; gives its process id.
    pub(super) fn fork(&self, channel: BorrowedFd<'_>, memory: BorrowedFd<'_>) -> Result<i32, Unborn> {
        message::say(&self.control, &Order::Fork, &[channel, memory]).map_err(|_| Unborn::NoNursery)?;
        match self.report(ORDER) {
            Some(Report::Forked(pid)) => Ok(pid),
            Some(Report::Refused) => Err(Unborn::NoMeans),
            Some(Report::Open | Report::Ended(_)) | None => Err(Unborn::NoNursery),
        }
    }

    /// Ends a worker and tells how it had ended, if it had. `None`: the nursery is gone, and the worker with it.
    pub(super) fn end(&self, pid: i32) -> Option<Ending> {
        message::say(&self.control, &Order::End(pid), &[]).ok()?;
        match self.report(ORDER)? {
            Report::Ended(ending) => Some(ending),
            Report::Open | Report::Forked(_) | Report::Refused => None,
        }
    }

    fn report(&self, patience: Duration) -> Option<Report> {
        let in_time = message::wait(self.control.as_fd(), Instant::now() + patience);
        in_time.then(|| message::hear(&self.control))?.map(|(report, _none)| report)
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        // It may have ended already; either way it is waited for, so that nothing is left of it.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
