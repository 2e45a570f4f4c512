//! Which frames of a series belong together: what is left out, and what is split into volumes of their own.
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::dicom::Header;
use crate::error::Code;
use crate::pixel::affine::dot;

use super::defect::{Defect, Rule};
use super::order::{self, Slice, normal};
use super::stack::{SliceSource, Stacks};

/// Direction cosines of one volume differ by less.
const COSINE_TOLERANCE: f64 = 0.01;
/// Pixel spacings of one volume differ by less than this part.
const SPACING_TOLERANCE: f64 = 0.01;
/// Frames nearer to each other lie at one position.
const POSITION_TOLERANCE_MM: f64 = 1e-3;
/// Orientations or sizes of a series that are told apart; frames of further ones are left out with `GeometryInconsistent`.
const GROUPS_MAX: usize = 256;

/// Secondary Capture and its multi-frame kinds.
const SECONDARY_CAPTURE: &str = "1.2.840.10008.5.1.4.1.1.7";

/// All frames of ONE series as volumes; `headers` in any order: the result depends on their set alone. Pure.
///
/// Rules and limits are in the table of [`Defect`]; the rest is as follows. Colour is left out (`PixelLayoutInvalid`). In a series that
/// holds original images, derived ones and secondary captures are left out (`DerivedImage`); a series of nothing else is taken as it is.
pub fn stacks(headers: &[&Header]) -> Stacks {
    let mut headers = headers.to_vec();
    headers.sort_by(|a, b| a.sop_instance.cmp(&b.sop_instance));
    let mut sorting = Sorting::default();
    let slices = sorting.frames(&headers);
    let frames_total = slices.len() + sorting.left_out.len();
    let orientations = sorting.groups(slices, |a, b| {
        let pairs = a.directions.as_flattened().iter().zip(b.directions.as_flattened());
        pairs.into_iter().all(|(a, b)| (a - b).abs() < COSINE_TOLERANCE)
    });
    if orientations.len() > 1 {
        sorting.of_series.insert(Defect::MixedOrientation);
    }
    let mut sorted = Stacks::default();
    for orientation in orientations {
        let sizes = sorting.groups(orientation, is_of_one_grid);
        let found = if sizes.len() > 1 { Some(Defect::InconsistentSize) } else { None };
        for slices in sizes {
            for (slices, mut defects) in sorting.volumes(slices, frames_total) {
                defects.extend(found);
                defects.extend(&sorting.of_series);
                sorted.stacks.extend(order::stack(slices, defects));
            }
        }
    }
    sorting.left_out.sort();
    sorted.left_out = sorting.left_out;
    sorted
}

fn is_of_one_grid(a: &Slice<'_>, b: &Slice<'_>) -> bool {
    let of = |slice: &Slice<'_>| (slice.header.rows, slice.header.columns, slice.header.sop_class.clone());
    let is_near = |(a, b): (f64, f64)| (a - b).abs() <= SPACING_TOLERANCE * a;
    of(a) == of(b) && a.spacing_mm.into_iter().zip(b.spacing_mm).all(is_near)
}

/// What is found while frames are sorted out.
#[derive(Default)]
struct Sorting {
    of_series: BTreeSet<Defect>,
    left_out: Vec<(SliceSource, Code)>,
}

impl Sorting {
    /// Frames that have a place and belong into a volume.
    fn frames<'a>(&mut self, headers: &[&'a Header]) -> Vec<Slice<'a>> {
        let mut slices = Vec::new();
        for header in headers {
            let own = header.planes.own();
            let stated = if own == 0 { 1 } else { own.min(header.frames) };
            for frame_index in 0..stated {
                let source = source(header, frame_index);
                match place(header, frame_index, own == 0 && header.frames > 1) {
                    Ok(slice) => slices.push(slice),
                    Err(Reason::Colour) => self.left_out.push((source, Code::PixelLayoutInvalid)),
                    Err(Reason::Defect(defect)) => self.leave_out(source, defect),
                }
            }
            if (1..header.frames).contains(&own) {
                self.leave_out(source(header, own), Defect::MissingGeometry);
            }
        }
        let (copies, originals): (Vec<_>, Vec<_>) = slices.into_iter().partition(is_copy);
        if originals.is_empty() {
            return copies;
        }
        self.left_out.extend(copies.iter().map(|slice| (slice.source(), Code::DerivedImage)));
        originals
    }

    fn leave_out(&mut self, source: SliceSource, defect: Defect) {
        if let Rule::LeaveOut(code) = defect.row().rule {
            self.left_out.push((source, code));
        }
        if defect != Defect::DuplicatePositions {
            self.of_series.insert(defect);
        }
    }

    /// Slices that are alike, the largest group first, then by the directions of the first.
    fn groups<'a>(
        &mut self,
        slices: Vec<Slice<'a>>,
        is_alike: impl Fn(&Slice<'a>, &Slice<'a>) -> bool,
    ) -> Vec<Vec<Slice<'a>>> {
        let mut groups: Vec<Vec<Slice<'a>>> = Vec::new();
        for slice in slices {
            match groups.iter().position(|group| is_alike(&group[0], &slice)) {
                Some(group) => groups[group].push(slice),
                None if groups.len() < GROUPS_MAX => groups.push(vec![slice]),
                None => self.left_out.push((slice.source(), Code::GeometryInconsistent)),
            }
        }
        groups.sort_by(|a, b| {
            let directions = a[0].directions.partial_cmp(&b[0].directions);
            b.len().cmp(&a.len()).then(directions.unwrap_or(std::cmp::Ordering::Equal))
        });
        groups
    }

    /// Slices of one grid, split where positions repeat, so that each volume has each position once.
    fn volumes<'a>(
        &mut self,
        mut slices: Vec<Slice<'a>>,
        frames_total: usize,
    ) -> Vec<(Vec<Slice<'a>>, BTreeSet<Defect>)> {
        let across = normal(slices[0].directions);
        slices.iter_mut().for_each(|slice| slice.position_mm = dot(across, slice.origin));
        slices.sort_by(|a, b| a.position_mm.total_cmp(&b.position_mm));
        let positions: Vec<&[Slice<'a>]> =
            slices.chunk_by(|a, b| b.position_mm - a.position_mm < POSITION_TOLERANCE_MM).collect();
        let mut defects = BTreeSet::new();
        let mut volumes = vec![slices.clone()];
        if positions.len() < slices.len() {
            if let Some((mark, defect)) = apart(&positions, slices.len()) {
                let mut marked: BTreeMap<Mark, Vec<Slice<'a>>> = BTreeMap::new();
                for slice in &slices {
                    marked.entry(mark(slice)).or_default().push(slice.clone());
                }
                defects.insert(defect);
                volumes = marked.into_values().collect();
            } else {
                defects.insert(Defect::DuplicatePositions);
                volumes = vec![positions.iter().filter_map(|copies| self.one_of(copies)).collect()];
            }
        }
        let lone = if positions.len() > 1 || frames_total == 1 { Defect::SingleSlice } else { Defect::NotAVolume };
        let with_defects = |volume: Vec<Slice<'a>>| {
            let lone = (volume.len() == 1).then_some(lone);
            (volume, defects.iter().copied().chain(lone).collect())
        };
        volumes.into_iter().map(with_defects).collect()
    }

    /// The copy with the lowest Instance Number; the others are left out. Of equal numbers the highest UID stays: any rule would do,
    /// as long as it is the same each time.
    fn one_of<'a>(&mut self, copies: &[Slice<'a>]) -> Option<Slice<'a>> {
        let rank = |slice: &&Slice<'a>| {
            let number = slice.header.instance_number.unwrap_or(0);
            (number, Reverse(slice.header.sop_instance.clone()), slice.frame_index)
        };
        let kept = copies.iter().min_by_key(rank)?;
        for other in copies.iter().filter(|other| other.source() != kept.source()) {
            self.leave_out(other.source(), Defect::DuplicatePositions);
        }
        Some(kept.clone())
    }
}

fn source(header: &Header, frame_index: u32) -> SliceSource {
    SliceSource { sop_instance: header.sop_instance.clone(), frame_number: frame_index + 1 }
}

enum Reason {
    Colour,
    Defect(Defect),
}

/// `is_untold`: the frame is one of many whose places are not said one by one.
fn place(header: &Header, frame_index: u32, is_untold: bool) -> Result<Slice<'_>, Reason> {
    let plane = header.planes.of(frame_index);
    if plane.is_localizer() {
        return Err(Reason::Defect(Defect::Localizer));
    }
    if !header.photometric.is_monochrome() {
        return Err(Reason::Colour);
    }
    match (plane.position_mm, plane.directions, plane.spacing_mm) {
        (Some(origin), Some(directions), Some(spacing_mm)) if !is_untold => {
            Ok(Slice { header, frame_index, origin, directions, spacing_mm, position_mm: 0.0 })
        }
        _ => Err(Reason::Defect(Defect::MissingGeometry)),
    }
}

fn is_copy(slice: &Slice<'_>) -> bool {
    let class = slice.header.sop_class.as_str();
    slice.header.planes.of(slice.frame_index).is_derived()
        || class.strip_prefix(SECONDARY_CAPTURE).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// What may tell copies at one position apart: numbers in order, those that are not there last, then text.
type Mark = (Vec<i64>, String);
type Marking = fn(&Slice<'_>) -> Mark;

/// In this order; the first that tells all copies apart counts.
const MARKINGS: &[(Marking, Defect)] = &[
    (echo, Defect::MultiVolume),
    (diffusion, Defect::MultiVolume),
    (acquisition, Defect::MultiAcquisition),
    (temporal, Defect::MultiVolume),
    (frame_type, Defect::MultiVolume),
    (everything, Defect::MultiVolume),
];

/// `None` if nothing tells the copies apart, or if every slice would be a volume.
fn apart(positions: &[&[Slice<'_>]], slices: usize) -> Option<(Marking, Defect)> {
    let marks = |copies: &[Slice<'_>], mark: Marking| copies.iter().map(mark).collect::<BTreeSet<Mark>>();
    MARKINGS.iter().copied().find(|(mark, _)| {
        let all = positions.iter().flat_map(|copies| marks(copies, *mark)).collect::<BTreeSet<_>>();
        all.len() < slices && positions.iter().all(|copies| marks(copies, *mark).len() == copies.len())
    })
}

/// A number such that the order of numbers is that of the values; what is not there comes last.
fn rank(value: Option<f64>) -> i64 {
    let Some(value) = value else { return i64::MAX };
    // The order of f64::total_cmp; `+ 0.0` makes one zero of the two.
    let bits = (value + 0.0).to_bits().cast_signed();
    bits ^ (((bits >> 63).cast_unsigned()) >> 1).cast_signed()
}

fn plane<'a>(slice: &'a Slice<'_>) -> &'a crate::dicom::Plane {
    slice.header.planes.of(slice.frame_index)
}

fn echo(slice: &Slice<'_>) -> Mark {
    (vec![rank(plane(slice).echo_ms)], String::new())
}

fn diffusion(slice: &Slice<'_>) -> Mark {
    let plane = plane(slice);
    let gradient = plane.gradient.map_or([None; 3], |axes| axes.map(Some));
    ([rank(plane.b_value)].into_iter().chain(gradient.map(rank)).collect(), String::new())
}

fn acquisition(slice: &Slice<'_>) -> Mark {
    (vec![plane(slice).acquisition.unwrap_or(i64::MAX)], String::new())
}

fn temporal(slice: &Slice<'_>) -> Mark {
    (vec![plane(slice).temporal_position.unwrap_or(i64::MAX)], String::new())
}

fn frame_type(slice: &Slice<'_>) -> Mark {
    (Vec::new(), plane(slice).frame_type.clone())
}

fn everything(slice: &Slice<'_>) -> Mark {
    let numbers = [echo, diffusion, temporal, acquisition].map(|mark| mark(slice).0);
    (numbers.concat(), plane(slice).frame_type.clone())
}
