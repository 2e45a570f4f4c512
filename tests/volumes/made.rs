//! Made slices: small images with a place in the patient, good by default, bad on request.
use std::collections::BTreeMap;
use std::sync::Arc;

use overread::dicom::{Decoder, Header, Instance, Limits};
use overread::error::{Error, Result};
use overread::pixel::{Stack, Stacks, Volume, stacks, volume};
use overread::uid::Uid;

use crate::support::dicom::{Cr, cr, element, part10};

/// A text attribute; `None` leaves it out.
type Text = Option<String>;

/// A slice of a CT; every field may be changed before `bytes`.
#[derive(Clone)]
pub(crate) struct Slice {
    pub(crate) image: Cr,
    pub(crate) instance_number: i64,
    /// Image Position (Patient), as it is written.
    pub(crate) position: Text,
    /// Image Orientation (Patient), as it is written.
    pub(crate) orientation: Text,
    /// Pixel Spacing, as it is written.
    pub(crate) spacing: Text,
    /// More elements, as they are.
    pub(crate) extra: Vec<u8>,
}

/// Numbers as a multi-valued decimal string, as exact as 16 characters can be.
pub(crate) fn decimals(numbers: &[f64]) -> String {
    let short = |v: &f64| format!("{v:.9}").chars().take(16).collect::<String>();
    numbers.iter().map(short).collect::<Vec<_>>().join("\\")
}

/// Slice `index` of an axial CT of 4 x 5 pixels, 2 mm a slice; its pixels are `100 * index` and on.
pub(crate) fn slice(index: u16) -> Slice {
    let mut image = cr(1, 1, 77);
    (image.rows, image.columns) = (4, 5);
    image.pixels = (0..20).map(|pixel| 100 * index + pixel).collect();
    image.modality = "CT".into();
    image.sop_class = "1.2.840.10008.5.1.4.1.1.2".into();
    image.image_type = "ORIGINAL\\PRIMARY\\AXIAL".into();
    // Neither the order of UIDs nor that of Instance Numbers is that of the slices.
    image.sop_instance = format!("2.25.{}", 9000 + (u32::from(index) * 37) % 101);
    Slice {
        image,
        instance_number: 500 - i64::from(index),
        position: Some(decimals(&[-100.0, -80.0, 2.0 * f64::from(index) - 40.0])),
        orientation: Some("1\\0\\0\\0\\1\\0".into()),
        spacing: Some("0.5\\0.75".into()),
        extra: Vec::new(),
    }
}

/// `count` good slices of one series.
pub(crate) fn series(count: u16) -> Vec<Slice> {
    (0..count).map(slice).collect()
}

impl Slice {
    /// The elements that say where it lies.
    fn place(&self) -> Vec<u8> {
        let text = |group, number, vr: &str, value: &Text| {
            value.as_ref().map(|value| element(group, number, vr, value.as_bytes())).unwrap_or_default()
        };
        [
            element(0x0020, 0x0013, "IS", self.instance_number.to_string().as_bytes()),
            text(0x0020, 0x0032, "DS", &self.position),
            text(0x0020, 0x0037, "DS", &self.orientation),
            text(0x0028, 0x0030, "DS", &self.spacing),
            self.extra.clone(),
        ]
        .concat()
    }

    /// The object as a Part 10 file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut image = self.image.clone();
        image.extra = self.place();
        image.bytes()
    }

    /// The same with `pixels` as they are, in a transfer syntax.
    pub(crate) fn bytes_with(&self, transfer_syntax: &str, pixels: &[u8]) -> Vec<u8> {
        let mut image = self.image.clone();
        image.extra = self.place();
        let dataset = [image.header(), pixels.to_vec()].concat();
        part10(transfer_syntax, &image.sop_class, &image.sop_instance, &dataset)
    }

    pub(crate) fn instance(&self) -> Instance {
        Instance::read(&self.bytes().into(), &Limits::default()).unwrap()
    }

    pub(crate) fn uid(&self) -> &str {
        &self.image.sop_instance
    }
}

/// The volumes of slices.
pub(crate) fn stacked(slices: &[Slice]) -> Stacks {
    let headers: Vec<Header> = slices.iter().map(|slice| slice.instance().header().clone()).collect();
    stacks(&headers.iter().collect::<Vec<_>>())
}

/// Loads a stack of these slices.
pub(crate) fn load(slices: &[Slice], stack: &Stack) -> Result<Volume> {
    let known: BTreeMap<&str, &Slice> = slices.iter().map(|slice| (slice.uid(), slice)).collect();
    let read = |uid: &Uid| match known.get(uid.as_str()) {
        Some(slice) => Ok(Arc::new(slice.instance())),
        None => Err(Error::internal("no such slice")),
    };
    volume(&Decoder::in_process(), stack, read, 2)
}

/// SOP Instance UIDs of a stack, in order.
pub(crate) fn order(stack: &Stack) -> Vec<&str> {
    stack.sources.iter().map(|source| source.sop_instance.as_str()).collect()
}

/// Names of a stack's defects.
pub(crate) fn warnings(stack: &Stack) -> Vec<&'static str> {
    stack.warnings.iter().map(|defect| defect.name()).collect()
}

/// SOP Instance UIDs that were left out with the names of their codes.
pub(crate) fn left_out(stacks: &Stacks) -> Vec<(&str, &'static str)> {
    stacks.left_out.iter().map(|(source, code)| (source.sop_instance.as_str(), code.name())).collect()
}
