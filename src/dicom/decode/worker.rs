//! The service's hold on one worker: hands it a codestream, waits, checks what comes back.
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use bytemuck::Pod;
use rustix::fs::{MemfdFlags, memfd_create};

use super::message::{self, Answer, Ask, Decoded, Walls};
use super::nursery::Nursery;
use crate::dicom::codec::{Frame, Request, Samples};
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
    memory_bytes: u64,
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
            Some((Answer::Ready(walls), _)) => {
                Ok(Worker { pid, nursery: nursery.pid(), walls, channel, memory, memory_bytes: 0 })
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
        if self.hand_over(request.bytes).is_err() {
            return Ok(Err(Error::internal("there is no memory to hand a codestream to a worker")));
        }
        message::say(&self.channel, &ask(request, seconds_max), &[]).map_err(|_| Lost::Gone)?;
        if !message::wait(&self.channel, deadline) {
            return Err(Lost::Overdue);
        }
        let outcome = match message::hear(&self.channel) {
            Some((Answer::Decoded(decoded), _)) => self.frame(request, &decoded)?,
            Some((Answer::Failed(code, detail), _)) => Err(failure(&code, &detail).ok_or(Lost::Untrue)?),
            Some((Answer::Ready(_), _)) => return Err(Lost::Untrue),
            None => return Err(Lost::Gone),
        };
        if self.memory_bytes > MEMORY_KEPT_BYTES {
            self.memory.set_len(0).map_err(|_| Lost::Gone)?;
            self.memory_bytes = 0;
        }
        Ok(outcome)
    }

    fn hand_over(&mut self, codestream: &[u8]) -> std::io::Result<()> {
        self.memory.write_all_at(codestream, 0)?;
        self.memory_bytes = self.memory_bytes.max(codestream.len() as u64);
        Ok(())
    }

    /// The samples, if they are as many as the header says and of a width that it allows.
    fn frame(&mut self, request: &Request<'_>, decoded: &Decoded) -> std::result::Result<Result<Frame>, Lost> {
        if decoded.count != request.header.frame_samples() {
            return Err(Lost::Untrue);
        }
        let samples = match decoded.cell_bits {
            8 => Samples::Bits8(self.cells(decoded.count)?),
            16 => Samples::Bits16(self.cells(decoded.count)?),
            32 => Samples::Bits32(self.cells(decoded.count)?),
            _ => return Err(Lost::Untrue),
        };
        Ok(Ok(Frame { samples, right_aligned: decoded.right_aligned, is_rgb: decoded.is_rgb }))
    }

    fn cells<C: Pod>(&mut self, count: usize) -> std::result::Result<Vec<C>, Lost> {
        let mut cells = vec![C::zeroed(); count];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut cells);
        // Short: the worker has written fewer than it said.
        self.memory.read_exact_at(bytes, 0).map_err(|_| Lost::Untrue)?;
        self.memory_bytes = self.memory_bytes.max(bytes.len() as u64);
        Ok(cells)
    }
}

fn ask(request: &Request<'_>, seconds_max: u64) -> Ask {
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
    }
}

/// The codes that codecs give, and a sentence without surprises. `None`: no codec says this.
fn failure(code: &str, detail: &str) -> Option<Error> {
    const SAID: [Code; 5] =
        [Code::DecodeFailed, Code::Truncated, Code::TooLarge, Code::PixelLayoutInvalid, Code::Internal];
    let code = SAID.into_iter().find(|said| said.row().name == code)?;
    let plain = |c: &char| c.is_ascii_graphic() || *c == ' ';
    let detail: String = detail.chars().take(DETAIL_CHARS_MAX).filter(plain).collect();
    Some(Error::new(code, detail))
}
