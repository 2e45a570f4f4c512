//! The service's hold on one worker: hands it a codestream, waits, checks what comes back.
#![allow(unsafe_code)]
use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use bytemuck::Pod;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::pread;

use super::message::{self, Answer, Ask, Decoded, PROBE, Walls};
use super::nursery::Nursery;
use crate::dicom::codec::{Cell, Frame, Request};
use crate::error::{Code, Error, Result};

/// Shared memory that a worker keeps between frames: warm pages are what makes the next frame cheap.
const MEMORY_KEPT_BYTES: u64 = 64 << 20;
/// Time for putting up limits and walls.
const READY: Duration = Duration::from_secs(10);
/// Characters of a worker's sentence that are shown.
const DETAIL_CHARS_MAX: usize = 200;

/// A worker that waits for a frame.
pub(super) struct Worker {
    pub(super) pid: i32,
    /// Process id of the nursery that it came from.
    pub(super) nursery: u32,
    pub(super) walls: Walls,
    channel: OwnedFd,
    /// Read and written, never mapped: no pointer of ours leads to bytes that somebody else can change meanwhile.
    memory: File,
    /// How far it was written.
    touched_bytes: u64,
    /// This system lets us read the worker's memory: its samples are copied once and not twice.
    readable: bool,
}

/// Why a worker is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// It took longer than a frame may.
    Overdue,
    /// It is gone.
    Gone,
    /// It said what cannot be true.
    Untrue,
}

/// Why there is no new worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unborn {
    /// The nursery is gone.
    NoNursery,
    /// The system gives no descriptors or no process, or a limit cannot be set.
    NoMeans,
}

impl Worker {
    /// A new worker from the nursery, behind its walls.
    pub(super) fn from(nursery: &Nursery) -> std::result::Result<Worker, Unborn> {
        let no_means = |_| Unborn::NoMeans;
        let (channel, theirs) = message::channel().map_err(no_means)?;
        let memory = File::from(memfd_create("overread-frame", MemfdFlags::CLOEXEC).map_err(no_means)?);
        let pid = nursery.fork(theirs.as_fd(), memory.as_fd())?;
        // Our copy of its end goes first: only then is its death the end of the channel.
        drop(theirs);
        let in_time = message::wait(&channel, Instant::now() + READY);
        match in_time.then(|| message::hear(&channel)).flatten() {
            Some((Answer::Ready(walls, probe), _)) => {
                let nursery = nursery.pid();
                let mut worker = Worker { pid, nursery, walls, channel, memory, touched_bytes: 0, readable: true };
                worker.readable = worker.cells::<u8>(probe, PROBE.len()).is_ok_and(|read| read == PROBE);
                Ok(worker)
            }
            Some(_) | None => Err(nursery.end(pid).map_or(Unborn::NoNursery, |_| Unborn::NoMeans)),
        }
    }

    /// Decodes a frame within `seconds_max`. The outer error: the worker is lost. The inner one: a code of the frame.
    pub(super) fn decode(
        &mut self,
        request: &Request<'_>,
        seconds_max: u64,
    ) -> std::result::Result<Result<Frame>, Lost> {
        let deadline = Instant::now() + Duration::from_secs(seconds_max);
        if self.hand_over(request).is_err() {
            return Ok(Err(Error::internal("there is no memory to hand a codestream to a worker")));
        }
        message::say(&self.channel, &self.ask(request, seconds_max), &[]).map_err(|_| Lost::Gone)?;
        if !message::wait(&self.channel, deadline) {
            return Err(Lost::Overdue);
        }
        let outcome = match message::hear(&self.channel) {
            Some((Answer::Decoded(decoded), _)) => self.frame(request, &decoded)?,
            Some((Answer::Failed(code, detail), _)) => Err(failure(&code, &detail).ok_or(Lost::Untrue)?),
            Some((Answer::Ready(..), _)) => return Err(Lost::Untrue),
            None => return Err(Lost::Gone),
        };
        if self.touched_bytes > MEMORY_KEPT_BYTES {
            self.memory.set_len(0).map_err(|_| Lost::Gone)?;
            self.touched_bytes = 0;
        }
        Ok(outcome)
    }

    fn hand_over(&mut self, request: &Request<'_>) -> std::io::Result<()> {
        // Room for the samples, too; it takes no memory before it is written.
        let room = message::shared_bytes(request.bytes.len(), request.header.frame_samples()) as u64;
        if self.memory.metadata()?.len() < room {
            self.memory.set_len(room)?;
        }
        self.memory.write_all_at(request.bytes, 0)?;
        self.touched_bytes = self.touched_bytes.max(request.bytes.len() as u64);
        Ok(())
    }

    /// The samples, if they are as many as the header says and of a width that it allows.
    fn frame(&mut self, request: &Request<'_>, decoded: &Decoded) -> std::result::Result<Result<Frame>, Lost> {
        if decoded.count != request.header.frame_samples() {
            return Err(Lost::Untrue);
        }
        let samples = match decoded.cell_bits {
            8 => u8::samples(self.cells(decoded.address, decoded.count)?),
            16 => u16::samples(self.cells(decoded.address, decoded.count)?),
            32 => u32::samples(self.cells(decoded.address, decoded.count)?),
            _ => return Err(Lost::Untrue),
        };
        Ok(Ok(Frame { samples, right_aligned: decoded.right_aligned, is_rgb: decoded.is_rgb }))
    }

    /// Copies cells from the worker's memory at `address`, which is nothing to us, or from shared memory.
    fn cells<C: Pod>(&mut self, address: u64, count: usize) -> std::result::Result<Vec<C>, Lost> {
        let mut cells: Vec<C> = Vec::with_capacity(count);
        let bytes = count * size_of::<C>();
        // SAFETY: the allocation holds `count` cells, and any memory is a slice of bytes that may not be set.
        // WHY: zeroing first takes half as long as the copy.
        let unset = unsafe { std::slice::from_raw_parts_mut(cells.as_mut_ptr().cast::<MaybeUninit<u8>>(), bytes) };
        match self.readable {
            true => self.read(address, unset)?,
            false => self.read_shared(unset)?,
        }
        // SAFETY: every byte of `count` cells is set, and any bytes are a cell. WHY: as above.
        unsafe { cells.set_len(count) };
        Ok(cells)
    }

    /// Sets all bytes from the worker's memory.
    fn read(&self, address: u64, bytes: &mut [MaybeUninit<u8>]) -> std::result::Result<(), Lost> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &mut bytes[at..];
            let from = address.checked_add(at as u64).ok_or(Lost::Untrue)? as *mut libc::c_void;
            let local = libc::iovec { iov_base: rest.as_mut_ptr().cast(), iov_len: rest.len() };
            let remote = libc::iovec { iov_base: from, iov_len: rest.len() };
            // SAFETY: the kernel writes to `rest` at most, and reads the other process's memory as that process could.
            // WHY: no safe binding; the copy that it saves is a tenth of a fast decoder's time.
            let read = unsafe { libc::process_vm_readv(self.pid, &raw const local, 1, &raw const remote, 1, 0) };
            match usize::try_from(read) {
                Ok(read) if read > 0 => at += read,
                Ok(_) | Err(_) => return Err(Lost::Untrue),
            }
        }
        // A worker that is there, and silent, was there while we read: the process id was its own.
        match message::wait(&self.channel, Instant::now()) {
            false => Ok(()),
            true => Err(Lost::Gone),
        }
    }

    /// Sets all bytes from shared memory.
    fn read_shared(&mut self, bytes: &mut [MaybeUninit<u8>]) -> std::result::Result<(), Lost> {
        self.touched_bytes = self.touched_bytes.max(bytes.len() as u64);
        let mut at = 0;
        while at < bytes.len() {
            match pread(&self.memory, &mut bytes[at..], at as u64) {
                Ok((read, _)) if !read.is_empty() => at += read.len(),
                Ok(_) | Err(_) => return Err(Lost::Untrue),
            }
        }
        Ok(())
    }

    fn ask(&self, request: &Request<'_>, seconds_max: u64) -> Ask {
        let header = request.header;
        Ask {
            syntax: request.syntax_uid.to_owned(),
            rows: header.rows,
            columns: header.columns,
            samples: header.samples,
            bits_allocated: header.bits_allocated,
            bits_stored: header.bits_stored,
            planar: header.planar,
            photometric: header.photometric.as_str().to_owned(),
            coded_bytes: request.bytes.len(),
            seconds_max,
            put: !self.readable,
        }
    }
}

/// The codes that codecs give, and a sentence without surprises. `None`: no codec says this.
fn failure(code: &str, detail: &str) -> Option<Error> {
    const SAID: [Code; 6] = [
        Code::DecodeFailed,
        Code::Truncated,
        Code::TooLarge,
        Code::PixelLayoutInvalid,
        Code::UnsupportedTransferSyntax,
        Code::Internal,
    ];
    let code = SAID.into_iter().find(|said| said.row().name == code)?;
    let plain = |c: &char| c.is_ascii_graphic() || *c == ' ';
    let detail: String = detail.chars().take(DETAIL_CHARS_MAX).filter(plain).collect();
    Some(Error::new(code, detail))
}
