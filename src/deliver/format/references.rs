//! References from one object to others: each one, and the lists by series that every object must have of all that it names.
use std::collections::BTreeMap;

use super::Material;
use crate::{
    dicom::{Dataset, Origin, Tag, tags},
    error::Result,
    pixel::SliceSource,
    uid::Uid,
};

/// An object that is referred to: SOP Class and SOP Instance (PS3.3 table 10-11).
pub(super) fn object(sop_class: &str, sop_instance: &Uid) -> Dataset {
    Dataset::new().text(tags::REFERENCED_SOP_CLASS_UID, sop_class).text(tags::REFERENCED_SOP_INSTANCE_UID, sop_instance)
}

/// An image, with its frame where it has several.
pub(super) fn frame(origin: &Origin, frame_number: u32) -> Dataset {
    let image = object(origin.header.sop_class.as_str(), &origin.header.sop_instance);
    if origin.header.frames > 1 { image.text(tags::REFERENCED_FRAME_NUMBER, frame_number) } else { image }
}

/// The frame that a slice came from.
pub(super) fn slice(material: &Material, source: &SliceSource) -> Result<Dataset> {
    Ok(frame(material.origin(&source.sop_instance)?, source.frame_number))
}

/// All objects that an object names, each once, by series, in the order of UIDs.
#[derive(Default)]
pub(super) struct References(BTreeMap<Uid, BTreeMap<Uid, String>>);

impl References {
    /// Adds an image of the study.
    pub(super) fn add(&mut self, origin: &Origin) {
        let header = &origin.header;
        self.add_object(&header.series, &header.sop_instance, header.sop_class.as_str());
    }

    /// Adds another object of the study.
    pub(super) fn add_object(&mut self, series: &Uid, sop_instance: &Uid, sop_class: &str) {
        self.0.entry(series.clone()).or_default().insert(sop_instance.clone(), sop_class.to_owned());
    }

    /// Items of Referenced Series Sequence; `within` is the sequence in them that names the instances.
    pub(super) fn by_series(&self, within: Tag) -> Vec<Dataset> {
        let series = self.0.iter().map(|(series, instances)| {
            let named = instances.iter().map(|(instance, class)| object(class, instance));
            Dataset::new().text(tags::SERIES_INSTANCE_UID, series).items(within, named)
        });
        series.collect()
    }

    /// Current Requested Procedure Evidence Sequence (PS3.3 C.17.2) of a document about `study`.
    pub(super) fn evidence(&self, study: &Uid) -> Dataset {
        let of_study = Dataset::new()
            .text(tags::STUDY_INSTANCE_UID, study)
            .items(tags::REFERENCED_SERIES_SEQUENCE, self.by_series(tags::REFERENCED_SOP_SEQUENCE));
        Dataset::new().item(tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE, of_study)
    }
}
