//! What runs in the child processes: the nursery, which only forks, and the worker, which decodes frame after frame.
//!
//! Nothing here can answer for itself: whatever goes wrong ends the process, and the service draws its conclusion from that.
#![allow(unsafe_code)]
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::process::{Pid, Signal, WaitOptions, getpid, getppid, kill_process, waitpid};
use rustix::stdio::{dup2_stdin, dup2_stdout, stdin, stdout};

use super::message::{self, Answer, Ask, Decoded, Ending, Order, PROBE, Report};
use super::walls::{self, Ground};
use crate::dicom::codec::{self, Frame, Request, Samples};
use crate::dicom::layout::FrameHeader;
use crate::dicom::syntax::Place;
use crate::dicom::{Photometric, transfer_syntax};
use crate::error::{Error, Result};

/// Without a frame for so long, a worker gives its free memory back.
const IDLE: Duration = Duration::from_secs(10);

/// The nursery, from its start to the end of its service. Its control channel is standard input.
///
/// Call it before the process has a second thread: it forks, and what other threads hold would stay held in the worker.
pub fn run() -> ExitCode {
    // A decoder's panic is an answer; its text may quote the codestream.
    std::panic::set_hook(Box::new(|_| {}));
    let Some(ground) = walls::around_nursery() else { return ExitCode::FAILURE };
    let report = |report: &Report| message::say(stdin(), report, &[]);
    let mut last = report(&Report::Open);
    while last.is_ok() {
        last = match message::hear(stdin()) {
            None => return ExitCode::SUCCESS,
            Some((Order::Fork, with)) => match <[OwnedFd; 2]>::try_from(with) {
                Ok([channel, memory]) => report(&fork(ground, channel, memory)),
                Err(_) => report(&Report::Refused),
            },
            Some((Order::End(pid), _)) => report(&end(pid)),
        };
    }
    ExitCode::FAILURE
}

fn fork(ground: Ground, channel: OwnedFd, memory: OwnedFd) -> Report {
    let nursery = getpid();
    // SAFETY: this process has one thread, so that the child finds no lock held and no data half changed.
    // WHY: there is no safe fork; starting the program anew costs a hundred times as much (see `nursery`).
    match unsafe { libc::fork() } {
        0 => {
            let status = worker(ground, nursery, channel, memory).map_or(1, |()| 0);
            // SAFETY: ends the process. WHY: a usual exit would run the destructors of libraries, against the walls.
            unsafe { libc::_exit(status) }
        }
        -1 => Report::Refused,
        pid => Report::Forked(pid),
    }
}

/// Kills a worker unless it has ended, and takes its status. Only children of this process can be meant: `waitpid` knows no others.
fn end(pid: i32) -> Report {
    let Some(pid) = Pid::from_raw(pid) else { return Report::Refused };
    let ended = match waitpid(Some(pid), WaitOptions::NOHANG) {
        Ok(Some((_, status))) => Some(status),
        Ok(None) => {
            let _gone_meanwhile = kill_process(pid, Signal::KILL);
            waitpid(Some(pid), WaitOptions::empty()).ok().flatten().map(|(_, status)| status)
        }
        Err(_) => None,
    };
    match ended {
        Some(status) => Report::Ended(Ending { signal: status.terminating_signal(), status: status.exit_status() }),
        None => Report::Refused,
    }
}

/// A worker, from the fork to its end. `None`: something that must hold does not.
fn worker(ground: Ground, nursery: Pid, channel: OwnedFd, memory: OwnedFd) -> Option<()> {
    // Channel and memory take the places of the nursery's own, which a worker must not have.
    dup2_stdin(channel).and_then(|()| dup2_stdout(memory)).ok()?;
    walls::die_with_parent().ok()?;
    if getppid() != Some(nursery) {
        return None;
    }
    let walls = walls::around_worker(ground)?;
    message::say(stdin(), &Answer::Ready(walls, PROBE.as_ptr() as u64), &[]).ok()?;
    let (mut shared, mut last) = (Shared::default(), None);
    loop {
        if !message::wait(stdin(), Instant::now() + IDLE) {
            drop(last.take());
            walls::give_memory_back();
        }
        // None: the service is done with this worker.
        let Some((ask, _)) = message::hear::<Ask>(stdin()) else { return Some(()) };
        // The service reads the samples from here: they stay until it asks for others.
        drop(last.take());
        let answer = match frame(ground, &ask, &mut shared) {
            Ok(frame) => offer(last.insert(frame), ask.put.then_some(&mut shared)).map(Answer::Decoded),
            Err(error) => Err(error),
        };
        let failed = |error: Error| Answer::Failed(error.code.row().name.to_owned(), error.detail);
        let answer = answer.unwrap_or_else(failed);
        message::say(stdin(), &answer, &[]).ok()?;
    }
}

fn frame(ground: Ground, ask: &Ask, shared: &mut Shared) -> Result<Frame> {
    let unknown = || Error::internal("a decode worker was asked for something that it does not decode");
    let photometric = Photometric::parse(&ask.photometric).ok_or_else(unknown)?;
    let syntax = transfer_syntax(&ask.syntax).filter(|syntax| syntax.coding.place() == Place::Worker);
    let syntax = syntax.ok_or_else(unknown)?;
    let header = FrameHeader {
        rows: ask.rows,
        columns: ask.columns,
        samples: ask.samples,
        bits_allocated: ask.bits_allocated,
        bits_stored: ask.bits_stored,
        planar: ask.planar,
        photometric,
    };
    let limited = walls::limit_frame(ground, ask.seconds_max, ask.coded_bytes as u64, header.frame_samples() as u64);
    limited.map_err(|_| Error::internal("a decode worker could not limit itself"))?;
    let bytes = shared.bytes(message::shared_bytes(ask.coded_bytes, header.frame_samples()));
    let coded = bytes.and_then(|bytes| bytes.get(..ask.coded_bytes));
    let coded = coded.ok_or_else(|| Error::internal("a decode worker cannot reach its memory"))?;
    let request =
        Request { header: &header, syntax_uid: syntax.uid, bytes: coded, big_endian: false, inflate_bytes_max: 0 };
    codec::decode(syntax.coding, &request)
}

/// Says where the samples are, and puts them into shared memory if the service needs them there.
fn offer(frame: &Frame, shared: Option<&mut Shared>) -> Result<Decoded> {
    let (cell_bits, bytes) = match &frame.samples {
        Samples::Bits8(cells) => (8, &**cells),
        Samples::Bits16(cells) => (16, bytemuck::cast_slice(cells)),
        Samples::Bits32(cells) => (32, bytemuck::cast_slice(cells)),
        Samples::Floats(_) => return Err(Error::internal("a decoder of whole numbers gave floats")),
    };
    if let Some(shared) = shared {
        let place = shared.bytes(bytes.len()).and_then(|place| place.get_mut(..bytes.len()));
        place.ok_or_else(|| Error::internal("a decode worker cannot reach its memory"))?.copy_from_slice(bytes);
    }
    let (address, count) = (bytes.as_ptr() as u64, frame.samples.len());
    Ok(Decoded { address, cell_bits, count, right_aligned: frame.right_aligned, is_rgb: frame.is_rgb })
}

/// The memory that is shared with the service, as far as it was needed yet. Mapped here, where nothing is lost if the other side
/// changes it; the service itself copies.
struct Shared {
    start: *mut u8,
    bytes: usize,
}

impl Default for Shared {
    fn default() -> Shared {
        Shared { start: std::ptr::null_mut(), bytes: 0 }
    }
}

impl Shared {
    /// The first `needed` bytes or more; the service has made the memory as long. `None`: no address space for them.
    fn bytes(&mut self, needed: usize) -> Option<&mut [u8]> {
        if needed > self.bytes {
            if self.bytes > 0 {
                // SAFETY: start and length are those of the last mapping, and no slice of it is left (`&mut self`).
                // WHY: the system's own call; a safe wrapper is one dependency more and hides nothing.
                unsafe { munmap(self.start.cast(), self.bytes) }.ok()?;
                self.bytes = 0;
            }
            let access = ProtFlags::READ | ProtFlags::WRITE;
            // SAFETY: a new mapping at an address of the system's choice. WHY: as above.
            let start = unsafe { mmap(std::ptr::null_mut(), needed, access, MapFlags::SHARED, stdout(), 0) }.ok()?;
            *self = Shared { start: start.cast(), bytes: needed };
        }
        match self.bytes {
            0 => Some(&mut []),
            // SAFETY: the mapping is that long and lives as long as `self`; beyond the end of the file, which the service keeps from
            // happening, touching it would end this process and no other. WHY: copying it out costs a tenth of a fast decoder.
            bytes => Some(unsafe { std::slice::from_raw_parts_mut(self.start, bytes) }),
        }
    }
}
