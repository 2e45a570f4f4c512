//! Room for the values of a volume, in huge pages.
//!
//! A volume of 300 slices lies in 77,000 pages of 4 KiB, and to fetch them one by one took nearly half of the time of loading it.
#![allow(unsafe_code)]
use ndarray::Array3;
use rustix::mm::{Advice, madvise};

/// Huge pages are of this size on x86-64 and, mostly, on AArch64.
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// slices x rows x columns of `value`.
pub(super) fn filled(size: [usize; 3], value: f32) -> Array3<f32> {
    // Zeros are not written: the pages are fetched when they are first used, after the advice.
    let mut values = Array3::zeros(size);
    if let Some(values) = values.as_slice_mut() {
        advise(values);
    }
    if value != 0.0 {
        values.fill(value);
    }
    values
}

/// Asks the kernel for huge pages. Where it has none, nothing but time is lost.
fn advise(values: &mut [f32]) {
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(values);
    let before = bytes.as_ptr().align_offset(HUGE_PAGE_BYTES);
    let whole = bytes.len().saturating_sub(before) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
    if whole == 0 {
        return;
    }
    let inner = &mut bytes[before..before + whole];
    // SAFETY: the advice changes how memory is mapped, not what it holds; the range is borrowed from its owner. WHY: no safe call gives
    // it, and malloc gives huge pages only to processes that were started with a tunable.
    let _refused = unsafe { madvise(inner.as_mut_ptr().cast(), inner.len(), Advice::LinuxHugepage) };
}
