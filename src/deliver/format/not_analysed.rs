//! What was not analysed, and why, as a document that a reader of the archive sees: TID 1500 without measurements.
//!
//! DICOM has no template for it: each reason stands under Qualitative Evaluations as a code of our own (docs/codes.md), with its sentence, and
//! names the image that it is about.
use std::collections::BTreeSet;

use super::{
    Material,
    code::{self, Code, OWN_SCHEME},
    content::{self, Is},
    references::{self, References},
    report,
};
use crate::{
    deliver::Planned,
    dicom::{Dataset, Origin},
    error::{Result, Subject},
    finding::NotAnalysed,
    uid::Uid,
};

pub(super) fn write(planned: &Planned, material: &Material) -> Result<Dataset> {
    let origin = material.leading(planned)?;
    let report = &material.report;
    let mut named = References::default();
    let meant: BTreeSet<&Uid> =
        report.not_analysed.iter().filter_map(|entry| image(entry, material)).map(|o| &o.header.sop_instance).collect();
    // A document names at least one image; where no reason is about one, the study's first stands for it.
    let images: Vec<&Origin> = match meant.is_empty() {
        true => vec![origin],
        false => meant.into_iter().filter_map(|uid| material.origins.get(uid)).collect(),
    };
    let mut tree = report::context(planned, origin);
    tree.push(report::images(&images, &mut named));
    let mut items = vec![content::code(Is::Contained, code::PROCESSING_SUMMARY, summary(material))];
    items.extend(report.not_analysed.iter().map(|entry| reason(entry, material)));
    tree.push(content::container(code::QUALITATIVE, None, items));
    Ok(report::document(origin).with(content::root(code::REPORT, "1500", tree)).with(named.evidence(&report.study)))
}

/// The image that a reason is about, if it is about one that is here.
fn image<'a>(entry: &NotAnalysed, material: &'a Material) -> Option<&'a Origin> {
    match &entry.subject {
        Subject::Instance(uid) => material.origins.get(&Uid::parse(uid).ok()?),
        Subject::None
        | Subject::Series(_)
        | Subject::Study(_)
        | Subject::Tag(..)
        | Subject::Field(_)
        | Subject::Model(_) => None,
    }
}

fn reason(entry: &NotAnalysed, material: &Material) -> Dataset {
    let row = entry.code.row();
    let value = Code::new(row.name, OWN_SCHEME, row.means.trim_end_matches('.'));
    let about = match &entry.subject {
        Subject::None => String::new(),
        subject => format!("{subject}: "),
    };
    let sentence = content::text(Is::Property, code::COMMENT, &format!("{about}{}", entry.detail));
    let image = image(entry, material).map(|origin| {
        let header = &origin.header;
        content::image(Is::InferredFrom, None, references::object(header.sop_class.as_str(), &header.sop_instance))
    });
    let below = [sentence].into_iter().chain(image).collect();
    content::over(content::code(Is::Contained, code::NOT_ANALYSED, value), below)
}

/// CID 6047 for the whole study.
fn summary(material: &Material) -> Code<'static> {
    let findings = &material.report.findings;
    match (findings.is_empty(), findings.iter().any(crate::deliver::plan::is_shown)) {
        (true, _) => code::NONE_SUCCEEDED,
        (false, true) => code::SOME_WITH_FINDINGS,
        (false, false) => code::SOME_WITHOUT_FINDINGS,
    }
}
