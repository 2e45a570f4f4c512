//! The images that show findings: Key Object Selection (PS3.3 A.35.4, PS3.16 TID 2010), titled Of Interest.
use super::{
    Material, code,
    content::{self, Is},
    references::{self, References},
    report,
};
use crate::{
    deliver::{Planned, plan::own_frame},
    dicom::{Dataset, tags},
    error::Result,
    finding::Finding,
    pixel::SliceSource,
};

pub(super) fn write(planned: &Planned, material: &Material) -> Result<Dataset> {
    let mut flagged: Vec<SliceSource> = Vec::new();
    for (_, finding) in material.findings(planned) {
        for frame in frames(finding) {
            if !flagged.contains(&frame) {
                flagged.push(frame);
            }
        }
    }
    let mut named = References::default();
    let mut tree = report::observer(planned).to_vec();
    let maker = &planned.maker;
    let what = format!("Flagged by {} {}; AI result, unverified, research use", maker.model, maker.version);
    tree.push(content::text(Is::Contained, code::KEY_DESCRIPTION, &what));
    for frame in &flagged {
        named.add(material.origin(&frame.sop_instance)?);
        tree.push(content::image(Is::Contained, None, references::slice(material, frame)?));
    }
    Ok(Dataset::new()
        .items(tags::REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE, [])
        .with(content::root(code::OF_INTEREST, "2010", tree))
        .with(named.evidence(&material.report.study)))
}

/// Of a series the key slices.
fn frames(finding: &Finding) -> Vec<SliceSource> {
    match &finding.of_series {
        Some(of) if !of.key_slices.is_empty() => of.key_slices.iter().map(|key| key.source.clone()).collect(),
        Some(_) | None => vec![own_frame(finding)],
    }
}
