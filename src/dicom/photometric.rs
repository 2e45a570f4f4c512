//! Photometric Interpretation (PS3.3 C.7.6.3.1.2) as an enum: the values that are read.
//!
//! Not read: YBR_PARTIAL_422 (retired) and YBR_PARTIAL_420 (video). Their luma has another range than that of YBR_FULL, and
//! JPEG streams under these names rarely do: shown as either, some would have wrong colours.

/// How samples are to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the standard's own")]
pub enum Photometric {
    Monochrome1,
    Monochrome2,
    PaletteColor,
    Rgb,
    YbrFull,
    YbrFull422,
    YbrIct,
    YbrRct,
    Xyb,
}

const NAMES: [(Photometric, &str); 9] = [
    (Photometric::Monochrome1, "MONOCHROME1"),
    (Photometric::Monochrome2, "MONOCHROME2"),
    (Photometric::PaletteColor, "PALETTE COLOR"),
    (Photometric::Rgb, "RGB"),
    (Photometric::YbrFull, "YBR_FULL"),
    (Photometric::YbrFull422, "YBR_FULL_422"),
    (Photometric::YbrIct, "YBR_ICT"),
    (Photometric::YbrRct, "YBR_RCT"),
    (Photometric::Xyb, "XYB"),
];

impl Photometric {
    /// The standard's word; lower case occurs in the field and is taken.
    pub fn parse(text: &str) -> Option<Photometric> {
        NAMES.iter().find(|(_, name)| text.eq_ignore_ascii_case(name)).map(|(value, _)| *value)
    }

    /// The standard's word.
    pub fn as_str(self) -> &'static str {
        NAMES[self as usize].1
    }

    /// Samples per Pixel that go with it.
    pub fn samples(self) -> u16 {
        use Photometric::{Monochrome1, Monochrome2, PaletteColor};
        if matches!(self, Monochrome1 | Monochrome2 | PaletteColor) { 1 } else { 3 }
    }

    /// Grey values, without a palette.
    pub fn is_monochrome(self) -> bool {
        matches!(self, Photometric::Monochrome1 | Photometric::Monochrome2)
    }
}
