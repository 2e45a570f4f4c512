//! What several tests share: made DICOM objects, and the corpus where it exists.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
pub mod corpus;
pub mod dicom;
