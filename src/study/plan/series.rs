//! One series as the plan weighs it: its images one by one, its volumes as wholes, and one reason for what nobody reads.
use std::collections::{BTreeMap, BTreeSet};

use super::VolumeName;
use crate::{
    dicom::Header,
    error::{Code, Subject},
    finding::NotAnalysed,
    model::{self, Rejection, Select},
    pixel::{self, Stack, Stacks, VOLUME_BYTES_MAX},
    uid::Uid,
};

/// What a frame that no volume takes is told, by the code that it was left out with. Others are told in the code's own words.
const LEFT_OUT: &[(Code, &str)] = &[
    (Code::WrongView, "it was made to plan the others (a localizer)"),
    (Code::DerivedImage, "it is derived or a secondary capture, in a series of original images"),
    (Code::GeometryInconsistent, "it lies where another one lies, or does not say where, or cannot lie where it says"),
    (Code::PixelLayoutInvalid, "a colour image is no slice of a volume"),
];

/// A series, and what was said of it so far.
pub(super) struct Series<'a> {
    uid: &'a Uid,
    /// At least one, by SOP Instance UID.
    headers: Vec<&'a Header>,
    /// Empty where no installed model reads series.
    stacks: Stacks,
    /// Which volumes an instance has frames in; none where it was left out.
    volumes_of: BTreeMap<Uid, BTreeSet<usize>>,
    /// Instances that a model reads.
    read: BTreeSet<&'a Uid>,
    /// What models that read images said, by instance.
    of_images: BTreeMap<&'a Uid, Vec<Rejection>>,
    /// What models that read series said, by volume.
    of_volumes: Vec<Vec<Rejection>>,
    /// A model that reads series of this kind is installed.
    is_asked_for: bool,
}

/// What one model makes of a series.
#[derive(Default)]
pub(super) struct Weighed {
    pub(super) instances: Vec<Uid>,
    pub(super) volumes: Vec<VolumeName>,
    /// About what, why not (`None`: chosen), and the clause that decided.
    pub(super) clauses: Vec<(Subject, Option<Code>, String)>,
}

/// Why an instance is not read.
#[derive(PartialEq, Eq)]
struct Reason {
    code: Code,
    detail: String,
    /// It holds for a volume, not for an image.
    of_volume: bool,
}

impl<'a> Series<'a> {
    /// `headers`: all of one series, at least one, by SOP Instance UID. `as_volumes`: whether it is to be stacked.
    pub(super) fn new(headers: Vec<&'a Header>, as_volumes: bool) -> Series<'a> {
        let stacks = if as_volumes { pixel::stacks(&headers) } else { Stacks::default() };
        let mut volumes_of: BTreeMap<Uid, BTreeSet<usize>> = BTreeMap::new();
        for (index, stack) in stacks.stacks.iter().enumerate() {
            for source in &stack.sources {
                volumes_of.entry(source.sop_instance.clone()).or_default().insert(index);
            }
        }
        Series {
            uid: &headers[0].series,
            of_volumes: vec![Vec::new(); stacks.stacks.len()],
            headers,
            stacks,
            volumes_of,
            read: BTreeSet::new(),
            of_images: BTreeMap::new(),
            is_asked_for: false,
        }
    }

    /// Weighs each image by itself.
    pub(super) fn weigh_images(&mut self, select: &Select) -> Weighed {
        let verdicts: Vec<_> = self.headers.iter().map(|header| model::select(select, header)).collect();
        let mut weighed = Weighed::default();
        // A scan of 300 images that a radiograph model does not read is one decision, not 300.
        if let [Err(first), _, ..] = verdicts.as_slice()
            && verdicts.iter().all(|verdict| verdict.as_ref().err() == Some(first))
        {
            weighed.clauses.push((self.subject(), Some(first.code), first.clause.clone()));
        } else {
            let about = |(header, verdict): (&&Header, &Result<(), Rejection>)| {
                let (code, clause) = told(verdict);
                (Subject::Instance(header.sop_instance.to_string()), code, clause)
            };
            weighed.clauses.extend(self.headers.iter().zip(&verdicts).map(about));
        }
        for (header, verdict) in self.headers.iter().zip(verdicts) {
            match verdict {
                Ok(()) => {
                    self.read.insert(&header.sop_instance);
                    weighed.instances.push(header.sop_instance.clone());
                }
                Err(rejection) => self.of_images.entry(&header.sop_instance).or_default().push(rejection),
            }
        }
        weighed
    }

    /// Weighs each volume as a whole; without any, the series.
    pub(super) fn weigh_volumes(&mut self, select: &Select) -> Weighed {
        let mut weighed = Weighed::default();
        if self.stacks.stacks.is_empty() {
            let verdict: Result<(), Rejection> =
                model::select(select, self.headers[0]).and_then(|()| Err(self.no_volume()));
            self.note(&verdict);
            let (code, clause) = told(&verdict);
            weighed.clauses.push((self.subject(), code, clause));
            return weighed;
        }
        for index in 0..self.stacks.stacks.len() {
            let own = self.in_volume(index);
            let verdict = judge(select, &self.stacks.stacks[index], &own);
            self.note(&verdict);
            let (code, clause) = told(&verdict);
            weighed.clauses.push((self.subject(), code, self.named(index, clause)));
            match verdict {
                Ok(()) => {
                    weighed.instances.extend(own.iter().map(|header| header.sop_instance.clone()));
                    self.read.extend(own.iter().map(|header| &header.sop_instance));
                    weighed.volumes.push(VolumeName { series: self.uid.clone(), index });
                }
                Err(rejection) => self.of_volumes[index].push(rejection),
            }
        }
        weighed
    }

    /// The reasons for the images that no model reads: as few as can be.
    pub(super) fn unread(&self) -> Vec<NotAnalysed> {
        let mut groups: Vec<(Reason, Vec<&Header>)> = Vec::new();
        for header in self.headers.iter().filter(|header| !self.read.contains(&header.sop_instance)) {
            let reason = self.reason(header);
            match groups.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, headers)) => headers.push(header),
                None => groups.push((reason, vec![header])),
            }
        }
        if self.read.is_empty() && self.is_asked_for {
            // A series that is no use to anyone is told once: what holds for a volume says more than what holds for single images.
            let weight = |(reason, headers): &(Reason, Vec<&Header>)| (reason.of_volume, headers.len());
            let most = groups.into_iter().rev().max_by_key(weight);
            return most.map(|(reason, _)| self.entry(reason, &self.headers)).into_iter().collect();
        }
        groups.into_iter().map(|(reason, headers)| self.entry(reason, &headers)).collect()
    }

    fn entry(&self, reason: Reason, headers: &[&Header]) -> NotAnalysed {
        let Reason { code, detail, of_volume } = reason;
        match headers {
            [only] if !of_volume => {
                NotAnalysed { code, subject: Subject::Instance(only.sop_instance.to_string()), detail }
            }
            _ if headers.len() == self.headers.len() => NotAnalysed { code, subject: self.subject(), detail },
            _ => {
                let detail = format!("{} of {} images: {detail}", headers.len(), self.headers.len());
                NotAnalysed { code, subject: self.subject(), detail }
            }
        }
    }

    /// The most telling of all that was said of an instance that nobody reads.
    fn reason(&self, header: &Header) -> Reason {
        let volumes = self.volumes_of.get(&header.sop_instance);
        let of_volume = volumes.into_iter().flatten().find_map(|index| telling(&self.of_volumes[*index]));
        if let Some(rejection) = of_volume {
            return Reason { code: rejection.code, detail: rejection.clause.clone(), of_volume: true };
        }
        // In the order of their UIDs.
        let at = self.stacks.left_out.partition_point(|(source, _)| source.sop_instance < header.sop_instance);
        let left_out = self.stacks.left_out.get(at).filter(|(source, _)| source.sop_instance == header.sop_instance);
        if let (Some((_, code)), true) = (left_out, self.is_asked_for) {
            return Reason { code: *code, detail: why_left_out(*code).to_owned(), of_volume: false };
        }
        match self.of_images.get(&header.sop_instance).and_then(|said| telling(said)) {
            Some(rejection) => Reason { code: rejection.code, detail: rejection.clause.clone(), of_volume: false },
            None => {
                let detail = format!("no installed model reads modality {}", modality_word(header));
                Reason { code: Code::NoModelApplies, detail, of_volume: false }
            }
        }
    }

    /// The instances that have frames in a volume.
    fn in_volume(&self, index: usize) -> Vec<&'a Header> {
        let is_in = |header: &&Header| self.volumes_of.get(&header.sop_instance).is_some_and(|of| of.contains(&index));
        self.headers.iter().copied().filter(is_in).collect()
    }

    fn note(&mut self, verdict: &Result<(), Rejection>) {
        self.is_asked_for |= !matches!(verdict, Err(rejection) if rejection.code == Code::WrongModality);
    }

    /// Why there is no volume.
    fn no_volume(&self) -> Rejection {
        let code = self.stacks.left_out.first().map_or(Code::GeometryInconsistent, |(_, code)| *code);
        Rejection { code, clause: why_left_out(code).to_owned() }
    }

    fn named(&self, index: usize, clause: String) -> String {
        match self.stacks.stacks.len() {
            1 => clause,
            volumes => format!("volume {} of {volumes}: {clause}", index + 1),
        }
    }

    fn subject(&self) -> Subject {
        Subject::Series(self.uid.to_string())
    }
}

/// Whether a model reads a volume: the clauses of its manifest, then what holds for every model.
fn judge(select: &Select, stack: &Stack, headers: &[&Header]) -> Result<(), Rejection> {
    let selected = model::select_stack(select, stack, headers);
    // That it is no volume at all says more than that it is a short one.
    let is_of_geometry = |code| matches!(code, Code::TooFewSlices | Code::GeometryInconsistent);
    match (selected, unfit(stack)) {
        (Err(rejection), Some(unfit)) => Err(if is_of_geometry(rejection.code) { unfit } else { rejection }),
        (Err(rejection), None) => Err(rejection),
        (Ok(()), unfit) => unfit.map_or(Ok(()), Err),
    }
}

/// Why no model reads a volume: its defects' rules, and its size.
fn unfit(stack: &Stack) -> Option<Rejection> {
    if let Some(code) = stack.refusal() {
        let refusing =
            stack.warnings.iter().map(|defect| defect.row()).find(|row| row.rule == pixel::Rule::Refuse(code));
        let means = refusing.map_or(code.row().means, |row| row.means);
        return Some(Rejection { code, clause: means.to_owned() });
    }
    let [slices, rows, columns] = stack.size;
    (stack.bytes() > VOLUME_BYTES_MAX).then(|| Rejection {
        code: Code::TooLarge,
        clause: format!(
            "a volume of {slices} x {rows} x {columns} takes {} bytes of memory; the limit is {VOLUME_BYTES_MAX}",
            stack.bytes()
        ),
    })
}

fn told(verdict: &Result<(), Rejection>) -> (Option<Code>, String) {
    match verdict {
        Ok(()) => (None, "every clause of [select] holds".to_owned()),
        Err(rejection) => (Some(rejection.code), rejection.clause.clone()),
    }
}

/// A model of another modality says nothing about the image, so its word counts only where nobody has a better one.
fn telling(said: &[Rejection]) -> Option<&Rejection> {
    said.iter().find(|rejection| rejection.code != Code::WrongModality)
}

fn why_left_out(code: Code) -> &'static str {
    LEFT_OUT.iter().find(|(known, _)| *known == code).map_or(code.row().means, |(_, why)| why)
}

/// Modality is a Code String of the sender's: shown only when it is one of the standard's shape (PS3.5 6.2, CS).
fn modality_word(header: &Header) -> &str {
    let word = header.modality.as_str();
    let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit();
    if !word.is_empty() && word.len() <= 16 && word.bytes().all(plain) { word } else { "(none given)" }
}
