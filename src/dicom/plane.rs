//! Where each frame of an object lies in the patient, and what tells it from another frame at the same place.
//!
//! Standard: Image Plane (PS3.3 C.7.6.2) of single-frame objects; functional groups of multi-frame ones: Pixel Measures, Plane
//! Position, Plane Orientation, Frame Content (C.7.6.16.2), MR Echo, MR Diffusion, MR and CT Image Frame Type (C.8.13.5, C.8.15.3).
use std::sync::Arc;

use super::attributes::{Key, View};
use super::header::spacing;

/// What the header says of one frame. `None`: nothing, or nothing that can be true.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plane {
    /// Image Position (Patient): the centre of the first pixel, LPS mm; each within 10 km of the origin.
    pub position_mm: Option<[f64; 3]>,
    /// Image Orientation (Patient): directions of a row and of a column, unit vectors at right angles within 0.01.
    pub directions: Option<[[f64; 3]; 2]>,
    /// Pixel Spacing: between rows, between columns; mm, above 0.
    pub spacing_mm: Option<[f64; 2]>,
    /// Frame Type, else Image Type, as it is written (values joined by backslashes); upper case, may be empty.
    pub frame_type: String,
    /// Effective Echo Time, else Echo Time; ms.
    pub echo_ms: Option<f64>,
    /// Diffusion b-value; s/mm².
    pub b_value: Option<f64>,
    /// Diffusion Gradient Orientation.
    pub gradient: Option<[f64; 3]>,
    /// Frame Acquisition Number, else Acquisition Number.
    pub acquisition: Option<i64>,
    /// Temporal Position Index, else Temporal Position Identifier.
    pub temporal_position: Option<i64>,
}

impl Plane {
    /// Whether it is a localizer (PS3.3 C.8.2.1.1.1, C.8.3.1.1.1).
    pub fn is_localizer(&self) -> bool {
        self.frame_type.split('\\').any(|value| value == "LOCALIZER")
    }

    /// Whether its pixels were computed from those of other images (PS3.3 C.7.6.1.1.2).
    pub fn is_derived(&self) -> bool {
        self.frame_type.split('\\').next() == Some("DERIVED")
    }
}

/// The planes of all frames of an object. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Planes {
    /// Of the first frames: as many as have an item of their own.
    own: Arc<[Plane]>,
    /// Of all others.
    rest: Arc<Plane>,
}

/// Frames of one object whose planes are read. A diffusion study of a whole head has some 10,000; those beyond count as frames
/// without a word of their own, and so have no place in a volume (`GeometryInconsistent`).
const PLANES_MAX: u32 = 1 << 16;

impl Planes {
    /// `frames`: how many the object has.
    pub(super) fn read(root: View<'_>, frames: u32) -> Planes {
        let items = (0..frames.min(PLANES_MAX)).map_while(|index| root.item(FRAME_GROUPS, index as usize));
        let own = items.map(|item| Groups { own: Some(item), root }.plane()).collect();
        Planes { own, rest: Arc::new(Groups { own: None, root }.plane()) }
    }

    /// The plane of a frame (from 0).
    pub fn of(&self, frame_index: u32) -> &Plane {
        self.own.get(frame_index as usize).unwrap_or(&self.rest)
    }

    /// How many frames have a word of their own. All beyond share what is said of the object.
    pub fn own(&self) -> u32 {
        u32::try_from(self.own.len()).unwrap_or(u32::MAX)
    }
}

const SHARED_GROUPS: Key = (0x5200, 0x9229);
const FRAME_GROUPS: Key = (0x5200, 0x9230);
const IMAGE_TYPE: Key = (0x0008, 0x0008);
const FRAME_TYPE: Key = (0x0008, 0x9007);
const FRAME_TYPES: [Key; 2] = [(0x0018, 0x9226), (0x0018, 0x9329)];
const FRAME_CONTENT: Key = (0x0020, 0x9111);
const PLANE_POSITION: Key = (0x0020, 0x9113);
const PLANE_ORIENTATION: Key = (0x0020, 0x9116);
const PIXEL_MEASURES: Key = (0x0028, 0x9110);
const MR_ECHO: Key = (0x0018, 0x9114);
const MR_DIFFUSION: Key = (0x0018, 0x9117);
const GRADIENT_DIRECTION: Key = (0x0018, 0x9076);
const GRADIENT: Key = (0x0018, 0x9089);
const B_VALUE: Key = (0x0018, 0x9087);

/// Where a frame's attributes stand: in its own item, else in the shared one, else at the top level.
struct Groups<'a> {
    own: Option<View<'a>>,
    root: View<'a>,
}

impl<'a> Groups<'a> {
    fn group(&self, sequence: Key) -> Option<View<'a>> {
        let own = self.own.and_then(|item| item.item(sequence, 0));
        own.or_else(|| self.root.item(SHARED_GROUPS, 0)?.item(sequence, 0))
    }

    fn plane(&self) -> Plane {
        let either = |sequence: Key| self.group(sequence).unwrap_or(self.root);
        let content = self.group(FRAME_CONTENT);
        let echo_ms = self.group(MR_ECHO).and_then(|group| group.number((0x0018, 0x9082)));
        let diffusion = either(MR_DIFFUSION);
        Plane {
            position_mm: triple(either(PLANE_POSITION), (0x0020, 0x0032)).filter(|p| p.iter().all(|mm| mm.abs() < 1e7)),
            directions: directions(either(PLANE_ORIENTATION)),
            spacing_mm: spacing(either(PIXEL_MEASURES), (0x0028, 0x0030)),
            frame_type: self.frame_type(),
            echo_ms: echo_ms.or_else(|| self.root.number((0x0018, 0x0081))).filter(|ms| ms.is_finite()),
            b_value: diffusion.number(B_VALUE).filter(|b| b.is_finite()),
            gradient: triple(diffusion.item(GRADIENT_DIRECTION, 0).unwrap_or(diffusion), GRADIENT),
            acquisition: content
                .and_then(|group| group.integer((0x0020, 0x9156)))
                .or_else(|| self.root.integer((0x0020, 0x0012))),
            temporal_position: content
                .and_then(|group| group.integer((0x0020, 0x9128)))
                .or_else(|| self.root.integer((0x0020, 0x0100))),
        }
    }

    fn frame_type(&self) -> String {
        let own = FRAME_TYPES.iter().filter_map(|sequence| self.group(*sequence)).map(|group| group.texts(FRAME_TYPE));
        let stated = own.into_iter().find(|values| !values.is_empty());
        stated.unwrap_or_else(|| self.root.texts(IMAGE_TYPE)).join("\\").to_uppercase()
    }
}

fn triple(view: View<'_>, key: Key) -> Option<[f64; 3]> {
    let three: [f64; 3] = view.numbers(key)?.try_into().ok()?;
    three.iter().all(|v| v.is_finite()).then_some(three)
}

/// Writers round cosines: what is a hundredth off is still meant, what is further off is not an orientation.
const COSINE_TOLERANCE: f64 = 0.01;

fn directions(view: View<'_>) -> Option<[[f64; 3]; 2]> {
    let six: [f64; 6] = view.numbers((0x0020, 0x0037))?.try_into().ok()?;
    let (row, column) = ([six[0], six[1], six[2]], [six[3], six[4], six[5]]);
    let dot = |a: [f64; 3], b: [f64; 3]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    // Of a NaN no comparison is true.
    let is_unit = |v: [f64; 3]| (dot(v, v).sqrt() - 1.0).abs() <= COSINE_TOLERANCE;
    (is_unit(row) && is_unit(column) && dot(row, column).abs() <= COSINE_TOLERANCE).then_some([row, column])
}
