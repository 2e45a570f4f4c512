//! DICOM: from bytes that nobody trusts to a vetted header and decoded frames.
//!
//! In: bytes of a Part 10 file or a bare data set.   Out: [`Instance`] with its [`Header`], and frames of stored samples.
//! Standard: PS3.5 (encoding), PS3.10 (file format), PS3.3 C.7.6.3 (Image Pixel).
//! Does not know: windows, models, network, storage.
