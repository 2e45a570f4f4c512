//! Which fragments make up a frame of encapsulated pixel data (PS3.5 A.4).
//!
//! Tables lie often, so they are believed last: one fragment a frame needs none; an Extended Offset Table must point at
//! items; a Basic Offset Table counts if it points at items; otherwise a frame starts where a codestream starts.
use std::borrow::Cow;
use std::ops::Range;

use crate::error::{Code, Error, Result};

use super::Instance;
use super::prescan::Content;

const EXTENDED_OFFSETS: (u16, u16) = (0x7FE0, 0x0001);
const EXTENDED_LENGTHS: (u16, u16) = (0x7FE0, 0x0002);
const ITEM_HEADER_BYTES: usize = 8;

fn invalid(what: &str) -> Error {
    Error::new(Code::PixelLayoutInvalid, what.to_owned())
}

impl Instance {
    /// The codestream of one frame. Errors: `PixelLayoutInvalid` if the fragments do not add up to the frames.
    pub(super) fn codestream(&self, frame_index: u32) -> Result<Cow<'_, [u8]>> {
        let Content::Fragments(items) = &self.pixels().content else {
            return Err(invalid("the pixel data is not encapsulated"));
        };
        let Some((table, fragments)) = items.split_first() else {
            return Err(invalid("the encapsulated pixel data holds no fragment"));
        };
        let (frames, index) = (self.header().frames as usize, frame_index as usize);
        if frames == 1 {
            return Ok(self.join(fragments));
        }
        if fragments.len() < frames {
            return Err(invalid("there are fewer fragments than frames"));
        }
        if let Some(range) = self.extended(fragments, frames, index)? {
            return Ok(Cow::Borrowed(self.slice(&range)));
        }
        if fragments.len() == frames {
            return Ok(self.join(&fragments[index..=index]));
        }
        let starts = self.basic_starts(table, fragments, frames).or_else(|| self.marked_starts(fragments, frames));
        let starts = starts.ok_or_else(|| invalid("nothing tells which fragments belong to which frame"))?;
        let end = starts.get(index + 1).copied().unwrap_or(fragments.len());
        Ok(self.join(&fragments[starts[index]..end]))
    }

    fn join(&self, fragments: &[Range<usize>]) -> Cow<'_, [u8]> {
        match fragments {
            [one] => Cow::Borrowed(self.slice(one)),
            many => Cow::Owned(many.iter().flat_map(|range| self.slice(range)).copied().collect()),
        }
    }

    /// By the Extended Offset Table, which promises one fragment a frame (PS3.3 C.7.6.3.1.8).
    fn extended(&self, fragments: &[Range<usize>], frames: usize, index: usize) -> Result<Option<Range<usize>>> {
        let numbers = |key| -> Option<Vec<usize>> {
            let bytes = self.root().bytes(key)?;
            let long = |chunk: &[u8]| usize::try_from(u64::from_le_bytes(chunk.try_into().ok()?)).ok();
            bytes.chunks_exact(8).map(long).collect()
        };
        let (Some(offsets), Some(lengths)) = (numbers(EXTENDED_OFFSETS), numbers(EXTENDED_LENGTHS)) else {
            return Ok(None);
        };
        let first = fragments[0].start;
        let find = || {
            let (offset, length) = (*offsets.get(index)?, *lengths.get(index)?);
            let range = fragments.iter().find(|range| range.start - first == offset)?;
            (offsets.len() == frames && length <= range.len()).then(|| range.start..range.start + length)
        };
        find().map(Some).ok_or_else(|| invalid("the Extended Offset Table does not point at the fragments"))
    }

    /// Indices of the fragments that the Basic Offset Table says frames start with; `None` if it is no table of these fragments.
    fn basic_starts(&self, table: &Range<usize>, fragments: &[Range<usize>], frames: usize) -> Option<Vec<usize>> {
        let offsets = self.slice(table).chunks_exact(4);
        let offsets = offsets.map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]]) as usize);
        let first = fragments[0].start - ITEM_HEADER_BYTES;
        let starts: Vec<usize> = offsets
            .map(|offset| fragments.iter().position(|range| range.start - ITEM_HEADER_BYTES - first == offset))
            .collect::<Option<_>>()?;
        let ascending = starts.first() == Some(&0) && starts.windows(2).all(|pair| pair[0] < pair[1]);
        (starts.len() == frames && ascending).then_some(starts)
    }

    /// Fragments that begin with a start of image (JPEG, JPEG-LS) or start of codestream (JPEG 2000).
    fn marked_starts(&self, fragments: &[Range<usize>], frames: usize) -> Option<Vec<usize>> {
        let is_start = |range: &Range<usize>| {
            let head = self.slice(range);
            head.starts_with(&[0xFF, 0xD8, 0xFF]) || head.starts_with(&[0xFF, 0x4F, 0xFF, 0x51])
        };
        let starts: Vec<usize> = (0..fragments.len()).filter(|i| is_start(&fragments[*i])).collect();
        (starts.len() == frames && starts.first() == Some(&0)).then_some(starts)
    }
}
