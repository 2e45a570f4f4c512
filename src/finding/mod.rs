//! Findings: what was found, how sure, where, by what; and the report that holds them.
//!
//! In: readings of a model on an image or a series.   Out: [`Finding`], [`Heatmap`], [`Segmentation`], [`Report`].
//! Does not know: gRPC, DICOM objects, storage.
//! Invariants
//! - Places are always in source pixels of the SOP Instance that is named.
//! - A finding's probability is calibrated; the logit is never shown.
mod assemble;
#[expect(clippy::module_inception, reason = "the room and its main noun have one name")]
mod finding;
mod heatmap;
mod json;
mod json_series;
mod made;
mod measure;
mod of_series;
mod picture;
mod region;
mod report;
mod segmentation;

pub use assemble::{Run, Source, assemble, assemble_series};
pub use finding::{Finding, Provenance, Region};
pub use heatmap::Heatmap;
pub use json::{finding_from_json, finding_to_json, report_from_json, report_to_json};
pub use made::{Artifact, Made, Role};
pub use measure::{MaskMeasures, measure, measure_part};
pub use of_series::{KeySlice, Measured, OfSeries, Quantity};
pub use region::hot_region;
pub use report::{NotAnalysed, ReadVolume, Report};
pub use segmentation::Segmentation;

pub use crate::model::{CodedConcept, OperatingPoint, Outcome};
