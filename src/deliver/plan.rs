//! Which objects a report becomes: a pure function of the report and a render profile, with the names that they will have.
use std::collections::BTreeSet;

use super::{Kind, Profile, kind::KINDS};
use crate::{
    finding::{Finding, Outcome, Report},
    pixel::SliceSource,
    uid::Uid,
};

/// The software that an object speaks for: a model version, or overread itself where no model is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maker {
    /// Model name; `overread` for itself.
    pub model: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of the weights, hexadecimal; empty for overread itself.
    pub weights_sha256: String,
}

/// An object to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// What kind.
    pub kind: Kind,
    /// Who speaks.
    pub maker: Maker,
    /// What it is about: places in the report's findings.
    pub findings: Vec<usize>,
    /// Of a picture of a series: the place among the key slices of its finding.
    pub key: Option<usize>,
    /// SOP Instance UID: a function of study, revision, model, version, weights, kind and place.
    pub sop_instance: Uid,
    /// Series Instance UID: a function of study, revision, model, version, weights and kind.
    pub series: Uid,
    /// Series Number.
    pub series_number: u32,
    /// Instance Number, from 1.
    pub instance_number: u32,
    /// Of a report: whether segmentations are delivered beside it, so that it refers to them.
    pub with_segments: bool,
}

/// What making an object takes beside the headers of its study.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Digests of heatmaps.
    pub heatmaps: BTreeSet<String>,
    /// Digests of segmentations.
    pub masks: BTreeSet<String>,
    /// Frames whose pixels, or whose window, are needed.
    pub frames: BTreeSet<SliceSource>,
}

/// Whether a finding is shown: objects of a negative one are its lines in the report alone.
pub(super) fn is_shown(finding: &Finding) -> bool {
    match finding.outcome {
        Outcome::Positive | Outcome::Indeterminate => true,
        Outcome::Negative => false,
    }
}

/// Digest of a finding's mask, if it has one.
pub(super) fn mask_of(finding: &Finding) -> Option<&String> {
    finding.of_series.as_ref()?.segmentation.as_ref()
}

/// The frame that a finding lies on; of a series, that of its first key slice.
pub(super) fn own_frame(finding: &Finding) -> SliceSource {
    SliceSource { sop_instance: finding.sop_instance.clone(), frame_number: finding.frame_number }
}

/// The maps of a finding with the frames that they lie on. A heatmap that is only a mask's slice is left to the segmentation.
pub(super) fn maps_of(finding: &Finding) -> Vec<(SliceSource, &String)> {
    match &finding.of_series {
        Some(of) if of.segmentation.is_some() => Vec::new(),
        Some(of) => {
            let mut keys: Vec<_> = of.key_slices.iter().filter(|key| key.heatmap.is_some()).collect();
            keys.sort_by_key(|key| key.slice);
            keys.into_iter().filter_map(|key| Some((key.source.clone(), key.heatmap.as_ref()?))).collect()
        }
        None => finding.heatmap.iter().map(|digest| (own_frame(finding), digest)).collect(),
    }
}

/// The objects of a report for a destination of that profile, in the order in which they are to be delivered.
pub fn plan(report: &Report, profile: Profile) -> Vec<Planned> {
    let planner = Planner { report, makers: makers(report), with_segments: profile.holds(Kind::Segmentation) };
    let kinds = KINDS.iter().map(|row| row.kind).filter(|kind| profile.holds(*kind));
    kinds.flat_map(|kind| planner.of_kind(kind)).collect()
}

impl Planned {
    /// What making it takes.
    pub fn needs(&self, report: &Report) -> Needs {
        let findings: Vec<&Finding> = self.findings.iter().filter_map(|index| report.findings.get(*index)).collect();
        let shown = || findings.iter().copied().filter(|finding| is_shown(finding));
        let masks = || shown().filter_map(mask_of).cloned().collect();
        match self.kind {
            Kind::NotAnalysed | Kind::KeyObjects => Needs::default(),
            Kind::Report | Kind::Segmentation => Needs { masks: masks(), ..Needs::default() },
            Kind::ParametricMap => {
                let heatmaps = shown().flat_map(maps_of).map(|(_, digest)| digest.clone()).collect();
                Needs { heatmaps, ..Needs::default() }
            }
            Kind::Picture => {
                let drawn = findings.first().and_then(|finding| self.drawn(finding));
                let (frames, heatmaps) = drawn.map(|(frame, digest)| (frame, digest.clone())).into_iter().unzip();
                Needs { heatmaps, frames, ..Needs::default() }
            }
            Kind::Presentation => {
                Needs { masks: masks(), frames: shown().map(own_frame).collect(), ..Needs::default() }
            }
        }
    }

    /// Of a picture: the frame and its heatmap.
    pub(super) fn drawn<'a>(&self, finding: &'a Finding) -> Option<(SliceSource, &'a String)> {
        match self.key {
            None => finding.heatmap.as_ref().map(|digest| (own_frame(finding), digest)),
            Some(place) => {
                let key = finding.of_series.as_ref()?.key_slices.get(place)?;
                key.heatmap.as_ref().map(|digest| (key.source.clone(), digest))
            }
        }
    }
}

/// The name of the segmentation of a finding, for those that refer to it.
pub(super) fn segmentation_uid(report: &Report, maker: &Maker, finding: usize) -> Uid {
    object_uid(report, maker, Kind::Segmentation, &[finding])
}

/// The name of the series of the segmentations of a maker.
pub(super) fn series_uid(report: &Report, maker: &Maker, kind: Kind) -> Uid {
    derive(report, maker, kind, "series")
}

fn object_uid(report: &Report, maker: &Maker, kind: Kind, place: &[usize]) -> Uid {
    let place: Vec<String> = place.iter().map(ToString::to_string).collect();
    derive(report, maker, kind, &place.join("/"))
}

fn derive(report: &Report, maker: &Maker, kind: Kind, place: &str) -> Uid {
    let revision = report.revision.to_string();
    let parts =
        [report.study.as_str(), &revision, &maker.model, &maker.version, &maker.weights_sha256, kind.row().name, place];
    Uid::derive(&parts.map(str::as_bytes))
}

/// Who made the findings, in the order of the report.
fn makers(report: &Report) -> Vec<Maker> {
    let mut makers: Vec<Maker> = Vec::new();
    for finding in &report.findings {
        let made_by = &finding.provenance;
        let maker = Maker {
            model: made_by.model.clone(),
            version: made_by.version.clone(),
            weights_sha256: made_by.weights_sha256.clone(),
        };
        if !makers.contains(&maker) {
            makers.push(maker);
        }
    }
    makers
}

struct Planner<'a> {
    report: &'a Report,
    makers: Vec<Maker>,
    with_segments: bool,
}

impl Planner<'_> {
    fn of_kind(&self, kind: Kind) -> Vec<Planned> {
        if kind == Kind::NotAnalysed {
            let ours = Maker {
                model: "overread".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                weights_sha256: String::new(),
            };
            let is_due = !self.report.not_analysed.is_empty();
            return if is_due { self.series(kind, &ours, 0, vec![(Vec::new(), None)]) } else { Vec::new() };
        }
        let of_maker = |(place, maker)| self.series(kind, maker, place, self.contents(kind, maker));
        self.makers.iter().enumerate().flat_map(of_maker).collect()
    }

    /// The objects of one series: what each is about.
    fn series(
        &self,
        kind: Kind,
        maker: &Maker,
        place: usize,
        contents: Vec<(Vec<usize>, Option<usize>)>,
    ) -> Vec<Planned> {
        let planned = |(number, (findings, key)): (u32, (Vec<usize>, Option<usize>))| {
            let with_segments = kind == Kind::Report && self.with_segments;
            // A report with references is another object than one without: they must not share a name.
            let variant =
                [findings.first().copied().unwrap_or(0), key.map_or(0, |key| key + 1), usize::from(with_segments)];
            let place_of = if kind == Kind::Segmentation { &variant[..1] } else { &variant[..] };
            Planned {
                kind,
                maker: maker.clone(),
                sop_instance: object_uid(self.report, maker, kind, place_of),
                series: series_uid(self.report, maker, kind),
                series_number: kind.row().series_number + u32::try_from(place).unwrap_or(u32::MAX / 2) + 1,
                instance_number: number,
                findings,
                key,
                with_segments,
            }
        };
        (1..).zip(contents).map(planned).collect()
    }

    fn contents(&self, kind: Kind, maker: &Maker) -> Vec<(Vec<usize>, Option<usize>)> {
        let is_its = |finding: &Finding| {
            let by = &finding.provenance;
            by.model == maker.model && by.version == maker.version && by.weights_sha256 == maker.weights_sha256
        };
        let its: Vec<(usize, &Finding)> =
            self.report.findings.iter().enumerate().filter(|(_, finding)| is_its(finding)).collect();
        let shown = || its.iter().filter(|(_, finding)| is_shown(finding));
        let one_by_one = |has: &dyn Fn(&Finding) -> bool| -> Vec<_> {
            shown().filter(|(_, finding)| has(finding)).map(|(index, _)| (vec![*index], None)).collect()
        };
        match kind {
            Kind::NotAnalysed => Vec::new(),
            Kind::Report => vec![(its.iter().map(|(index, _)| *index).collect(), None)],
            Kind::Segmentation => one_by_one(&|finding| mask_of(finding).is_some()),
            Kind::ParametricMap => one_by_one(&|finding| !maps_of(finding).is_empty()),
            Kind::Picture => shown().flat_map(|(index, finding)| pictures(*index, finding)).collect(),
            Kind::Presentation => by_geometry(shown().copied()),
            Kind::KeyObjects => {
                let flagged: Vec<usize> = shown().map(|(index, _)| *index).collect();
                if flagged.is_empty() { Vec::new() } else { vec![(flagged, None)] }
            }
        }
    }
}

fn pictures(index: usize, finding: &Finding) -> Vec<(Vec<usize>, Option<usize>)> {
    match &finding.of_series {
        None => finding.heatmap.iter().map(|_| (vec![index], None)).collect(),
        Some(of) => {
            let drawn = of.key_slices.iter().enumerate().filter(|(_, key)| key.heatmap.is_some());
            drawn.map(|(place, _)| (vec![index], Some(place))).collect()
        }
    }
}

/// All images of a presentation state share one geometry: a state for each series, or for each image outside of one.
fn by_geometry<'a>(findings: impl Iterator<Item = (usize, &'a Finding)>) -> Vec<(Vec<usize>, Option<usize>)> {
    let mut groups: Vec<(&Uid, u32, Vec<usize>)> = Vec::new();
    for (index, finding) in findings {
        let has_place = finding.region.is_some() || mask_of(finding).is_some();
        let (name, frame) = match &finding.of_series {
            Some(of) => (&of.series, 0),
            None => (&finding.sop_instance, finding.frame_number),
        };
        match groups.iter_mut().find(|(known, number, _)| *known == name && *number == frame) {
            _ if !has_place => {}
            Some((_, _, indices)) => indices.push(index),
            None => groups.push((name, frame, vec![index])),
        }
    }
    groups.into_iter().map(|(_, _, indices)| (indices, None)).collect()
}
