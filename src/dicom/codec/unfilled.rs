//! Buffers for decoders that write each sample once: not zeroed first.
//!
//! Zeroing costs a pass over the frame, which is a tenth of what a baseline JPEG takes to decode.
#![allow(unsafe_code)]
use crate::error::Result;

use super::Cell;

/// `count` cells, written by `write` from the start of the buffer that it gets.
///
/// # Safety
/// If `write` returns `Ok`, it has written all `count` cells; it never writes more.
pub(super) unsafe fn written_by<C: Cell>(count: usize, write: impl FnOnce(*mut C) -> Result<()>) -> Result<Vec<C>> {
    let mut cells = Vec::with_capacity(count);
    write(cells.as_mut_ptr())?;
    // SAFETY: the capacity is `count`, and the caller promises that all of it has been written. WHY: see above.
    unsafe { cells.set_len(count) };
    Ok(cells)
}
