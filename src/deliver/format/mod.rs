//! Formats: one planned object from values, as a Part 10 file. Pure: the same values give the same bytes.
//!
//! In: a [`Planned`] object and its [`Material`].   Out: an [`Object`].
//! Does not know: the ledger, sockets, the clock.
mod clock;
mod code;
mod content;
mod geometry;
mod head;
mod key_objects;
mod map;
mod not_analysed;
mod picture;
mod place;
mod presentation;
mod references;
mod report;
mod segmentation;

use std::{collections::BTreeMap, sync::Arc};

use ndarray::Array2;

use super::{Kind, Object, Planned};
use crate::{
    dicom::{Modality, Origin, Voi, WRITTEN_SYNTAX},
    error::{Error, Result},
    finding::{Finding, Heatmap, Report, Segmentation},
    pixel::SliceSource,
    uid::Uid,
};

/// What objects are made of. It holds patient data: no `Debug`.
pub struct Material {
    /// The report.
    pub report: Arc<Report>,
    /// When it was made, microseconds since 1970 (UTC): the time of every object.
    pub reported_us: i64,
    /// Every instance of the revision, by SOP Instance UID.
    pub origins: Arc<BTreeMap<Uid, Origin>>,
    /// Heatmaps by digest, as far as `Planned::needs` asks for them.
    pub heatmaps: BTreeMap<String, Heatmap>,
    /// Segmentations by digest, likewise.
    pub masks: BTreeMap<String, Segmentation>,
    /// Frames, likewise.
    pub frames: BTreeMap<SliceSource, Seen>,
}

/// A frame as the model saw it.
pub struct Seen {
    /// Display values, rows x columns, each `0.0..=1.0`, air black.
    pub values: Array2<f32>,
    /// From stored to modality values.
    pub modality: Modality,
    /// From modality to display values: the model's own window if it has one, else that of the file.
    pub voi: Voi,
    /// The value of a heatmap from which on its place is outlined.
    pub outline_at: f32,
}

impl Material {
    /// The image of that name. Errors: `Internal`, since a report names only instances of its revision.
    fn origin(&self, sop_instance: &Uid) -> Result<&Origin> {
        let gone = || Error::internal("an image that the report names is not among its instances");
        self.origins.get(sop_instance).ok_or_else(|| gone().about_instance(sop_instance.as_str()))
    }

    /// The image from which an object takes over patient and study: its first finding's, else the first of the study.
    fn leading(&self, planned: &Planned) -> Result<&Origin> {
        match planned.findings.first().and_then(|index| self.report.findings.get(*index)) {
            Some(finding) => self.origin(&finding.sop_instance),
            None => {
                self.origins.values().next().ok_or_else(|| Error::internal("a study without images has no objects"))
            }
        }
    }

    /// The findings that an object is about.
    fn findings<'a>(&'a self, planned: &'a Planned) -> impl Iterator<Item = (usize, &'a Finding)> {
        planned.findings.iter().filter_map(|index| self.report.findings.get(*index).map(|finding| (*index, finding)))
    }

    /// The one finding that an object is about.
    fn finding<'a>(&'a self, planned: &'a Planned) -> Result<&'a Finding> {
        let none = || Error::internal("an object of one finding was planned without it");
        self.findings(planned).next().map(|(_, finding)| finding).ok_or_else(none)
    }
}

/// Makes the object. Errors: `Internal` when the material lacks what `Planned::needs` has asked for, or a value cannot be written.
pub fn write(planned: &Planned, material: &Material) -> Result<Object> {
    let origin = material.leading(planned)?;
    let content = match planned.kind {
        Kind::Report => report::write(planned, material)?,
        Kind::NotAnalysed => not_analysed::write(planned, material)?,
        Kind::Segmentation => segmentation::write(planned, material)?,
        Kind::ParametricMap => map::write(planned, material)?,
        Kind::Picture => picture::write(planned, material)?,
        Kind::Presentation => presentation::write(planned, material)?,
        Kind::KeyObjects => key_objects::write(planned, material)?,
    };
    let dataset = head::of(planned, material, origin).with(content);
    Ok(Object {
        sop_class: Uid::parse(planned.kind.row().sop_class)?,
        sop_instance: planned.sop_instance.clone(),
        study: material.report.study.clone(),
        series: planned.series.clone(),
        transfer_syntax: Uid::parse(WRITTEN_SYNTAX)?,
        bytes: dataset.to_part10()?.into(),
    })
}
