//! What every object says: patient and study as the source has them, a series and an equipment of our own.
//!
//! Standard: Patient (PS3.3 C.7.1.1), General Study (C.7.2.1), General Series (C.7.3.1), Enhanced General Equipment (C.7.5.2),
//! SOP Common (C.12.1). What describes the scanner's work is left out: it did not make this.
use super::{
    Material,
    clock::Moment,
    code::{self, shortened},
};
use crate::{
    deliver::{Kind, Planned},
    dicom::{Dataset, Origin, Tag, tags},
    uid::Uid,
};

/// Who makes the objects.
pub(super) const MANUFACTURER: &str = "overread";
/// Content Creator's Name is a person's: the caret keeps readers from taking it for an old, uncomponented one.
pub(super) const CREATOR: &str = "overread^";

/// Type 2: taken over, empty where the source has none.
const TAKEN_OR_EMPTY: &[Tag] = &[
    tags::STUDY_DATE,
    tags::STUDY_TIME,
    tags::ACCESSION_NUMBER,
    tags::REFERRING_PHYSICIAN_NAME,
    tags::PATIENT_NAME,
    tags::PATIENT_ID,
    tags::PATIENT_BIRTH_DATE,
    tags::PATIENT_SEX,
    tags::STUDY_ID,
];

/// Taken over where the source has them.
const TAKEN: &[Tag] = &[
    tags::STUDY_DESCRIPTION,
    tags::PROCEDURE_CODE_SEQUENCE,
    tags::ISSUER_OF_PATIENT_ID,
    tags::PATIENT_AGE,
    tags::CLINICAL_TRIAL_SPONSOR_NAME,
    tags::CLINICAL_TRIAL_PROTOCOL_ID,
    tags::CLINICAL_TRIAL_PROTOCOL_NAME,
    tags::CLINICAL_TRIAL_SITE_ID,
    tags::CLINICAL_TRIAL_SITE_NAME,
    tags::CLINICAL_TRIAL_SUBJECT_ID,
    tags::CLINICAL_TRIAL_SUBJECT_READING_ID,
    tags::PATIENT_IDENTITY_REMOVED,
    tags::DEIDENTIFICATION_METHOD,
    tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE,
    tags::TIMEZONE_OFFSET_FROM_UTC,
];

/// The common attributes of an object that is made from `origin`.
pub(super) fn of(planned: &Planned, material: &Material, origin: &Origin) -> Dataset {
    let row = planned.kind.row();
    let moment = moment(material, origin);
    Dataset::new()
        .copied_or_empty(&origin.attributes, TAKEN_OR_EMPTY)
        .copied(&origin.attributes, TAKEN)
        .text(tags::SPECIFIC_CHARACTER_SET, "ISO_IR 192")
        .text(tags::STUDY_INSTANCE_UID, &material.report.study)
        .text(tags::INSTANCE_CREATION_DATE, &moment.date)
        .text(tags::INSTANCE_CREATION_TIME, &moment.time)
        .text(tags::SOP_CLASS_UID, row.sop_class)
        .text(tags::SOP_INSTANCE_UID, &planned.sop_instance)
        .text(tags::MODALITY, row.modality)
        .text(tags::SERIES_INSTANCE_UID, &planned.series)
        .text(tags::SERIES_NUMBER, planned.series_number)
        .text(tags::SERIES_DESCRIPTION, series_description(planned))
        .text(tags::SERIES_DATE, &moment.date)
        .text(tags::SERIES_TIME, &moment.time)
        .text(tags::INSTANCE_NUMBER, planned.instance_number)
        .with(equipment(planned, material))
        .items(tags::CONTRIBUTING_EQUIPMENT_SEQUENCE, contributing(planned, &moment, origin))
        .with(place_in_patient(planned.kind, origin))
        .with(dates(planned.kind, &moment))
}

/// When the object was made, in the zone of its source.
pub(super) fn moment(material: &Material, origin: &Origin) -> Moment {
    Moment::of(material.reported_us, origin.attributes.first(tags::TIMEZONE_OFFSET_FROM_UTC))
}

/// One UID for each version of a model, its weights included.
pub(super) fn device_uid(planned: &Planned) -> Uid {
    let maker = &planned.maker;
    Uid::derive(&[b"device", maker.model.as_bytes(), maker.version.as_bytes(), maker.weights_sha256.as_bytes()])
}

/// What stands for a serial number: software has none, its weights tell one copy from another.
pub(super) fn serial_number(planned: &Planned) -> String {
    match planned.maker.weights_sha256.get(..16) {
        Some(digest) => digest.to_owned(),
        None => planned.maker.version.clone(),
    }
}

fn series_description(planned: &Planned) -> String {
    let what = match planned.kind {
        Kind::Report => "report",
        Kind::NotAnalysed => "not analysed",
        Kind::Segmentation => "mask",
        Kind::ParametricMap => "heatmap values",
        Kind::Picture => "picture",
        Kind::Presentation => "contours",
        Kind::KeyObjects => "flagged images",
    };
    let maker = &planned.maker;
    shortened(&format!("AI {what}, unverified: {} {}", maker.model, maker.version), 64)
}

fn equipment(planned: &Planned, material: &Material) -> Dataset {
    let made_by = planned.findings.first().and_then(|index| material.report.findings.get(*index));
    let software = made_by.map_or(env!("CARGO_PKG_VERSION"), |finding| finding.provenance.code_version.as_str());
    Dataset::new()
        .text(tags::MANUFACTURER, MANUFACTURER)
        .text(tags::MANUFACTURER_MODEL_NAME, "overread")
        .text(tags::DEVICE_SERIAL_NUMBER, serial_number(planned))
        .texts(tags::SOFTWARE_VERSIONS, [software, planned.maker.version.as_str()])
}

/// The scanner, where it names its manufacturer, and the model: IHE AIR asks for every algorithm.
fn contributing(planned: &Planned, moment: &Moment, origin: &Origin) -> Vec<Dataset> {
    const SCANNER: &[Tag] =
        &[tags::MANUFACTURER, tags::MANUFACTURER_MODEL_NAME, tags::DEVICE_SERIAL_NUMBER, tags::SOFTWARE_VERSIONS];
    let has_maker = origin.attributes.first(tags::MANUFACTURER).is_some();
    let scanner = has_maker.then(|| {
        Dataset::new()
            .copied(&origin.attributes, SCANNER)
            .text(tags::CONTRIBUTION_DESCRIPTION, "Acquisition of the source images")
            .item(tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE, code::ACQUISITION_EQUIPMENT.item())
    });
    let maker = &planned.maker;
    let model = Dataset::new()
        .text(tags::MANUFACTURER, MANUFACTURER)
        .text(tags::MANUFACTURER_MODEL_NAME, shortened(&maker.model, 64))
        .text(tags::SOFTWARE_VERSIONS, shortened(&maker.version, 64))
        .text(tags::DEVICE_UID, device_uid(planned))
        .text(tags::CONTRIBUTION_DATE_TIME, moment.date_time())
        .text(tags::CONTRIBUTION_DESCRIPTION, "Analysis; for research use, not verified by a person")
        .item(tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE, code::PROCESSING_EQUIPMENT.item());
    scanner.into_iter().chain([model]).collect()
}

/// Body part and side; documents have no such attributes in their series.
fn place_in_patient(kind: Kind, origin: &Origin) -> Dataset {
    let source = &origin.attributes;
    match kind {
        Kind::Report | Kind::NotAnalysed | Kind::KeyObjects => Dataset::new(),
        Kind::Segmentation => {
            Dataset::new().copied(source, &[tags::BODY_PART_EXAMINED, tags::REQUEST_ATTRIBUTES_SEQUENCE])
        }
        Kind::ParametricMap | Kind::Picture | Kind::Presentation => {
            let set = Dataset::new().copied(source, &[tags::BODY_PART_EXAMINED, tags::REQUEST_ATTRIBUTES_SEQUENCE]);
            match (source.first(tags::LATERALITY), source.first(tags::BODY_PART_EXAMINED)) {
                (Some(_), _) => set.copied(source, &[tags::LATERALITY]),
                // Type 2C of what may be paired: without a body part it may be.
                (None, None) => set.empty(tags::LATERALITY),
                (None, Some(_)) => set,
            }
        }
    }
}

fn dates(kind: Kind, moment: &Moment) -> Dataset {
    let (date, time) = match kind {
        Kind::Presentation => (tags::PRESENTATION_CREATION_DATE, tags::PRESENTATION_CREATION_TIME),
        Kind::Report
        | Kind::NotAnalysed
        | Kind::Segmentation
        | Kind::ParametricMap
        | Kind::Picture
        | Kind::KeyObjects => (tags::CONTENT_DATE, tags::CONTENT_TIME),
    };
    Dataset::new().text(date, &moment.date).text(time, &moment.time)
}
