//! Where frames are decoded. In: an [`Instance`] and the index of a frame.   Out: its [`Frame`], or a code.
use super::Instance;
use super::codec::Frame;
use crate::error::Result;

/// Decodes frames. Cheap to clone.
#[derive(Clone)]
pub struct Decoder(());

impl Decoder {
    /// Decodes in this process: for trusted input alone.
    pub fn in_process() -> Decoder {
        Decoder(())
    }

    /// Decodes the frame with index `frame_index` (from 0).
    ///
    /// Errors: those of [`Instance::frame`].
    pub fn frame(&self, instance: &Instance, frame_index: u32) -> Result<Frame> {
        instance.frame(frame_index)
    }
}
