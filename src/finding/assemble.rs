//! From a model's reading of an image to a finding with a place and a provenance.
use super::{Finding, Heatmap, Provenance, region::hot_region};
use crate::{
    model::{Input, Model, Outcome, Reading, Status},
    uid::Uid,
};

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Study Instance UID.
    pub study: Uid,
    /// SOP Instance UID.
    pub sop_instance: Uid,
    /// Frame, DICOM numbering from 1.
    pub frame_number: u32,
}

/// How it ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Device, for example `cpu`.
    pub device: String,
    /// Duration of the model's run, microseconds.
    pub inference_us: u64,
}

/// The finding of one label, and its heatmap where the network has maps. `heatmap` of the finding is `None` until the artifact is durable.
///
/// The UID is a function of study, instance, frame, model, version, weights and label alone: the same on every run, whatever
/// else the study holds by then.
pub fn assemble(
    source: &Source,
    model: &Model,
    reading: Reading<'_>,
    input: &Input,
    run: &Run,
) -> (Finding, Option<Heatmap>) {
    let (manifest, label) = (&model.manifest, reading.label);
    let heatmap = reading.map.map(|map| Heatmap::of_input(map, input));
    let region = match reading.outcome {
        Outcome::Positive | Outcome::Indeterminate => heatmap.as_ref().and_then(hot_region),
        Outcome::Negative => None,
    };
    let frame = source.frame_number.to_string();
    let parts = [
        source.study.as_str(),
        source.sop_instance.as_str(),
        &frame,
        manifest.name.as_str(),
        &manifest.version,
        &model.digest,
        label.name.as_str(),
    ];
    let finding = Finding {
        uid: Uid::derive(&parts.map(str::as_bytes)),
        label: label.name.to_string(),
        code: label.code.clone(),
        probability: reading.probability,
        threshold: label.threshold,
        operating_point: label.operating_point,
        outcome: reading.outcome,
        experimental: label.status == Status::Experimental,
        sop_instance: source.sop_instance.clone(),
        frame_number: source.frame_number,
        region,
        heatmap: None,
        provenance: Provenance {
            model: manifest.name.to_string(),
            version: manifest.version.clone(),
            weights_sha256: model.digest.clone(),
            calibration_id: label.calibration_id(),
            code_version: env!("CARGO_PKG_VERSION").to_owned(),
            device: run.device.clone(),
            inference_us: run.inference_us,
        },
    };
    (finding, heatmap)
}
