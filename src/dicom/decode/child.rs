//! What runs in the child processes: the nursery, which only forks, and the worker, which decodes frame after frame.
//!
//! Nothing here can answer for itself: whatever goes wrong ends the process, and the service draws its conclusion from that.
#![allow(unsafe_code)]
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::io::{pread, pwrite};
use rustix::process::{Pid, Signal, WaitOptions, getpid, getppid, kill_process, waitpid};
use rustix::stdio::{dup2_stdin, dup2_stdout, stdin, stdout};

use super::message::{self, Answer, Ask, Decoded, Ending, Order, Report};
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
    message::say(stdin(), &Answer::Ready(walls), &[]).ok()?;
    let mut coded = Vec::new();
    loop {
        if !message::wait(stdin(), Instant::now() + IDLE) {
            coded = Vec::new();
            walls::give_memory_back();
        }
        // None: the service is done with this worker.
        let Some((ask, _)) = message::hear::<Ask>(stdin()) else { return Some(()) };
        let frame = frame(ground, &ask, &mut coded);
        let answer = match frame.and_then(|frame| hand_over(&frame)) {
            Ok(decoded) => Answer::Decoded(decoded),
            Err(error) => Answer::Failed(error.code.row().name.to_owned(), error.detail),
        };
        message::say(stdin(), &answer, &[]).ok()?;
    }
}

fn frame(ground: Ground, ask: &Ask, coded: &mut Vec<u8>) -> Result<Frame> {
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
    coded.resize(ask.coded_bytes, 0);
    read(coded).ok_or_else(|| Error::internal("a decode worker cannot read its memory"))?;
    let request =
        Request { header: &header, syntax_uid: syntax.uid, bytes: coded, big_endian: false, inflate_bytes_max: 0 };
    codec::decode(syntax.coding, &request)
}

/// Puts the samples where the service looks for them.
fn hand_over(frame: &Frame) -> Result<Decoded> {
    let (cell_bits, bytes) = match &frame.samples {
        Samples::Bits8(cells) => (8, cells.as_slice()),
        Samples::Bits16(cells) => (16, bytemuck::cast_slice(cells)),
        Samples::Bits32(cells) => (32, bytemuck::cast_slice(cells)),
        Samples::Floats(_) => return Err(Error::internal("a decoder of whole numbers gave floats")),
    };
    write(bytes).ok_or_else(|| Error::internal("a decode worker cannot write its memory"))?;
    let Frame { samples, right_aligned, is_rgb } = frame;
    Ok(Decoded { cell_bits, count: samples.len(), right_aligned: *right_aligned, is_rgb: *is_rgb })
}

fn read(bytes: &mut [u8]) -> Option<()> {
    let mut at = 0;
    while at < bytes.len() {
        at += match pread(stdout(), &mut bytes[at..], at as u64) {
            Ok(0) | Err(_) => return None,
            Ok(read) => read,
        };
    }
    Some(())
}

fn write(bytes: &[u8]) -> Option<()> {
    let mut at = 0;
    while at < bytes.len() {
        at += pwrite(stdout(), &bytes[at..], at as u64).ok()?;
    }
    Some(())
}
