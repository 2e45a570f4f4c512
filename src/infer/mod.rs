//! Inference: tensors in, tensors out, on lanes that pull work from a scheduler.
//!
//! Does not know: DICOM, storage, what a label means.
