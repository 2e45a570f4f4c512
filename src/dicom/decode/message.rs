//! What the service, its nursery and its decode workers say to each other: one JSON object a message, over sockets that keep
//! messages apart.
//!
//! Bytes never go this way: codestream and samples lie in the memory that service and worker share, from its start.
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Bytes of a message at most, either way.
const MESSAGE_BYTES_MAX: usize = 4096;

/// Service to nursery.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// Fork a worker; its channel and its memory come with the message.
    Fork,
    /// Kill this worker, if it still runs, and tell how it ended.
    End(i32),
}

/// Nursery to service.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Report {
    /// The program is loaded.
    Open,
    /// A worker of this process id was forked.
    Forked(i32),
    /// How a worker ended.
    Ended(Ending),
    /// The order could not be carried out.
    Refused,
}

/// How a worker's process ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ending {
    /// The signal that ended it.
    pub(super) signal: Option<i32>,
    /// Its exit status.
    pub(super) status: Option<i32>,
}

/// Service to worker: one frame to decode.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ask {
    /// UID of the transfer syntax.
    pub(super) syntax: String,
    /// Rows.
    pub(super) rows: u16,
    /// Columns.
    pub(super) columns: u16,
    /// Samples per Pixel.
    pub(super) samples: u16,
    /// Bits Allocated.
    pub(super) bits_allocated: u16,
    /// Bits Stored.
    pub(super) bits_stored: u16,
    /// Planar Configuration is 1.
    pub(super) planar: bool,
    /// Photometric Interpretation.
    pub(super) photometric: String,
    /// Bytes of the codestream.
    pub(super) coded_bytes: usize,
    /// Processor time that the frame may take, seconds.
    pub(super) seconds_max: u64,
    /// Put the samples into the shared memory: the service cannot read them where they are.
    pub(super) put: bool,
}

/// Worker to service.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// Limits and walls are up: it may see its first byte. And where [`PROBE`] lies in its memory.
    Ready(Walls, u64),
    /// The samples lie in the worker's memory until it is asked for the next frame, and in the shared memory if that was asked for.
    Decoded(Decoded),
    /// A code of the frame, by its name, and its sentence.
    Failed(String, String),
}

/// What the service reads from a new worker's memory to find out whether this system lets it.
pub(super) static PROBE: [u8; 8] = *b"overread";

/// What the samples are.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Decoded {
    /// Where they begin in the worker's memory.
    pub(super) address: u64,
    /// Bits of a cell.
    pub(super) cell_bits: u32,
    /// Cells.
    pub(super) count: usize,
    /// As in `Frame`.
    pub(super) right_aligned: bool,
    /// As in `Frame`.
    pub(super) is_rgb: bool,
}

/// Which of the kernel's walls stand around a worker. Resource limits and the empty environment always do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walls {
    /// seccomp: a system call outside a short list ends the worker.
    pub seccomp: bool,
    /// Landlock: no file can be opened, no port reached.
    pub landlock: bool,
}

/// Shared memory that a frame needs: its codestream, then in the same place its samples in the widest cells.
pub(super) fn shared_bytes(coded_bytes: usize, samples: usize) -> usize {
    coded_bytes.max(samples.saturating_mul(4))
}

/// Two ends of a channel. Neither outlives an `exec`, unless it is made a standard stream.
pub(super) fn channel() -> Result<(OwnedFd, OwnedFd), Errno> {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

/// Says something, with descriptors if there are any.
pub(super) fn say(to: impl AsFd, message: &impl Serialize, with: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let bytes = serde_json::to_vec(message).map_err(|_| Errno::INVAL)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !with.is_empty() && !control.push(SendAncillaryMessage::ScmRights(with)) {
        return Err(Errno::INVAL);
    }
    sendmsg(to, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL).map(|_bytes| ())
}

/// Hears one message and the descriptors that came with it. `None`: the other end is gone, or speaks in another tongue.
pub(super) fn hear<T: DeserializeOwned>(from: impl AsFd) -> Option<(T, Vec<OwnedFd>)> {
    let mut bytes = [0; MESSAGE_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let length = loop {
        match recvmsg(from.as_fd(), &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC) {
            Ok(received) => break received.bytes,
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    };
    let with = control.drain().filter_map(|part| match part {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let with = with.flatten().collect();
    Some((serde_json::from_slice(bytes.get(..length)?).ok()?, with))
}

/// Whether there is something to hear (or the other end is gone) before `deadline`.
pub(super) fn wait(on: impl AsFd, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut on = [PollFd::from_borrowed_fd(on.as_fd(), PollFlags::IN)];
        match poll(&mut on, Timespec::try_from(left).ok().as_ref()) {
            Ok(0) => return false,
            Err(Errno::INTR) => {}
            // Whatever is wrong with the descriptor, hearing will tell.
            Ok(_) | Err(_) => return true,
        }
    }
}
