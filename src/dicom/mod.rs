//! DICOM: from bytes that nobody trusts to a vetted header and decoded frames; and from a data set that we fill to bytes.
//!
//! In: bytes of a Part 10 file or a bare data set.   Out: [`Instance`] with its [`Header`], frames of samples, value attributes.
//! The other way: a [`Dataset`] filled by others becomes a Part 10 file, under the names in [`tags`].
//! Standard: PS3.5 (encoding), PS3.10 (file format), PS3.3 C.7.6.3 (Image Pixel).
//! Does not know: windows, models, network, storage.
//! Invariants
//! - No value is read that `prescan` has not found within bounds; no decoder is asked for a size that `header` has not checked.
//! - A decoded frame has exactly the samples that the header says, or there is none.
mod attributes;
mod codec;
mod dataset;
mod decode;
mod fragments;
mod header;
mod instance;
mod layout;
mod limits;
mod origin;
mod part10;
mod photometric;
mod plane;
mod prescan;
mod syntax;
mod values;
mod write;

pub use ::dicom::{core::Tag, dictionary_std::tags};
pub use codec::{Cell, Cells, Decoders, Frame, Samples};
pub use dataset::{Dataset, decimal};
pub use decode::{Config as DecodeConfig, Decoder, Mode as DecodeMode, Walls, run_worker};
pub use header::{Header, Text};
pub use instance::{Identity, Instance, Viewed, identify};
pub use limits::Limits;
pub use origin::Origin;
pub use photometric::Photometric;
pub use plane::{Plane, Planes};
pub use syntax::{IMAGE_SOP_CLASSES, TRANSFER_SYNTAXES, TransferSyntax, is_image_class, transfer_syntax};
pub use values::{Function, Lut, Modality, Palette, Voi, Window};
pub use write::WRITTEN_SYNTAX;
