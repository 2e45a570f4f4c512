//! What a finding about a series has beyond one about an image: its slices, the key ones among them, what was measured, a mask.
use super::Region;
use crate::{pixel::SliceSource, uid::Uid};

/// A series that was read as one volume, as a finding sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct OfSeries {
    /// Series Instance UID.
    pub series: Uid,
    /// Every frame of the volume, in the order of its slices.
    pub sources: Vec<SliceSource>,
    /// The slices that show it best, best first. The first one is the finding's own image.
    pub key_slices: Vec<KeySlice>,
    /// What was measured on the segmentation: the whole first, then its parts, the largest first.
    pub measured: Vec<Measured>,
    /// Content digest (SHA-256, hexadecimal) of the segmentation artifact, once it is durable.
    pub segmentation: Option<String>,
}

/// A slice that shows a finding.
#[derive(Debug, Clone, PartialEq)]
pub struct KeySlice {
    /// Place in the volume's order, from 0.
    pub slice: u32,
    /// The frame.
    pub source: SliceSource,
    /// Calibrated chance of this slice by itself, `0.0..=1.0`.
    pub probability: f32,
    /// Bounding region of the hot part, in source pixels of the frame; `None` for a negative finding, or without a map.
    pub region: Option<Region>,
    /// Content digest (SHA-256, hexadecimal) of the frame's float32 heatmap artifact, once it is durable.
    pub heatmap: Option<String>,
}

/// One quantity of a segmentation.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// What.
    pub quantity: Quantity,
    /// 0: the whole segmentation; from 1: its connected parts, the largest first.
    pub part: u32,
    /// As many numbers as the quantity has, in its unit.
    pub values: Vec<f64>,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// Volume, one number.
    Volume,
    /// Longest distance of two points of the mask within one slice, one number.
    LongestAxialDiameter,
    /// Centroid in patient coordinates: left, posterior, superior.
    Centroid,
}

impl Quantity {
    /// All.
    pub const ALL: [Quantity; 3] = [Quantity::Volume, Quantity::LongestAxialDiameter, Quantity::Centroid];

    /// Snake case, as in the API and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Quantity::Volume => "volume",
            Quantity::LongestAxialDiameter => "longest_axial_diameter",
            Quantity::Centroid => "centroid",
        }
    }

    /// The quantity of that name, if there is one.
    pub fn from_name(name: &str) -> Option<Quantity> {
        Quantity::ALL.into_iter().find(|quantity| quantity.name() == name)
    }

    /// Unit (UCUM).
    pub fn unit(self) -> &'static str {
        match self {
            Quantity::Volume => "mL",
            Quantity::LongestAxialDiameter | Quantity::Centroid => "mm",
        }
    }
}

impl OfSeries {
    /// The first number of that quantity for the whole segmentation or, where it is not measured as a whole, for its largest part.
    pub fn leading(&self, quantity: Quantity) -> Option<f64> {
        let of = |part| self.measured.iter().find(|m| m.quantity == quantity && m.part == part);
        of(0).or_else(|| of(1))?.values.first().copied()
    }
}
