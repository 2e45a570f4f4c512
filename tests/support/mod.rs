//! What several tests share: made DICOM objects, and the corpus where it exists.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may fail where it stands"
)]
pub mod corpus;
pub mod ct;
pub mod dicom;
pub mod made_model;
pub mod page;
pub mod server;
