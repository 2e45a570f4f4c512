//! overread: a second reader for radiology. DICOM studies in, calibrated findings with heatmaps out. Research use only.
//!
//! The map of the house, lowest floor first; a room imports only from rooms above it in this list (ARCHITECTURE.md).
pub mod error;
pub mod uid;

pub mod dicom;

pub mod network;
pub mod pixel;

pub mod model;

pub mod finding;
pub mod infer;

pub mod ledger;

pub mod study;

pub mod analysis;

pub mod deliver;

pub mod gate;

pub mod cli;
pub mod config;
pub mod server;
pub mod telemetry;
