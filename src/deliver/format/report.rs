//! The report of a model: Comprehensive 3D SR, TID 1500, a measurement group for each finding, negative ones too.
//!
//! Source: PS3.16 TID 1500, 1410 (a line on an image), 1411 (a segment), 1501 (no place), 4019 (the algorithm); IHE AIR. A finding with
//! a mask has two groups under one tracking UID: the segment for machines, its outline on the key slice for viewers.
use super::{
    Material,
    code::{self, Code},
    content::{self, Is},
    head,
    place::{self, Place},
    references::{self, References},
};
use crate::{
    deliver::{
        Kind, Planned,
        plan::{is_shown, mask_of, own_frame, segmentation_uid, series_uid},
    },
    dicom::{Dataset, Origin, tags},
    error::Result,
    finding::{Finding, OfSeries, Outcome, Quantity},
    pixel::SliceSource,
};

pub(super) fn write(planned: &Planned, material: &Material) -> Result<Dataset> {
    let origin = material.leading(planned)?;
    let mut named = References::default();
    let library = library(planned, material, &mut named)?;
    let mut groups = Vec::new();
    for (index, finding) in material.findings(planned) {
        groups.extend(of_finding(planned, material, (index, finding), &mut named)?);
    }
    let mut tree = context(planned, origin);
    tree.push(library);
    tree.push(content::container(code::MEASUREMENTS, None, groups));
    let summary = content::code(Is::Contained, code::PROCESSING_SUMMARY, summary(planned, material));
    tree.push(content::container(code::QUALITATIVE, None, vec![summary]));
    Ok(document(origin).with(content::root(code::REPORT, "1500", tree)).with(named.evidence(&material.report.study)))
}

/// What a document says beside its tree (PS3.3 C.17.2).
pub(super) fn document(origin: &Origin) -> Dataset {
    // What was performed is what was asked for, as far as the source says.
    let performed = origin.attributes.items_of(tags::PROCEDURE_CODE_SEQUENCE).to_vec();
    Dataset::new()
        .items(tags::PERFORMED_PROCEDURE_CODE_SEQUENCE, performed)
        .items(tags::REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE, [])
        .text(tags::COMPLETION_FLAG, "COMPLETE")
        .text(tags::VERIFICATION_FLAG, "UNVERIFIED")
        .text(tags::PRELIMINARY_FLAG, "PRELIMINARY")
        .item(tags::CODING_SCHEME_IDENTIFICATION_SEQUENCE, code::own_scheme())
}

/// Language, the device that observes (TID 1002, 1004), the procedure that was looked at.
pub(super) fn context(planned: &Planned, origin: &Origin) -> Vec<Dataset> {
    let mut context = vec![content::code(Is::Modifier, code::LANGUAGE, code::ENGLISH)];
    context.extend(observer(planned));
    let procedure = code::procedure(&origin.header.modality);
    context.push(content::code(Is::Modifier, code::PROCEDURE_REPORTED, procedure));
    context
}

/// The device that observes: a model version.
pub(super) fn observer(planned: &Planned) -> [Dataset; 6] {
    let maker = &planned.maker;
    [
        content::code(Is::Observed, code::OBSERVER_TYPE, code::DEVICE),
        content::uid(Is::Observed, code::DEVICE_UID, &head::device_uid(planned)),
        content::text(Is::Observed, code::DEVICE_NAME, &format!("{} {}", maker.model, maker.version)),
        content::text(Is::Observed, code::DEVICE_MANUFACTURER, head::MANUFACTURER),
        content::text(Is::Observed, code::DEVICE_MODEL, &maker.model),
        content::text(Is::Observed, code::DEVICE_SERIAL, &head::serial_number(planned)),
    ]
}

/// The images that were read (TID 1600): what they have in common once, then each one.
fn library(planned: &Planned, material: &Material, named: &mut References) -> Result<Dataset> {
    let mut seen: Vec<&Origin> = Vec::new();
    for (_, finding) in material.findings(planned) {
        for source in sources(finding) {
            let origin = material.origin(&source.sop_instance)?;
            if !seen.iter().any(|known| known.header.sop_instance == origin.header.sop_instance) {
                seen.push(origin);
            }
        }
    }
    Ok(images(&seen, named))
}

/// An image library: one group for each kind of images.
pub(super) fn images(images: &[&Origin], named: &mut References) -> Dataset {
    let alike = |a: &Origin, b: &Origin| {
        let frame = |of: &Origin| of.attributes.first(tags::FRAME_OF_REFERENCE_UID).map(str::to_owned);
        a.header.modality == b.header.modality && a.header.body_part == b.header.body_part && frame(a) == frame(b)
    };
    let mut groups: Vec<Vec<&Origin>> = Vec::new();
    for image in images {
        named.add(image);
        match groups.iter_mut().find(|group| alike(group[0], image)) {
            Some(group) => group.push(image),
            None => groups.push(vec![image]),
        }
    }
    let groups = groups.iter().map(|group| {
        let first = group[0];
        let mut items = vec![content::code(Is::Acquired, code::MODALITY, code::modality(&first.header.modality))];
        let frame =
            first.attributes.first(tags::FRAME_OF_REFERENCE_UID).and_then(|uid| crate::uid::Uid::parse(uid).ok());
        items.extend(frame.map(|uid| content::uid(Is::Acquired, code::FRAME_OF_REFERENCE, &uid)));
        items.extend(group.iter().map(|origin| {
            let header = &origin.header;
            content::image(Is::Contained, None, references::object(header.sop_class.as_str(), &header.sop_instance))
        }));
        content::container(code::IMAGE_LIBRARY_GROUP, None, items)
    });
    content::container(code::IMAGE_LIBRARY, None, groups.collect())
}

fn sources(finding: &Finding) -> Vec<SliceSource> {
    finding.of_series.as_ref().map_or_else(|| vec![own_frame(finding)], |of| of.sources.clone())
}

/// The groups of one finding.
fn of_finding(
    planned: &Planned,
    material: &Material,
    (index, finding): (usize, &Finding),
    named: &mut References,
) -> Result<Vec<Dataset>> {
    let origin = material.origin(&finding.sop_instance)?;
    let head = || head_of_group(index, finding, origin);
    let tail = || vec![content::number(code::PROBABILITY, f64::from(finding.probability) * 100.0, code::PERCENT)];
    let verdict = || content::code(Is::Contained, Code::from(&finding.code), presence(finding.outcome));
    let mut groups = Vec::new();
    let segment =
        finding.of_series.as_ref().filter(|_| planned.with_segments && is_shown(finding) && mask_of(finding).is_some());
    if let Some(of) = segment {
        let uid = segmentation_uid(&material.report, &planned.maker, index);
        let class = Kind::Segmentation.row().sop_class;
        named.add_object(&series_uid(&material.report, &planned.maker, Kind::Segmentation), &uid, class);
        let reference = references::object(class, &uid).words(tags::REFERENCED_SEGMENT_NUMBER, &[1]);
        let items = [head(), tail(), measures(of)].concat().into_iter().chain([
            content::image(Is::Contained, Some(code::REFERENCED_SEGMENT), reference),
            content::uid(Is::Contained, code::SOURCE_SERIES, &of.series),
            verdict(),
        ]);
        groups.push(content::container(code::GROUP, Some("1411"), items.collect()));
    }
    let first = place::of(finding, material)?.into_iter().next();
    match first {
        Some(place) => {
            let measured = finding.of_series.as_ref().filter(|_| segment.is_none()).map_or_else(Vec::new, measures);
            let items =
                [head(), tail(), measured].concat().into_iter().chain(region(&place, material)?).chain([verdict()]);
            groups.push(content::container(code::GROUP, Some("1410"), items.collect()));
        }
        None if segment.is_none() => {
            let looked_at = references::slice(material, &own_frame(finding))?;
            let source = content::image(Is::Contained, Some(code::SOURCE_OF_MEASUREMENT), looked_at);
            let items = [head(), tail()].concat().into_iter().chain([source, verdict()]);
            groups.push(content::container(code::GROUP, Some("1501"), items.collect()));
        }
        None => {}
    }
    Ok(groups)
}

/// What is first in every group: who it is over time, what it is, where it is, which algorithm says so.
fn head_of_group(index: usize, finding: &Finding, origin: &Origin) -> Vec<Dataset> {
    let identifier = format!("{} {}", finding.label, index + 1);
    let mut head = vec![
        content::text(Is::Observed, code::TRACKING_IDENTIFIER, &identifier),
        content::uid(Is::Observed, code::TRACKING_UID, &finding.uid),
        content::code(Is::Contained, code::FINDING, Code::from(&finding.code)),
    ];
    if let Some(site) = code::site(&origin.header.body_part) {
        let stated = |tag| origin.attributes.first(tag);
        let side = stated(tags::IMAGE_LATERALITY).or_else(|| stated(tags::LATERALITY)).and_then(code::side);
        let side = side.map(|side| content::code(Is::Modifier, code::LATERALITY, side));
        let site = content::code(Is::Modifier, code::FINDING_SITE, site);
        head.push(content::over(site, side.into_iter().collect()));
    }
    head.extend(algorithm(finding));
    head
}

/// TID 4019, with all that weighs a probability: threshold, operating point, calibration, weights.
fn algorithm(finding: &Finding) -> Vec<Dataset> {
    let made_by = &finding.provenance;
    let mut parameters = vec![
        format!("threshold={}", finding.threshold),
        format!("calibration={}", made_by.calibration_id),
        format!("weights=sha256:{}", made_by.weights_sha256),
    ];
    parameters.extend(
        finding.operating_point.map(|at| format!("sensitivity={} specificity={}", at.sensitivity, at.specificity)),
    );
    parameters.extend(finding.experimental.then(|| "experimental: did not pass the gate of its model card".to_owned()));
    let mut items = vec![
        content::text(Is::Modifier, code::ALGORITHM_NAME, &made_by.model),
        content::text(Is::Modifier, code::ALGORITHM_VERSION, &made_by.version),
    ];
    items.extend(parameters.iter().map(|one| content::text(Is::Modifier, code::ALGORITHM_PARAMETERS, one)));
    items
}

fn measures(of: &OfSeries) -> Vec<Dataset> {
    let volume = of.leading(Quantity::Volume).map(|ml| content::number(code::VOLUME, ml, code::MILLILITER));
    let axis = of.leading(Quantity::LongestAxialDiameter).filter(|mm| *mm > 0.0);
    volume.into_iter().chain(axis.map(|mm| content::number(code::LONG_AXIS, mm, code::MILLIMETER))).collect()
}

fn region(place: &Place, material: &Material) -> Result<[Dataset; 2]> {
    let on = references::slice(material, &place.frame)?;
    Ok([
        content::code(Is::Contained, code::PURPOSE, place.purpose),
        content::polyline(code::IMAGE_REGION, &place.points, on),
    ])
}

fn presence(outcome: Outcome) -> Code<'static> {
    match outcome {
        Outcome::Positive => code::PRESENT,
        Outcome::Negative => code::ABSENT,
        Outcome::Indeterminate => code::UNDETERMINED,
    }
}

/// CID 6047 for the whole study.
fn summary(planned: &Planned, material: &Material) -> Code<'static> {
    let found = material.findings(planned).any(|(_, finding)| is_shown(finding));
    match (material.report.not_analysed.is_empty(), found) {
        (true, true) => code::ALL_WITH_FINDINGS,
        (true, false) => code::ALL_WITHOUT_FINDINGS,
        (false, true) => code::SOME_WITH_FINDINGS,
        (false, false) => code::SOME_WITHOUT_FINDINGS,
    }
}
