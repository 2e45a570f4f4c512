//! The desk: gathers from the ledger what an object is made of, and has it made. One object at a time: a map may take 100 MB.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Object, Planned, Profile,
    format::{self, Material, Seen},
    plan,
};
use crate::{
    dicom::{Decoder, Function, Instance, Limits, Origin, Voi, Window},
    error::{Code, Error, Result, Subject},
    finding::{Finding, Heatmap, Report, Segmentation, report_from_json},
    ledger::{InstanceRow, Ledger},
    model::Model,
    pixel::{self, SliceSource},
    uid::Uid,
};

/// Where objects are made. Clones are handles on the same rooms.
#[derive(Clone)]
pub struct Desk {
    /// Reports, source bytes, artifacts.
    pub ledger: Ledger,
    /// The limits that sources are read by.
    pub limits: Limits,
    /// Decodes the frames of pictures.
    pub decoder: Decoder,
    /// The models that serve: some see their images through a window of their own.
    pub models: Vec<Arc<Model>>,
}

/// A reported study revision, its headers read.
pub struct Opened {
    desk: Desk,
    report: Arc<Report>,
    reported_us: i64,
    rows: BTreeMap<Uid, InstanceRow>,
    origins: Arc<BTreeMap<Uid, Origin>>,
}

impl Desk {
    /// Opens a revision, or the newest that is reported. Blocks: reads every instance of it once.
    ///
    /// Errors: `NotFound` when there is no report; those of the ledger.
    pub async fn open(&self, study: &Uid, revision: Option<u32>) -> Result<Opened> {
        let none = || {
            let detail = "its report is not complete yet; WatchStudy tells when it is";
            Error::new(Code::NotFound, detail).about(Subject::Study(study.to_string()))
        };
        let row = self.ledger.report_row(study, revision).await?.ok_or_else(none)?;
        let report = report_from_json(&row.report_json)?;
        let rows = self.ledger.instances(study, row.revision).await?;
        let desk = self.clone();
        off_thread(move || {
            let mut origins = BTreeMap::new();
            for row in &rows {
                let bytes = desk.ledger.read_blocking(row)?;
                // One that cannot be read is in the report, as not analysed.
                if let Ok(instance) = Instance::read(&bytes, &desk.limits) {
                    origins.insert(row.sop_instance.clone(), instance.origin());
                }
            }
            let rows = rows.into_iter().map(|row| (row.sop_instance.clone(), row)).collect();
            Ok(Opened { desk, report: Arc::new(report), reported_us: row.at, rows, origins: Arc::new(origins) })
        })
        .await
    }
}

impl Opened {
    /// The report's revision.
    pub fn revision(&self) -> u32 {
        self.report.revision
    }

    /// The objects for a destination of that profile. None of a study whose images cannot be read any more.
    pub fn plan(&self, profile: Profile) -> Vec<Planned> {
        if self.origins.is_empty() { Vec::new() } else { plan(&self.report, profile) }
    }

    /// Bytes that making the object takes at most, about: maps, masks and frames as they are held, and the object itself.
    pub fn bytes(&self, planned: &Planned) -> u64 {
        let needs = planned.needs(&self.report);
        let pixels = |origin: &Origin| origin.header.frame_pixels() as u64;
        let frame = planned.findings.iter().filter_map(|index| self.report.findings.get(*index));
        let frame = frame.filter_map(|finding| self.origins.get(&finding.sop_instance)).map(pixels).max().unwrap_or(0);
        let slices = self.report.volumes.iter().map(|volume| u64::from(volume.size[0])).max().unwrap_or(1);
        let masks = needs.masks.len() as u64 * frame * slices / 4;
        (needs.heatmaps.len() as u64 + needs.frames.len() as u64) * frame * 12 + masks + (1 << 20)
    }

    /// Makes one object. Errors: `NotFound` when an artifact or a source is gone; `Internal`; those of reading and decoding a frame.
    pub async fn make(self: Arc<Opened>, planned: Planned) -> Result<Object> {
        let needs = planned.needs(&self.report);
        let mut material = Material {
            report: Arc::clone(&self.report),
            reported_us: self.reported_us,
            origins: Arc::clone(&self.origins),
            heatmaps: BTreeMap::new(),
            masks: BTreeMap::new(),
            frames: BTreeMap::new(),
        };
        for digest in needs.heatmaps {
            let heatmap = Heatmap::from_bytes(&self.artifact(&digest).await?)?;
            material.heatmaps.insert(digest, heatmap);
        }
        let mut masks = BTreeMap::new();
        for digest in needs.masks {
            masks.insert(digest.clone(), self.artifact(&digest).await?);
        }
        off_thread(move || {
            for (digest, bytes) in masks {
                material.masks.insert(digest, Segmentation::from_bytes(&bytes)?);
            }
            material.frames = self.frames(&planned, needs.frames)?;
            format::write(&planned, &material)
        })
        .await
    }

    async fn artifact(&self, digest: &str) -> Result<bytes::Bytes> {
        let gone = || Error::new(Code::NotFound, "a heatmap or a mask of the report is not here any more");
        self.desk.ledger.artifact(digest).await?.ok_or_else(gone)
    }

    fn frames(&self, planned: &Planned, frames: BTreeSet<SliceSource>) -> Result<BTreeMap<SliceSource, Seen>> {
        let finding = planned.findings.first().and_then(|index| self.report.findings.get(*index));
        let model = finding.and_then(|finding| serving(&self.desk.models, finding));
        let window = model.and_then(|model| model.manifest.display_window());
        let outline_at = model.map_or(OUTLINE_AT, |model| model.manifest.outline_at());
        let mut seen = BTreeMap::new();
        for frame in frames {
            let gone = || Error::internal("a frame of a report is of no instance of it");
            let row = self.rows.get(&frame.sop_instance).ok_or_else(gone)?;
            let instance = Instance::read(&self.desk.ledger.read_blocking(row)?, &self.desk.limits)?;
            let made = see(&self.desk.decoder, &instance, frame.frame_number.saturating_sub(1), (window, outline_at))?;
            seen.insert(frame, made);
        }
        Ok(seen)
    }
}

/// Where a heatmap is outlined when its model does not serve any more: half of the scale.
pub const OUTLINE_AT: f32 = 0.5;

/// The model that made the finding, where it is the one that serves now.
pub fn serving<'m>(models: &'m [Arc<Model>], finding: &Finding) -> Option<&'m Arc<Model>> {
    let made = &finding.provenance;
    models.iter().find(|model| model.manifest.name.as_str() == made.model && model.digest == made.weights_sha256)
}

/// The model's own window if it has one, and where it outlines a map.
fn see(
    decoder: &Decoder,
    instance: &Instance,
    frame_index: u32,
    (window, outline_at): (Option<[f64; 2]>, f32),
) -> Result<Seen> {
    let modality = instance.modality(frame_index)?;
    Ok(match window {
        Some([low, high]) => Seen {
            values: pixel::windowed(decoder, instance, frame_index, [low, high])?.values,
            modality,
            outline_at,
            voi: Voi::Window(Window { center: (low + high) / 2.0, width: high - low, function: Function::LinearExact }),
        },
        None => Seen {
            values: pixel::image(decoder, instance, frame_index)?.values,
            modality,
            outline_at,
            voi: instance.voi(frame_index)?,
        },
    })
}

/// Reading, decoding and encoding are CPU work; a panic in it is an outcome, not the end of the process.
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(Error::internal("making a result object failed unexpectedly")))
}
