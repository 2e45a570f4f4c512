//! Samples as decoders give them, in cells of three widths.
use std::ops::Deref;

use bytemuck::Pod;
use bytes::Bytes;

/// Samples as they are in their cells: unused bits and sign not yet dealt with. The cells are no wider than they need be.
#[derive(Debug, Clone, PartialEq)]
pub enum Samples {
    /// Cells of up to 8 bits.
    Bits8(Cells<u8>),
    /// Cells of 9 to 16 bits.
    Bits16(Cells<u16>),
    /// Cells of 17 to 32 bits.
    Bits32(Cells<u32>),
    /// Float or Double Float Pixel Data.
    Floats(Vec<f64>),
}

/// The cells of a frame. Those of a native frame stay where the file lies in memory: nothing is copied.
#[derive(Debug, Clone, PartialEq)]
pub struct Cells<C: Cell>(Store<C>);

#[derive(Debug, Clone, PartialEq)]
enum Store<C> {
    Own(Vec<C>),
    /// Bytes that can be taken for cells as they are; `Cells::in_place` has seen to it.
    InPlace(Bytes),
}

impl<C: Cell> Cells<C> {
    /// The bytes as cells, in the machine's byte order. `None` if they lie where cells cannot.
    pub(super) fn in_place(bytes: &Bytes) -> Option<Cells<C>> {
        bytemuck::try_cast_slice::<u8, C>(bytes).ok().map(|_cells| Cells(Store::InPlace(bytes.clone())))
    }

    /// To be changed: copied now if they lie in a file's bytes.
    pub fn into_vec(self) -> Vec<C> {
        match self.0 {
            Store::Own(cells) => cells,
            Store::InPlace(_) => self.to_vec(),
        }
    }
}

impl<C: Cell> Deref for Cells<C> {
    type Target = [C];

    fn deref(&self) -> &[C] {
        match &self.0 {
            Store::Own(cells) => cells,
            Store::InPlace(bytes) => bytemuck::try_cast_slice(bytes).unwrap_or_default(),
        }
    }
}

impl<C: Cell> From<Vec<C>> for Cells<C> {
    fn from(cells: Vec<C>) -> Cells<C> {
        Cells(Store::Own(cells))
    }
}

/// A cell of whole-number samples: the three widths are handled by one code, made for each.
pub trait Cell: Pod + Default + Send + Sync {
    /// Its bits as a number.
    fn code(self) -> u32;
    /// The cell with these bits; `code` fits.
    fn of(code: u32) -> Self;
    /// Cells as the samples of a frame.
    fn samples(cells: Vec<Self>) -> Samples;
}

macro_rules! cell {
    ($width:ty, $samples:ident) => {
        impl Cell for $width {
            fn code(self) -> u32 {
                u32::from(self)
            }
            fn of(code: u32) -> $width {
                code as $width
            }
            fn samples(cells: Vec<$width>) -> Samples {
                Samples::$samples(cells.into())
            }
        }
    };
}
cell!(u8, Bits8);
cell!(u16, Bits16);
cell!(u32, Bits32);

impl Samples {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Samples::Bits8(values) => values.len(),
            Samples::Bits16(values) => values.len(),
            Samples::Bits32(values) => values.len(),
            Samples::Floats(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
